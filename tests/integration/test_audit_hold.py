"""The hold: what happens to requests while their record is not on disk."""

import concurrent.futures
import json
import contextlib
import os
import signal
import socket
import ssl
import time

import pytest

import audit_place
import gate_certificates
import gate_nginx
from audit_place import frame, wait_for

PLACES = """
location /allow/ { audit_fail allow; audit_timeout 300ms;
                   proxy_pass %%pacs%%/; }
location /short/ { audit_timeout 300ms; proxy_pass %%pacs%%/; }
location /request/ { audit_detail request; proxy_pass %%pacs%%/; }
location /page/ { error_page 503 /503.html; root html; }
location /fallback/ { error_page 503 = @fallback; root html; }
location @fallback { proxy_pass %%pacs%%; }
location /gate/ { facility_policy policy.img; facility_transport plain;
                  facility_access on; root html; }
"""
TLS = """
server {
    listen 127.0.0.1:%%tls%% ssl http2;
    ssl_certificate server.crt;
    ssl_certificate_key server.key;
    audit on;
    location / { proxy_pass %%pacs%%; }
}
"""
POLICY = """
facility clinic { network 127.0.10.0/24; actions view query; }
"""


@pytest.fixture(scope="module")
def place(folder, nginx_at, upstream):
    for name in ("page", "gate"):
        (folder / "html" / name).mkdir(parents=True)
        (folder / "html" / name / "x").write_text("x")
    (folder / "html" / "503.html").write_text("come again")
    gate_certificates.Certificate(folder, "server", client=False)
    gate_nginx.write_policy(folder / "policy.conf", POLICY,
                            folder / "policy.img")
    pacs = f"http://127.0.0.1:{upstream.port}"
    found = audit_place.Place(
        folder, nginx_at, upstream, places=PLACES.replace("%%pacs%%", pacs),
        more=TLS.replace("%%pacs%%", pacs), main="worker_processes 2;")
    yield found
    found.close()


@pytest.fixture
def frozen(place):
    """The daemon is there and says nothing."""
    place.daemon.signal(signal.SIGSTOP)
    yield
    place.daemon.signal(signal.SIGCONT)
    assert wait_for(
        lambda: place.status()["sekisho_records_waiting"] == 0, 10)


def later(function, *arguments, **options):
    pool = concurrent.futures.ThreadPoolExecutor(1)
    return pool.submit(function, *arguments, **options)


def held(place, count=1):
    return wait_for(lambda: place.status()["sekisho_requests_waiting"]
                    >= count, 3)


def recorded(place, answer):
    """A served request is in the trail under its own id."""
    identity = place.logged(answer.case)["id"]
    return wait_for(lambda: [e for e in place.daemon.entries()
                             if e["id"] == identity], 5)


def test_no_byte_before_the_acknowledgement(place, frozen):
    before = len(place.pacs.requests)
    answer = later(place.get, frame("1.3.1"))
    assert held(place)
    time.sleep(0.3)
    assert not answer.done()
    assert not [p for _, p, _ in place.pacs.requests[before:]
                if "1.3.1" in p]
    place.daemon.signal(signal.SIGCONT)
    assert answer.result(5).status == 200
    assert recorded(place, answer.result())


def test_deadline_is_a_denial(place, frozen):
    start = time.monotonic()
    answer = place.get("/short/studies/1.3.2/series")
    assert answer.status == 503
    assert 0.25 < time.monotonic() - start < 1.5
    assert place.nginx.error_lines(
        "[error]", "audit: denied, reason: audit-unavailable",
        "did not answer in time")
    place.daemon.signal(signal.SIGCONT)
    denied, = place.daemon.wait("denied", reason="audit-unavailable",
                                seconds=70)
    assert denied["outcome"] == 8


def test_allow_serves_counts_and_records_the_loss(place, frozen):
    before = place.status()["sekisho_requests_without_record_total"]
    answer = place.get("/allow/studies/1.3.3/series")
    assert answer.status == 200
    assert place.logged(answer.case)["id"] == "-"
    assert place.status()["sekisho_requests_without_record_total"] == \
        before + 1
    assert place.nginx.error_lines("[error]", "served without a record")
    place.daemon.signal(signal.SIGCONT)
    lost, = place.daemon.wait("lost")
    assert (lost["lost"], lost["outcome"]) == (1, 8)


def test_client_that_goes_away_while_held(place, frozen):
    for path in (frame("1.3.4"), "/request/studies/1.3.4"):
        sock = socket.create_connection(
            ("127.0.0.1", place.nginx.ports["main"]))
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert held(place)
        sock.close()
        assert wait_for(lambda: place.status()["sekisho_requests_waiting"]
                        == 0, 3)
    place.daemon.signal(signal.SIGCONT)
    # it was on its way, so it is in the trail, and so is how it ended
    place.daemon.wait("access", study="1.3.4")
    end, = place.daemon.wait("request-end", study="1.3.4")
    assert end["status"] == 499


def test_keep_alive_goes_on_behind_a_hold(place, frozen):
    connection = place.nginx.connect()
    answer = later(place.get, frame("1.3.5"), connection=connection)
    assert held(place)
    place.daemon.signal(signal.SIGCONT)
    assert answer.result(5).status == 200
    for image in (2, 3):
        assert place.get(frame("1.3.5", image),
                         connection=connection).status == 200
    connection.close()
    place.daemon.wait("access", study="1.3.5")


def test_pipelined_request_waits_for_its_turn(place, frozen):
    with socket.create_connection(
            ("127.0.0.1", place.nginx.ports["main"])) as sock:
        sock.sendall("".join(
            f"GET {frame(s)} HTTP/1.1\r\nHost: x\r\n{c}\r\n"
            for s, c in (("1.3.6", ""), ("1.3.7", "Connection: close\r\n"))
        ).encode())
        assert held(place)
        place.daemon.signal(signal.SIGCONT)
        sock.settimeout(10)
        got = b""
        while piece := sock.recv(65536):
            got += piece
    assert got.count(b"HTTP/1.1 200") == 2
    place.daemon.wait("access", study="1.3.6")
    place.daemon.wait("access", study="1.3.7")


@pytest.mark.parametrize("size", [100, 3_000_000])
def test_body_that_comes_while_held(place, frozen, size):
    study = f"1.3.8.{size}"
    body = os.urandom(size)
    place.pacs.answers[f"/dicom-web/studies/{study}"] = (
        200, [("Content-Type", "application/json")], b"{}")
    answer = later(place.get, f"/dicom-web/studies/{study}", method="POST",
                   body=body)
    assert held(place)
    time.sleep(0.2)
    place.daemon.signal(signal.SIGCONT)
    assert answer.result(10).status == 200
    record, = place.daemon.wait("access", study=study)
    assert record["action"] == "store"
    sent = [h for m, p, h in place.pacs.requests
            if m == "POST" and study in p]
    assert [int(h["Content-Length"]) for h in sent] == [size]


def test_http2_streams_are_held_one_by_one(place, frozen):
    answers = [later(place.nginx.curl,
                     f"https://127.0.0.1:%%tls%%{frame(f'1.3.9.{i}')}",
                     "--http2") for i in range(5)]
    assert held(place, 5)
    place.daemon.signal(signal.SIGCONT)
    for answer in answers:
        assert (answer.result(10).status, answer.result().protocol) == (
            200, "HTTP/2")
    record = place.daemon.wait("access", study="1.3.9.0")[0]
    assert record["tls"] in ("TLSv1.2", "TLSv1.3")


def test_http2_client_that_goes_away_while_held(place, frozen):
    result = later(
        gate_nginx.subprocess.run,
        ["curl", "-sk", "--http2", "--max-time", "0.4",
         place.nginx.fill(f"https://127.0.0.1:%%tls%%{frame('1.3.10')}")],
        check=False)
    assert held(place)
    assert result.result(5).returncode == 28
    assert wait_for(
        lambda: place.status()["sekisho_requests_waiting"] == 0, 3)
    place.daemon.signal(signal.SIGCONT)
    place.daemon.wait("access", study="1.3.10")


def test_many_streams_of_one_study_wait_for_one_record(place, frozen):
    context = gate_nginx.client_context()
    assert isinstance(context, ssl.SSLContext)
    urls = [place.nginx.fill(f"https://127.0.0.1:%%tls%%"
                             f"{frame('1.3.11', i)}") for i in range(20)]
    outputs = []
    for _ in urls:
        outputs += ["-o", "/dev/null"]
    result = later(gate_nginx.subprocess.run,
                   ["curl", "-sk", "--http2", "-Z", "-w", "%{http_code}\n",
                    "--max-time", "10", *outputs, *urls],
                   stdout=gate_nginx.subprocess.PIPE, text=True, check=False)
    assert held(place, 20)
    place.daemon.signal(signal.SIGCONT)
    assert result.result(10).stdout.split() == ["200"] * 20
    place.daemon.wait("access", study="1.3.11")


def test_two_workers_that_open_at_once_are_both_heard(place, frozen):
    """The second one's opening is known by its id; nobody waits for the
    other's luck."""
    answers = [later(place.get, frame("1.3.12", i)) for i in range(24)]
    assert held(place, 24)
    place.daemon.signal(signal.SIGCONT)
    assert {a.result(10).status for a in answers} == {200}
    opening, = place.daemon.wait("access", study="1.3.12")
    joined = place.daemon.records("access-joined", open=opening["id"])
    assert len(joined) <= 1
    assert {place.logged(a.result().case)["id"] for a in answers} == {
        opening["id"]}


def test_reload_while_requests_wait(place, frozen):
    answers = [later(place.get, frame(f"1.3.13.{i}")) for i in range(8)]
    assert held(place, 8)
    old = set(place.nginx.workers())
    place.nginx.signal(signal.SIGHUP)
    assert wait_for(lambda: set(place.nginx.workers()) - old, 5)
    time.sleep(0.3)
    place.daemon.signal(signal.SIGCONT)
    assert [a.result(10).status for a in answers] == [200] * 8
    for i in range(8):
        place.daemon.wait("access", study=f"1.3.13.{i}")
    assert wait_for(lambda: not old & set(place.nginx.workers()), 10)


def test_request_detail_has_a_beginning_and_an_end(place):
    answer = place.get("/request/studies/1.3.14/series",
                       headers={"User-Agent": "reader/2"})
    begin, = place.daemon.wait("request", study="1.3.14")
    end, = place.daemon.wait("request-end", study="1.3.14")
    assert end["open"] == begin["id"] == place.logged(answer.case)["id"]
    assert (begin["agent"], begin["uri"]) == (
        "reader/2", "/request/studies/1.3.14/series")
    assert (end["status"], end["upstream_status"], end["outcome"]) == (
        200, "200", 0)
    assert end["bytes"] > len(answer.data)
    assert isinstance(end["duration_ms"], int)
    place.get("/request/studies/1.3.14/series")
    place.daemon.wait("request", 2, study="1.3.14")


def test_end_of_a_request_that_failed(place):
    place.pacs.answers["/studies/1.3.15"] = (500, [], b"broken")
    assert place.get("/request/studies/1.3.15").status == 500
    end, = place.daemon.wait("request-end", study="1.3.15")
    assert (end["outcome"], end["status"]) == (8, 500)


# ---- Without a daemon ----

@pytest.fixture
def stopped(place):
    place.daemon.stop()
    time.sleep(1.2)     # more than a moment
    yield
    if place.daemon.process is None:
        place.daemon.start()
    assert wait_for(
        lambda: place.status()['sekisho_daemon_connections{state="up"}']
        == 2 and place.status()["sekisho_records_waiting"] == 0, 10)


def test_without_a_daemon_it_is_denied_at_once_and_allowed_when_it_is_back(
        place, stopped):
    start = time.monotonic()
    assert place.get(frame("1.4.1")).status == 503
    assert place.get("/request/studies/1.4.1").status == 503
    assert time.monotonic() - start < 1
    assert place.status()['sekisho_daemon_connections{state="down"}'] == 2
    assert place.nginx.error_lines("no connection to sekishod")
    assert place.nginx.error_lines("[error]", "audit-unavailable",
                                   "sekishod is not there")
    place.daemon.start()
    assert wait_for(lambda: place.get(frame("1.4.1")).status == 200, 5)
    assert place.nginx.error_lines("[notice]", "is there again")
    place.daemon.wait("access", study="1.4.1")


def test_open_access_does_not_need_the_daemon(place):
    assert place.get(frame("1.4.2")).status == 200
    place.daemon.wait("access", study="1.4.2")
    place.daemon.stop()
    time.sleep(1.2)
    assert place.get(frame("1.4.2", 2)).status == 200
    assert place.get(frame("1.4.3")).status == 503
    place.daemon.start()
    assert wait_for(lambda: place.get(frame("1.4.3")).status == 200, 5)


def test_request_that_comes_while_it_reconnects_waits(place):
    """For a moment; on a busy machine sekishod may take longer to be back."""
    for number in range(10):
        began = time.monotonic()
        place.daemon.kill()
        answer = later(place.get, frame(f"1.4.4.{number}"))
        time.sleep(0.2)
        place.daemon.start()
        took = time.monotonic() - began
        if answer.result(5).status == 200 or took < 0.6:
            break
    assert answer.result().status == 200
    assert recorded(place, answer.result())


def test_error_page_of_a_refusal(place, stopped):
    answer = place.get("/page/x")
    assert (answer.status, answer.text) == (503, "come again")
    before = len(place.pacs.requests)
    assert place.get("/fallback/x").status == 503
    assert len(place.pacs.requests) == before


def test_a_program_is_told_in_json_with_the_ticket_of_the_log(place, stopped):
    answer = place.get("/gate/x", headers={"Accept": "application/json"})
    told = json.loads(answer.text)
    assert (answer.status, told["error"]) == (503, "audit-unavailable")
    assert answer.all("Cache-Control") == ["no-store"]
    assert place.nginx.error_lines("[error]", "reason: audit-unavailable",
                                   told["ticket"])


def test_a_person_is_told_to_come_again_in_his_language(place, stopped):
    answer = place.get("/gate/x", headers={"Accept": "text/html",
                                           "Accept-Language": "ja"})
    assert answer.status == 503
    assert "ただいま画像を開けません" in answer.text
    assert "facility" not in answer.text


def test_gate_tells_the_reason(place, stopped):
    answer = place.get("/gate/x")
    assert answer.status == 503
    assert place.logged(answer.case)["reason"] == "audit-unavailable"


def test_status_page_shows_the_connection(place, stopped):
    status = place.status()
    assert status['sekisho_daemon_connections{state="up"}'] == 0
    assert status["sekisho_record_seconds_count"] == \
        status['sekisho_record_seconds_bucket{le="+Inf"}'] > 0


# ---- What is killed ----

def served(place, paths, seconds):
    """Asks as fast as it can; the studies that were answered with 200."""
    found, end = set(), time.monotonic() + seconds
    for path, study in paths:
        if time.monotonic() > end:
            break
        try:
            if place.get(path).status == 200:
                found.add(study)
        except (OSError, gate_nginx.http.client.HTTPException):
            continue
    return found


def studies(prefix, path="/dicom-web/studies/{}/series"):
    number = 0
    while True:
        number += 1
        study = f"{prefix}.{number}"
        yield path.format(study), study


def all_are_recorded(place, found, event="access"):
    def missing():
        have = {e.get("study") for e in place.daemon.entries()
                if e["event"] == event}
        return found - have
    assert wait_for(lambda: not missing(), 5), json.dumps(sorted(missing()))


def test_no_image_without_a_record_though_the_daemon_is_killed(place):
    asking = [later(served, place, studies(f"1.5.{i}"), 4) for i in range(4)]
    asking += [later(served, place,
                     studies("1.5.9", "/request/studies/{}/series"), 4)]
    for _ in range(6):
        time.sleep(0.5)
        place.daemon.kill()
        place.daemon.start()
    found = [a.result(20) for a in asking]
    assert all(found)
    all_are_recorded(place, set().union(*found[:4]))
    all_are_recorded(place, found[4], "request")
    place.daemon.verify()


def test_no_image_without_a_record_though_workers_are_killed(place):
    place.nginx.expected.append("exited on signal 9")
    asking = [later(served, place, studies(f"1.6.{i}"), 4) for i in range(4)]
    for _ in range(6):
        time.sleep(0.5)
        os.kill(place.nginx.workers()[0], signal.SIGKILL)
    found = [a.result(20) for a in asking]
    assert all(found)
    all_are_recorded(place, set().union(*found))
    place.daemon.verify()


def test_binary_upgrade_under_load(place):
    """USR2, then QUIT to the old master: another zone, and no image without a
    record.  nginx takes it only where it has left its parent."""
    pid_file = place.folder / "nginx.pid"

    def master():
        # nginx renames it while it is replaced
        with contextlib.suppress(FileNotFoundError):
            return int(pid_file.read_text() or 0)
        return 0
    place.nginx.signal(signal.SIGQUIT)
    place.nginx.process.wait(20)
    gate_nginx.subprocess.run(place.nginx.command(), check=True)
    assert wait_for(lambda: master() and place.is_up(), 10)
    old = master()
    try:
        asking = [later(served, place, studies(f"1.10.{i}"), 4)
                  for i in range(4)]
        time.sleep(0.5)
        os.kill(old, signal.SIGUSR2)
        assert wait_for(lambda: master() not in (0, old), 10)
        time.sleep(1)
        os.kill(old, signal.SIGQUIT)
        assert wait_for(lambda: not pid_file.with_name(
            "nginx.pid.oldbin").exists(), 20)
        found = [a.result(20) for a in asking]
        assert all(found)
        all_are_recorded(place, set().union(*found))
        assert len({e["front"][:16] for e in place.daemon.entries()
                    if e.get("study", "").startswith("1.10.")}) == 2
    finally:
        # never 0: that would be everybody in this process group
        for running in {master(), old} - {0}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(running, signal.SIGQUIT)
        assert wait_for(lambda: not pid_file.exists(), 30)
    place.nginx.start()
    place.daemon.verify()
