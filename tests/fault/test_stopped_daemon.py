"""sekishod is stopped and started, or says nothing for a while."""

import signal
import time

import pytest

from audit_place import wait_for
from stage import count


def test_stopped_daemon_is_a_denial_until_it_is_back(stage):
    one = stage()
    load = one.load(clients=4)
    for _ in range(count(2, 60)):
        load.more(by=30)
        one.daemon.stop()
        load.more(status=503, by=5)
        one.daemon.start()
        load.more(by=30)
    one.finish()


def test_restarted_daemon_is_waited_for(stage):
    """It is away for less than the deadline: nobody is denied."""
    one = stage()
    load = one.load(clients=4)
    for _ in range(count(3, 60)):
        load.more(by=30)
        one.daemon.stop()
        one.daemon.start()
    load.more(by=30)
    one.finish()
    assert load.answered(200) > 100


@pytest.mark.parametrize("seconds", [0.5, 3.5])
def test_silent_daemon_answers_late_or_not_in_time_but_loses_nothing(
        stage, seconds):
    """The deadline is two seconds: what is held is answered after, or denied;
    a record that was on its way is taken once all the same."""
    one = stage()
    load = one.load(clients=6)
    for _ in range(count(1, 20)):
        load.more(by=30)
        before = load.answered(503)
        one.daemon.signal(signal.SIGSTOP)
        time.sleep(seconds)
        if seconds > 2:
            assert load.answered(503) > before
        one.daemon.signal(signal.SIGCONT)
        load.more(by=30)
        if seconds < 2:
            assert load.answered(503) == before
    one.finish()


def test_silent_daemon_that_is_killed_loses_nothing(stage):
    one = stage()
    load = one.load(clients=6)
    for _ in range(count(3, 60)):
        load.more(by=30)
        one.daemon.signal(signal.SIGSTOP)
        assert wait_for(
            lambda: one.place.status()["sekisho_requests_waiting"] > 0, 5)
        one.daemon.kill()
        one.kills += 1
        one.daemon.start()
    load.more(by=30)
    one.finish()


def test_loss_under_allow_is_counted_and_told(stage):
    """Every request served without a record is in a `lost` record, exactly."""
    # no heartbeat: nothing is written while the trail is read
    one = stage(daemon="")
    load = one.load(clients=4, kinds=("allow",))
    for _ in range(count(1, 10)):
        load.more(by=30)
        one.daemon.stop()
        load.more(by=60)
        one.daemon.start()
        assert one.settled()
        load.more(by=30)
    load.stop()

    def told():
        return sum(e["lost"] for e in one.daemon.records("lost"))
    unrecorded = int(one.place.status()["sekisho_requests_without_record_total"])
    assert wait_for(lambda: told() == unrecorded, 10), (told(), unrecorded)
    entries = one.finish(lost=lost_of(one))
    ids = {e["id"] for e in entries if e["event"] == "request"}
    served = [i for path, i in one.asked() if path.startswith("/allow/")]
    without = sum(1 for i in served if i not in ids)
    assert without > 0
    # some were recorded after all: their record was on its way
    assert sum(e["lost"] for e in entries if e["event"] == "lost") >= without


def lost_of(one):
    """Requests that the PACS was asked without an id that is in the trail."""
    assert one.settled()
    time.sleep(1.5)
    ids = {e["id"] for e in one.daemon.entries()}
    return sum(1 for _, i in one.asked() if i not in ids)
