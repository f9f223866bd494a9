"""Who may ask what, what is answered, and what the trail says of it."""

import base64
import contextlib
import os
import pwd
import struct
import time

import pytest

import door_codes
import otp_place
from trail_daemon import message

NOBODY = pwd.getpwnam("nobody")
WEB = pwd.getpwnam("www-data")


@pytest.fixture(name="place", scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("questions")
    with otp_place.place(folder, "places off;\notp_issuer \"Aoba\";\n") as it:
        # so that others than root reach the socket
        while str(folder) not in ("/", "/tmp"):
            os.chmod(folder, 0o711)
            folder = folder.parent
        yield it


def as_user(place, account, operation, **fields):
    if os.geteuid() != 0:
        pytest.skip("takes root, to be somebody else")
    return otp_place.as_user(account.pw_uid, lambda: place.ask(operation,
                                                               **fields))


# ---- Who may ask -----------------------------------------------------------

def test_an_ordinary_user_is_answered_about_itself_alone(place):
    place.enroll("nobody", secret := door_codes.new_secret())
    place.enroll("other", other := door_codes.new_secret())
    assert as_user(place, NOBODY, "verify", user="nobody",
                   code=door_codes.totp(secret)) == {"verdict": "yes",
                                                     "factor": "totp"}
    assert as_user(place, NOBODY, "verify", user="other",
                   code=door_codes.totp(other)) == {"verdict": "no"}
    # and that one was not looked at: it is still good
    assert place.verify("other", door_codes.totp(other))["verdict"] == "yes"
    assert as_user(place, NOBODY, "state", user="other") == {
        "verdict": "not-allowed"}


@pytest.mark.parametrize("operation", ["place", "grace", "remove", "unlock",
                                       "list", "export", "import", "rekey",
                                       "clock"])
def test_an_ordinary_user_administers_nothing(place, operation):
    answer = as_user(place, NOBODY, operation, user="nobody", reason="mine",
                     device="phone", secret="A" * 32)
    assert answer == {"verdict": "not-allowed"}


@pytest.mark.parametrize("operation", ["grace", "enroll", "confirm", "remove",
                                       "unlock", "recovery", "list", "export",
                                       "import", "rekey", "clock"])
def test_the_web_changes_nothing(place, operation):
    answer = as_user(place, WEB, operation, user="other", reason="x",
                     device="phone", secret="A" * 32)
    assert answer == {"verdict": "not-allowed"}


def test_the_web_verifies_any_user_and_is_not_told_why(place):
    secret = place.enroll("viewer")
    code = door_codes.totp(secret)
    assert as_user(place, WEB, "verify", user="viewer", code=code,
                   service="sshd") == {"verdict": "yes", "factor": "totp"}
    assert as_user(place, WEB, "verify", user="viewer", code=code) == {
        "verdict": "no"}
    record, = place.records("sign-in", user="viewer")
    assert record["service"] == "web"
    assert record["peer"].startswith(f"{WEB.pw_uid}:")


def test_what_is_not_allowed_is_on_record(place):
    as_user(place, NOBODY, "unlock", user="chief", reason="let me in")
    found = place.records("code-alert", reason="not-allowed", by="nobody")
    assert found and found[0]["peer"].startswith(f"{NOBODY.pw_uid}:")


def test_a_user_cannot_blame_somebody_elses_address(place):
    place.enroll("nobody", door_codes.new_secret(), device="blamer")
    as_user(place, NOBODY, "verify", user="nobody", code="000000",
            address="198.51.100.77")
    assert not [entry for entry in place.records("sign-in", "code-alert")
                if entry.get("address") == "198.51.100.77"]


# ---- Answers ---------------------------------------------------------------

def test_unknown_and_known_users_are_answered_alike(place):
    secret = place.enroll("known")
    fields = {"code": door_codes.wrong(secret), "address": "203.0.113.5"}
    known = as_user(place, WEB, "verify", user="known", **fields)
    unknown = as_user(place, WEB, "verify", user="unknown", **fields)
    assert known == unknown == {"verdict": "no"}
    assert place.state("unknown") == "none"


def test_an_empty_code_is_a_wrong_one(place):
    place.enroll("silent")
    assert place.ask("verify", user="silent")["verdict"] == "no"


@pytest.mark.parametrize("fields", [
    {"user": ""}, {"user": "a" * 257}, {"user": "line\nbreak"},
    {"user": "x", "address": "host.example"}, {"user": "x", "service": "s" * 65},
    {"user": "x", "address": "203.0.113.7/24"}, {"user": "x", "period": "-1"},
    {"user": "x", "digits": "six"}])
def test_what_is_no_question_is_told_so(place, fields):
    assert place.ask("verify", code="123456", **fields)["verdict"] == \
        "bad-request"


@pytest.mark.parametrize("operation", ["0", "16", "99", "x", ""])
def test_an_unknown_operation_is_told_so(place, operation):
    with place.asker() as asker:
        asker.number = 1
        fields = {"user": "x", **({"operation": operation} if operation
                                  else {})}
        asker.socket.send(message(otp_place.ASK, 1, otp_place.encode(fields)))
        assert asker.wait()["verdict"] == "bad-request"


@pytest.mark.parametrize("body", [
    b"\x01", b"\x01\x00\x05ab", b"\x00\x00\x01a", b"\xff\x00\x01a",
    b"\x01\x00\x00", b"\x01\x00\x011\x01\x00\x011",
    struct.pack(">BH", 2, 5000) + b"a" * 5000])
def test_bytes_that_are_no_question_end_the_connection(place, body):
    with place.asker() as asker:
        asker.socket.send(message(otp_place.ASK, 1, body))
        with contextlib.suppress(ConnectionResetError):
            assert asker.socket.recv(100) == b""
    assert place.ask("state", user="x")["verdict"] == "yes"


def test_answers_carry_the_number_of_their_question(place):
    with place.asker() as asker:
        numbers = [asker.post("state", user=f"number-{index}")
                   for index in range(20)]
        for number in numbers:
            assert asker.wait(number)["state_is"] == "none"


def test_a_peer_that_asked_need_not_say_hello(place):
    with place.asker() as asker:
        asker.ask("state", user="patient")
        time.sleep(7)
        assert asker.ask("state", user="patient")["verdict"] == "yes"


def test_one_that_leaves_before_the_answer_takes_nothing_with_it(place):
    for _ in range(20):
        asker = place.asker()
        asker.post("state", user="gone")
        asker.close()
    assert place.ask("state", user="gone")["verdict"] == "yes"


# ---- Self-service ----------------------------------------------------------

def confirm(place, account, secret, **fields):
    return as_user(place, account, "confirm", user=account.pw_name,
                   code=door_codes.totp(secret), **fields)


def secret_of(answer):
    text = answer["secret"]
    return base64.b32decode(text + "=" * (-len(text) % 8))


def test_a_user_enrolls_itself_once_and_then_with_a_code(place):
    account = pwd.getpwnam("games")
    answer = as_user(place, account, "enroll", user="games", device="first")
    assert answer["verdict"] == "yes" and "issuer=Aoba" in answer["uri"]
    first = secret_of(answer)
    assert place.state("games") == "pending"
    assert place.verify("games", door_codes.totp(first))["verdict"] == "no"
    answer = confirm(place, account, first, device="first", kind="recovery")
    assert answer["verdict"] == "yes"
    recovery = answer["text"].split()
    assert len(set(recovery)) == 10
    # that code is used up, and the password alone enrolls no second device
    assert place.verify("games", door_codes.totp(first))["verdict"] == "no"
    assert as_user(place, account, "enroll", user="games",
                   device="second") == {"verdict": "no"}
    answer = as_user(place, account, "enroll", user="games", device="second",
                     code=door_codes.totp(first, ahead=1))
    assert answer["verdict"] == "yes"
    second = secret_of(answer)
    assert confirm(place, account, second, device="second")["verdict"] == "yes"
    # a recovery code opens one door once
    asked = {"user": "games", "code": recovery[0].upper()}
    answer = place.ask("verify", **asked)
    assert answer == {"verdict": "yes", "why": "ok", "factor": "recovery",
                      "left": "9"}
    assert place.ask("verify", **asked)["why"] == "code-used-twice"
    changes = [(entry["action"], entry["outcome"], entry["by"])
               for entry in place.records("enrollment", user="games")]
    assert ("enroll", 0, "games") in changes and \
        ("enroll", 4, "games") in changes and ("confirm", 0, "games") in changes


def test_a_door_enrolls_no_second_device_without_a_code(place):
    """Root asks here, in the name of a door: as a PAM module does."""
    secret = place.enroll("resident")
    asked = {"user": "resident", "device": "more", "service": "sshd"}
    assert place.ask("enroll", **asked)["why"] == "wrong-code"
    assert place.ask("enroll", **asked, code=door_codes.totp(secret))[
        "verdict"] == "yes"


def test_self_service_can_be_switched_off(tmp_path):
    with otp_place.place(tmp_path, "otp_self_service off;\n") as place:
        folder = tmp_path
        while str(folder) not in ("/", "/tmp"):
            os.chmod(folder, 0o711)
            folder = folder.parent
        for operation in ("enroll", "confirm", "recovery"):
            assert as_user(place, NOBODY, operation, user="nobody",
                           device="x") == {"verdict": "not-allowed"}
        assert as_user(place, NOBODY, "state", user="nobody")["verdict"] == \
            "yes"


def test_five_wrong_first_codes_end_the_enrolment(place):
    answer = place.ask("enroll", user="clumsy")
    secret = secret_of(answer)
    wrong = door_codes.wrong(secret)
    whys = [place.ask("confirm", user="clumsy", device="phone",
                      code=wrong)["why"] for _ in range(6)]
    assert whys[:4] == ["wrong-code"] * 4 and whys[5] == "not-pending"
    assert place.state("clumsy") == "none"


# ---- Locks, grace, records -------------------------------------------------

def test_locked_at_the_limit_and_unlocked_with_a_reason(tmp_path):
    rules = "otp_lock_at 3;\notp_wait_from 3;\n"
    with otp_place.place(tmp_path, rules) as place:
        secret = place.enroll("locked")
        wrong = door_codes.wrong(secret)
        for _ in range(3):
            place.verify("locked", wrong, address="203.0.113.1")
        assert place.state("locked") == "enrolled,locked"
        assert place.ask("lock_state", user="locked")["state_is"] == \
            "enrolled,locked"
        assert place.verify("locked", door_codes.totp(secret))["why"] == \
            "locked"
        assert place.ask("unlock", user="locked")["verdict"] == "bad-request"
        assert place.ask("unlock", user="locked", by="chief",
                         reason="called back")["verdict"] == "yes"
        assert place.verify("locked", door_codes.totp(secret))["verdict"] == \
            "yes"
        lock, = place.records("enrollment", action="lock")
        assert (lock["user"], lock["failures"]) == ("locked", 3)
        unlock, = place.records("enrollment", action="unlock")
        assert (unlock["user"], unlock["by"], unlock["note"]) == (
            "locked", "chief", "called back")


def test_grace_counts_and_ends(place):
    allowed = {"user": "newcomer", "left": "2", "service": "sshd"}
    assert [place.ask("grace", **allowed)["verdict"] for _ in range(3)] == [
        "yes", "yes", "no"]
    answer = place.ask("grace", **allowed)
    assert (answer["why"], answer["logins"]) == ("grace-over", "2")
    place.enroll("settled")
    assert place.ask("grace", user="settled")["why"] == "enrolled"
    found = place.records("sign-in", user="newcomer")
    assert [entry["reason"] for entry in found[:3]] == ["grace", "grace",
                                                        "grace-over"]


def test_a_sign_in_is_recorded_with_all_that_was_told(place):
    secret = place.enroll("yamada")
    place.verify("yamada", door_codes.totp(secret), service="sshd",
                 address="203.0.113.7", tty="ssh", factors="password")
    record, = place.records("sign-in", user="yamada")
    assert {name: record.get(name) for name in (
        "outcome", "reason", "factors", "device", "service", "address", "tty",
        "source")} == {
            "outcome": 0, "reason": "ok", "factors": "password,totp",
            "device": "phone", "service": "sshd", "address": "203.0.113.7",
            "tty": "ssh", "source": "sekishod"}


def test_a_replay_is_an_alert_and_no_guess(place):
    secret = place.enroll("echo")
    code = door_codes.totp(secret)
    assert place.verify("echo", code)["verdict"] == "yes"
    for _ in range(30):
        assert place.verify("echo", code)["why"] == "code-used-twice"
    assert place.state("echo") == "enrolled"
    assert place.verify("echo", door_codes.totp(secret, ahead=1))[
        "verdict"] == "yes"
    alerts = place.records("code-alert", user="echo")
    assert alerts
    for alert in alerts:
        assert (alert["outcome"], alert["reason"]) == (8, "code-used-twice")


def refusals(place, reason):
    return [entry for entry in place.entries("sign-in")
            if entry["reason"] == reason]


def test_a_flood_from_one_address_is_counted_and_told_at_the_end(tmp_path):
    place = otp_place.Place(tmp_path, "otp_source_lock_at 100000;\n")
    with place.asker() as asker:
        for index in range(200):
            asker.ask("verify", user=f"guess-{index}", code="1",
                      address="203.0.113.66")
    assert place.stop() == 0, place.messages()
    found = refusals(place, "not-enrolled")
    alone = [entry for entry in found if "count" not in entry]
    # thirty by themselves, the first of those that are counted, the count;
    # twice of each if a minute ended in between
    assert 31 <= len(alone) <= 62
    assert len(alone) + sum(e.get("count", 0) for e in found) == 200
    assert found[-1]["address"] == "203.0.113.66"


def test_a_wrong_code_and_an_unknown_name_leave_as_many_records(tmp_path):
    """A record takes its time: more or fewer would tell who is enrolled."""
    place = otp_place.Place(tmp_path, "otp_source_lock_at 100000;\n"
                            "otp_wait_from 100;\notp_lock_at 100;\n")
    place.enroll("known")
    with place.asker() as asker:
        for _ in range(20):
            asker.ask("verify", user="known", code="000000",
                      address="203.0.113.67")
            asker.ask("verify", user="nobody", code="000000",
                      address="203.0.113.68")
    assert place.stop() == 0, place.messages()
    assert len(refusals(place, "wrong-code")) == 20
    assert len(refusals(place, "not-enrolled")) == 20


def test_hotp_counts_and_is_recorded_as_such(place):
    secret = place.enroll("counter", kind="hotp", counter=7)
    assert place.verify("counter", door_codes.hotp(secret, 7)) == {
        "verdict": "yes", "why": "ok", "factor": "hotp"}
    assert place.verify("counter", door_codes.hotp(secret, 7))["why"] == \
        "code-used-twice"
    assert place.verify("counter", door_codes.hotp(secret, 9))["verdict"] == \
        "yes"


def test_names_of_users_are_bytes(place):
    secret = place.enroll(b"caf\xe9")
    assert place.ask("verify", user=b"CAF\xe9",
                     code=door_codes.totp(secret))["why"] == "not-enrolled"
    assert place.ask("verify", user=b"caf\xe9",
                     code=door_codes.totp(secret))["verdict"] == "yes"


def test_a_list_of_many_users_comes_in_pages(tmp_path):
    with otp_place.place(tmp_path) as place:
        names = [f"user-{index:04}" for index in range(400)]
        for name in names:
            place.enroll(name)
        seen, after, pages = [], "", 0
        while True:
            answer = place.ask("list", after=after)
            seen += [line.split('"')[3] for line in
                     answer["text"].splitlines()]
            pages += 1
            if "more" not in answer:
                break
            after = answer["after"]
        assert seen == names and pages > 1
        assert "secret" not in place.ask("list")["text"]
        assert place.ask("export")["text"].count('"secret"') > 100


# ---- Places ----------------------------------------------------------------

POLICY = """timezone Asia/Tokyo;
facility clinic { network 203.0.113.0/24; services ssh; users yamada suzuki;
                  second-factor always; session idle 15m max 8h; }
facility ward { network 198.51.100.0/24; services desktop; second-factor never; }
facility room { network local; services desktop; hours mon 00:00-00:01; }
"""


@pytest.fixture(name="gated", scope="module")
def with_policy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("places")
    (folder / "facilities.conf").write_text(POLICY)
    with otp_place.place(folder, f"policy {folder}/policy.img;\n",
                         start=False) as it:
        it.tool("policy", "apply", folder / "facilities.conf", "--image",
                folder / "policy.img")
        it.start()
        yield it


def where(place, **fields):
    return place.ask("place", **{"user": "yamada", "service": "sshd",
                                 **fields})


def test_a_place_is_allowed_with_what_it_still_owes(gated):
    assert where(gated, address="203.0.113.7") == {
        "verdict": "yes", "why": "ok", "facility": "clinic", "idle": "900",
        "max": "28800", "second_factor": "always"}
    assert where(gated, address="198.51.100.7", service="lightdm") == {
        "verdict": "yes", "why": "ok", "facility": "ward",
        "second_factor": "never"}


@pytest.mark.parametrize("fields, why", [
    ({"address": "192.0.2.1"}, "unknown-network"),
    ({"address": "203.0.113.7", "user": "tanaka"}, "user-not-listed"),
    ({"address": "198.51.100.7"}, "service-not-allowed"),
    ({"address": "203.0.113.7", "service": "login"}, "service-not-allowed"),
    ({}, "unknown-network")])
def test_a_place_is_denied_on_record(gated, fields, why):
    answer = where(gated, **fields)
    assert (answer["verdict"], answer["why"]) == ("no", why)
    found = [entry for entry in gated.records("denied", reason=why)
             if entry.get("address") == fields.get("address")]
    assert found and found[0]["service"] in ("ssh", "desktop")


def test_a_new_policy_is_live_within_two_seconds(gated):
    folder = gated.folder
    with open(f"{folder}/facilities.conf", "a", encoding="utf-8") as file:
        file.write("facility new { network 192.0.2.128/25; }\n")
    assert where(gated, address="192.0.2.200")["verdict"] == "no"
    gated.tool("policy", "apply", f"{folder}/facilities.conf", "--image",
               f"{folder}/policy.img")
    deadline = time.monotonic() + 10
    while where(gated, address="192.0.2.200")["verdict"] != "yes":
        assert time.monotonic() < deadline, gated.messages()
        time.sleep(0.1)


def test_a_bad_policy_leaves_the_last_good_one(gated):
    with open(f"{gated.folder}/policy.img", "wb") as file:
        file.write(b"no image at all" * 100)
    deadline = time.monotonic() + 10
    while "stays" not in gated.messages():
        assert time.monotonic() < deadline, gated.messages()
        time.sleep(0.1)
    assert where(gated, address="203.0.113.7")["verdict"] == "yes"


def test_without_a_policy_no_place_is_allowed(tmp_path):
    with otp_place.place(tmp_path) as place:
        answer = where(place, address="203.0.113.7")
        assert (answer["verdict"], answer["why"]) == ("unavailable",
                                                      "policy-missing")


def test_places_off_allows_all(place):
    answer = where(place, address="203.0.113.7")
    assert (answer["verdict"], answer["why"]) == ("yes", "places-off")


