"""Uses of emergency codes while the daemon was dead become records."""

import os
import pathlib
import time

import pytest

import otp_place


def wait_until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)


@pytest.fixture(name="place")
def running(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("the folder of emergency codes is root's")
    folder = tmp_path / "emergency"
    with otp_place.place(tmp_path, f"emergency {folder};\n",
                         start=False) as it:
        it.emergency = folder
        it.spool = folder / "spool"
        yield it


def test_sealed_codes_are_recorded_once(place):
    status, _, errors = place.otp("emergency", "seal", "--count", "3",
                                  "--force")
    assert status == 0, errors
    assert list(place.spool.iterdir())
    place.start()
    wait_until(lambda: not list(place.spool.iterdir()))
    record, = place.records("emergency-off")
    assert (record["reason"], record["count"]) == ("sealed", 3)
    assert record["until"] > record["time"] and record["ticket"]
    # while the daemon runs it is picked up at the next tick
    assert place.otp("emergency", "seal", "--count", "2", "--force")[0] == 0
    wait_until(lambda: not list(place.spool.iterdir()))
    assert len(place.records("emergency-off")) == 2


def use(place, text):
    """A spool file as lib/otp/emergency_spool.c reads it."""
    place.otp("emergency", "seal", "--count", "1", "--force")
    sealed = next(place.spool.iterdir())
    magic = sealed.read_bytes().split(b"\n")[0]
    name = sealed.name.rpartition("-")[0] + "-01"
    body = (magic + b"\n" + text.encode()).ljust(4096, b"\n")
    path = pathlib.Path(place.spool, name)
    path.write_bytes(body)
    path.chmod(0o400)
    return name


def test_a_use_is_recorded_with_who_and_why(place):
    name = use(place, "kind used\ntime 1790000000\nuser yamada\nreason the daemon is "
                      "dead, CT waits\nservice sshd\naddress 203.0.113.7\n"
                      "tty ssh\n")
    place.start()
    wait_until(lambda: not list(place.spool.iterdir()))
    record, = place.records("emergency-on")
    assert record["ticket"] == name and record["outcome"] == 0
    assert (record["user"], record["service"], record["address"]) == (
        "yamada", "sshd", "203.0.113.7")
    assert record["note"] == "the daemon is dead, CT waits"
    assert record["first"].startswith("2026-09-21T")
