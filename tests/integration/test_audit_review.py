"""sekisho audit review and quiet: decided, signed, and in the trail."""

import datetime
import json
import os
import pty
import pwd
import re
import select
import subprocess
import sys
import time

import pytest

import trail_daemon
from audit_place import wait_for
from tool import BASE_ENV, TOP, sekisho  # noqa: F401

USER = pwd.getpwuid(os.getuid()).pw_name


def records():
    yield {"event": "emergency-on", "outcome": 0, "user": "yamada",
           "address": "local", "reason": "emergency-code"}
    yield {"event": "code-alert", "outcome": 8, "user": "suzuki",
           "address": "203.0.113.9", "reason": "code-used-twice"}
    yield {"event": "wiped", "outcome": 4, "user": "tanaka",
           "address": "local", "failures": 2}


@pytest.fixture
def daemon(tmp_path):
    with trail_daemon.running(tmp_path) as daemon:
        front = daemon.front()
        front.send(*records())
        front.checkpoint()
        yield daemon


class Officer:
    def __init__(self, tool, daemon):
        self.tool, self.daemon = tool, daemon

    def __call__(self, command, *arguments, expect=0, **options):
        result = self.tool("audit", *command.split(), *arguments, "--config",
                           self.daemon.config, **options)
        assert result.returncode == expect, result.stdout + result.stderr
        return result

    def settle(self):
        """Waits until the daemon's index holds all that is recorded now."""
        front = self.daemon.front()
        front.checkpoint()
        size = front.report()["tree_size"]
        front.close()

        def there():
            result = self.tool("audit", "review", "--list", "--json", "--from",
                               "1h", "--config", self.daemon.config)
            return (result.returncode < 2 and
                    json.loads(result.stdout)["tree_size"] >= size)
        assert wait_for(there, 20)

    def list(self, *arguments, expect=None):
        result = self.tool("audit", "review", "--list", "--json", *arguments,
                           "--from", "1h", "--config", self.daemon.config)
        assert result.returncode in ((0, 1) if expect is None else (expect,)), \
            result.stderr
        return json.loads(result.stdout)

    def findings(self):
        return {f["rule"]: f for f in self.list()["findings"]}

    def reviews(self):
        front = self.daemon.front()
        front.checkpoint()
        front.close()
        return self.daemon.entries("review")


@pytest.fixture
def officer(sekisho, daemon):  # noqa: F811
    officer = Officer(sekisho, daemon)
    officer.settle()
    return officer


def days_from_now(days):
    return (datetime.datetime.now(datetime.timezone.utc).date()
            + datetime.timedelta(days=days)).isoformat()


def test_a_review_is_a_record_of_who_what_and_when_next(officer):
    found = officer.findings()
    assert set(found) == {"emergency", "code-used-twice", "not-wiped"}
    due = days_from_now(7)
    result = officer("review", "--since-last", "--note", "looked at all",
                     "--next", due, "--finding",
                     f"{found['emergency']['id']}=explained:no phone: asked",
                     "--finding",
                     f"{found['code-used-twice']['id']}=escalated:told the CISO")
    assert "1 finding stays open" in result.stdout
    review, = officer.reviews()
    assert review["user"] == USER and review["until"] == due
    assert review["note"] == "looked at all"
    assert review["tree_size"] > 3 and "reason" not in review
    assert review["first"] < review["last"]
    assert set(review["findings"].split("\n")) == {
        f"{found['emergency']['id']}=explained:no phone: asked",
        f"{found['code-used-twice']['id']}=escalated:told the CISO"}


def test_what_is_to_come_is_not_looked_at_yet(officer):
    """A period ends now at the latest; and right after it there is nothing new."""
    officer.settle()
    officer("review", "--from", "1h", "--to", days_from_now(1), "--note", "all")
    made, = officer.reviews()
    now = datetime.datetime.now(datetime.timezone.utc)
    assert datetime.datetime.fromisoformat(
        made["last"].replace("Z", "+00:00")) <= now
    officer.settle()
    shown = officer.tool("audit", "review", "--list", "--config",
                         officer.daemon.config)
    assert shown.returncode in (0, 1), shown.stderr


def test_of_a_trail_without_entries_there_is_nothing_to_review(sekisho,  # noqa: F811
                                                               tmp_path):
    driver = os.path.join(TOP, "build/obj/tests/data/trail_make")
    trail, key = tmp_path / "trail", tmp_path / "key"
    subprocess.run([driver, "key", "empty.example/trail", key], check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run([driver, "create", trail, key], check=True)
    assert sekisho("audit", "index", "--trail", trail).returncode == 0
    shown = sekisho("audit", "review", "--list", "--trail", trail,
                    "--unrecorded")
    assert shown.returncode == 0, shown.stderr


def test_a_finding_is_open_until_a_review_names_it(officer):
    found = officer.findings()
    assert {f["decided"] for f in found.values()} == {"undecided"}
    officer("review", "--note", "later")
    officer.settle()
    assert officer.list(expect=1)["open"] == 3
    officer("review", "--from", "1h", *[
        word for f in found.values()
        for word in ("--finding", f"{f['id']}=explained:fine")])
    officer.settle()
    answer = officer.list(expect=0)
    assert answer["open"] == 0
    assert {(f["decided"], f["decided_text"], f["decided_by"])
            for f in answer["findings"]} == {("explained", "fine", USER)}


def test_an_explained_finding_that_grows_is_open_again(officer, daemon):
    finding = officer.findings()["code-used-twice"]
    officer("review", "--finding", f"{finding['id']}=explained:a typing error")
    time.sleep(0.01)
    front = daemon.front()
    front.send(list(records())[1])
    front.checkpoint()
    officer.settle()
    again = officer.findings()["code-used-twice"]
    assert (again["id"], again["count"], again["decided"]) == (
        finding["id"], 2, "undecided")


def test_a_long_review_is_several_records_and_loses_nothing(officer, daemon):
    front = daemon.front()
    front.send(*[{"event": "emergency-on", "outcome": 0, "user": f"user{i}",
                  "address": "local"} for i in range(30)])
    front.checkpoint()
    officer.settle()
    assert len(officer.list()["findings"]) == 33
    ids = [f["id"] for f in officer.list()["findings"]]
    text = "x" * 900
    officer("review", "--from", "1h", *[word for i in ids for word in
                                        ("--finding", f"{i}=explained:{text}")])
    reviews = officer.reviews()
    assert len(reviews) > 5 and len({r["session"] for r in reviews}) == 1
    assert [r.get("reason") for r in reviews] == \
        ["part"] * (len(reviews) - 1) + [None]
    assert not any("cut" in review for review in reviews)
    told = "\n".join(r["findings"] for r in reviews).split("\n")
    assert sorted(told) == sorted(f"{i}=explained:{text}" for i in ids)
    officer.settle()
    assert officer.list(expect=0)["open"] == 0


@pytest.mark.parametrize("arguments, message", [
    (["--finding", "000000000000=explained:x"], "no finding of this period"),
    (["--finding", "x"], "write ID=explained:TEXT"),
    (["--finding", "{id}=fine:x"], "write ID=explained:TEXT"),
    (["--finding", "{id}=explained:"], "a text is missing"),
    (["--finding", "{id}=explained:a\nb"], "one line"),
    (["--finding", "{id}=explained:a", "--finding", "{id}=escalated:b"],
     "given twice"),
    (["--note", "x", "--next", "tomorrow"], "no date"),
    (["--note", "x", "--next", "2001-01-01"], "over"),
    (["--note", "x", "--from", "whenever"], "no time"),
    (["--note", "x", "--list"], "only shows"),
    ([], "what shall be signed?"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_mistakes_are_told_and_nothing_is_signed(officer, arguments, message):
    finding = officer.findings()["emergency"]["id"]
    result = officer("review", *[a.replace("{id}", finding)
                                 for a in arguments], expect=2)
    assert message in result.stderr
    assert officer.reviews() == []


def test_without_the_daemon_nothing_is_signed(officer, daemon):
    daemon.stop()
    result = officer("review", "--note", "x", "--unrecorded", expect=2)
    assert "no sekishod answers" in result.stderr


def test_status_tells_of_the_last_review_and_of_an_overdue_one(officer):
    before = json.loads(officer("status", "--json").stdout)["review"]
    assert "time" not in before and before["overdue"] is False
    officer("review", "--note", "x", "--next", days_from_now(0))
    officer.settle()
    after = json.loads(officer("status", "--json").stdout)["review"]
    assert after["user"] == USER and after["due"] == days_from_now(0)
    assert after["overdue"] is False
    assert "not overdue" in officer("status").stdout


def test_a_quieted_rule_is_a_record_and_marks_its_findings(officer):
    until = days_from_now(30)
    officer("quiet", "not-wiped", "--user", "tanaka", "--until", until,
            "--reason", "an old terminal, replaced in May")
    officer.settle()
    front = officer.daemon.front()
    front.checkpoint()
    record, = officer.daemon.entries("finding-quieted")
    assert (record["rule"], record["findings"], record["until"],
            record["user"], record["note"]) == (
        "not-wiped", "user=tanaka", until, USER,
        "an old terminal, replaced in May")
    finding = officer.findings()["not-wiped"]
    assert finding["quieted_until"] == until
    assert finding["quieted_reason"] == "an old terminal, replaced in May"
    assert officer.list()["open"] == 2
    shown = officer("review", "--list", "--from", "1h", expect=1).stdout
    assert "tanaka" not in shown
    shown = officer("review", "--list", "--all", "--from", "1h",
                    expect=1).stdout
    assert f"quieted until {until}" in shown


@pytest.mark.parametrize("arguments, message", [
    (["volumes", "--user", "x", "--until", "2027-01-01", "--reason", "x"],
     "these are:"),
    (["volume", "--until", "2027-01-01", "--reason", "x"], "for whom?"),
    (["volume", "--user", "x", "--facility", "y", "--until", "2027-01-01",
      "--reason", "x"], "for whom?"),
    (["volume", "--user", "x", "--reason", "x"], "until when?"),
    (["volume", "--user", "x", "--until", "9999-01-01", "--reason", "x"],
     "at most a year"),
    (["volume", "--user", "x", "--until", "2001-01-01"], "a text is missing"),
    (["volume", "--address", "x", "--until", "2001-01-01", "--reason", "x"],
     "no literal address"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_what_cannot_be_quieted_is_told(officer, arguments, message):
    assert message in officer("quiet", *arguments, expect=2).stderr
    officer.daemon.front().checkpoint()
    assert officer.daemon.entries("finding-quieted") == []


def talk(officer, *answers):
    """A review in a terminal; (exit status, all that was shown)."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [officer.tool.program, "audit", "review", "--from", "1h", "--config",
         officer.daemon.config], stdin=slave, stdout=slave, stderr=slave,
        env={**BASE_ENV, "NO_COLOR": "1"})
    os.close(slave)
    shown, waiting = b"", list(answers)
    while True:
        ready, _, _ = select.select([master], [], [], 20)
        assert ready, shown
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
        if waiting and re.search(rb"(: |\] )$", shown):
            os.write(master, waiting.pop(0).encode() + b"\n")
    os.close(master)
    assert not waiting, shown
    return process.wait(20), shown.decode()


def test_in_a_terminal_each_finding_is_asked_about(officer):
    status, shown = talk(officer, "e", "no phone, I asked", "s", "told the CISO",
                         "l", "all else was quiet", "", "y")
    assert status == 0, shown
    assert "3/3" in shown and "Sign this review as " + USER in shown
    review, = officer.reviews()
    assert review["note"] == "all else was quiet"
    assert sorted(line.split("=")[1] for line
                  in review["findings"].split("\n")) == [
        "escalated:told the CISO", "explained:no phone, I asked"]


def test_in_a_terminal_no_is_no(officer):
    status, shown = talk(officer, "d", "", "", "n")
    assert status == 1 and "Nothing was signed" in shown
    assert officer.reviews() == []


# ---- Who may sign ------------------------------------------------------------

GROUP, NOBODY, WEB = 60, 65534, pwd.getpwnam("www-data").pw_uid


@pytest.fixture
def shared(tmp_path_factory):
    """A daemon whose trail belongs to a group, in folders that all may enter."""
    if os.getuid() != 0:
        pytest.skip("another user's records need root")
    folder = tmp_path_factory.mktemp("shared")
    for path in (folder, *list(folder.parents)[:-2]):
        os.chmod(path, 0o755)
    daemon = trail_daemon.Daemon(folder)
    subprocess.run(["chgrp", "-R", str(GROUP), daemon.trail], check=True)
    daemon.start()
    yield daemon
    assert daemon.stop() == 0, daemon.messages()


SIGN = """
import os, sys
uid, gid, groups = int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
sys.path.insert(0, sys.argv[1])
import trail_daemon
os.setgroups([int(group) for group in groups.split(",")])
os.setresgid(gid, gid, gid)
os.setresuid(uid, uid, uid)
trail_daemon.Front(sys.argv[2], source=b"sekisho").send(
    {"event": "review", "outcome": 0, "user": "root", "note": "x"})
"""


def signs(daemon, uid, groups):
    """Whether the daemon takes a review from such a user."""
    result = subprocess.run(
        [sys.executable, "-c", SIGN, os.path.dirname(__file__), daemon.socket,
         str(uid), str(NOBODY), groups], check=False, capture_output=True,
        text=True)
    assert result.returncode == 0 or "cut the connection" in result.stderr or \
        "ConnectionResetError" in result.stderr, result.stderr
    return result.returncode == 0


def test_the_group_of_the_trail_signs_under_the_name_that_the_kernel_says(
        shared):
    assert signs(shared, NOBODY, f"5,{GROUP}")
    shared.front().checkpoint()
    review, = shared.entries("review")
    assert review["user"] == pwd.getpwuid(NOBODY).pw_name
    assert review["peer"].startswith(f"{NOBODY}:")


@pytest.mark.parametrize("uid", [NOBODY, WEB], ids=["somebody", "web"])
def test_nobody_else_signs_not_even_the_webs_user(shared, uid):
    assert not signs(shared, uid, "5")
    assert "not its to send" in shared.messages()
    shared.front().checkpoint()
    assert shared.entries("review") == []
