"""Policies come, change, break and go while nginx runs."""

import http.server
import contextlib
import os
import pathlib
import signal
import subprocess
import threading
import time

import pytest

import gate_nginx
from gate_nginx import wait_for, write_policy

OPEN = """timezone UTC;
facility mine { name "Mine"; contact "call {n}"; network 127.0.10.1; }
"""
SHUT = """timezone UTC;
facility mine { name "Shut"; network 127.0.10.1; valid 2020-01-01..2020-01-02; }
"""

HTTP = """
    facility_policy policy.img;
    facility_transport plain;
    facility_access on;
    server { listen 127.0.0.1:%%main%%; root html; }
"""


def opened(n=0):
    return OPEN.replace("{n}", str(n))


class Gate:
    """An nginx with its own policy, which this test may spoil."""

    def __init__(self, nginx_at, folder, http=HTTP, main="", policy=None):
        self.folder = folder
        self.image = folder / "policy.img"
        self.apply(policy or opened())
        (folder / "html").mkdir(exist_ok=True)
        (folder / "html" / "x").write_text("x")
        self.nginx = nginx_at(folder, http, main=main)

    def apply(self, text):
        write_policy(self.folder / "policy.conf", text, self.image)

    def status(self, **options):
        return self.nginx.request("/x", **options).status

    def lines(self, *words):
        return [line for line in self.nginx.errors().splitlines()
                if all(word in line for word in words)]


@pytest.fixture
def gate(nginx_at, tmp_path):
    return Gate(nginx_at, tmp_path)


def settle():
    """Long enough for a worker to have looked twice."""
    time.sleep(1.3)


# ---- A new image ----

def test_new_image_is_live_within_a_second_without_reload(gate):
    assert gate.status() == 200
    pids = gate.nginx.workers()
    gate.apply(SHUT)
    start = time.monotonic()
    assert wait_for(lambda: gate.status() == 403, 5)
    assert time.monotonic() - start < 1.5
    gate.apply(opened(2))
    assert wait_for(lambda: gate.status() == 200, 5)
    assert gate.nginx.workers() == pids
    assert len(gate.lines("[notice]", "is replaced by")) == 2


def test_new_image_is_live_in_every_worker(nginx_at, tmp_path):
    gate = Gate(nginx_at, tmp_path, main="worker_processes 3;")
    gate.apply(SHUT)
    assert wait_for(
        lambda: len(gate.lines("[notice]", "is replaced by")) == 3, 5)
    assert {gate.status() for _ in range(30)} == {403}


def test_keep_alive_sees_the_new_image(gate):
    connection = gate.nginx.connect()
    assert gate.status(connection=connection) == 200
    gate.apply(SHUT)
    assert wait_for(lambda: gate.lines("is replaced by"), 5)
    assert gate.status(connection=connection) == 403
    connection.close()


def test_version_is_that_of_show(gate, sekisho):
    version = gate.nginx.request("/x").log["version"]
    shown = subprocess.run([sekisho, "policy", "show", "--policy", gate.image],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           text=True, check=False)
    if shown.returncode != 0:
        shown = subprocess.run(
            [sekisho, "policy", "show", "--image", gate.image],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False)
    assert version in shown.stdout


def test_same_image_again_is_no_news(gate):
    before = gate.nginx.request("/x").log["version"]
    gate.apply(opened())
    gate.image.touch()
    settle()
    assert gate.nginx.request("/x").log["version"] == before
    assert not gate.lines("facility policy")


def test_request_in_flight_keeps_its_image(nginx_at, tmp_path):
    """Its log line still names the facility of an image long replaced."""
    go = threading.Event()

    class Slow(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            go.wait(20)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"late")

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    gate = Gate(nginx_at, tmp_path, HTTP.replace(
        "root html;", "location /slow { proxy_pass http://127.0.0.1:"
        f"{server.server_address[1]}; }} root html;"))
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(
        gate.nginx.request("/slow"))) for _ in range(1)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    for n in range(3):
        gate.apply(SHUT if n % 2 == 0 else opened(n))
        assert wait_for(lambda n=n: len(gate.lines("is replaced by")) > n, 5)
    go.set()
    for thread in threads:
        thread.join()
    server.shutdown()
    server.server_close()
    assert answers[0].text == "late"
    assert answers[0].log["name"] == "Mine"
    assert gate.status() == 403


def test_two_policies_are_watched_apart(nginx_at, tmp_path):
    write_policy(tmp_path / "b.conf", opened(), tmp_path / "b.img")
    gate = Gate(nginx_at, tmp_path, HTTP + """
    server { listen 127.0.0.1:%%second%%; root html;
             facility_policy b.img; }
    server { listen 127.0.0.1:%%third%%; root html;
             facility_policy %%PREFIX%%/policy.img; }
    """)
    gate.apply(SHUT)
    assert wait_for(lambda: gate.status() == 403, 5)
    assert gate.status(port="second") == 200
    # one policy per path, however it is written
    assert gate.status(port="third") == 403
    assert len(gate.lines("is replaced by")) == 1


# ---- Bad images ----

@pytest.mark.parametrize("spoil, words", [
    (lambda data: data[:-1], None), (lambda data: b"", None),
    (lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:], None),
    (lambda data: b"facility x { network any; }\n" * 50, None),
    (lambda data: os.urandom(len(data)), None)],
    ids=["cut", "empty", "one_bit", "text", "random"])
def test_bad_image_is_refused_once_and_the_old_one_stays(gate, spoil, words):
    data = gate.image.read_bytes()
    version = gate.nginx.request("/x").log["version"]
    new = gate.folder / "new"
    new.write_bytes(spoil(data))
    new.rename(gate.image)
    assert wait_for(lambda: gate.lines("[error]", "is refused"), 5)
    settle()
    assert len(gate.lines("[error]", "is refused")) == 1
    assert gate.lines("is refused", f"keeping version {version}")
    assert gate.status() == 200
    gate.apply(SHUT)
    assert wait_for(lambda: gate.status() == 403, 5)


def test_another_bad_image_is_another_line(gate):
    for n in range(2):
        new = gate.folder / "new"
        new.write_bytes(b"x" * (200 + n))
        new.rename(gate.image)
        assert wait_for(
            lambda n=n: len(gate.lines("[error]", "is refused")) == n + 1, 5)


def test_image_edited_in_place_is_no_bus_error(gate):
    data = gate.image.read_bytes()
    for size in (len(data) // 2, 0, len(data)):
        with open(gate.image, "r+b") as file:
            file.truncate(size)
        settle()
        assert gate.status() == 200
    gate.image.write_bytes(data)
    settle()
    assert gate.status() == 200


def test_deleted_image_is_told_of_once_and_the_old_one_stays(gate):
    gate.image.unlink()
    assert wait_for(lambda: gate.lines("[error]", "is refused"), 5)
    settle()
    assert len(gate.lines("[error]", "No such file")) == 1
    assert gate.status() == 200
    gate.apply(SHUT)
    assert wait_for(lambda: gate.status() == 403, 5)


def test_folder_in_the_place_of_the_image(gate):
    gate.image.unlink()
    gate.image.mkdir()
    assert wait_for(lambda: gate.lines("[error]", "is refused"), 5)
    assert gate.status() == 200
    gate.image.rmdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root and another user")
@pytest.mark.parametrize("mode, folder_mode, words", [
    (0o600, 0o755, ("lacks the read permission (r) on the file",)),
    (0o644, 0o700, ("lacks the search permission (x) on the folder",
                    "/secret"))])
def test_worker_without_permission_says_which(nginx_at, tmp_path, mode,
                                              folder_mode, words):
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    secret = tmp_path / "secret"
    secret.mkdir()
    http_text = HTTP.replace("policy.img", "secret/policy.img")
    write_policy(tmp_path / "p.conf", opened(), secret / "policy.img")
    gate = Gate(nginx_at, tmp_path, http_text, main="user www-data;")
    version = gate.nginx.request("/x").log["version"]
    write_policy(tmp_path / "p.conf", SHUT, secret / "new.img")
    (secret / "new.img").chmod(mode)
    secret.chmod(folder_mode)
    (secret / "new.img").rename(secret / "policy.img")
    assert wait_for(lambda: gate.lines("[error]", *words), 5)
    settle()
    assert len(gate.lines("[error]", "is refused")) == 1
    assert gate.lines(f"keeping version {version}")
    assert gate.status() == 200
    # healed without another apply
    (secret / "policy.img").chmod(0o644)
    secret.chmod(0o755)
    assert wait_for(lambda: gate.status() == 403, 5)
    # and at start it is said, too
    (secret / "policy.img").chmod(0o600)
    gate.nginx.reload()
    assert wait_for(lambda: gate.lines("[error]", "changes will not be seen"))


# ---- Reload, upgrade, no master ----

def test_reload_takes_the_new_image(gate):
    gate.apply(SHUT)
    gate.nginx.reload()
    assert gate.status() == 403


def test_reload_with_a_bad_image_changes_nothing(gate):
    gate.nginx.expected.append(r"\[emerg\].*facility policy")
    pids = gate.nginx.workers()
    gate.image.write_bytes(b"nothing")
    gate.nginx.signal(signal.SIGHUP)
    assert wait_for(lambda: gate.lines("[emerg]", "sekisho policy apply"), 5)
    assert gate.nginx.workers() == pids and gate.status() == 200


def test_image_is_still_watched_after_reloads(gate):
    for n in range(3):
        gate.nginx.reload()
        gate.apply(SHUT if n % 2 == 0 else opened(n))
        assert wait_for(
            lambda n=n: gate.status() == (403 if n % 2 == 0 else 200), 5)


def test_reload_may_drop_and_add_the_gate(gate):
    gate.nginx.configure(HTTP.replace("facility_access on", "facility_access "
                                      "off"))
    gate.nginx.reload()
    assert gate.status(source="127.0.10.9") == 200
    gate.nginx.configure(HTTP)
    gate.nginx.reload()
    assert gate.status(source="127.0.10.9") == 403


def test_without_a_master_the_image_is_watched(nginx_at, tmp_path):
    # a reload is nothing that nginx itself survives without a master
    gate = Gate(nginx_at, tmp_path, main="master_process off;")
    for n in range(3):
        gate.apply(SHUT)
        assert wait_for(lambda: gate.status() == 403, 5)
        gate.apply(opened(n))
        assert wait_for(lambda: gate.status() == 200, 5)


def test_binary_upgrade(nginx_at, tmp_path):
    write_policy(tmp_path / "policy.conf", opened(), tmp_path / "policy.img")
    nginx = nginx_at(tmp_path, HTTP, start=False)
    (tmp_path / "html" / "x").write_text("x")
    pid_file = tmp_path / "nginx.pid"

    def pid():
        # nginx renames it while it is replaced
        with contextlib.suppress(FileNotFoundError):
            return int(pid_file.read_text() or 0)
        return 0

    # an nginx that is nobody's child, or it would not let itself be replaced
    subprocess.run(nginx.command("-g", "daemon on;"), check=True)
    assert wait_for(pid, 10)
    old = pid()
    try:
        assert wait_for(lambda: nginx.listens(nginx.ports["main"]), 10)
        assert nginx.request("/x").status == 200
        os.kill(old, signal.SIGUSR2)
        assert wait_for(lambda: pid() not in (0, old), 30)
        os.kill(old, signal.SIGQUIT)
        assert wait_for(lambda: not pathlib.Path(f"/proc/{old}").exists(), 30)
        assert nginx.request("/x").status == 200
        write_policy(tmp_path / "policy.conf", SHUT, tmp_path / "policy.img")
        assert wait_for(lambda: nginx.request("/x").status == 403, 5)
    finally:
        # never 0: that would be everybody in this process group
        for master in {pid(), old} - {0}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(master, signal.SIGQUIT)
        assert wait_for(lambda: not pid_file.exists(), 30)


def test_workers_leave_in_time_though_they_watch(gate):
    start = time.monotonic()
    gate.nginx.reload()
    assert time.monotonic() - start < 5


# ---- nginx -t ----

def checked(tmp_path, http, nginx_at, main=""):
    nginx = nginx_at(tmp_path, http, main=main, start=False)
    (tmp_path / "logs").mkdir(exist_ok=True)
    nginx.expected.append(".")
    return nginx.test()


def test_missing_image_fails_the_test_and_says_what_to_run(nginx_at, tmp_path):
    status, text = checked(tmp_path, HTTP, nginx_at)
    assert status != 0
    image = tmp_path / "policy.img"
    assert f"sekisho policy apply facilities.conf --image {image}" in text
    assert "No such file" in text
    assert f"{tmp_path}/nginx.conf:" in text


@pytest.mark.parametrize("data", [b"", b"x" * 500, b"facility {"])
def test_bad_image_fails_the_test(nginx_at, tmp_path, data):
    (tmp_path / "policy.img").write_bytes(data)
    status, text = checked(tmp_path, HTTP, nginx_at)
    assert status != 0 and "cannot be used: " in text


def test_signals_need_no_image(gate):
    """`nginx -s quit` is not the moment to complain of a policy."""
    gate.image.unlink()
    result = subprocess.run(gate.nginx.command("-s", "quit"), check=False,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert result.returncode == 0, result.stdout
    assert gate.nginx.process.wait(10) == 0


SERVER = "server { listen 127.0.0.1:%%elsewhere%%; }"


@pytest.mark.parametrize("directives, words", [
    ("facility_access yes;", "invalid value \"yes\""),
    ("facility_access on;\nfacility_access on;", "is duplicate"),
    ("facility_access;", "invalid number of arguments"),
    ("facility_access on;", 'no "facility_policy" is defined for the '
     '"facility_access" directive in'),
    ("facility_access dry_run;", 'no "facility_policy" is defined'),
    ("facility_policy off; facility_access on;", "is defined for the"),
    ("facility_policy off;\nfacility_policy off;", "is duplicate"),
    ("facility_policy nowhere.img;", "nowhere.img"),
    ("facility_policy;", "invalid number of arguments"),
    ("facility_action look;", 'invalid value "look"'),
    ("facility_action none;", 'invalid value "none"'),
    ("facility_action '';", 'invalid value ""'),
    ("facility_action view;\nfacility_action auto;", "is duplicate"),
    ("facility_action auto;\nfacility_action auto;", "is duplicate"),
    ("facility_residue on;", "invalid value \"on\""),
    ("facility_transport none;", "invalid value \"none\""),
    ("facility_deny_status 399;", "between 400 and 493"),
    ("facility_deny_status 494;", "between 400 and 493"),
    ("facility_deny_status 500;", "between 400 and 493"),
    ("facility_deny_status x;", "invalid number"),
    ("facility_deny_status -404;", "invalid number"),
    ("facility_geoip nowhere.mmdb;", "nowhere.mmdb"),
    ("facility_geoip nginx.conf;", "no usable MaxMind DB"),
    ("facility_geoip off;\nfacility_geoip off;", "is duplicate"),
    ("facility_user yamada;", "names the same user for everybody"),
    ("facility_user $remote_user;\nfacility_user off;", "is duplicate"),
])
def test_bad_value_fails_the_test_with_its_place(nginx_at, tmp_path,
                                                 directives, words):
    marked = "\n# here\n" + directives
    status, text = checked(tmp_path, marked + SERVER, nginx_at)
    assert status != 0 and words in text, text
    lines = (tmp_path / "nginx.conf").read_text().splitlines()
    first = lines.index("# here") + 2
    last = first + directives.count("\n")
    assert any(f"nginx.conf:{n}" in text for n in range(first, last + 1)), text


@pytest.mark.parametrize("directive", ["facility_action $nosuchvariable;",
                                       "facility_user $nosuchvariable;"])
def test_unknown_variable_fails_the_test(nginx_at, tmp_path, directive):
    status, text = checked(tmp_path, directive + SERVER, nginx_at)
    assert status != 0 and 'unknown "nosuchvariable" variable' in text


@pytest.mark.parametrize("directives", [
    "facility_access off;", "facility_deny_status 400;",
    "facility_deny_status 493;", "facility_deny_status 444;",
    "facility_action auto;", "facility_action admin;",
    "facility_action $arg_a;", "facility_user $remote_user;",
    "facility_user off;", "facility_residue block;", "facility_residue off;",
    "facility_transport tls;", "facility_transport plain;",
    "facility_geoip off;", "facility_policy off;",
    "facility_policy policy.img;", "facility_policy policy.img; "
    "facility_access dry_run;"])
@pytest.mark.parametrize("level", ["http", "server", "location"])
def test_good_value_passes_on_every_level(nginx_at, tmp_path, directives,
                                          level):
    write_policy(tmp_path / "policy.conf", opened(), tmp_path / "policy.img")
    text = {"http": directives + SERVER,
            "server": SERVER.replace("}", directives + "}"),
            "location": SERVER.replace("}", "location / {" + directives
                                       + "} }")}[level]
    status, output = checked(tmp_path, text, nginx_at)
    assert status == 0, output


def test_policy_of_a_location_is_enough_for_its_server(nginx_at, tmp_path):
    write_policy(tmp_path / "policy.conf", opened(), tmp_path / "policy.img")
    status, output = checked(tmp_path, SERVER.replace("}", """
        location /a/ { facility_policy policy.img; facility_access on; }
        location /b/ { }
        }"""), nginx_at)
    assert status == 0, output


def test_country_rules_without_a_database_are_warned_of(nginx_at, tmp_path):
    write_policy(tmp_path / "policy.conf",
                 "facility a { network 127.0.10.1; country JP; }\n",
                 tmp_path / "policy.img")
    status, output = checked(tmp_path, HTTP, nginx_at)
    assert status == 0 and output.count("no \"facility_geoip\"") == 1


# ---- Countries ----

def test_country_is_a_second_opinion(nginx_at, tmp_path):
    maker = pathlib.Path(gate_nginx.ROOT) / "tests/data/make_mmdb.py"
    subprocess.run(["/usr/bin/python3", maker, tmp_path / "geo.mmdb",
                    "127.0.10.0/31=JP", "127.0.10.2/32=US", "::1/128=JP"],
                   check=True)
    gate = Gate(nginx_at, tmp_path, """
    facility_policy policy.img; facility_transport plain;
    facility_access on; facility_geoip geo.mmdb;
    server { listen 127.0.0.1:%%main%%; listen [::1]:%%main%%; root html;
             location /none/ { facility_geoip off; } }
    """, policy="""timezone UTC;
    facility jp { network 127.0.10.0/24 ::1; country JP; }
    facility any { network 127.0.11.1; }
    """)
    assert gate.status(source="127.0.10.1") == 200
    for source, reason in (("127.0.10.2", "wrong-country"),
                           ("127.0.10.3", "wrong-country")):
        answer = gate.nginx.request("/x", source=source)
        assert (answer.status, answer.log["reason"]) == (403, reason)
    assert gate.status(source="127.0.11.1") == 200
    assert gate.status(source="::1", address="::1") == 200
    assert gate.nginx.request("/none/x").log["reason"] == "wrong-country"
    # the database is a copy: spoiling the file in place harms nobody
    (tmp_path / "geo.mmdb").write_bytes(b"")
    assert gate.status(source="127.0.10.1") == 200
    assert gate.status(source="127.0.10.2") == 403


# ---- Where it came in ----

def test_via_is_the_local_address(nginx_at, tmp_path):
    gate = Gate(nginx_at, tmp_path, """
    facility_policy policy.img; facility_transport plain; facility_access on;
    server { listen %%main%%; root html; }
    """, policy="""timezone UTC;
    facility vpn { network 127.0.10.1; via 127.0.20.1 127.0.20.2; }
    facility any { network 127.0.10.2; }
    """)
    for address, status in (("127.0.20.1", 200), ("127.0.20.2", 200),
                            ("127.0.20.3", 403), ("127.0.0.1", 403)):
        answer = gate.nginx.request("/x", address=address)
        assert answer.status == status
        if status == 403:
            assert answer.log["reason"] == "wrong-ingress"
        assert gate.status(source="127.0.10.2", address=address) == 200
