"""When a review is due, in the metrics: nginx, sekishod, its indexer and a
review, together."""

import json
import os
import subprocess
import time

import pytest

import audit_place
import trail_daemon
from audit_place import wait_for
from gate_nginx import SEKISHO

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="nginx's workers and reviews need root")

DUE = "sekisho_review_due_timestamp_seconds"
OVERDUE = "sekisho_review_overdue"


@pytest.fixture
def place(tmp_path, nginx_at, upstream):
    made = []

    def start(**options):
        made.append(audit_place.Place(tmp_path, nginx_at, upstream,
                                       **options))
        return made[0]

    yield start
    for one in made:
        one.close()


def local_midnight(days):
    """Where the local day begins that is so many days from today."""
    today = time.localtime()
    return int(time.mktime((today.tm_year, today.tm_mon, today.tm_mday + days,
                            0, 0, 0, 0, 0, -1)))


def review(place, days=None):
    """An officer signs, and may say in how many days the next is due."""
    record = {"event": "review", "outcome": 0, "user": "officer"}
    if days is not None:
        record["until"] = time.strftime(
            "%Y-%m-%d", time.localtime(local_midnight(days)))
    front = trail_daemon.Front(str(place.daemon.socket), source=b"sekisho")
    front.send(record)
    front.close()


def due(place, expected, overdue):
    """Of either worker: the other one hears of it a moment later."""
    def told():
        status = place.status()
        return (status.get(DUE), status.get(OVERDUE)) == (expected, overdue)

    return wait_for(told, 20, 0.1)


def test_the_metrics_say_when_a_review_is_due(place):
    here = place(main="worker_processes 2;")
    # nobody has reviewed: a month after the first record
    assert due(here, local_midnight(32), 0), here.status()
    review(here, 7)
    assert due(here, local_midnight(8), 0), here.status()
    review(here, -3)
    assert due(here, local_midnight(-2), 1), here.status()
    # without a day of his: a month after the review
    review(here)
    assert due(here, local_midnight(32), 0), here.status()
    # today it is due, and not overdue before the day is over
    review(here, 0)
    assert due(here, local_midnight(1), 0), here.status()


def test_a_restarted_daemon_tells_again_and_so_does_its_status(place):
    here = place()
    review(here, -1)
    assert due(here, local_midnight(0), 1), here.status()
    audit_place.expect_trouble(here.nginx, "no connection to sekishod")
    here.daemon.stop()
    # what is known stays known while the daemon is away
    assert here.status()[OVERDUE] == 1
    here.daemon.start()
    assert wait_for(here.is_up, 10)
    assert due(here, local_midnight(0), 1), here.status()
    said = subprocess.run([SEKISHO, "audit", "status", "--json", "--config",
                           here.daemon.config], capture_output=True, text=True,
                          check=False)
    status = json.loads(said.stdout)
    assert status["daemon"]["review_due"] == local_midnight(0)
    assert status["daemon"]["review_overdue"] is True
    assert status["review"]["overdue"] is True


def test_without_an_index_nothing_is_said(place):
    here = place(daemon="index off;")
    review(here, -1)
    here.get()
    assert wait_for(lambda: here.daemon.records("review"), 10, 0.1)
    status = here.status()
    assert DUE not in status and OVERDUE not in status
    front = trail_daemon.Front(str(here.daemon.socket))
    report = front.report()
    front.close()
    assert "review_due" not in report and "review_overdue" not in report
