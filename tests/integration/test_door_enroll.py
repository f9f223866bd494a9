"""Who has no device yet makes one at the door of a real sshd."""

import base64
import re
import shutil
import subprocess

import pytest

import door_codes
import door_house

PASSWORD = "Sesam, oeffne dich"


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    door_house.need(sshd="openssh-server", ssh="openssh-client")
    house = door_house.build(tmp_path_factory.mktemp("enroll") / "house")
    try:
        house.install()
        house.start_daemon()
        house.pam("sshd")
        text = house.read("/etc/pam.d/sshd")
        for kind, options in (("auth", "enroll"), ("account", "enroll")):
            text, count = re.subn(
                rf"(?m)^({kind} +required +pam_sekisho\.so)$",
                rf"\1 {options}", text)
            assert count == 1
        house.write("/etc/pam.d/sshd", text)
        house.sshd("sekisho.conf")
        yield house
    finally:
        house.close()


def drawn(lines, path):
    """The half blocks as a picture that a phone would see."""
    rows = []
    for line in lines:
        rows.append([c in "▀█" for c in line])
        rows.append([c in "▄█" for c in line])
    width = max(map(len, rows))
    scale = 6
    with open(path, "wb") as file:
        file.write(b"P5 %d %d 255\n" % (width * scale, len(rows) * scale))
        for row in rows:
            row = row + [True] * (width - len(row))
            file.write(bytes(255 if light else 0 for light in row
                             for _ in range(scale)) * scale)


def test_a_device_is_made_after_the_password_and_opens_the_next_door(
        house, tmp_path):
    house.user("newcomer", PASSWORD)
    with house.ssh("newcomer@127.0.0.1", "echo", "is-in") as talk:
        talk.answer(r"\) Password: $", PASSWORD)
        talk.answer(r"\) [^\n]*[Cc]ode[^\n]*: $", "")
        talk.expect(r"Code of the new device: $")
        shown = talk.all
        secret = re.search(r"Secret for the application[^:]*: ([A-Z2-7 ]+)",
                           shown).group(1).replace(" ", "")
        key = base64.b32decode(secret + "=" * (-len(secret) % 8))
        talk.send(door_codes.totp(key))
        talk.answer(r"Press Enter when they are kept: $", "")
        assert talk.end() == 0, talk.all
        assert len(re.findall(r"(?m)^\S{4}(?:-\S{4}){3}$", talk.all)) == 10
        assert "is-in" in talk.all
    house.recorded(event="enrollment", user="newcomer", action="confirm")
    with house.ssh("newcomer@127.0.0.1", "echo", "is-in") as talk:
        talk.answer(r"\) Password: $", PASSWORD)
        talk.answer(r"\) [^\n]*[Cc]ode[^\n]*: $", door_codes.totp(key, ahead=1))
        assert talk.end() == 0
    lines = [line.rstrip("\r") for line in shown.split("\n")
             if re.search("[▀▄█]", line)]
    assert len(lines) > 15
    if shutil.which("zbarimg") is None:
        pytest.skip("the picture is not read: Debian package zbar-tools")
    drawn(lines, tmp_path / "qr.pgm")
    read = subprocess.run(["zbarimg", "--raw", "-q", tmp_path / "qr.pgm"],
                          stdout=subprocess.PIPE, text=True, check=False)
    assert f"secret={secret}" in read.stdout


def test_a_wrong_password_sees_no_secret(house):
    house.user("stranger", PASSWORD)
    with house.ssh("stranger@127.0.0.1", "echo", "is-in") as talk:
        talk.answer(r"\) Password: $", "wrong")
        assert talk.end() == 255
        assert "Secret" not in talk.all and "is-in" not in talk.all
