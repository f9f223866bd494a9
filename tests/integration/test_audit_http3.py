"""Gate and audit over QUIC: a stream is held, recorded and denied like any
request.  Needs an nginx and a curl with HTTP/3, as Debian 13's are."""

import signal
import subprocess

import pytest

import audit_place
import gate_nginx
from audit_place import frame, wait_for
from gate_certificates import Certificate

POLICY = """
group readers { yamada; }
facility clinic {
    network 127.0.10.1; device required; certificate sha256:%s;
    users @readers; actions view query;
}
"""
PLACES = """
location /gate/ { root html; }
"""
SERVER = """
server {
    listen 127.0.0.1:%%main3%% ssl;
    listen 127.0.0.1:%%main3%% quic;
    ssl_certificate server.crt;
    ssl_certificate_key server.key;
    ssl_verify_client optional_no_ca;
    server_name gate.test;
    root html;
    audit on;
    facility_policy policy.img;
    facility_access on;
    facility_user $remote_user;
    auth_basic "x";
    auth_basic_user_file users;
    location /dicom-web/ { proxy_pass %%pacs%%; }
    location /each/ { audit_detail request; proxy_pass %%pacs%%/dicom-web/; }
    location /long/ { audit_timeout 1h; proxy_pass %%pacs%%/dicom-web/; }
    location /short/ { audit_timeout 100ms; proxy_pass %%pacs%%/dicom-web/; }
}
"""
CLINIC, STRANGER = "127.0.10.1", "127.0.10.77"


@pytest.fixture(scope="module")
def place(folder, nginx_at, upstream):
    if missing := gate_nginx.without_http3():
        pytest.skip(missing)
    Certificate(folder, "server", client=False)
    terminal = Certificate(folder, "terminal")
    gate_nginx.write_policy(folder / "policy.conf",
                            POLICY % terminal.sha256, folder / "policy.img")
    (folder / "users").write_text(
        "yamada:{PLAIN}secret\ntanaka:{PLAIN}secret\n")
    found = audit_place.Place(
        folder, nginx_at, upstream, idle="1s", more=SERVER.replace(
            "%%pacs%%", f"http://127.0.0.1:{upstream.port}"))
    found.terminal = terminal
    yield found
    found.close()


def quic(place, path, *options, source=CLINIC, user="yamada", device=True):
    if user:
        options += ("-u", f"{user}:secret")
    if device:
        cert, key = place.terminal.files()
        options += ("--cert", cert, "--key", key)
    answer = place.nginx.curl(f"https://127.0.0.1:%%main3%%{path}",
                              "--http3-only", *options, source=source)
    assert answer.protocol == "HTTP/3"
    return answer


def test_access_is_recorded_with_who_from_where_and_how(place):
    answer = quic(place, frame("1.3.1"), "-A", "reader/3")
    assert (answer.status, answer.data) == (200, b"upstream")
    opening, = place.daemon.wait("access", study="1.3.1")
    assert opening["id"] == place.logged(answer.case)["id"]
    assert {name: opening.get(name) for name in (
        "outcome", "user", "facility", "address", "service", "action",
        "server", "method", "uri", "agent", "certificate", "tls")} == {
            "outcome": 0, "user": "yamada", "facility": "clinic",
            "address": CLINIC, "service": "web", "action": "view",
            "server": "gate.test", "method": "GET", "uri": frame("1.3.1"),
            "agent": "reader/3", "certificate": place.terminal.sha256,
            "tls": "TLSv1.3"}
    close, = place.daemon.wait("access-end", study="1.3.1")
    assert {name: close.get(name) for name in (
        "open", "user", "facility", "address", "requests", "statuses",
        "reason")} == {
            "open": opening["id"], "user": "yamada", "facility": "clinic",
            "address": CLINIC, "requests": 1, "statuses": "200:1",
            "reason": "idle"}
    assert close["bytes"] >= len(answer.data)


def test_streams_of_one_connection_are_one_opening(place):
    cert, key = place.terminal.files()
    command = ["curl", "-sS", "-k", "-Z", "--http3-only", "--max-time", "20",
               "--interface", CLINIC, "-u", "yamada:secret", "--cert", cert,
               "--key", key, "-w", "%{http_version} %{http_code}\n"]
    for image in range(20):
        command += ["-o", "/dev/null", place.nginx.fill(
            f"https://127.0.0.1:%%main3%%{frame('1.3.2', image)}")]
    result = subprocess.run(command, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, check=False)
    assert result.stdout == "3 200\n" * 20, result.stderr
    place.daemon.wait("access", study="1.3.2")
    close, = place.daemon.wait("access-end", study="1.3.2")
    assert (close["requests"], close["instances"]) == (20, 20)


def test_access_goes_on_over_tcp(place):
    """The same person, terminal and study: the protocol opens nothing."""
    quic(place, frame("1.3.3", 1))
    cert, key = place.terminal.files()
    answer = place.nginx.curl(
        f"https://127.0.0.1:%%main3%%{frame('1.3.3', 2)}", "--http1.1",
        "-u", "yamada:secret", "--cert", cert, "--key", key, source=CLINIC)
    assert (answer.protocol, answer.status) == ("HTTP/1.1", 200)
    assert wait_for(lambda: sum(
        close["requests"] for close in place.daemon.records(
            "access-end", study="1.3.3")) == 2, 8)


def test_each_request_is_recorded_before_and_after(place):
    answer = quic(place, "/each/studies/1.3.4/series")
    assert answer.status == 200
    begin, = place.daemon.wait("request", study="1.3.4")
    end, = place.daemon.wait("request-end", open=begin["id"])
    assert (begin["user"], begin["tls"]) == ("yamada", "TLSv1.3")
    assert (end["status"], end["outcome"]) == (200, 0)
    assert end["bytes"] >= len(answer.data)


@pytest.mark.parametrize("source, user, device, reason, facility", [
    (STRANGER, "yamada", True, "unknown-network", None),
    (CLINIC, "yamada", False, "device-missing", "clinic"),
    (CLINIC, "tanaka", True, "user-not-listed", "clinic"),
])
def test_denial_is_recorded(place, source, user, device, reason, facility):
    answer = quic(place, frame("1.3.5"), source=source, user=user,
                  device=device)
    assert answer.status == 403 and b"upstream" not in answer.data
    record, = place.daemon.wait("denied", reason=reason)
    assert {name: record.get(name) for name in (
        "outcome", "status", "address", "facility", "uri", "tls")} == {
            "outcome": 8, "status": 403, "address": source,
            "facility": facility, "uri": frame("1.3.5"), "tls": "TLSv1.3"}
    assert record["ticket"] in answer.text
    assert not place.daemon.records("access", study="1.3.5")
    assert not place.pacs.asked(frame("1.3.5"))


def test_action_that_is_not_allowed_is_recorded(place):
    assert quic(place, frame("1.3.6"), "-X", "DELETE").status == 403
    record, = place.daemon.wait("denied", reason="action-not-allowed")
    assert record["uri"] == frame("1.3.6")


def test_wrong_password_is_recorded(place):
    assert quic(place, frame("1.3.7"), "-u", "yamada:forged",
                user=None).status == 401
    record, = place.daemon.wait("denied", reason="unauthorized")
    assert (record["address"], record["tls"]) == (CLINIC, "TLSv1.3")


# ---- The hold of a stream ----

@pytest.fixture
def stopped(place):
    place.daemon.signal(signal.SIGSTOP)
    yield
    place.daemon.signal(signal.SIGCONT)
    assert wait_for(place.is_up, 10)


def start(place, path, seconds=20):
    cert, key = place.terminal.files()
    return subprocess.Popen(
        ["curl", "-sS", "-k", "--http3-only", "--max-time", str(seconds),
         "--interface", CLINIC, "-u", "yamada:secret", "--cert", cert,
         "--key", key, "-w", "%{http_code}",
         place.nginx.fill(f"https://127.0.0.1:%%main3%%{path}")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def held(place, count):
    return wait_for(lambda: place.status()["sekisho_requests_waiting"]
                    == count, 20)


def test_stream_waits_for_its_record(place, stopped):
    client = start(place, "/long/studies/1.3.8/series")
    assert held(place, 1)
    assert not place.pacs.asked("/dicom-web/studies/1.3.8/series")
    place.daemon.signal(signal.SIGCONT)
    out, errors = client.communicate(timeout=30)
    assert out == "upstream200", errors
    place.daemon.wait("access", study="1.3.8")


def test_stream_without_a_record_is_refused(place, stopped):
    answer = quic(place, "/short/studies/1.3.9/series")
    assert answer.status == 503
    assert not place.pacs.asked("/dicom-web/studies/1.3.9/series")
    place.daemon.signal(signal.SIGCONT)
    record, = place.daemon.wait("denied", reason="audit-unavailable")
    assert (record["address"], record["tls"]) == (CLINIC, "TLSv1.3")


def test_stream_of_a_client_that_went_away_is_not_held_on(place, stopped):
    client = start(place, "/long/studies/1.3.10/series", 5)
    assert held(place, 1)
    client.communicate(timeout=30)
    # long before the record's time is over
    assert held(place, 0)
    place.daemon.signal(signal.SIGCONT)
    assert wait_for(place.is_up, 10)
    assert not place.pacs.asked("/dicom-web/studies/1.3.10/series")
    assert quic(place, frame("1.3.11")).status == 200
