"""sudo, su and login with password and code, in a house of its own."""

import json

import pytest

import door_house

PASSWORD = "Sesam, oeffne dich"
CODE = r"[Cc]ode[^\n]*: $"


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    door_house.need(sudo="sudo", su="util-linux", login="login")
    house = door_house.build(tmp_path_factory.mktemp("console") / "house")
    try:
        house.install()
        house.start_daemon()
        house.yamada = house.user("yamada", PASSWORD)
        house.guest = house.user("guest", PASSWORD)  # never enrolled
        house.pam("sudo", "sudo-i", "su", "login")
        # A question for each command: no time for which sudo remembers.
        house.write("/etc/sudoers.d/door", "Defaults timestamp_timeout=0\n"
                    "yamada ALL=(ALL:ALL) ALL\nguest ALL=(ALL:ALL) ALL\n",
                    0o440)
        yield house
    finally:
        house.close()


@pytest.fixture
def yamada(house):
    return house.yamada.enroll()


@pytest.mark.parametrize("words, service", [
    (("sudo", "id", "-un"), "sudo"), (("sudo", "-i", "id", "-un"), "sudo-i")])
def test_sudo(house, yamada, words, service):
    code = yamada.code()
    for attempt, good in ((yamada.wrong_code(), False), (code, True),
                          (code, False)):
        with house.talk(*words, user="yamada") as talk:
            talk.answer("assword for yamada: $", PASSWORD)
            talk.answer(CODE, attempt)
            if good:
                assert talk.end() == 0, talk.all
                assert talk.all.endswith("\nroot\n")
            else:
                talk.expect("Sorry, try again.|assword for yamada: ")
    house.recorded(user="yamada", service=service, outcome=0)
    # A second alert of a user, right after the first, is counted with it.
    house.recorded(user="yamada", reason="code-used-twice")


def test_sudo_of_somebody_who_is_not_enrolled(house):
    with house.talk("sudo", "id", user="guest") as talk:
        talk.answer("assword for guest: $", PASSWORD)
        talk.answer(CODE, "123456")
        talk.expect("Sorry, try again.|assword for guest: ")


def test_su_asks_for_the_code_of_whom_one_becomes(house, yamada):
    with house.talk("su", "yamada", "-c", "id -un", user="guest") as talk:
        talk.answer("assword: $", PASSWORD)
        talk.answer(CODE, yamada.code())
        assert talk.end() == 0, talk.all
        assert talk.all.endswith("\nyamada\n")
    with house.talk("su", "yamada", "-c", "id -un", user="guest") as talk:
        talk.answer("assword: $", PASSWORD)
        talk.answer(CODE, yamada.wrong_code())
        assert talk.end() == 1
        assert "su: Authentication failure" in talk.all


def test_root_becomes_anybody_without_a_question(house):
    assert house.run("su", "guest", "-c", "id -un") == (0, "guest\n")


def test_login_on_a_terminal(house, yamada):
    """A shell of the user, the terminal in the record, and the session's
    beginning and end."""
    with house.talk("setsid", "-c", "-w", "login") as talk:
        talk.answer("login: $", "yamada")
        talk.answer("assword: $", PASSWORD)
        talk.answer(CODE, yamada.code())
        talk.answer(r"\$ $", "id -un; tty; exit")
        assert talk.end() == 0, talk.all
        assert "\nyamada\n/dev/pts/" in talk.all
    house.recorded(user="yamada", service="login", outcome=0,
                   address="local")


def test_login_refuses_a_wrong_code(house, yamada):
    with house.talk("setsid", "-c", "-w", "login") as talk:
        talk.answer("login: $", "yamada")
        talk.answer("assword: $", PASSWORD)
        talk.answer(CODE, yamada.wrong_code())
        talk.expect("Login incorrect")


def test_login_asks_for_the_place(house, yamada):
    """The reading room is not a facility for `desktop` for a moment."""
    house.policy(door_house.POLICY.replace("network local; services desktop",
                                           "network local; services web"))
    try:
        door_house.wait_for(
            lambda: desk_says(house)["verdict"] == "no", 10, "the policy")
        with house.talk("setsid", "-c", "-w", "login") as talk:
            talk.answer("login: $", "yamada")
            talk.answer("assword: $", PASSWORD)
            talk.answer(CODE, yamada.code())
            assert talk.end() != 0
            assert "$ " not in talk.rest
        with house.talk("sudo", "id", "-un", user="yamada") as talk:
            talk.answer("assword for yamada: $", PASSWORD)
            talk.answer(CODE, yamada.code())
            assert talk.end() == 0, "sudo is asked for no place"
    finally:
        house.policy(door_house.POLICY)
    door_house.wait_for(
        lambda: desk_says(house)["verdict"] == "yes", 10, "the policy")


def desk_says(house):
    desk = house.desk()
    try:
        return desk.ask("PLACE", user="yamada", service="login",
                        address="local")
    finally:
        desk.close()


def test_another_user_asks_only_for_itself(house, yamada):
    """The socket is open to all; guest cannot try yamada's codes, nor take
    the right one away."""
    code = yamada.code()
    status, text = house.run(
        "/usr/bin/python3", "-B", "/mnt/top/tests/integration/door_ask.py",
        door_house.SOCKET, "VERIFY", "user=yamada", f"code={code}",
        user="guest", stdin="\n")
    assert status == 0, text
    assert json.loads(text.splitlines()[-1])["verdict"] == "no"
    assert house.told("VERIFY", user="yamada", code=code, service="sudo")
