"""One code, many conversations at the same instant: one of them gets in.

SEKISHO_LONG=1 (make fault): 50 rounds of each, and 128 at once.
"""

import json
import os
import subprocess

import pytest

import door_house

LONG = bool(os.environ.get("SEKISHO_LONG"))
ROUNDS = 50 if LONG else 2
COUNTS = (2, 8, 32, 128) if LONG else (2, 8, 32)
PASSWORD = "Sesam, oeffne dich"
TESTS = "/mnt/top/tests/integration"


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    door_house.need(setpriv="util-linux")
    house = door_house.build(tmp_path_factory.mktemp("instant") / "house")
    try:
        house.install()
        house.start_daemon()
        # The stack of sshd, of whose conversations these are copies.
        house.pam("sshd")
        yield house
    finally:
        house.close()


@pytest.fixture(scope="module")
def users(house):
    names = ("yamada", "suzuki", "tanaka", "sato")
    return [house.user(name, PASSWORD) for name in names]


class Party:
    """Processes that have all been asked before any of them answers."""

    def __init__(self, house):
        self.house = house
        self.guests = []

    def start(self, *words, first=None, user=None):
        process = subprocess.Popen(
            self.house.command("/usr/bin/python3", "-B", *words, user=user),
            env=self.house.env(), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if first:
            process.stdin.write(first + "\n")
            process.stdin.flush()
        self.guests.append(process)

    def pam(self, user, code, count):
        self.start(f"{TESTS}/door_pam.py", "sshd", user.name, count,
                   first=json.dumps({"password": user.password,
                                     "code": code}))

    def web(self, user, code, count):
        for _ in range(count):
            self.start(f"{TESTS}/door_ask.py", door_house.SOCKET, "VERIFY",
                       f"user={user.name}", f"code={code}",
                       "address=127.0.0.1", user="www-data")

    def answer(self):
        """All at once; how many were let in, in the order of starting."""
        for guest in self.guests:
            line = guest.stdout.readline()
            assert line in ("asked\n", "ready\n"), guest.communicate()[1]
        for guest in self.guests:
            guest.stdin.write("go\n")
            guest.stdin.flush()
        found = []
        for guest in self.guests:
            said, errors = guest.communicate(timeout=120)
            assert guest.returncode == 0, errors
            result = json.loads(said)
            found.append(result.count(0) if isinstance(result, list)
                         else int(result["verdict"] == "yes"))
        return found


@pytest.mark.parametrize("count", COUNTS)
def test_load_one_of_many_is_let_in(house, users, count):
    user = users[0]
    for _ in range(ROUNDS):
        party = Party(house)
        party.pam(user.enroll(), user.code(), count)
        assert party.answer() == [1]


def test_load_pam_and_web_together_one_is_let_in(house, users):
    user = users[0]
    for _ in range(ROUNDS):
        party = Party(house)
        code = user.enroll().code()
        party.pam(user, code, 8)
        party.web(user, code, 3)
        assert sum(party.answer()) == 1


def test_load_web_alone_is_let_in_once(house, users):
    """Shows that the web's peers above could have been the one."""
    party = Party(house)
    code = users[0].enroll().code()
    party.web(users[0], code, 3)
    assert sum(party.answer()) == 1


def test_load_different_users_at_once_are_all_let_in(house, users):
    for _ in range(ROUNDS):
        party = Party(house)
        for user in users:
            party.pam(user.enroll(), user.code(), 1)
        assert party.answer() == [1] * len(users)


def test_load_wrong_codes_at_once_are_bounded(house, users):
    """The wait from the third failure on holds for guesses in parallel too:
    nearly all of them are not looked at."""
    user = users[1].enroll()
    before = house.last()
    party = Party(house)
    party.pam(user, user.wrong_code(), 32)
    assert party.answer() == [0]
    house.last()
    signs = house.entries(user=user.name, since=before)
    looked = [sign for sign in signs if sign.get("reason") == "wrong-code"]
    # Three at once; one more for each second that it took, 1, 2, 4 …
    assert 1 <= len(looked) <= 6, signs
    assert max(sign["failures"] for sign in looked) <= 6
    # … and one behind them, with the right code, waits like them.
    assert house.desk().ask("VERIFY", user=user.name, code=user.code(),
                            service="sshd")["verdict"] == "no"
