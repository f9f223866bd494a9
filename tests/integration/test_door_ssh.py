"""A real sshd with password and code, in a house of its own (door_house.py)."""

import re

import pytest

import door_house

PASSWORD = "Sesam, oeffne dich"
KEY_PORT = 2222
LOOSE_PORT = 2223


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    door_house.need(sshd="openssh-server", ssh="openssh-client")
    house = door_house.build(tmp_path_factory.mktemp("ssh") / "house")
    try:
        house.install()
        house.start_daemon()
        house.yamada = house.user("yamada", PASSWORD)
        house.suzuki = house.user("suzuki", PASSWORD)
        house.guest = house.user("guest", PASSWORD)  # never enrolled
        house.pam("sshd")
        house.sshd("sekisho.conf")
        yield house
    finally:
        house.close()


@pytest.fixture
def yamada(house):
    return house.yamada.enroll()


def login(house, who, password, code, *command, **options):
    """Answers both questions; what ssh said, and its status."""
    with house.ssh(f"{who}@127.0.0.1", *(command or ("echo", "is-in")),
                   **options) as talk:
        talk.answer(r"\) Password: $", password)
        if code is not None:
            talk.answer(CODE, code)
        status = talk.end()
        return status, talk.all


CODE = r"\) [^\n]*[Cc]ode[^\n]*: $"


def is_refused(result):
    status, text = result
    return status == 255 and "Permission denied (keyboard-interactive)." in text


def test_password_and_code(house, yamada):
    status, text = login(house, "yamada", PASSWORD, yamada.code(), "id", "-un")
    assert status == 0
    assert text.rstrip().endswith("yamada")
    house.recorded(user="yamada", service="sshd", address="127.0.0.1",
                   outcome=0)


def test_code_is_shown_while_it_is_typed(house, yamada):
    """ECHO_ON, without which sshd's method `password` would answer it."""
    code = yamada.code()
    assert re.search(rf"[Cc]ode.*: {code}", login(
        house, "yamada", PASSWORD, code)[1])


def test_wrong_code(house, yamada):
    assert is_refused(login(house, "yamada", PASSWORD, yamada.wrong_code()))
    house.recorded(user="yamada", reason="wrong-code")


def test_wrong_password_comes_to_no_code(house, yamada):
    """Nobody can use up codes, or lock a name, without the password."""
    before = house.last()
    code = yamada.code()
    assert is_refused(login(house, "yamada", "wrong", None))
    assert login(house, "yamada", PASSWORD, code)[0] == 0
    signs = house.recorded("sign-in", user="yamada", since=before)
    assert [sign["outcome"] for sign in signs] == [0]


def test_code_opens_once(house, yamada):
    code = yamada.code()
    assert login(house, "yamada", PASSWORD, code)[0] == 0
    assert is_refused(login(house, "yamada", PASSWORD, code))
    house.recorded(user="yamada", reason="code-used-twice")


def test_sftp_and_scp(house, yamada):
    house.write("/tmp/sent", "an image\n")
    for words in (("scp", "/tmp/sent", "yamada@127.0.0.1:scp"),
                  ("sftp", "yamada@127.0.0.1")):
        yamada.enroll()
        with house.ssh(*words[1:], program=words[0]) as talk:
            talk.answer(r"\) Password: $", PASSWORD)
            talk.answer(CODE, yamada.code())
            if words[0] == "sftp":
                talk.answer("sftp> $", "put /tmp/sent sftp")
                talk.answer("sftp> $", "bye")
            assert talk.end() == 0, talk.all
        assert house.read(f"{yamada.home}/{words[0]}") == "an image\n"


def test_unknown_and_locked_users_see_the_same(house, yamada):
    """The questions of somebody who is not there, whose account is locked,
    who is not enrolled, and of one with a wrong password."""
    house.user("locked", PASSWORD)
    house.run("usermod", "--lock", "locked")
    said = set()
    for who in ("nobody-here", "locked", "yamada", "root"):
        status, text = login(house, who, "wrong", None)
        assert status == 255
        said.add(text.replace(who, "WHO"))
    assert len(said) == 1, said


def test_not_enrolled_sees_the_same_as_a_wrong_code(house, yamada):
    said = set()
    for who, code in (("yamada", yamada.wrong_code()), ("guest", "123456")):
        result = login(house, who, PASSWORD, code)
        assert is_refused(result)
        said.add(result[1].replace(who, "WHO").replace(code, "CODE"))
    assert len(said) == 1, said


def test_method_password_is_refused(house, yamada):
    """With the password, with the code, and with both in one."""
    code = yamada.code()
    for word in (PASSWORD, code, PASSWORD + code):
        with house.ssh("yamada@127.0.0.1", "true", options=(
                "-o", "PreferredAuthentications=password")) as talk:
            assert talk.end() == 255
            assert "Permission denied (keyboard-interactive)" in talk.all, word
    assert login(house, "yamada", PASSWORD, code)[0] == 0, "it is still unused"


def test_public_key_alone_is_refused(house, yamada):
    key = make_key(house, "/home/yamada")
    with house.ssh("yamada@127.0.0.1", "true", options=(
            "-i", key, "-o", "PreferredAuthentications=publickey")) as talk:
        assert talk.end() == 255, talk.all


@pytest.mark.parametrize("address, reason", [
    ("127.0.10.1", "service-not-allowed"), ("127.0.10.2", "not-valid"),
    ("127.0.10.3", "user-not-listed")])
def test_place_is_denied(house, yamada, address, reason):
    """Password and code are right, and the place is not."""
    result = login(house, "yamada", PASSWORD, yamada.code(), options=(
        "-b", address))
    assert result[0] == 255
    assert "is-in" not in result[1]
    assert reason not in result[1]
    house.recorded(user="yamada", address=address, reason=reason)


def test_place_of_listed_user(house):
    user = house.suzuki.enroll()
    assert login(house, "suzuki", PASSWORD, user.code(),
                 options=("-b", "127.0.10.3"))[0] == 0


def test_daemon_stopped_denies_and_started_lets_in(house, yamada):
    house.stop_daemon()
    try:
        assert is_refused(login(house, "yamada", PASSWORD, yamada.code()))
    finally:
        house.start_daemon()
    assert login(house, "yamada", PASSWORD, yamada.code())[0] == 0


def make_key(house, home):
    key = "/tmp/id_ed25519"
    if not house.path(key).exists():
        house.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
        house.write(f"{home}/.ssh/authorized_keys", house.read(f"{key}.pub"),
                    0o600)
        house.path(f"{home}/.ssh").chmod(0o700)
        house.run("chown", "-R", "yamada:yamada", f"{home}/.ssh")
    return key


# ---- Public key and code ------------------------------------------------------


@pytest.fixture(scope="module")
def keys(house):
    """sshd once more, with the key as first factor; the other stack for it."""
    house.sshd("sekisho-publickey.conf", port=KEY_PORT)
    yield make_key(house, "/home/yamada")


@pytest.fixture
def key_stack(house):
    """/etc/pam.d/sshd is read at each login: swapped for a test."""
    text = house.read("/etc/pam.d/sshd")
    house.write("/etc/pam.d/sshd", (door_house.EXAMPLES / "pam.d" /
                                    "sshd-publickey").read_text())
    yield
    house.write("/etc/pam.d/sshd", text)


def test_key_and_code(house, yamada, keys, key_stack):
    code = yamada.code()
    for attempt, expected in ((yamada.wrong_code(), 255), (code, 0),
                              (code, 255)):
        with house.ssh("yamada@127.0.0.1", "id", "-un", port=KEY_PORT,
                       options=("-i", keys)) as talk:
            talk.answer(CODE, attempt)
            assert talk.end() == expected, talk.all
            assert "assword" not in talk.all
            assert ("yamada\n" in talk.all.split(attempt)[1]) == (
                expected == 0)


def test_code_without_the_key_comes_to_no_question(house, yamada, keys,
                                                   key_stack):
    with house.ssh("yamada@127.0.0.1", "true", port=KEY_PORT) as talk:
        assert talk.end() == 255
        assert "Permission denied (publickey)." in talk.all
        assert "ode" not in talk.all


# ---- The method `password`, where an administrator left it on -------------------


def test_left_on_method_password_lets_nobody_in(house, yamada):
    house.sshd(port=LOOSE_PORT)
    code = yamada.code()
    for word in (PASSWORD, code, PASSWORD + code):
        with house.ssh("yamada@127.0.0.1", "echo", "is-in", port=LOOSE_PORT,
                       options=("-o",
                                "PreferredAuthentications=password")) as talk:
            talk.answer(r"assword: $", word)
            assert talk.end() == 255
            assert "is-in" not in talk.all
