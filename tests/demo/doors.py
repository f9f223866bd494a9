"""The doors of a host: enrolment, a real sshd, a replay, and the records.

All in namespaces of its own (tests/integration/door_house.py): the machine's
users, PAM and sshd are left alone.  That takes root.
"""

import os
import re
import sys

import stage

sys.path.insert(0, os.path.join(stage.ROOT, "tests", "integration"))
import door_house  # pylint: disable=wrong-import-position

USER = "yamada"
PASSWORD = "Sesam, oeffne dich"
CODE = r"\) [^\n]*[Cc]ode[^\n]*: $"


def left_out(play):
    """What of it cannot be shown here, said once; True if it cannot."""
    why = door_house.missing(sshd="openssh-server", ssh="openssh-client",
                             useradd="passwd")
    if why is None and not hasattr(play, "house"):
        try:
            play.house = door_house.House(os.path.join(play.folder, "house"))
            play.house.install()
            play.house.start_daemon()
        except door_house.NoHouse as error:
            why = str(error)
    if why:
        play.screen.text("LEFT OUT: %s." % why)
    return why is not None


def enrol(play):
    """A door to the host itself: Dr. Yamada's phone is enrolled for codes"""
    if left_out(play):
        return
    house = play.house
    play.user = user = house.user(USER, PASSWORD)
    play.screen.text("A host of its own, in namespaces: users, /etc/pam.d and "
                     "sshd of this machine stay as they are.")
    play.screen.field("$", "sekisho otp enroll %s" % USER, "bold")
    with house.talk("sekisho", "otp", "enroll", USER) as talk:
        talk.expect(r"now: $")
        picture, _, rest = talk.all.partition("\nSecret")
        secret = re.match(r" +([A-Z2-7 ]+)\n", rest)
        play.check(secret, "the secret is shown")
        for line in picture.strip("\n").split("\n"):
            play.screen.line("    " + line)
        play.screen.text("Read by any authenticator application; that there "
                         "is a phone here is only made up, so that Python "
                         "makes its codes.")
        user.take(secret.group(1).replace(" ", ""))
        code = user.code()
        talk.send(code)
        play.check(talk.end() == 0, "the device is confirmed: %s" % talk.all)
    play.screen.field("typed", "%s, the code that it shows: from now on it "
                      "counts" % code)
    play.check(re.search(r"(?m)^ *[a-z0-9]{4}(-[a-z0-9]{4}){3}$", talk.all),
               "ten recovery codes are given")


def attempt(play, code, opens):
    """One ssh with password and code, shown as the user sees it."""
    house, screen = play.house, play.screen
    screen.field("$", "ssh %s@127.0.0.1 uname -n" % USER, "bold")
    with house.ssh("%s@127.0.0.1" % USER, "uname", "-n") as talk:
        talk.answer(r"\) Password: $", PASSWORD)
        talk.answer(CODE, code)
        status = talk.end()
    screen.quote(talk.all.strip("\n"))
    screen.field("exit", str(status), "green" if status == 0 else "red",
                 "bold")
    play.check((status == 0) == opens, "ssh ended with %d" % status)


def login(play):
    """… and logs in by a real sshd: password, then the code"""
    if not hasattr(play, "house"):
        return play.screen.text("LEFT OUT, as above.")
    play.house.pam("sshd")
    play.house.sshd("sekisho.conf")
    play.code = play.user.code()
    attempt(play, play.code, True)
    return None


def replay(play):
    """Somebody looked over the shoulder and types the same code"""
    if not hasattr(play, "house"):
        return play.screen.text("LEFT OUT, as above.")
    attempt(play, play.code, False)
    return None


def records(play):
    """Both are in the trail, signed and sealed"""
    if not hasattr(play, "house"):
        return play.screen.text("LEFT OUT, as above.")
    house = play.house
    house.last()
    found = house.entries(user=USER, service="sshd")
    shown = ("time", "event", "outcome", "reason", "user", "factors",
             "address", "service")
    for entry in found:
        play.screen.quote("  ".join(
            "%s=%s" % (name, entry[name]) for name in shown if name in entry))
    reasons = {entry.get("reason") for entry in found}
    play.check({"ok", "code-used-twice"} <= reasons,
               "the records tell of both: %s" % reasons)
    play.screen.field("$", "sekisho audit verify", "bold")
    status, text = house.run("sekisho", "audit", "verify", check=False)
    play.screen.quote(text)
    play.check(status == 0, "the trail is whole")
    house.close()
    return None


STEPS = (enrol, login, replay, records)
