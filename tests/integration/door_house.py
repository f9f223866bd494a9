"""A house: a host in namespaces of its own, with users, doors and a sekishod.

    house = House(folder)
    user = house.user("yamada", password="…")
    house.pam("sshd")                 # conf-examples/pam.d/sshd as it stands
    house.start_daemon(); user.enroll()
    with house.talk("ssh", "yamada@127.0.0.1") as talk: …

The machine's users, PAM, sshd and files are untouched: see door_init.py.  Files
of the house are at house.path("/etc/…").  Needs root.
"""

import base64
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import door_ask
import door_codes
import trail_daemon
from door_talk import Talk

TOP = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = TOP / "conf-examples"
PATH = "/mnt/top/build/bin:/usr/local/sbin:/usr/local/bin:" \
       "/usr/sbin:/usr/bin:/sbin:/bin"
SOCKET = "/run/sekisho/sekishod.sock"


class NoHouse(Exception):
    """No house can be built here; the text says why."""


def missing(**packages):
    """What is missing for need(), in words; or None."""
    if os.geteuid() != 0:
        return "doors are tried in namespaces, which takes root"
    for program, package in packages.items():
        if shutil.which(program, path=PATH) is None:
            return f"install the Debian package {package}"
    return None


def need(**packages):
    """Skips unless all programs are there: need(sshd="openssh-server")."""
    import pytest  # the demonstration, which uses houses, has none
    why = missing(**packages)
    if why:
        pytest.skip(why)


def build(folder):
    """A House for tests, which are skipped where there can be none."""
    import pytest
    try:
        return House(folder)
    except NoHouse as error:
        pytest.skip(str(error))


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.02)


# Everybody at the console and from 127.0.0.0/8, but these of 127.0.10.x.
POLICY = """\
timezone UTC;
facility reading-room { network local; services desktop; }
facility desk { network 127.0.0.0/8; services ssh desktop; }
facility web-only { network 127.0.10.1; services web; }
facility expired {
    network 127.0.10.2; services ssh; valid 2020-01-01..2020-12-31;
}
facility of-suzuki { network 127.0.10.3; services ssh; users suzuki; }
"""


class User:
    """Somebody of the house: a password, and a secret once enrolled."""

    def __init__(self, house, name, password):
        self.house = house
        self.name = name
        self.password = password
        self.secret = None
        self.ahead = -2

    @property
    def home(self):
        return f"/home/{self.name}"

    def enroll(self):
        """By import, so that no code is used up.  Once more: with another
        secret, whose codes are all unused, and without old failures."""
        if self.secret:
            self.house.told("REMOVE", user=self.name, reason="a test")
        self.secret = door_codes.new_secret()
        self.house.told("IMPORT", user=self.name, device="phone",
                        secret=door_codes.base32(self.secret), reason="a test")
        self.ahead = -2
        return self

    def take(self, text):
        """The secret of an enrolment, in base32."""
        self.secret = base64.b32decode(text + "=" * (-len(text) % 8))
        self.ahead = -2

    def code(self):
        """One that was not given out yet.  Two of a user can be had at once,
        this step's and the next one's; for more it takes time to pass."""
        step = int(time.time()) // 30
        ahead = max(self.ahead + 1, step)
        if ahead > step + 1:
            time.sleep(30 * (ahead - 1) - time.time() + 0.1)
        self.ahead = ahead
        return door_codes.hotp(self.secret, ahead)

    def wrong_code(self):
        return door_codes.wrong(self.secret)


class House:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(exist_ok=True)
        self.processes = []
        self.daemon = None
        self.init = subprocess.Popen(
            ["unshare", "-m", "-p", "-n", "-u", "-f", "--mount-proc",
             sys.executable, "-B", str(TOP / "tests/integration/door_init.py"),
             str(self.folder), str(TOP)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True)
        if self.init.stdout.readline() != "ready\n":
            error = self.init.communicate(timeout=20)[1]
            if "Operation not permitted" in error:
                raise NoHouse("no namespaces here: " + error.strip()[-200:])
            raise RuntimeError(error)
        # unshare -f waits; its one child is the first process of the house.
        children = f"/proc/{self.init.pid}/task/{self.init.pid}/children"
        self.pid = int(pathlib.Path(children).read_text().split()[0])
        # --root: in a chroot the namespace's own root is that of the machine.
        self.inside = ["nsenter", f"--target={self.pid}", "--mount", "--pid",
                       "--net", "--uts", "--root", "--wd"]
        self.root = pathlib.Path(f"/proc/{self.pid}/root")
        # pam_unix lets everybody wait two seconds after a refusal.
        common = self.path("/etc/pam.d/common-auth")
        common.write_text(re.sub(r"(pam_unix\.so)(.*)", r"\1\2 nodelay",
                                 common.read_text()))
        self.write("/etc/hosts", "127.0.0.1 localhost gate\n")

    def close(self):
        """Everything in the house ends with its first process."""
        self.init.stdin.close()
        self.init.stdout.close()
        self.init.stderr.close()
        self.init.wait(20)
        for process in self.processes:
            process.wait(20)
        self.folder.rmdir()

    # ---- Files and programs ----------------------------------------------

    def path(self, path):
        return self.root / path.lstrip("/")

    def write(self, path, text, mode=0o644, owner=None):
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        target.chmod(mode)
        if owner:
            self.run("chown", owner, path)

    def read(self, path):
        return self.path(path).read_text(encoding="utf-8", errors="replace")

    def command(self, *words, user=None):
        enter = list(self.inside)
        if user:
            enter += ["setpriv", f"--reuid={user}", f"--regid={user}",
                      "--init-groups", "--"]
        return enter + [str(word) for word in words]

    def env(self, more=None):
        kept = {name: os.environ[name] for name in os.environ
                if name.endswith("SAN_OPTIONS")}
        return {**kept, "PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": "/root",
                "TERM": "dumb", **(more or {})}

    def run(self, *words, user=None, env=None, check=True, stdin=None,
            seconds=60):
        """Runs it in the house to its end: (status, output and errors)."""
        done = subprocess.run(
            self.command(*words, user=user), env=self.env(env), input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", check=False, timeout=seconds)
        if check and done.returncode != 0:
            raise AssertionError(f"{words} ended with {done.returncode}:\n"
                                 f"{done.stdout}")
        return done.returncode, done.stdout

    def spawn(self, *words, user=None, env=None, log="/var/log/spawned"):
        """Starts it; it ends with the house."""
        with open(self.path(log), "ab") as output:
            process = subprocess.Popen(
                self.command(*words, user=user), env=self.env(env),
                stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self.processes.append(process)
        return process

    def signal(self, process, number):
        """To the program itself: nsenter, which waits for it, passes none."""
        found = subprocess.run(["pgrep", "-P", str(process.pid)],
                               stdout=subprocess.PIPE, text=True, check=True)
        os.kill(int(found.stdout.split()[0]), number)

    def talk(self, *words, user=None, env=None, seconds=15):
        return Talk(self.command(*words, user=user), self.env(env), seconds)

    # ---- Users -----------------------------------------------------------

    def user(self, name, password="Sesam, oeffne dich", shell="/bin/bash"):
        self.run("useradd", "-m", "-s", shell, name)
        self.run("chpasswd", stdin=f"{name}:{password}\n")
        return User(self, name, password)

    # ---- PAM -------------------------------------------------------------

    def pam(self, *services):
        """The examples as they stand, over Debian's own files."""
        for service in services:
            shutil.copy(EXAMPLES / "pam.d" / service,
                        self.path(f"/etc/pam.d/{service}"))

    def pam_module(self):
        """What `make install` does with our module."""
        built = TOP / "build/lib/pam_sekisho.so"
        if not built.exists():
            raise RuntimeError(f"{built} is missing: run make first")
        shutil.copy(built, self.path("/mnt/security/pam_sekisho.so"))

    # ---- The daemon ------------------------------------------------------

    def install(self):
        """The daemon as docs/install has it: user, folders, keys, trail."""
        self.pam_module()
        # where Sekisho is installed the house's copy of /etc has the user
        self.run("userdel", "sekisho", check=False)
        self.run("useradd", "-r", "-d", "/var/lib/sekisho", "-s",
                 "/usr/sbin/nologin", "sekisho")
        for folder in ("/var/lib/sekisho", "/run/sekisho", "/etc/sekisho",
                       "/var/lib/sekisho/otp"):
            self.path(folder).mkdir(mode=0o755, exist_ok=True)
            self.run("chown", "sekisho:sekisho", folder)
        shutil.copy(EXAMPLES / "sekishod.conf",
                    self.path("/etc/sekisho/sekishod.conf"))
        self.run("sekisho", "trail", "init", user="sekisho")
        self.run("sekisho", "otp", "key")
        self.policy(POLICY)

    def policy(self, text):
        self.write("/etc/sekisho/facilities.conf", text)
        # Before the daemon runs for the first time nobody can record it.
        first = [] if self.path(SOCKET).is_socket() else ["--unrecorded"]
        self.run("sekisho", "policy", "apply", "/etc/sekisho/facilities.conf",
                 "--image", "/var/lib/sekisho/policy.img", *first)

    def start_daemon(self):
        self.daemon = self.spawn("sekishod", user="sekisho",
                                 log="/var/log/sekishod.log")
        wait_for(lambda: self.daemon.poll() is not None
                 or self.path(SOCKET).is_socket(), 20, "sekishod")
        if self.daemon.poll() is not None:
            raise RuntimeError(self.read("/var/log/sekishod.log"))

    def stop_daemon(self):
        """As systemd does: SIGTERM, and a clean end."""
        self.signal(self.daemon, signal.SIGTERM)
        assert self.daemon.wait(30) == 0, self.read("/var/log/sekishod.log")
        self.processes.remove(self.daemon)
        self.path(SOCKET).unlink(missing_ok=True)

    def desk(self):
        return door_ask.Desk(str(self.path(SOCKET)))

    def told(self, operation, **fields):
        """What the daemon answers to root, which must be yes."""
        desk = self.desk()
        try:
            answer = desk.ask(operation, **fields)
        finally:
            desk.close()
        assert answer["verdict"] == "yes", (operation, fields, answer)
        return answer

    def last(self):
        """How many entries are sealed: for `since`, once all are."""
        desk = trail_daemon.Front(str(self.path(SOCKET)), source=b"test")
        desk.checkpoint()
        desk.close()
        return len(self.entries())

    def entries(self, event=None, since=0, **fields):
        """The sealed entries of the trail that have these fields."""
        reader = trail_daemon.Daemon.__new__(trail_daemon.Daemon)
        reader.trail = str(self.path("/var/lib/sekisho/trail"))
        return [entry for entry in reader.entries()[since:]
                if event in (None, entry["event"])
                and all(entry.get(name) == value
                        for name, value in fields.items())]

    def recorded(self, event=None, seconds=5, **fields):
        """Waits for such entries: a checkpoint takes a second."""
        def look():
            try:
                return self.entries(event, **fields)
            except FileNotFoundError:  # a bundle was just filled
                return None
        try:
            return wait_for(look, seconds, f"a record {event} {fields}")
        except AssertionError as error:
            rest = "\n".join(str(entry) for entry in self.entries()
                             if entry["event"] != "heartbeat")
            raise AssertionError(f"{error}; there are:\n{rest}") from None

    # ---- sshd ------------------------------------------------------------

    def sshd(self, *snippets, port=22):
        """sshd with Debian's sshd_config and these of conf-examples/sshd."""
        key = "/etc/ssh/ssh_host_ed25519_key"
        if not self.path(key).exists():
            self.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
        folder = f"/etc/ssh/{port}"
        self.write(f"{folder}/sshd_config",
                   SSHD_CONFIG.format(folder=folder, port=port, key=key))
        for snippet in snippets:
            self.write(f"{folder}/{snippet}",
                       (EXAMPLES / "sshd" / snippet).read_text())
        # Since OpenSSH 9.8 wrong codes close the door for an address a while:
        # the tests have but one.
        _, settings = self.run("/usr/sbin/sshd", "-T", "-f",
                               f"{folder}/sshd_config")
        if "persourcepenalties" in settings:
            self.write(f"{folder}/penalties.conf", "PerSourcePenalties no\n")
        process = self.spawn("/usr/sbin/sshd", "-D", "-e", "-f",
                             f"{folder}/sshd_config",
                             log=f"/var/log/sshd.{port}.log")
        wait_for(lambda: process.poll() is not None or "Server listening"
                 in self.read(f"/var/log/sshd.{port}.log"), 20, "sshd")
        if process.poll() is not None:
            raise RuntimeError(self.read(f"/var/log/sshd.{port}.log"))

    def ssh(self, who, *command, port=22, options=(), program="ssh"):
        """ssh at a terminal; the host's key is not asked about."""
        return self.talk(
            program, "-F", "none", "-o", f"Port={port}",
            "-o", "StrictHostKeyChecking=no",
            "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
            "-o", "NumberOfPasswordPrompts=1",
            *options, who, *command)


# As the Debian package openssh-server brings it.
SSHD_CONFIG = """\
Include {folder}/*.conf
Port {port}
ListenAddress 127.0.0.1
HostKey {key}
KbdInteractiveAuthentication no
UsePAM yes
X11Forwarding yes
PrintMotd no
AcceptEnv LANG LC_*
Subsystem sftp /usr/lib/openssh/sftp-server
"""
