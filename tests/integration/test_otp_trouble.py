"""Full and read-only disks, wrong clocks, old copies, missing keys: no code is
accepted that might be good twice, and who is enrolled gets in where it can be."""

import ctypes
import glob
import os
import pathlib
import shutil
import subprocess
import time

import pytest

import door_codes
import otp_place
import trail_daemon

CLONE_NEWNS = 0x20000


def in_own_mounts(function, *arguments):
    """Calls it in a child with mounts of its own; returns what it returns."""
    if os.geteuid() != 0:
        pytest.skip("takes root, to mount")

    def inside():
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
            return "skip: no namespaces here"
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        return function(*arguments)

    result = otp_place.as_user(0, inside)
    if isinstance(result, str) and result.startswith("skip: "):
        pytest.skip(result[6:])
    assert not (isinstance(result, dict) and "error" in result), result
    return result


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)


# ---- Disks -----------------------------------------------------------------

def fill(path):
    with open(path, "wb", buffering=0) as file:
        block = b"x" * 65536
        while block:
            try:
                file.write(block)
            except OSError:
                block = block[:len(block) // 2]


def on_full_disk(folder):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", folder],
                   check=True)
    place = otp_place.Place(folder, "journal 8m;\nreserve 2m;\n")
    secrets = {f"user-{index}": place.enroll(f"user-{index}")
               for index in range(40)}
    fill(f"{folder}/filler")
    free = os.statvfs(folder).f_bavail
    full = [place.verify(user, door_codes.totp(secret))["verdict"]
            for user, secret in secrets.items()]
    wrong = place.verify("user-1", door_codes.wrong(secrets["user-1"]))
    twice = [place.verify(user, door_codes.totp(secret))["verdict"]
             for user, secret in secrets.items()]
    os.unlink(f"{folder}/filler")
    later = place.verify("user-1", door_codes.totp(secrets["user-1"], ahead=1))
    status = place.stop()
    return {"free": free, "full": full, "wrong": wrong["why"], "twice": twice,
            "later": later["verdict"], "status": status,
            "recorded": sum(entry["outcome"] == 0
                            for entry in place.entries("sign-in"))}


def test_who_is_enrolled_gets_in_on_a_full_disk(tmp_path):
    found = in_own_mounts(on_full_disk, tmp_path)
    assert found["free"] == 0
    assert found["full"] == ["yes"] * 40
    assert found["wrong"] == "wrong-code"
    assert found["twice"] == ["no"] * 40
    assert found["later"] == "yes"
    assert (found["recorded"], found["status"]) == (41, 0)


def on_readonly_disk(folder):
    store = f"{folder}/store"
    os.mkdir(store)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", store], check=True)
    place = otp_place.Place(folder, store=f"{store}/otp.db")
    secret = place.enroll("reader")
    place.stop()
    subprocess.run(["mount", "-o", "remount,ro", store], check=True)
    place.start()
    first = place.verify("reader", door_codes.totp(secret))
    subprocess.run(["mount", "-o", "remount,rw", store], check=True)
    wait_until(lambda: place.front().report()["otp"] == "ready")
    second = place.verify("reader", door_codes.totp(secret))
    place.stop()
    return first["verdict"], second["verdict"], place.messages()


def test_a_read_only_store_accepts_nothing_until_it_can_be_written(tmp_path):
    first, second, log = in_own_mounts(on_readonly_disk, tmp_path)
    assert (first, second) == ("unavailable", "yes")
    assert "no one-time code can be verified" in log
    assert "are verified again" in log


# ---- Clocks ----------------------------------------------------------------

def faketime():
    found = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
    if not found:
        pytest.skip("install the Debian package faketime")
    if "sanitize" in trail_daemon.SEKISHOD:
        pytest.skip("a sanitized program takes no preloaded library")
    return found[0]


class Clock:
    """What the daemon takes for the time, from a file."""

    def __init__(self, folder):
        self.path = pathlib.Path(folder, "clock")
        self.offset = 0
        self.set(0)
        self.env = {"LD_PRELOAD": faketime(), "FAKETIME_NO_CACHE": "1",
                    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                    "FAKETIME_TIMESTAMP_FILE": str(self.path)}

    def set(self, offset):
        self.offset = offset
        new = self.path.with_suffix(".new")
        new.write_text(f"{offset:+d}\n")
        new.rename(self.path)

    def code(self, secret, ahead=0):
        return door_codes.totp(secret, ahead=ahead,
                               now=time.time() + self.offset)


def test_a_clock_that_goes_back_ends_all_codes_until_somebody_says_so(tmp_path):
    clock = Clock(tmp_path)
    with otp_place.place(tmp_path, env=clock.env) as place:
        secret, other = place.enroll("early"), place.enroll("other")
        assert place.verify("early", clock.code(secret))["verdict"] == "yes"
        clock.set(+3600)
        assert place.verify("early", clock.code(secret))["verdict"] == "yes"
        used = clock.code(secret, ahead=1)
        assert place.verify("early", used)["verdict"] == "yes"
        clock.set(0)
        for ahead in (-1, 0, 1):
            answer = place.verify("early", clock.code(secret, ahead))
            assert (answer["verdict"], answer["why"]) == ("no", "clock")
        assert place.state("early") == "enrolled"
        alert = place.records("code-alert", reason="clock")[0]
        assert alert["outcome"] == 8
        status, _, errors = place.otp("clock")
        assert status == 2 and "--reason" in errors
        status, output, errors = place.otp("clock", "--reason", "NTP was wrong")
        assert (status, output) == (0, "accepted\n"), errors
        # codes of about now may have been used before: void; later ones are
        # good, but for whoever used later ones already
        assert place.verify("other", clock.code(other))["verdict"] == "no"
        clock.set(+180)
        assert place.verify("other", clock.code(other))["verdict"] == "yes"
        assert place.verify("early", used)["verdict"] == "no"
        assert place.records("enrollment", action="clock")[0]["note"] == \
            "NTP was wrong"


def test_a_small_step_back_is_nothing(tmp_path):
    clock = Clock(tmp_path)
    with otp_place.place(tmp_path, env=clock.env) as place:
        secret = place.enroll("steady")
        assert place.verify("steady", clock.code(secret))["verdict"] == "yes"
        clock.set(-2)
        assert place.verify("steady", clock.code(secret, ahead=1))[
            "verdict"] == "yes"


def test_an_older_copy_of_the_store_accepts_nothing(tmp_path):
    place = otp_place.Place(tmp_path)
    secret = place.enroll("restored")
    place.stop()
    for path in glob.glob(f"{place.store}*"):
        if not path.endswith(".high"):
            shutil.copy(path, f"{path}.copy")
    place.start()
    code = door_codes.totp(secret)
    assert place.verify("restored", code)["verdict"] == "yes"
    place.stop()
    for path in glob.glob(f"{place.store}*"):
        if not path.endswith((".high", ".copy")):
            os.unlink(path)
    for path in glob.glob(f"{place.store}*.copy"):
        os.rename(path, path[:-5])
    place.start()
    assert place.verify("restored", code)["why"] == "clock"
    assert place.otp("clock", "--reason", "restored after a fire")[0] == 0
    assert place.verify("restored", code)["verdict"] == "no"
    assert place.stop() == 0


# ---- Keys and stores -------------------------------------------------------

def test_without_a_key_nothing_is_accepted_until_there_is_one(tmp_path):
    place = otp_place.Place(tmp_path)
    secret = place.enroll("keyless")
    place.stop()
    os.rename(place.otp_key, f"{place.otp_key}.away")
    place.start()
    assert place.verify("keyless", door_codes.totp(secret))["verdict"] == \
        "unavailable"
    assert place.otp_key in place.messages()
    os.rename(f"{place.otp_key}.away", place.otp_key)
    wait_until(lambda: place.front().report()["otp"] == "ready")
    assert place.verify("keyless", door_codes.totp(secret))["verdict"] == "yes"
    assert place.stop() == 0


def test_no_store_is_made_without_a_key(tmp_path):
    place = otp_place.Place(tmp_path, start=False)
    os.unlink(place.otp_key)
    place.start()
    assert place.ask("state", user="x")["verdict"] == "unavailable"
    assert not os.path.exists(place.store)
    place.stop()


def test_another_key_opens_nothing(tmp_path):
    place = otp_place.Place(tmp_path)
    place.enroll("stranger")
    place.stop()
    os.unlink(place.otp_key)
    place.tool("otp", "key", "--config", place.config)
    place.start()
    assert place.verify("stranger", "123456")["verdict"] == "unavailable"
    place.stop()


def test_the_store_has_one_keeper(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with otp_place.place(tmp_path / "a") as first:
        second = otp_place.Place(tmp_path / "b", store=first.store)
        shutil.copy(first.otp_key, second.otp_key)
        second.stop()
        second.start()
        secret = first.enroll("single")
        code = door_codes.totp(secret)
        assert second.verify("single", code)["verdict"] == "unavailable"
        assert first.verify("single", code)["verdict"] == "yes"
        second.stop()


def test_a_damaged_store_is_told_and_accepts_nothing(tmp_path):
    place = otp_place.Place(tmp_path)
    secret = place.enroll("damaged")
    place.stop()
    with open(place.store, "r+b") as file:
        file.write(os.urandom(4096))
    place.start()
    assert place.verify("damaged", door_codes.totp(secret))["verdict"] == \
        "unavailable"
    assert "no one-time code can be verified" in place.messages()
    # the trail goes on
    with place.asker():
        front = place.front()
        front.send({"event": "access", "outcome": "0", "user": "damaged"})
        front.close()
    assert place.stop() == 0


def test_without_a_store_every_question_about_codes_is_unavailable(tmp_path):
    with trail_daemon.running(tmp_path) as daemon, \
            otp_place.Asker(daemon.socket) as asker:
        for operation in ("verify", "state", "enroll", "grace"):
            answer = asker.ask(operation, user="x", code="123456")
            assert answer == {"verdict": "unavailable",
                              "why": "not-configured"}


def test_the_command_says_that_the_daemon_is_not_there(tmp_path):
    place = otp_place.Place(tmp_path, start=False)
    status, _, errors = place.otp("list")
    assert status == 2 and "no sekishod answers" in errors
