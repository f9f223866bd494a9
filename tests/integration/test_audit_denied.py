"""What the hold never sees, the zone when it is full, directives, status."""

import base64
import signal
import socket
import time

import pytest

import audit_place
import gate_certificates
import gate_nginx
from audit_place import frame, wait_for

PLACES = """
location /gate/ {
    facility_policy policy.img; facility_transport plain; facility_access on;
    root html;
}
location /gate-page/ {
    facility_policy policy.img; facility_transport plain; facility_access on;
    error_page 403 /off/denied.html; root html;
}
location /off/ { audit off; root html; }
location /users/ {
    facility_policy policy.img; facility_transport plain; facility_access on;
    facility_user $remote_user;
    auth_basic "x"; auth_basic_user_file users; root html;
}
location /return/ { return 200 "said"; }
location /moved/ { return 301 /elsewhere; }
location /closed/ { deny all; root html; }
location /download/ {
    facility_policy policy.img; facility_transport plain; facility_access on;
    root html;
}
"""
TLS = """
server {
    listen 127.0.0.1:%%tls%% ssl;
    ssl_certificate server.crt;
    ssl_certificate_key server.key;
    ssl_verify_client optional_no_ca;
    audit on;
    location / { root html; }
    location /gate/ { facility_policy policy.img; facility_access on;
                      root html; }
}
"""
POLICY = """
group readers { yamada; }
facility clinic { network 127.0.10.0/24; actions view query; }
facility named { network 127.0.11.0/24; users @readers; }
"""


def basic(user, password="secret"):
    return {"Authorization": "Basic " + base64.b64encode(
        f"{user}:{password}".encode()).decode()}


@pytest.fixture(scope="module")
def place(folder, nginx_at, upstream):
    for name in ("gate", "gate-page", "off", "users", "closed", "download"):
        (folder / "html" / name).mkdir(parents=True)
        (folder / "html" / name / "x").write_text("x")
    (folder / "html/off/denied.html").write_text("denied")
    (folder / "html/download/x.dcm").write_text("x")
    (folder / "users").write_text("yamada:{PLAIN}secret\n")
    gate_nginx.write_policy(folder / "policy.conf", POLICY,
                            folder / "policy.img")
    gate_certificates.Certificate(folder, "server", client=False)
    found = audit_place.Place(folder, nginx_at, upstream, places=PLACES,
                              more=TLS, zone="audit:512k")
    yield found
    found.close()


def test_denial_of_the_gate(place):
    answer = place.get("/gate/x", source="127.0.20.1",
                       headers={"User-Agent": "scanner"})
    assert answer.status == 403
    record, = place.daemon.wait("denied", address="127.0.20.1")
    assert {name: record.get(name) for name in (
        "outcome", "reason", "status", "uri", "agent", "action",
        "facility")} == {
            "outcome": 8, "reason": "unknown-network", "status": 403,
            "uri": "/gate/x", "agent": "scanner", "action": "view",
            "facility": None}
    assert record["ticket"] in answer.text
    assert len(record["policy"]) == 16


def test_denial_that_error_page_takes_elsewhere(place):
    answer = place.get("/gate-page/x", source="127.0.20.2")
    assert (answer.status, answer.text) == (403, "denied")
    place.daemon.wait("denied", address="127.0.20.2")
    assert not place.daemon.records("access", address="127.0.20.2")


def test_denials_of_a_minute_are_one_record_and_one_count(place):
    for _ in range(20):
        place.get("/gate/x", source="127.0.20.3")
    first, = place.daemon.wait("denied", address="127.0.20.3")
    assert "count" not in first
    # a graceful exit does not wait for the minute to end
    place.nginx.reload()
    _, rest = place.daemon.wait("denied", 2, address="127.0.20.3")
    assert (rest["count"], rest["reason"], rest["outcome"]) == (
        19, "unknown-network", 8)
    assert rest["first"] <= rest["last"]
    assert rest["ticket"] == first["ticket"]


def test_facility_and_user_of_a_denial(place):
    answer = place.get("/gate/x", method="DELETE")
    assert answer.status == 403
    record, = place.daemon.wait("denied", facility="clinic", action="admin")
    assert record["reason"] == "action-not-allowed"
    assert place.get("/users/x", source="127.0.11.1",
                     headers=basic("tanaka", "forged")).status == 401
    record, = place.daemon.wait("denied", address="127.0.11.1")
    assert record["reason"] == "unauthorized"


def test_certain_user_is_recorded_without_a_users_rule(place):
    assert place.get("/users/x", headers=basic("yamada")).status == 200
    record, = place.daemon.wait("access", user="yamada")
    assert record["facility"] == "clinic"


def test_name_that_nobody_asked_for_is_no_user(place):
    source = "127.0.10.77"
    assert place.get("/gate/x", source=source,
                     headers=basic("mallory")).status == 200
    record, = place.daemon.wait("access", address=source)
    assert "user" not in record


def test_denial_of_an_answer_counts_in_its_access_too(place):
    source = "127.0.10.78"
    answer = place.get("/download/x.dcm", source=source)
    assert answer.status == 403
    place.daemon.wait("access", address=source)
    record, = place.daemon.wait("denied", address=source)
    assert record["reason"] == "action-not-allowed"


def test_denial_of_nginx_itself(place):
    assert place.get("/closed/x", source="127.0.20.4").status == 403
    record, = place.daemon.wait("denied", address="127.0.20.4")
    assert record["reason"] == "forbidden"


@pytest.mark.parametrize("path, status, source", [
    ("/return/x", 200, "127.0.20.5"),
    ("/moved/x", 301, "127.0.20.6"),
    ("/users/x", 401, "127.0.11.2"),
])
def test_answers_before_the_hold_are_marked(place, path, status, source):
    for _ in range(3):
        assert place.get(path, source=source).status == status
    record, = place.daemon.wait("unrecorded", address=source)
    assert (record["phase"], record["status"], record["uri"]) == (
        "log", status, path)
    assert record["outcome"] == (4 if status >= 400 else 0)


@pytest.mark.parametrize("data, status, source", [
    (b"\x00\xff nonsense\r\n\r\n", 400, "127.0.20.7"),
    (b"GET /" + b"x" * 70000 + b" HTTP/1.1\r\n\r\n", 414, "127.0.20.8"),
    (b"GET / HTTP/1.1\r\n\r\n", 400, "127.0.20.9"),
    (b"GET /../.. HTTP/1.1\r\nHost: x\r\n\r\n", 400, "127.0.20.10"),
])
def test_requests_that_are_none_are_recorded(place, data, status, source):
    place.nginx.raw(data, source=source)
    record, = place.daemon.wait("unrecorded", address=source)
    assert (record["status"], record["phase"]) == (status, "log")


def test_certificate_and_tls_of_a_client(place):
    client = gate_certificates.Certificate(place.folder, "client")
    answer = place.get("/gate/x", port="tls", source="127.0.10.79",
                       tls=gate_nginx.client_context(client.files()))
    assert answer.status == 200
    record, = place.daemon.wait("access", address="127.0.10.79")
    assert record["certificate"] == client.sha256
    assert record["tls"].startswith("TLSv1.")


def test_flood_of_denials_stays_within_its_table(place):
    count = 700     # more addresses than there are places
    for i in range(count):
        place.get("/gate/x", source=f"127.21.{i // 250}.{i % 250 + 1}")
    place.nginx.reload()
    total = lambda: sum(e.get("count", 1)      # noqa: E731
                        for e in place.daemon.records("denied")
                        if e.get("address", "127.21.").startswith("127.21."))
    assert wait_for(lambda: total() == count, 8), total()
    assert len(place.daemon.records("denied")) < count
    folded = [e for e in place.daemon.records("denied")
              if "address" not in e]
    assert folded and all("several addresses" in e["note"] for e in folded)


# ---- A full zone ----

def test_full_zone_closes_what_was_used_longest_ago(place):
    room = int(place.status()["sekisho_accesses_max"])
    assert 100 < room < 600
    for i in range(room + 20):
        assert place.get(frame(f"1.7.{i}")).status == 200
    assert wait_for(
        lambda: len(place.daemon.records("access"))
        - len(place.daemon.records("access-end", reason="zone-full")) == room
        and place.daemon.records("access", study=f"1.7.{room + 19}"), 10)
    closes = place.daemon.records("access-end")
    assert len(closes) >= 20
    # they went in the order in which they came
    order = [int(e["study"].rpartition(".")[2]) for e in closes
             if e.get("study", "").startswith("1.7.")]
    assert order and order == list(range(len(order)))
    assert all(e["requests"] >= 1 for e in closes)
    assert place.status()["sekisho_accesses_open"] == room
    # what is open still is
    before = len(place.daemon.records("access"))
    assert place.get(frame(f"1.7.{room + 19}", 2)).status == 200
    assert len(place.daemon.records("access")) == before


def test_full_zone_without_a_daemon_drops_nothing(place):
    place.daemon.stop()
    time.sleep(1.2)
    room = place.status()["sekisho_accesses_open"]
    assert place.get(frame("1.8.1")).status == 503
    assert place.nginx.error_lines("[error]", "the audit zone is full")
    assert place.status()["sekisho_accesses_open"] == room
    place.daemon.start()
    assert wait_for(lambda: place.get(frame("1.8.1")).status == 200, 5)


# ---- Status ----

def test_status_page(place):
    answer = place.nginx.request("/status")
    assert answer.headers["Content-Type"].startswith("text/plain")
    status = place.status()
    assert status['sekisho_verdicts_total{facility="clinic",verdict="allow",'
                  'reason="ok"}'] >= 1
    assert status['sekisho_verdicts_total{facility="",verdict="deny",'
                  'reason="unknown-network"}'] >= 20
    assert status["sekisho_records_sent_total"] >= \
        status["sekisho_records_acknowledged_total"] > 0
    assert any(name.startswith("sekisho_policy_info{") for name in status)
    assert all(0 <= value < 86400 for name, value in status.items()
               if name.startswith("sekisho_policy_age_seconds{"))
    # a histogram does not fall
    buckets = [value for name, value in status.items()
               if name.startswith("sekisho_record_seconds_bucket")]
    assert buckets == sorted(buckets) and len(buckets) == 15
    assert place.nginx.request("/status", method="POST").status == 405


# ---- Directives ----

@pytest.mark.parametrize("http, words", [
    ("audit on;", ['no "audit_trail"', "nginx.conf:"]),
    ("audit_trail unix:/tmp/x; audit on;", ['no "audit_zone"']),
    ("audit_trail off; audit_zone a:1m; audit on;", ['no "audit_trail"']),
    ("audit_trail /tmp/x;", ['"/tmp/x"', '"unix:"']),
    ("audit_trail unix:/" + "x" * 120 + ";", ["too long"]),
    ("audit_trail off; audit_trail off;", ["duplicate"]),
    ("audit_zone a;", ['"a"', "a colon"]),
    ("audit_zone :1m;", ["a colon"]),
    ("audit_zone a:100k;", ["too small", "512k"]),
    ("audit_zone a:x;", ["size"]),
    ("audit_zone a:1m; audit_zone b:1m;", ["duplicate"]),
    ("audit_detail image;", ['"image"']),
    ("audit_fail maybe;", ['"maybe"']),
    ("audit_idle 0;", ["between"]),
    ("audit_idle 2d;", ["between"]),
    ("audit_age 0;", ["between"]),
    ("audit_age 25h;", ["between"]),
    ("audit_timeout 5ms;", ["between"]),
    ("audit yes;", ['"yes"']),
    ("audit_user $no_such;", ["no_such"]),
])
def test_directive_is_refused(tmp_path, nginx_at, http, words):
    nginx = nginx_at(tmp_path, http + "server { listen 127.0.0.1:%%x%%; }",
                     start=False)
    nginx.expected.append(r"\[emerg\]")
    status, output = nginx.test()
    assert status == 1
    assert all(word in output for word in words), output


def test_directives_are_merged(tmp_path, nginx_at):
    nginx = nginx_at(tmp_path, """
        audit_trail unix:s; audit_zone a:1m; audit_detail request;
        audit_fail allow; audit_timeout 1s;
        server { listen 127.0.0.1:%%x%%; audit on;
                 location /a/ { audit off; audit_fail deny; }
                 location /b/ { audit_detail study; sekisho_status; } }
    """, start=False)
    status, output = nginx.test()
    assert status == 0, output


def test_worker_exit_hands_over_what_waits(place):
    """A graceful stop of the workers loses no record."""
    place.daemon.signal(signal.SIGSTOP)
    sock = socket.create_connection(("127.0.0.1", place.nginx.ports["main"]))
    sock.sendall(f"GET {frame('1.9.1')} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert wait_for(lambda: place.status()["sekisho_requests_waiting"] == 1, 3)
    sock.close()
    assert wait_for(lambda: place.status()["sekisho_requests_waiting"] == 0, 3)
    place.nginx.signal(signal.SIGHUP)
    time.sleep(0.5)
    place.daemon.signal(signal.SIGCONT)
    place.daemon.wait("access", study="1.9.1")
