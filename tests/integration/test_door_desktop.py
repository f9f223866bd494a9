"""Real desktop doors without a monitor: lightdm, xscreensaver, i3lock."""

import os
import pathlib
import subprocess
import time

import pytest

import door_house
import door_screen
from door_house import wait_for

# Without capitals: xscreensaver may take a first Shift for another layout.
PASSWORD = "sesam oeffne dich"
DONE = "pam_authenticate (...) ==>"
XSCREENSAVER = """\
timeout: 0:10:00
lock: True
lockTimeout: 0:00:00
mode: blank
fade: False
unfade: False
splash: False
dpmsEnabled: False
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    door_house.need(Xvfb="xvfb", xdotool="xdotool",
                    **{"import": "imagemagick"})
    house = door_house.build(tmp_path_factory.mktemp("desktop") / "house")
    try:
        house.install()
        house.start_daemon()
        house.yamada = house.user("yamada", PASSWORD)
        yield house
    finally:
        house.close()


@pytest.fixture
def yamada(house):
    return house.yamada.enroll()


@pytest.fixture
def seat(house):
    """An X server of its own that belongs to yamada."""
    house.seats = getattr(house, "seats", 59) + 1
    seat = door_screen.xvfb(house, f":{house.seats}", "yamada")
    seat.env["HOME"] = "/home/yamada"
    return seat


def test_lightdm(house, yamada, tmp_path):
    """A wrong code, then the right one, typed into the GTK greeter; the
    session's process proves the login."""
    door_house.need(**{"lightdm": "lightdm",
                       "lightdm-gtk-greeter": "lightdm-gtk-greeter",
                       "dbus-daemon": "dbus"})
    house.pam("lightdm")
    screen = door_screen.lightdm(house)
    session = house.path("/home/yamada/session")

    def prompts():
        return house.read("/var/log/lightdm/lightdm.log").count(
            "Prompt greeter with")

    def answer(text):
        before = prompts()
        screen.type(text)
        wait_for(lambda: prompts() > before, 15, f"a question after {text!r}")

    wait_for(lambda: prompts() > 0, 15, "the first question")
    screen.settled()
    answer("yamada")
    answer(PASSWORD)
    picture = screen.settled()
    (tmp_path / "code.png").write_bytes(picture)
    if os.environ.get("SEKISHO_SCREENSHOT"):  # renews docs/lightdm.png
        pathlib.Path(os.environ["SEKISHO_SCREENSHOT"]).write_bytes(picture)
    assert screen.colours() > 50, "the greeter draws its window"

    screen.type(yamada.wrong_code())
    wait_for(lambda: "Authentication complete with return value 7" in
             house.read("/var/log/lightdm/lightdm.log"), 15, "the refusal")
    assert not session.exists()
    house.recorded(user="yamada", service="lightdm", reason="wrong-code")

    # The greeter begins again by itself, with the same user.
    wait_for(lambda: prompts() > 3, 15, "the greeter to begin again")
    screen.settled()
    answer(PASSWORD)
    screen.type(yamada.code())
    wait_for(lambda: session.exists() and session.read_text(), 15,
             "the session")
    assert session.read_text() == "yamada\n"
    owners = house.run("ps", "-u", "yamada", "-o", "comm=")[1].split()
    assert "sleep" in owners, "the session runs as the user"
    house.recorded(user="yamada", service="lightdm", outcome=0)


def test_xscreensaver_unlocks_as_the_user(house, yamada, seat):
    """PAM runs in the user's process, which is no root: sekishod's peer is
    the user, asking for itself."""
    door_house.need(xscreensaver="xscreensaver")
    house.pam("xscreensaver")
    house.write("/home/yamada/.xscreensaver", XSCREENSAVER, owner="yamada")
    log = "/var/log/xscreensaver"
    process = house.spawn("xscreensaver", "--no-splash", "--verbose",
                          user="yamada", env=seat.env, log=log)

    def command(word):
        return house.run("xscreensaver-command", word, user="yamada",
                         env=seat.env, check=False)[1]

    def said(text):
        return house.read(log).count(text)

    def asked():
        return said("pam_conversation (ECHO_")

    def woken(before, pressed):
        """The dialogue is there, and takes keys."""
        seat.run("xdotool", "key", "shift")
        return asked() > before and said("XI RawKeyPress") > pressed

    def password():
        """Types it; False if a busy machine swallowed a key of it."""
        before, pressed = asked(), said("XI RawKeyPress")
        wait_for(lambda: woken(before, pressed), 30, "the dialogue")
        owner = house.run("ps", "-C", "xscreensaver-auth", "-o",
                          "euser=,ruser=")[1].split()
        assert set(owner) == {"yamada"}
        codes, refused = said('ECHO_ON="One-time code'), said(DONE)
        seat.type(PASSWORD)
        wait_for(lambda: said('ECHO_ON="One-time code') > codes
                 or said(DONE) > refused, 30, "the answer to the password")
        return said('ECHO_ON="One-time code') > codes

    wait_for(lambda: "non-blanked" in command("--time"), 30, "xscreensaver")
    command("--lock")
    wait_for(lambda: "screen locked" in command("--time"), 30, "the lock")
    for code, good in ((yamada.wrong_code(), False), (yamada.code(), True)):
        assert any(password() for _ in range(5)), house.read(log)[-3000:]
        done = said(DONE)
        seat.type(code)
        wait_for(lambda: said(DONE) > done, 30, "the answer to the code")
        if not good:
            assert "screen locked" in command("--time")
    wait_for(lambda: "non-blanked" in command("--time"), 15, "the screen")
    house.recorded(user="yamada", service="xscreensaver", outcome=0)
    house.signal(process, 15)
    process.wait(10)


def test_i3lock_takes_password_and_code_in_one_field(house, yamada, seat):
    door_house.need(i3lock="i3lock")
    house.pam("i3lock")
    process = house.spawn("i3lock", "-n", "-c", "204060", user="yamada",
                          env=seat.env, log="/var/log/i3lock")
    wait_for(lambda: seat.shows("i3lock"), 15, "i3lock")

    def refused(text):
        seat.type(text)
        end = time.monotonic() + 6
        while time.monotonic() < end:
            assert process.poll() is None, f"{text!r} opened it"
            if house.entries(user="yamada", service="i3lock"):
                return True
            time.sleep(0.2)
        return False  # a key that was lost: a person types it again

    assert any(refused(PASSWORD + yamada.wrong_code()) for _ in range(4))
    # Given up on the password: i3lock takes keys again after PAM's delay.
    code = yamada.code()
    wait_for(lambda: tried(seat, PASSWORD + code, process), 15, "it to open")
    assert process.returncode == 0
    house.recorded(user="yamada", service="i3lock", outcome=0)


def tried(seat, text, process):
    seat.type(text)
    try:
        return process.wait(4) == 0
    except subprocess.TimeoutExpired:
        return False
