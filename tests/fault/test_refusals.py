"""A front end that may not have heard that a record was refused is told again,
before any word that covers its number: else it would serve the request."""

import contextlib
import socket
import time

import pytest

import trail_daemon
from audit_place import wait_for
from trail_daemon import HELLO, REFUSED, WELCOME, message

ORDINARY = {"event": "request", "outcome": 0, "user": "yamada"}
PRIVILEGED = {"event": "denied", "outcome": 8, "address": "127.0.0.1"}


class Deaf(trail_daemon.Front):
    """A front end of a given id whose answers are read by hand."""

    def __init__(self, path, front=None, acknowledged=0):
        super().__init__(path, front)
        self.close()
        self.path = path
        self.number = acknowledged
        self.hello(acknowledged)

    def hello(self, acknowledged):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(20)
        self.socket.connect(self.path)
        self.socket.send(message(HELLO, acknowledged, self.front + b"nginx"))

    def greeted(self):
        """What comes up to the welcome: refused numbers, and its number."""
        refused = []
        while True:
            kind, number, _ = self.receive()
            if kind == WELCOME:
                return refused, number
            assert kind == REFUSED
            refused.append(number)


@pytest.fixture(name="full")
def make_full(tmp_path, small_disk):
    """A daemon whose disk is full: ordinary records are refused."""
    disk = small_disk("16m")
    (disk.path / "trail").mkdir(mode=0o750)
    (tmp_path / "trail").symlink_to(disk.path / "trail")
    daemon = trail_daemon.Daemon(tmp_path, "journal 4m;\nreserve 1m;\n"
                                 "heartbeat 1s;\nweb_user root;")
    daemon.start()
    disk.fill()
    probe = daemon.front()

    assert wait_for(lambda: not takes(probe), 30)
    probe.close()
    yield daemon, disk
    daemon.kill()


def takes(front, record=None):
    """Whether an ordinary record is recorded."""
    with contextlib.suppress(trail_daemon.Refused):
        front.send(record or ORDINARY)
        return True
    return False


def search(daemon, *words):
    done = trail_daemon.subprocess.run(
        [trail_daemon.SEKISHO, "audit", "search", "--all", "--json", "--config",
         daemon.config], stdout=trail_daemon.subprocess.PIPE, text=True,
        check=False)
    return [line for line in done.stdout.splitlines()
            if all(word in line for word in words)]


@pytest.mark.parametrize("end", ["lost connection", "killed daemon"])
@pytest.mark.parametrize("told_by", ["record", "heartbeat"])
def test_refusal_that_nobody_read_is_told_again_before_the_welcome(
        full, end, told_by):
    daemon, disk = full
    front = Deaf(daemon.socket)
    assert front.greeted() == ([], 0)
    front.post(PRIVILEGED)
    front.wait()
    # 2 and 3 are refused, 4 is recorded and says so; nobody reads it
    front.post(ORDINARY, ORDINARY)
    last = 3
    if told_by == "record":
        last = front.post(PRIVILEGED)
        assert wait_for(lambda: search(daemon, front.front.hex(),
                                       '"skipped":2'), 10)
    else:
        assert wait_for(lambda: search(
            daemon, "heartbeat", f"{front.front.hex()}:3-2"), 10)
    if end == "killed daemon":
        daemon.kill()
        disk.free()
        daemon.start()
    front.close()
    front.hello(1)
    assert front.greeted() == ([2, 3], last)
    # and once it says that it heard of a later one, no more
    disk.free()
    front.number = last
    assert wait_for(lambda: takes(front), 20, 0.2)
    front.close()
    front.hello(front.number)
    assert front.greeted() == ([], front.number)
    front.close()
    assert daemon.stop() == 0
    assert not daemon.entries("gap")


def test_refusals_are_told_to_a_front_end_that_reads_slowly(full):
    """More than fit into a socket: the welcome waits for the last of them."""
    daemon, _ = full
    front = Deaf(daemon.socket)
    front.greeted()
    for _ in range(40):
        front.post(*[ORDINARY] * 150)
    last = front.post(PRIVILEGED)
    assert wait_for(lambda: search(daemon, front.front.hex(), '"skipped":'),
                    20)
    front.close()
    front.hello(0)
    time.sleep(0.5)
    refused, welcomed = front.greeted()
    assert refused == list(range(1, 6001))
    assert welcomed == last
    front.close()


def test_repeated_close_of_an_access_is_one(tmp_path):
    """Two workers may close the same access, when the first one died before it
    heard that it had: the second is joined to it, also after a restart."""
    daemon = trail_daemon.Daemon(tmp_path, "web_user root;")
    daemon.start()
    opening = {"event": "access", "id": "ab" * 16, "outcome": 0, "study": "1"}
    close = {"event": "access-end", "open": "ab" * 16, "outcome": 0,
             "requests": 3}
    front = daemon.front()
    front.send(opening)
    front.send(close)
    another = daemon.front()
    another.send(opening, close)
    daemon.kill()
    daemon.start()
    third = daemon.front()
    third.send(opening, close)
    for one in (front, another, third):
        one.close()
    assert daemon.stop() == 0
    assert len(daemon.entries("access")) == 1
    assert len(daemon.entries("access-end")) == 1
    assert [e["open"] for e in daemon.entries("access-joined")] == \
        ["ab" * 16] * 4


def test_refused_close_leaves_the_access_open(full):
    daemon, disk = full
    disk.free()
    front = daemon.front()
    assert wait_for(lambda: takes(front), 20, 0.2)
    ids = [f"{number:032x}" for number in range(1, 201)]
    front.send(*[{"event": "access", "id": i, "outcome": 0} for i in ids])
    closes = [{"event": "access-end", "open": i, "outcome": 0, "requests": 3}
              for i in ids]
    disk.fill()
    # the first that is refused was in a batch already
    taken = 0
    while takes(front, closes[taken]):
        taken += 1
        time.sleep(0.05)
    assert front.report()["open_accesses"] == len(ids) - taken
    assert not takes(front, closes[taken])
    assert front.report()["open_accesses"] == len(ids) - taken
    disk.free()
    assert wait_for(lambda: takes(front, closes[taken]), 20, 0.2)
    front.send(*closes[taken + 1:])
    assert front.report()["open_accesses"] == 0
    front.close()
    assert daemon.stop() == 0
    assert sorted(e["open"] for e in daemon.entries("access-end")) == ids
