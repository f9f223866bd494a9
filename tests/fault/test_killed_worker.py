"""kill -9 of nginx workers under load."""

import os
import random
import signal
import time

import pytest

from audit_place import wait_for
from stage import LONG, count

KILLS = count(8, 200)


def kill_worker(one, victim):
    """Waits for the next."""
    before = set(one.nginx.workers())
    os.kill(victim, signal.SIGKILL)
    one.kills += 1
    assert wait_for(lambda: victim not in one.nginx.workers()
                    and len(one.nginx.workers()) == len(before), 10)


def test_killed_worker_leaves_no_request_without_a_record(stage):
    draw = random.Random(11)
    one = stage(workers=2, idle="1s")
    one.nginx.expected.append("exited on signal 9")
    load = one.load(clients=5)
    for _ in range(KILLS):
        load.more(by=draw.randrange(1, 30))
        kill_worker(one, draw.choice(one.nginx.workers()))
    load.more()
    entries = one.finish()
    # what the dead ones had opened was closed, if not by them
    opened = {e["id"] for e in entries if e["event"] == "access"}
    closed = {e["open"] for e in entries if e["event"] == "access-end"}
    assert opened and closed <= opened


def test_closes_of_a_killed_worker_are_made_by_another_with_all_they_count(
        stage):
    """A close is on its way, to a daemon that does not answer, when both are
    killed: the totals are told all the same, and once."""
    one = stage(workers=2, idle="1s")
    one.nginx.expected.append("exited on signal 9")
    views = 0
    for turn in range(count(1, 20)):
        load = one.load(clients=4, kinds=("study",))
        load.more(by=60)
        load.stop()
        one.daemon.signal(signal.SIGSTOP)
        views += load.answered(200)
        # all are idle then, and closed into the daemon's silence
        time.sleep(3.2)
        if turn % 2 == 0:
            one.daemon.kill()
            one.kills += 1
        for victim in one.nginx.workers():
            kill_worker(one, victim)
        if turn % 2 == 0:
            one.daemon.start()
        else:
            one.daemon.signal(signal.SIGCONT)

        def told():
            return sum(e["requests"] for e in one.daemon.entries()
                       if e["event"] == "access-end"
                       and e.get("statuses", "").startswith("200:")) >= views
        assert wait_for(told, 20, 0.2)
    entries = one.finish()
    closes = [e for e in entries if e["event"] == "access-end"]
    assert not [e for e in closes if e.get("reason") == "interrupted"]
    assert sum(int(part.partition(":")[2]) for e in closes
               for part in e.get("statuses", "").split()
               if part.startswith("200:")) == views


@pytest.mark.skipif(not LONG, reason="denials are counted for a minute")
def test_count_of_denials_is_told_though_its_worker_is_killed(stage):
    one = stage(workers=2)
    one.nginx.expected.append("exited on signal 9")
    load = one.load(clients=1, pause=0.5)
    source = "127.0.40.1"
    for _ in range(20):
        assert one.place.get("/closed/x", source=source).status == 403
    first, = one.daemon.wait("denied", address=source)
    time.sleep(57)
    load.stop()
    one.daemon.signal(signal.SIGSTOP)
    time.sleep(5)   # the count is on its way now
    one.daemon.kill()
    one.kills += 1
    for victim in one.nginx.workers():
        kill_worker(one, victim)
    one.daemon.start()
    _, rest = one.daemon.wait("denied", 2, seconds=90, address=source)
    assert "count" not in first and rest["count"] == 19
    one.finish()


def test_accesses_of_an_nginx_that_was_killed_are_closed_as_interrupted(stage):
    one = stage(workers=2, idle="15m",
                daemon="heartbeat 1s; interrupted 5s;")
    load = one.load(clients=3, kinds=("study",))
    load.more(by=30)
    load.stop()
    studies = {study for _, study in load.served["study"]}
    workers = one.nginx.workers()
    for pid in [one.nginx.process.pid, *workers]:
        os.kill(pid, signal.SIGKILL)
        one.kills += 1
    one.nginx.process.wait(10)
    one.nginx.process = None
    one.daemon.wait("access-end", count=len(studies), seconds=20,
                    reason="interrupted")
    one.daemon.stop()
    assert studies == {e.get("study")
                       for e in one.finish(stopped=True)
                       if e["event"] == "access-end"}
