"""What an answer told and the trail did not take is told again: against a
daemon of the test's own, which refuses, says nothing, and counts."""

import os
import signal
import time

import pytest

import audit_place
from audit_place import wait_for
from test_audit_learn import Pacs, dataset, orthanc_id
from test_audit_protocol import Daemon, REFUSED, message

HTTP = audit_place.HTTP.replace("audit on;", "audit on; audit_learn on;")


@pytest.fixture
def daemon(tmp_path):
    made = Daemon(tmp_path / "d.sock")
    yield made
    made.stop()


@pytest.fixture
def pacs():
    made = Pacs()
    yield made
    made.close()


@pytest.fixture
def nginx(tmp_path, nginx_at, pacs, daemon):
    (tmp_path / "html").mkdir()
    text = audit_place.FORMAT + HTTP.format(
        socket=daemon.path, zone="audit:1m", idle="15m", prefix=tmp_path,
        pacs=f"http://127.0.0.1:{pacs.port}", more="", places="")
    made = nginx_at(tmp_path, text, main="worker_processes 1;")
    assert wait_for(lambda: daemon.records(event="recording-on"))
    yield made
    made.stop()


def told(daemon, study):
    return daemon.records(event="patient-learned", study=study)


def refusing(daemon, study):
    def answer(connection, front, records):
        for number, record in records:
            if (record["event"] == "patient-learned"
                    and study in (None, record.get("study"))):
                connection.send(message(REFUSED, number, b"no space left"))
        daemon.acknowledge(connection, front, records)
    return answer


def number(nginx, name):
    line, = [one for one in nginx.request("/status").text.splitlines()
             if one.startswith(name + " ")]
    return float(line.split()[1])


def search(nginx, pacs, study):
    pacs.say("/dicom-web/studies", [dataset(study, "P" + study)])
    assert nginx.request("/dicom-web/studies").status == 200


def test_what_is_refused_is_told_again_until_it_is_taken(daemon, nginx, pacs):
    nginx.expected.append("sekishod refuses records")
    daemon.answer = refusing(daemon, None)
    start = time.monotonic()
    search(nginx, pacs, "3.1")
    assert wait_for(lambda: told(daemon, "3.1"))
    # answers that say it again do not hasten it
    for _ in range(30):
        search(nginx, pacs, "3.1")
    assert wait_for(lambda: len(told(daemon, "3.1")) == 3, 20)
    # a second at first, then two; the tick is every second
    assert len(told(daemon, "3.1")) <= 1 + (time.monotonic() - start)
    assert number(nginx, "sekisho_learned_total") == 0
    daemon.answer = daemon.acknowledge
    assert wait_for(lambda: number(nginx, "sekisho_learned_total") == 3, 20)
    count = len(told(daemon, "3.1"))
    ids = [record["id"] for _, record in told(daemon, "3.1")]
    assert len(set(ids)) == count
    # … and from then on it is known
    for _ in range(3):
        search(nginx, pacs, "3.1")
    time.sleep(2.5)
    assert len(told(daemon, "3.1")) == count
    assert number(nginx, "sekisho_learned_lost_total") == 0


def test_what_is_refused_is_not_taken_for_known(daemon, nginx, pacs):
    """Metadata of a study that is known is not read: this one's is."""
    nginx.expected.append("sekishod refuses records")
    daemon.answer = refusing(daemon, "3.2")
    path = "/dicom-web/studies/3.2/metadata"
    pacs.say(path, [dataset("3.2", "P3.2")])
    for read in (1, 2, 3):
        assert nginx.request(path).status == 200
        assert wait_for(lambda: told(daemon, "3.2"))
        assert number(nginx, "sekisho_learn_answers_total") == read
    daemon.answer = daemon.acknowledge
    assert wait_for(lambda: number(nginx, "sekisho_learned_total") == 3, 20)
    assert nginx.request(path).status == 200
    assert number(nginx, "sekisho_learn_answers_total") == 3


def test_what_alone_is_refused_is_given_up(daemon, nginx, pacs):
    nginx.expected.append("sekishod refuses records")
    daemon.answer = refusing(daemon, "3.3")
    search(nginx, pacs, "3.3")
    others = 0
    while number(nginx, "sekisho_learned_lost_total") == 0:
        others += 1
        assert others < 100
        # this is taken: the disk is not full
        search(nginx, pacs, f"3.3.{others}")
        time.sleep(0.3)
    assert wait_for(lambda: number(nginx, "sekisho_learned_total")
                    == 3 * others + 2, 10)
    tries = len(told(daemon, "3.3"))
    assert tries >= 8
    time.sleep(2.5)
    assert len(told(daemon, "3.3")) == tries
    assert number(nginx, "sekisho_learned_lost_total") == 1


def test_what_a_worker_took_with_it_is_told_by_the_next(daemon, nginx, pacs):
    nginx.expected.append("exited on signal 9")

    def answer(connection, front, records):
        if not any(record.get("study") == "3.4" for _, record in records):
            daemon.acknowledge(connection, front, records)

    daemon.answer = answer
    search(nginx, pacs, "3.4")
    assert wait_for(lambda: told(daemon, "3.4"))
    worker, = nginx.workers()
    daemon.answer = daemon.acknowledge
    os.kill(worker, signal.SIGKILL)
    assert wait_for(lambda: nginx.workers() not in ([], [worker]), 10)
    first, second = wait_for(
        lambda: len(told(daemon, "3.4")) == 2 and told(daemon, "3.4"), 10)
    assert first[1]["id"] != second[1]["id"]


def test_what_finds_no_place_is_counted_and_told_when_it_is_seen(
        daemon, nginx, pacs):
    """The daemon is away, and these are many more than the zone keeps."""
    many = [dataset(f"3.5.{n}", f"P{n}") for n in range(100)]
    search(nginx, pacs, "3.6")   # the access is open
    assert wait_for(lambda: number(nginx, "sekisho_learned_total") == 3)
    daemon.stop()
    time.sleep(1.5)
    audit_place.expect_trouble(nginx, "sekishod")
    pacs.say("/dicom-web/studies", many)
    assert nginx.request("/dicom-web/studies").status == 200
    assert number(nginx, "sekisho_learned_lost_total") > 0
    daemon.listen()
    # those that were kept
    assert wait_for(lambda: number(nginx, "sekisho_learned_total") > 3, 20)
    assert wait_for(lambda: number(nginx, "sekisho_records_waiting") == 0)
    assert number(nginx, "sekisho_learned_total") < 303
    # … and the others, with all their names
    assert nginx.request("/dicom-web/studies").status == 200
    assert wait_for(lambda: number(nginx, "sekisho_learned_total") == 303, 20)
    assert {name for n in range(100) for name in (
        f"3.5.{n}", orthanc_id(f"P{n}", f"3.5.{n}"), orthanc_id(f"P{n}"))} <= {
            record.get("study") for _, record in daemon.records(
                event="patient-learned")}
