"""A code opens one door once, whatever happens at the same instant.

SEKISHO_LONG=1 plays 50 rounds of each; else three.
"""

import os
import pwd
import threading
import time

import pytest

import door_codes
import otp_place

ROUNDS = 50 if os.environ.get("SEKISHO_LONG") else 3


@pytest.fixture(name="place", scope="module")
def running(tmp_path_factory):
    with otp_place.place(tmp_path_factory.mktemp("once"), "places off;\n") as it:
        yield it


def verdicts(answers):
    assert all(answers), "a question was not answered"
    return [answer["verdict"] for answer in answers]


@pytest.mark.parametrize("count", [2, 8, 32, 128])
def test_the_same_code_at_once_opens_one_door(place, count):
    for turn in range(ROUNDS):
        user = f"same-{count}-{turn}"
        secret = place.enroll(user)
        answers = place.at_once([{"user": user,
                                  "code": door_codes.totp(secret)}] * count)
        assert verdicts(answers).count("yes") == 1, answers
        assert all(answer["why"] == "code-used-twice" for answer in answers
                   if answer["verdict"] != "yes")
        # they were right, so nobody was guessing
        assert place.state(user) == "enrolled"


def test_different_users_at_once_all_get_in(place):
    for turn in range(ROUNDS):
        users = [f"different-{turn}-{index}" for index in range(64)]
        secrets = [place.enroll(user) for user in users]
        answers = place.at_once(
            [{"user": user, "code": door_codes.totp(secret)}
             for user, secret in zip(users, secrets)])
        assert verdicts(answers) == ["yes"] * 64, answers


def test_two_devices_of_a_user_at_once_both_get_in(place):
    place.enroll("two", first := door_codes.new_secret(), device="phone")
    place.enroll("two", second := door_codes.new_secret(), device="card")
    answers = place.at_once([{"user": "two", "code": door_codes.totp(secret)}
                             for secret in (first, second)])
    assert verdicts(answers) == ["yes", "yes"]


def test_wrong_codes_at_once_are_looked_at_up_to_the_limit(place):
    secret = place.enroll("guessed")
    wrong = door_codes.wrong(secret)
    answers = place.at_once([{"user": "guessed", "code": wrong}] * 128)
    whys = [answer["why"] for answer in answers]
    assert set(verdicts(answers)) == {"no"}
    # the third failure makes one wait, so no fourth is looked at
    assert whys.count("wrong-code") == 3, whys
    assert whys.count("throttled") == 125, whys


def test_a_right_code_among_wrong_ones_does_not_pass_a_throttle(place):
    secret = place.enroll("hidden")
    wrong = {"user": "hidden", "code": door_codes.wrong(secret)}
    for _ in range(3):
        place.ask("verify", **wrong)
    answers = place.at_once([{"user": "hidden",
                              "code": door_codes.totp(secret)}] * 8)
    assert verdicts(answers) == ["no"] * 8
    assert {answer["why"] for answer in answers} == {"throttled"}


def test_the_web_and_root_at_once_open_one_door(place):
    if os.geteuid() != 0:
        pytest.skip("takes root, to be somebody else")
    web = pwd.getpwnam("www-data").pw_uid
    # the folder of the test is root's alone
    os.chmod(place.folder, 0o711)
    parent = place.folder
    while (parent := os.path.dirname(parent)) not in ("/", "/tmp"):
        os.chmod(parent, 0o711)

    def at(moment, user, code):
        with place.asker() as asker:
            time.sleep(max(0, moment - time.time()))
            return asker.ask("verify", user=user, code=code, service="web",
                             address="203.0.113.9")

    for turn in range(ROUNDS):
        user = f"door-{turn}"
        code = door_codes.totp(place.enroll(user))
        moment = time.time() + 0.2
        found = []
        threads = [
            threading.Thread(target=lambda: found.append(
                otp_place.as_user(web, at, moment, user, code))),
            threading.Thread(target=lambda: found.append(
                at(moment, user, code)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(answer["verdict"] for answer in found) == ["no", "yes"], \
            found
