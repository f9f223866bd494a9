"""kill -9 in the middle of verifications: no code is good twice.

SEKISHO_LONG=1 kills 500 times; else 15.
"""

import os
import random
import threading
import time

import door_codes
import otp_place

KILLS = 500 if os.environ.get("SEKISHO_LONG") else 15
USERS = 8
LATER = 0.004  # seconds: about as long as a group takes


class Person:
    """Somebody with codes, and how often each of them opened a door."""

    def __init__(self, place, name):
        self.name = name
        self.secret = place.enroll(name)
        self.accepted = {}  # step -> how often
        self.greatest = 0

    def ask(self, place, step, answers=None):
        code = door_codes.hotp(self.secret, step)
        try:
            answer = place.verify(self.name, code)
        except OSError:
            return None  # the daemon died before it answered
        if answer["verdict"] == "yes":
            self.accepted[step] = self.accepted.get(step, 0) + 1
            assert step > self.greatest, "the last step went back"
            self.greatest = step
        if answers is not None:
            answers.append(answer)
        return answer


def test_a_kill_at_any_moment_makes_no_code_good_twice(tmp_path):
    place = otp_place.Place(tmp_path)
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    lost = told = 0
    later = LATER  # drawn towards where some are answered and some are not
    for turn in range(KILLS):
        people = [Person(place, f"turn-{turn}-{index}")
                  for index in range(USERS)]
        step = int(time.time()) // 30
        answers = []
        threads = [threading.Thread(target=person.ask,
                                    args=(place, step, answers))
                   for person in people for _ in range(2)]
        for thread in threads:
            thread.start()
        time.sleep(chance.random() * later * (1 + 3 * (turn % 3)))
        place.kill()
        for thread in threads:
            thread.join(30)
        told += len(answers)
        lost += len(threads) - len(answers)
        later *= (0.6 if len(answers) == len(threads)
                  else 1.5 if not answers else 1)
        place.start()
        for person in people:
            again = person.ask(place, step)
            assert again["verdict"] in ("yes", "no"), (seed, again)
            if again["verdict"] == "no":
                # used up by an answer that nobody heard, or by one heard
                assert again["why"] == "code-used-twice", (seed, again)
            assert person.accepted.get(step, 0) <= 1, (seed, person.name)
            # what is before the last step stays used up, what is after it good
            assert person.ask(place, step - 1)["verdict"] == "no", seed
            assert person.ask(place, step + 1)["verdict"] == "yes", seed
            assert place.state(person.name) == "enrolled", seed
    assert place.stop() == 0, place.messages()
    assert told and lost, f"{told} answers before the kills, {lost} lost: " \
                          "they came at one moment only"
    # each code that opened a door is on record, at most once
    seen = {}
    for entry in place.entries("sign-in"):
        if entry["outcome"] == 0:
            seen[entry["user"]] = seen.get(entry["user"], 0) + 1
    assert seen and max(seen.values()) <= 2
    assert place.tool("audit", "verify", "--config", place.config)


def test_a_stop_answers_what_was_asked_before(tmp_path):
    place = otp_place.Place(tmp_path)
    secret = place.enroll("last")
    with place.asker() as asker:
        asker.post("verify", user="last", code=door_codes.totp(secret))
        assert place.stop() == 0
        assert asker.wait()["verdict"] == "yes"
    assert [entry["user"] for entry in place.entries("sign-in")] == ["last"]
