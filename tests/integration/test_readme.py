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
        script(os.path.join(bin_folder, "systemctl"),
               '[ "$1 $2" = "restart nginx" ] && ' + nginx + "\n")
        # The command's own default for the image is the one place that is
        # not in the text.
        script(os.path.join(bin_folder, "sekisho"),
               'case "$1 $2" in\n'
               '"policy apply") set -- "$@" --image ;;\n'
               '"policy explain") set -- "$@" --policy ;;\n'
               '*) exec %s/usr/local/bin/sekisho "$@" ;;\nesac\n'
               'exec %s/usr/local/bin/sekisho "$@" '
               '%s/var/lib/sekisho/policy.img\n' % ((folder,) * 3))

    def close(self):
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
    "lib/base", "lib/policy", "lib/dicom", "modules/common",
    "modules/facility", "tools", "tests", "tests/unit", "tests/integration",
    "tests/fuzz", "tests/bench", "tests/data", "tests/demo", "docs",
    "conf-examples"])
def test_folder_says_what_lives_there(folder):
    lines = [line for line in stage.read(os.path.join(
        ROOT, folder, "README.md")).splitlines() if line.strip()]
    assert lines[0] == "# " + folder
    assert 4 <= len(lines) <= 8
