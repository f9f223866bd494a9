"""audit_age: an access that never becomes idle is closed all the same, and
what follows is a new one."""

import socket
import time

import pytest

import audit_place
from audit_place import frame, wait_for

AGE, IDLE = 1, 3    # seconds


@pytest.fixture(scope="module")
def place(folder, nginx_at, upstream):
    found = audit_place.Place(folder, nginx_at, upstream, idle=f"{IDLE}s",
                              more=f"audit_age {AGE}s;")
    yield found
    found.close()


def ask_until_new(place, study):
    """Opening id -> its requests; the last one is the new access's first.
    None if this machine was so slow that the first may have become idle."""
    counts, begun = {}, time.monotonic()
    last = begun
    connection = place.nginx.connect()
    while len(counts) < 2:
        assert time.monotonic() - begun < 60, "it is never opened anew"
        answer = place.get(frame(study), connection=connection)
        assert answer.status == 200
        if time.monotonic() - last >= IDLE:
            return None
        last = time.monotonic()
        opening = place.logged(answer.case)["id"]
        counts[opening] = counts.get(opening, 0) + 1
        time.sleep(0.05)
    connection.close()
    return counts


def attempts(name):
    for turn in range(10):
        yield f"{name}.{turn}"
    pytest.fail("this machine needs seconds for a request")


def milliseconds(text):
    """Of a record's time, within its day."""
    hours, minutes, seconds = text[11:].rstrip("Z").split(":")
    return round((int(hours) * 60 + int(minutes)) * 60000
                 + float(seconds) * 1000)


def test_access_that_goes_on_is_closed_and_opened_anew(place):
    for study in attempts("1.2.3.90"):
        if counts := ask_until_new(place, study):
            break
    first, second = place.daemon.wait("access", 2, study=study)
    closes = place.daemon.wait("access-end", 2, 30, study=study)
    assert {close["open"]: (close["reason"], close["requests"])
            for close in closes} == {
                first["id"]: ("age", counts[first["id"]]),
                second["id"]: ("idle", counts[second["id"]])}
    assert {name: first.get(name) for name in ("address", "action", "uri")} \
        == {name: second.get(name) for name in ("address", "action", "uri")}
    # not before its time
    lasted = milliseconds(second["time"]) - milliseconds(first["time"])
    assert lasted % 86_400_000 > AGE * 1000


def test_request_under_way_counts_in_the_access_that_it_began_in(place):
    """It waits for its body while the access grows old."""
    for study in attempts("1.2.3.91"):
        first = place.get(frame(study))
        slow = socket.create_connection(
            ("127.0.0.1", place.nginx.ports["main"]), 20, ("127.0.10.1", 0))
        slow.sendall(f"GET {frame(study)} HTTP/1.1\r\nHost: x\r\n"
                     "Content-Length: 1\r\n"
                     "Connection: close\r\n\r\n".encode())
        counts = ask_until_new(place, study)
        slow.sendall(b"x")
        assert slow.recv(12) == b"HTTP/1.1 200"
        slow.close()
        opening = place.logged(first.case)["id"]
        # else it was so slow that the others found it too old already
        if counts and opening in counts:
            break
    closes = place.daemon.wait("access-end", 2, 30, study=study)
    old, = [close for close in closes if close["open"] == opening]
    assert (old["reason"], old["requests"]) == ("age", counts[opening] + 2)


def test_nobody_waits_for_the_close_of_the_old_one(place):
    """Until that is due both are open, and only the new one is joined."""
    for study in attempts("1.2.3.92"):
        if ask_until_new(place, study):
            break
    assert place.get(frame(study)).status == 200
    assert wait_for(lambda: len(place.daemon.records(
        "access", study=study)) == 2, 5)
