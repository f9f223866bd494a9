"""What is told when sekishod comes back, and when nginx or its audit ends."""

import os
import signal
import socket
import time

import pytest

import audit_place
from audit_place import frame, gate_nginx, wait_for

PLACES = """
location /gate/ {
    facility_policy policy.img; facility_transport plain; facility_access on;
    root html;
}
location /slow/ { audit on; limit_rate 200; root html; }
"""
POLICY = "facility clinic { network 127.0.10.0/24; }\n"
GONE = r"could not be handed to sekishod"


@pytest.fixture
def start(tmp_path, nginx_at, upstream):
    """start(workers): a place of its own, closed after the test."""
    places = []

    def started(workers=1):
        gate_nginx.write_policy(tmp_path / "policy.conf", POLICY,
                                tmp_path / "policy.img")
        place = audit_place.Place(
            tmp_path, nginx_at, upstream, places=PLACES,
            main=f"worker_processes {workers};", zone="audit:512k")
        place.workers = workers
        places.append(place)
        return place
    yield started
    for place in places:
        try:
            place.close()
        finally:
            place.daemon.stop()


def denials(place, sources):
    for source in sources:
        assert place.get("/gate/x", source=source).status == 403


def counted(place, source):
    """How many denials of an address the trail tells of by now."""
    try:
        return sum(e.get("count", 1) for e in
                   place.daemon.records("denied", address=source))
    except OSError:
        return 0


def stop_nginx(place, number=signal.SIGQUIT):
    """How long it took."""
    began = time.monotonic()
    place.nginx.signal(number)
    assert place.nginx.process.wait(20) == 0
    return time.monotonic() - began


# ---- Denials while sekishod is down ------------------------------------------

@pytest.mark.parametrize("workers", [1, 3])
def test_denials_of_a_pause_are_told_when_it_is_over(start, workers):
    """Not only when their minute ends; and each of them once."""
    place = start(workers)
    denials(place, ["127.0.20.1"] * 3)       # its minute began before
    place.daemon.wait("denied", address="127.0.20.1")
    place.daemon.stop()
    assert wait_for(lambda: not place.is_up(), 5)
    for _ in range(3):
        denials(place, ["127.0.20.1"] * 2 + ["127.0.20.2"] * 4)
        time.sleep(1.1)                      # a tick of the worker, or more
    place.daemon.start()
    assert wait_for(lambda: counted(place, "127.0.20.2") == 12, 20, 0.1)
    assert wait_for(lambda: counted(place, "127.0.20.1") == 9, 20, 0.1)
    told = place.daemon.records("denied", address="127.0.20.2")
    assert all("count" in e and e["first"] <= e["last"] <= e["time"]
               and e["reason"] == "unknown-network" for e in told)
    # and nothing is told twice, once the workers have had their turns
    denials(place, ["127.0.20.3"])
    place.daemon.wait("denied", address="127.0.20.3")
    time.sleep(2.2)
    assert counted(place, "127.0.20.2") == 12
    assert counted(place, "127.0.20.1") == 9


def test_denials_of_a_pause_outlive_their_workers(start):
    place = start(2)
    place.daemon.stop()
    assert wait_for(lambda: not place.is_up(), 5)
    denials(place, ["127.0.20.1"] * 5)
    place.nginx.reload()
    denials(place, ["127.0.20.1"] * 2)
    place.daemon.start()
    assert wait_for(lambda: counted(place, "127.0.20.1") == 7, 20, 0.1)


def test_denials_of_a_stalled_daemon_are_told(start):
    """It is there, and says nothing for a while."""
    place = start()
    place.daemon.signal(signal.SIGSTOP)
    denials(place, ["127.0.20.1"] * 3)       # one waits, two are counted
    assert wait_for(lambda: not place.is_up(), 10)
    denials(place, ["127.0.20.2"] * 3)       # all are counted
    place.daemon.signal(signal.SIGCONT)
    for source in ("127.0.20.1", "127.0.20.2"):
        assert wait_for(lambda: counted(place, source) == 3, 20, 0.1), source


def slow_reader(place):
    return socket.create_connection(("127.0.0.1", place.nginx.ports["main"]),
                                    20)


# ---- nginx stops -------------------------------------------------------------

@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGTERM])
def test_the_end_of_nginx_is_on_record(start, workers, number):
    place = start(workers)
    assert place.get().status == 200
    denials(place, ["127.0.20.1"] * 3)
    stop_nginx(place, number)
    record, = place.daemon.wait("stop", source="nginx")
    on, = place.daemon.wait("recording-on")
    assert record["outcome"] == 0 and record["version"].startswith("nginx/")
    assert record["note"] == on["note"].replace("is on", "was on")
    assert not place.daemon.records("recording-off")
    assert counted(place, "127.0.20.1") == 3
    # nothing of nginx's comes after it
    assert place.daemon.records()[-1] == record
    place.nginx.start()
    place.daemon.wait("recording-on", 2)


def test_a_reload_is_no_end(start):
    place = start(2)
    for _ in range(3):
        place.nginx.reload()
    assert place.get().status == 200
    place.daemon.wait("access")
    assert not place.daemon.records("stop", source="nginx")
    assert not place.daemon.records("recording-off")
    assert len(place.daemon.records("recording-on")) == 1


def test_a_worker_that_dies_is_no_end(start):
    place = start()
    place.nginx.expected.append("exited on signal 9")
    before = place.nginx.workers()
    os.kill(before[0], signal.SIGKILL)
    assert wait_for(lambda: set(place.nginx.workers()) - set(before), 10)
    assert wait_for(place.is_up, 5)
    assert place.get().status == 200
    place.daemon.wait("access")
    assert not place.daemon.records("stop", source="nginx")
    assert len(place.daemon.records("recording-on")) == 1


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGTERM])
def test_nginx_ends_without_a_daemon(start, number):
    """The log tells what the trail cannot."""
    place = start(2)
    place.daemon.stop()
    assert wait_for(lambda: not place.is_up(), 5)
    denials(place, ["127.0.20.1"] * 3)
    assert stop_nginx(place, number) < 5
    assert GONE in place.nginx.errors()


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGTERM])
def test_nginx_ends_beside_a_daemon_that_hangs(start, number):
    place = start(2)
    place.daemon.signal(signal.SIGSTOP)
    try:
        denials(place, ["127.0.20.1"] * 3)
        assert stop_nginx(place, number) < 8
    finally:
        place.daemon.signal(signal.SIGCONT)
    assert GONE in place.nginx.errors()


def test_nginx_ends_while_a_client_still_reads(start):
    """QUIT lets it finish, and the end is told after that."""
    place = start(2)
    (place.folder / "html/slow").mkdir()
    (place.folder / "html/slow/x").write_bytes(b"x" * 600)
    reader = slow_reader(place)
    reader.sendall(b"GET /slow/x HTTP/1.1\r\nHost: x\r\n"
                   b"Connection: close\r\n\r\n")
    assert reader.recv(1) == b"H"
    place.daemon.wait("access", uri="/slow/x")
    place.nginx.signal(signal.SIGQUIT)
    while reader.recv(4096):
        pass
    reader.close()
    assert place.nginx.process.wait(20) == 0
    record, = place.daemon.wait("stop", source="nginx")
    assert place.daemon.records()[-1] == record


# ---- The configuration has no audit any more ---------------------------------

def without(place, *lines):
    text = place.text()
    for line in lines:
        assert line in text
        text = text.replace(line, "")
    place.nginx.configure(text, f"worker_processes {place.workers};")
    place.nginx.reload()


PLAIN = """
server { listen 127.0.0.1:%%main%%; root html; }
"""


@pytest.mark.parametrize("workers", [1, 3])
def test_a_configuration_without_zone_and_trail(start, workers):
    place = start(workers)
    on, = place.daemon.wait("recording-on")
    place.nginx.configure(PLAIN, f"worker_processes {workers};")
    place.nginx.reload()
    off, = place.daemon.wait("recording-off")
    assert off["source"] == "nginx"
    assert off["note"].startswith("audit is on in 0 places, and was in ")
    assert off["note"].split()[-1] == on["note"].split()[-2]
    assert not place.daemon.records("stop", source="nginx")
    # and on again
    place.nginx.configure(place.text(), f"worker_processes {workers};")
    place.nginx.reload()
    place.daemon.wait("recording-on", 2)
    assert len(place.daemon.records("recording-off")) == 1


def test_a_configuration_with_the_zone_and_no_place(start):
    place = start(2)
    without(place, "audit on;")
    off, = place.daemon.wait("recording-off")
    assert off["note"].startswith("audit is on in 0 places")
    # what was off already does not stop
    stop_nginx(place)
    assert not place.daemon.records("stop", source="nginx")
    assert len(place.daemon.records("recording-off")) == 1


def test_off_is_told_while_old_workers_still_serve(start):
    """A long download must not put it off."""
    place = start()
    (place.folder / "html/slow").mkdir()
    (place.folder / "html/slow/x").write_bytes(b"x" * 20000)
    reader = slow_reader(place)
    reader.sendall(b"GET /slow/x HTTP/1.1\r\nHost: x\r\n\r\n")
    assert reader.recv(1) == b"H"
    place.daemon.wait("access", uri="/slow/x")
    before = place.nginx.workers()
    place.nginx.configure(PLAIN, "worker_processes 1;")
    place.nginx.signal(signal.SIGHUP)
    place.daemon.wait("recording-off")
    assert set(before) & set(place.nginx.workers()), "the old one is at work"
    reader.close()
    assert wait_for(lambda: not set(before) & set(place.nginx.workers()), 10)
    stop_nginx(place)
    assert len(place.daemon.records("recording-off")) == 1
    assert not place.daemon.records("stop", source="nginx")


def test_a_zone_of_another_name_is_no_end(start):
    place = start(2)
    place.nginx.configure(place.text(zone="other:512k"), "worker_processes 2;")
    place.nginx.reload()
    place.daemon.wait("recording-on", 2)
    assert place.get(frame("2.9.1")).status == 200
    place.daemon.wait("access", study="2.9.1")
    assert not place.daemon.records("recording-off")
    assert not place.daemon.records("stop", source="nginx")
    stop_nginx(place)
    place.daemon.wait("stop", source="nginx")


def test_a_refused_configuration_changes_nothing(start):
    place = start()
    place.nginx.expected.append("no_such_directive")
    place.nginx.configure(place.text() + "no_such_directive;",
                          "worker_processes 1;")
    place.nginx.signal(signal.SIGHUP)
    assert place.nginx.error_lines("no_such_directive")
    place.nginx.configure(place.text(), "worker_processes 1;")
    stop_nginx(place)
    place.daemon.wait("stop", source="nginx")
    assert not place.daemon.records("recording-off")
