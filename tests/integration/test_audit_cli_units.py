"""conf-examples: sekishod.conf and the systemd units."""

import os
import re
import shutil
import socket
import stat
import subprocess

import pytest

import trail_daemon
from trail_daemon import SEKISHOD, TOP

EXAMPLES = os.path.join(TOP, "conf-examples")
UNITS = os.path.join(EXAMPLES, "systemd")
EXPOSURE_MAX = 1.5

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is not installed: Debian package systemd")


def text_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


@pytest.fixture
def units(tmp_path):
    """As installed, but that the program is the one just made."""
    for name in os.listdir(UNITS):
        text = text_of(f"{UNITS}/{name}")
        if name.endswith(".service"):
            assert "/usr/sbin/sekishod" in text
        (tmp_path / name).write_text(text.replace("/usr/sbin/sekishod",
                                                  SEKISHOD))
    return tmp_path


def test_the_configuration_has_no_errors():
    result = subprocess.run([SEKISHOD, "--check-config", "--config",
                             f"{EXAMPLES}/sekishod.conf"], capture_output=True,
                            text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("no errors, 0 warnings\n")


def test_the_manuals_example_has_no_errors(tmp_path):
    page = text_of(f"{TOP}/docs/man/sekishod.conf.5.scd")
    (tmp_path / "conf").write_text(re.search(r"^```\n(.*?)^```", page,
                                             re.M | re.S).group(1))
    result = subprocess.run([SEKISHOD, "--check-config", "--config",
                             tmp_path / "conf"], capture_output=True, text=True,
                            check=False)
    assert result.returncode == 0, result.stderr


def test_the_manual_has_every_directive():
    code = text_of(f"{TOP}/lib/ipc/daemon_config.c")
    table = re.search(r"directives\[\] = \{(.*?)\n\};", code, re.S).group(1)
    names = set(re.findall(r'\{"([a-z_]+)",', table))
    page = text_of(f"{TOP}/docs/man/sekishod.conf.5.scd")
    told = {name for line in re.findall(r"^\*.*;$", page, re.M)
            for name in re.findall(r"\*([a-z_]+)\* [_*]", line)}
    assert len(names) > 8
    assert told <= names
    assert names == told


@needs_systemd
def test_the_sandbox_is_tight(units):
    result = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager",
         units / "sekishod.service"], capture_output=True, text=True,
        check=False, env={**os.environ, "LC_ALL": "C.UTF-8"})
    found = re.search(r"Overall exposure level for sekishod.service: ([0-9.]+)",
                      result.stdout)
    assert found, result.stdout + result.stderr
    assert float(found.group(1)) <= EXPOSURE_MAX, result.stdout


@needs_systemd
def test_systemd_has_nothing_to_say(units):
    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", units / "sekishod.service",
         units / "sekishod.socket"], capture_output=True, text=True,
        check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def call_set(name):
    """The system calls of a set of systemd's, with those inside it."""
    calls = set()
    output = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter",
                             name], capture_output=True, text=True,
                            check=True).stdout
    for line in output.splitlines()[1:]:
        word = line.strip()
        if word.startswith("@"):
            calls |= call_set(word)
        elif word and not word.startswith("#"):
            calls.add(word)
    return calls


def allowed_calls():
    """As systemd reads the lines, one after the other."""
    allowed = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$",
                           text_of(f"{UNITS}/sekishod.service"), re.M):
        calls = set()
        for word in line.lstrip("~").split():
            calls |= call_set(word) if word[0] == "@" else {word}
        allowed = allowed - calls if line[0] == "~" else allowed | calls
    return allowed


@needs_systemd
@pytest.mark.skipif(shutil.which("strace") is None,
                    reason="strace is not installed: Debian package strace")
def test_the_daemon_calls_nothing_that_the_filter_refuses(tmp_path):
    """A life with a start, records, a checkpoint, a reload, and an end."""
    daemon = trail_daemon.Daemon(tmp_path)
    trace = tmp_path / "trace"
    wrapper = tmp_path / "traced"
    wrapper.write_text(f"#!/bin/sh\nexec strace -f -qq -o '{trace}' "
                       f"'{SEKISHOD}' \"$@\"\n")
    wrapper.chmod(0o755)
    daemon.program = str(wrapper)
    daemon.start()
    try:
        front = daemon.front()
        for _ in range(300):
            front.post({"event": "access", "outcome": 0})
        front.wait()
        front.checkpoint()
        front.report()
        child = subprocess.run(["pgrep", "-P", str(daemon.process.pid)],
                               capture_output=True, text=True, check=True)
        subprocess.run(["kill", "-HUP", child.stdout.split()[0]], check=True)
        front.send({"event": "denied", "outcome": 8})
        subprocess.run(["kill", "-TERM", child.stdout.split()[0]], check=True)
        assert daemon.process.wait(30) == 0
        daemon.process = None
    finally:
        daemon.stop()
    calls = set(re.findall(r"^\d+ +([a-z0-9_]+)\(", trace.read_text(), re.M))
    assert "fdatasync" in calls and calls & {"adjtimex", "clock_adjtime"}
    # root alone gives the index's files to their folder's owner
    assert calls - allowed_calls() - {"execve", "arch_prctl", "fchown"} == set()


def test_the_socket_may_come_from_systemd(tmp_path):
    """What ListenSequentialPacket= hands over: descriptor 3, and stays."""
    text = text_of(f"{UNITS}/sekishod.socket")
    assert "\nListenSequentialPacket=/run/sekisho/sekishod.sock\n" in text
    assert "\nSocketMode=0666\n" in text
    daemon = trail_daemon.Daemon(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(daemon.socket)
        listening.listen()
        script = (f'exec 3<&{listening.fileno()}; export LISTEN_FDS=1 '
                  f'LISTEN_PID=$$; exec "{SEKISHOD}" --config "{daemon.config}"')
        process = subprocess.Popen(["bash", "-c", script],
                                   pass_fds=[listening.fileno()],
                                   stderr=subprocess.DEVNULL)
        try:
            front = daemon.front()
            front.send({"event": "access", "outcome": 0})
            front.close()
        finally:
            process.terminate()
            assert process.wait(30) == 0
        assert stat.S_ISSOCK(os.stat(daemon.socket).st_mode)


def test_systemd_is_told_when_it_is_ready(tmp_path):
    daemon = trail_daemon.Daemon(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(f"{tmp_path}/n")
        notified.settimeout(20)
        daemon.start(env={"NOTIFY_SOCKET": f"{tmp_path}/n"})
        assert notified.recv(100) == b"READY=1"
        assert daemon.stop() == 0
        assert notified.recv(100) == b"STOPPING=1"
