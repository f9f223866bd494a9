"""What the README and docs/requirements.md tell people to type is typed.

Paths and ports are put into a scratch folder; `sudo`, `nginx` and
`systemctl` are small scripts before the real ones in PATH.
"""

import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading

import pytest

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(TESTS)
sys.path.insert(0, os.path.join(TESTS, "demo"))
import certificates  # noqa: E402
import stage         # noqa: E402

README = stage.read(os.path.join(ROOT, "README.md"))


def section(title):
    found = re.search(r"(?ms)^## %s\n(.*?)(?=^## )" % re.escape(title), README)
    assert found, title
    return found.group(1)


def blocks(text, language):
    return re.findall(r"(?ms)^```%s\n(.*?)^```" % language, text)


def environment(**more):
    """Without what an outer make leaves behind."""
    env = {name: value for name, value in os.environ.items()
           if not name.startswith(("MAKE", "MFLAGS"))}
    env.update(more)
    return env


def run(command, **options):
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False, timeout=120,
        **options)


# ---- The two commands -------------------------------------------------------

def test_the_two_commands_exist():
    commands = [block.strip() for block in blocks(section("Two commands"),
                                                  "sh")]
    assert commands == ["./configure --install-deps && make demo",
                        "./configure --install-deps && make check"]
    assert "--install-deps" in run(["./configure", "--help"], cwd=ROOT).stdout
    for target in ("demo", "check"):
        done = run(["make", "-n", target], cwd=ROOT, env=environment())
        assert done.returncode == 0, done.stdout
    assert "make check" in stage.read(os.path.join(ROOT, ".ci", "run"))


# ---- Five minutes -----------------------------------------------------------

class Pacs(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(["a-study", self.path]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def script(path, text):
    stage.write(path, "#!/bin/sh\n" + text)
    os.chmod(path, 0o755)


class Scratch:
    """A root of its own for the section's commands."""

    def __init__(self, folder):
        self.folder = folder
        self.port = stage.free_port()
        self.pacs = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pacs)
        threading.Thread(target=self.pacs.serve_forever, daemon=True).start()
        for name in ("bin", "etc/nginx/modules-enabled", "etc/nginx/conf.d",
                     "tmp", "log"):
            os.makedirs(os.path.join(folder, name))
        self.conf = os.path.join(folder, "etc/nginx/nginx.conf")
        # As Debian's, as far as it matters here.
        temporary = "".join(
            "    %s_temp_path %s/tmp/%s;\n" % (name, folder, name)
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        stage.write(self.conf, (
            "%s\npid %s/nginx.pid;\nerror_log %s/log/error.log;\n"
            "include %s/etc/nginx/modules-enabled/*.conf;\n"
            "events { worker_connections 64; }\n"
            "http {\n    access_log off;\n%s"
            "    include %s/etc/nginx/conf.d/*.conf;\n}\n") % (
                "user root;" if os.geteuid() == 0 else "", folder, folder,
                folder, temporary, folder))
        nginx = "exec %s -c %s -e %s/log/error.log" % (
            stage.find_nginx(), self.conf, folder)
        bin_folder = os.path.join(folder, "bin")
        script(os.path.join(bin_folder, "sudo"), 'exec "$@"\n')
        script(os.path.join(bin_folder, "nginx"), nginx + ' "$@"\n')
        self.daemon = os.path.join(folder, "sekishod.pid")
        self.sekishod_conf = os.path.join(folder, "etc/sekisho/sekishod.conf")
        script(os.path.join(bin_folder, "systemctl"), (
            'case "$*" in\n'
            '"restart nginx")\n'
            # nginx -t leaves an empty one
            '    if test -s {0}/nginx.pid; then kill "$(cat {0}/nginx.pid)"\n'
            '        while test -e {0}/nginx.pid; do sleep 0.05; done; fi\n'
            '    {1} ;;\n'
            '"enable --now sekishod")\n'
            '    {0}/usr/local/sbin/sekishod --check-config --config {2} &&\n'
            '    {{ {0}/usr/local/sbin/sekishod --config {2} '
            '>{0}/log/sekishod.log 2>&1 & echo $! >{3}; }}\n'
            '    while test ! -S {0}/run/sekisho/sekishod.sock; do sleep 0.05; '
            'done ;;\n'
            '*) exit 1 ;;\nesac\n').format(folder, nginx, self.sekishod_conf,
                                          self.daemon))
        # What systemd's own would do is in test_install.py.
        script(os.path.join(bin_folder, "systemd-sysusers"), "")
        script(os.path.join(bin_folder, "systemd-tmpfiles"),
               '[ "$*" = --create ] && mkdir -p %s/var/lib/sekisho/trail '
               "%s/var/lib/sekisho/index %s/run/sekisho\n" % (
                   folder, folder, folder))
        # The command's own defaults are the places that are not in the text.
        script(os.path.join(bin_folder, "sekisho"), (
            'case "$1 $2" in\n'
            '"policy apply")\n'
            '    set -- "$@" --image {0}/var/lib/sekisho/policy.img\n'
            '    test ! -e {1} || set -- "$@" --config {1} ;;\n'
            '"policy explain")\n'
            '    set -- "$@" --policy {0}/var/lib/sekisho/policy.img ;;\n'
            '"trail init")\n'
            '    set -- "$@" --config {1} --owner "$(id -un)" ;;\n'
            '"audit "*) set -- "$@" --config {1} ;;\n'
            'esac\n'
            'exec {0}/usr/local/bin/sekisho "$@"\n').format(
                folder, self.sekishod_conf))

    def close(self):
        if os.path.exists(self.daemon):
            os.kill(int(stage.read(self.daemon)), signal.SIGTERM)
        pidfile = os.path.join(self.folder, "nginx.pid")
        if os.path.exists(pidfile):
            pid = int(stage.read(pidfile))
            os.kill(pid, signal.SIGTERM)
            stage.wait_for(lambda: not os.path.exists(pidfile), 5,
                           "nginx to end")
        self.pacs.shutdown()
        self.pacs.server_close()

    def run(self, text):
        for old, new in (
                ("/etc/", self.folder + "/etc/"),
                ("/var/lib/", self.folder + "/var/lib/"),
                ("/run/", self.folder + "/run/"),
                ("/usr/local/", self.folder + "/usr/local/"),
                ("127.0.0.1:8080", "127.0.0.1:%d" % self.port),
                ("127.0.0.1:8042", "127.0.0.1:%d"
                 % self.pacs.server_address[1])):
            text = text.replace(old, new)
        path = os.path.join(self.folder, "bin") + ":" + os.environ["PATH"]
        return run(["sh", "-euc", text], env=environment(PATH=path))


@pytest.fixture(scope="module")
def scratch():
    folder = stage.scratch_folder("sekisho-readme.")
    made = Scratch(folder)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder)


def test_five_minutes(scratch):
    """The whole section, in its order, as one reader does it."""
    text = section("Five minutes to a gate of your own")
    install, policy, nginx, ask, explain = blocks(text, "sh")

    assert install.strip() == \
        "./configure --install-deps && make && sudo make install"
    done = run(["make", "install", "DESTDIR=" + scratch.folder,
                "PREFIX=/usr/local"], cwd=ROOT, env=environment())
    assert done.returncode == 0, done.stdout
    assert "`/usr/local/bin`" in text
    assert os.access(scratch.folder + "/usr/local/bin/sekisho", os.X_OK)

    done = scratch.run(policy)
    assert done.returncode == 0, done.stdout
    assert "error" not in done.stdout.replace("no errors", "")
    done = scratch.run(nginx)
    assert done.returncode == 0, done.stdout

    allowed, denied = ask.strip().split("\n")
    done = scratch.run(allowed.replace("curl ", "curl -s "))
    assert done.returncode == 0
    assert json.loads(done.stdout) == ["a-study", "/studies"]

    done = scratch.run(denied.replace("curl ", "curl -s "))
    assert done.returncode == 0
    answer = done.stdout.replace("\r", "")
    assert answer.startswith("HTTP/1.1 403 Forbidden\n")
    # As the README shows it, but for what differs each time.
    shown, logged = blocks(text, "text")
    head, _, body = answer.partition("\n\n")
    shown_head, _, shown_body = shown.partition("\n\n")
    lines = head.split("\n")
    for line in shown_head.split("\n"):
        assert line in lines, line

    def plain(text):
        return re.sub(r"\b[0-9a-f]{32}\b", "TICKET", text).strip()
    assert plain(body) == plain(shown_body)

    ticket = re.search(r"\b[0-9a-f]{32}\b", body).group()
    log = stage.read(scratch.folder + "/log/error.log")
    line = next(line for line in log.splitlines() if ticket in line)
    wanted = plain(logged)
    assert wanted in plain(line), line

    done = scratch.run(explain)
    assert done.returncode == 1, done.stdout
    assert "`deny: unknown-network`" in text
    assert "\ndeny: unknown-network" in done.stdout


def test_five_minutes_more(scratch):
    """The trail's section, after the gate's."""
    text = section("Five minutes to a trail of your own")
    users, daemon, nginx, ask, check = blocks(text, "sh")
    for step in (users, daemon, nginx):
        done = scratch.run(step)
        assert done.returncode == 0, done.stdout
    assert os.path.exists(scratch.folder + "/etc/sekisho/trail.key.pub")

    done = scratch.run(ask.replace("curl ", "curl -s "))
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()[-3:]
    # As the README shows it, but for what differs each time and for spaces.

    def plain(line):
        line = re.sub(r"^\d+ +\S+ \S+", "N TIME", line)
        line = re.sub(r"(trail-read +ok +)\S+", r"\1WHO", line)
        return re.sub(r"bytes \d+", "bytes N", " ".join(line.split()))
    shown, = blocks(text, "text")
    assert [plain(line) for line in lines] \
        == [plain(line) for line in shown.splitlines()]

    search, verify = check.strip().split("\n")
    done = scratch.run(search)
    assert done.returncode == 0 and done.stdout.startswith("1 found")
    assert len(done.stdout.splitlines()) == 2
    # What was recorded just now is sealed within a second.
    done = stage.wait_for(
        lambda: [done for done in [scratch.run(verify)]
                 if done.returncode != 5], 10, "the checkpoint")[0]
    assert done.returncode == 0, done.stdout
    assert "`OK`" in text and done.stdout.startswith("OK ")


def test_an_apply_under_that_trail_is_recorded(scratch):
    """The same wrapper, the same paths: the policy changes once more."""
    policy = scratch.folder + "/etc/sekisho/facilities.conf"
    stage.write(policy, stage.read(policy).replace("query view",
                                                   "query view download"))
    done = scratch.run("sekisho policy apply /etc/sekisho/facilities.conf")
    assert done.returncode == 0 and "recorded" not in done.stdout, done.stdout
    done = scratch.run("sekisho audit status")
    assert done.returncode == 0, done.stdout
    assert re.search(r"in force, as recorded in entry #\d+", done.stdout)


# ---- docs/requirements.md ---------------------------------------------------

REQUIREMENTS = stage.read(os.path.join(ROOT, "docs", "requirements.md"))
ROWS = re.findall(r"(?m)^\| (\d+) \|.*\| `(sekisho policy explain [^`]+)` \| "
                  r"([a-z-]+) \|$", REQUIREMENTS)


@pytest.fixture(scope="module")
def example():
    """conf-examples/facilities.conf, and the certificates that it names."""
    folder = stage.scratch_folder("sekisho-requirements.")
    for name in ("midori-ca", "home-readers-ca", "kita-terminal"):
        certificates.Authority(folder, name, "/CN=" + name)
    text = stage.read(os.path.join(ROOT, "conf-examples", "facilities.conf"))
    assert "/etc/sekisho/" in text
    path = os.path.join(folder, "facilities.conf")
    stage.write(path, text.replace("/etc/sekisho/", folder + "/"))
    yield path
    shutil.rmtree(folder)


def test_requirements_have_commands():
    assert {row[0] for row in ROWS} == {"1", "2", "4", "17", "18", "24"}


@pytest.mark.parametrize("command,reason",
                         [(row[1], row[2]) for row in ROWS],
                         ids=[row[0] + "-" + row[2] for row in ROWS])
def test_requirement_is_shown(example, command, reason):
    words = command.split()[1:]
    assert words[-1] == "conf-examples/facilities.conf"
    status, output, errors = stage.sekisho(*words[:-1], example, "--json")
    assert status == 1, errors
    assert json.loads(output)["reason"] == reason


# That each can be typed is shown in test_audit_ledgers.py.
TRAIL_ROWS = re.findall(r"(?m)^\| (\d+) \|.*\| `(sekisho audit [^`]+)` \|",
                        REQUIREMENTS)


def test_requirements_of_the_trail_have_commands():
    assert {"7", "9", "10", "11", "13", "14", "16", "17", "19", "24", "25",
            "26", "27", "28", "29", "30", "31", "32", "33"} <= {
                row[0] for row in TRAIL_ROWS}


def test_requirements_classify_a_download():
    command = re.search(r"(?m)^    sekisho (classify .*)$", REQUIREMENTS)
    status, output, errors = stage.sekisho(*command.group(1).split(), "--json")
    assert status == 0, errors
    assert json.loads(output)["action"] == "download"


# ---- Links and folders ------------------------------------------------------

def markdown():
    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders
                      if not name.startswith((".", "build"))]
        found += [os.path.relpath(os.path.join(folder, name), ROOT)
                  for name in files if name.endswith(".md")]
    return sorted(found)


@pytest.mark.parametrize("path", markdown())
def test_links_lead_somewhere(path):
    folder = os.path.dirname(os.path.join(ROOT, path))
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)",
                             stage.read(os.path.join(ROOT, path))):
        if not re.match(r"[a-z]+:", target):
            assert os.path.exists(os.path.join(folder, target)), target


@pytest.mark.parametrize("folder", [
    "lib/base", "lib/policy", "lib/dicom", "lib/trail", "lib/otp",
    "lib/review", "lib/ipc", "daemon", "pam", "modules/common",
    "modules/facility", "modules/audit", "tools", "tests", "tests/unit",
    "tests/integration", "tests/fault",
    "tests/fuzz", "tests/bench", "tests/data", "tests/demo", "docs",
    "docs/ja", "conf-examples"])
def test_folder_says_what_lives_there(folder):
    lines = [line for line in stage.read(os.path.join(
        ROOT, folder, "README.md")).splitlines() if line.strip()]
    assert lines[0] == "# " + folder
    assert 4 <= len(lines) <= 8
