"""sekisho audit checklist, exports, accounts, coverage."""

import csv
import datetime
import io
import json
import re
import shlex
import subprocess
import time

import pytest

import report_trail
import trail_daemon
from report_trail import EVIL, at
from tool import BASE_ENV, PLAIN, sekisho  # noqa: F401

AOBA = {"facility": "aoba-clinic", "address": "203.0.113.7", "service": "web"}


def story(folder):
    trail = report_trail.Trail(folder)
    trail.access(at("2026-06-01 10:00"), "retired", action="view", study="1.9",
                 patient="900", **AOBA)
    trail.add(at("2026-11-02 08:59"), "sign-in", user="yamada",
              factors="password,totp", session="s1", **AOBA)
    trail.access(at("2026-11-02 09:00"), "yamada", images=3, action="view",
                 study="1.2", patient="100", session="s1", **AOBA)
    trail.access(at("2026-11-02 09:30"), "yamada", images=7, action="download",
                 study="1.2", patient="100", session="s1", purpose="TREAT",
                 **AOBA)
    trail.add(at("2026-11-02 10:00"), "sign-in", user="suzuki",
              factors="publickey,totp", session="s2", **AOBA)
    trail.access(at("2026-11-02 10:01"), "suzuki", action="view", study="1.3",
                 session="s2", **AOBA)
    trail.add(at("2026-11-02 10:30"), "patient-learned", study="1.3",
              patient="200")
    trail.add(at("2026-11-02 11:00"), "denied", 8, reason="closed",
              user="suzuki", action="view", study="1.3", **AOBA)
    trail.add(at("2026-11-02 12:00"), "policy-changed", user="root")
    trail.add(at("2026-11-02 12:30"), "heartbeat", counters="x:1")
    trail.add(at("2026-11-02 12:31"), "sign-in", 4, user="never",
              reason="wrong-code", **AOBA)
    trail.access(at("2026-11-02 13:00"), "=cmd|" + EVIL, action="download",
                 patient="+1" + EVIL, study="1.4", **AOBA)
    return trail.write()


@pytest.fixture(scope="module")
def trail(tmp_path_factory):
    return story(tmp_path_factory.mktemp("ledgers"))


@pytest.fixture
def ledger(sekisho, trail):
    def run(name, *arguments, status=0):
        result = sekisho("audit", name, "--trail", trail.trail, "--index",
                         trail.index, "--month", "2026-11", *arguments,
                         env={"TZ": "Asia/Tokyo"})
        assert result.returncode == status, result.stderr
        return result.stdout
    run.write = sekisho.write
    return run


def rows(text):
    """As a spreadsheet reads it."""
    assert text.startswith("\ufeff") and text.count("\n") == \
        text.count("\r\n")
    return list(csv.reader(io.StringIO(text[1:], newline="")))


def test_the_checklist_has_the_five_columns(ledger):
    table = rows(ledger("checklist", "--csv", "--lang", "en"))
    assert table[0] == ["User ID", "Name", "Time", "Category", "Operation"]
    assert table[1] == ["yamada", "", "2026-11-02 08:59:00", "Sign-in",
                        "Sign-in / Facility aoba-clinic"]
    assert table[2] == ["yamada", "", "2026-11-02 09:00:00",
                        "Access to images", "View / Patient 100 / Study 1.2 / "
                        "Facility aoba-clinic"]
    assert [row[3] for row in table[1:]] == [
        "Sign-in", "Access to images", "Access to images", "Sign-in",
        "Access to images", "Refused", "Administration", "Sign-in",
        "Access to images"]


def test_a_patient_learned_later_is_in_the_checklist(ledger):
    table = rows(ledger("checklist", "--csv", "--user", "suzuki"))
    assert "Patient 200" in table[2][4]


def test_the_checklist_in_japanese(ledger):
    table = rows(ledger("checklist", "--csv", "--lang", "ja"))
    assert table[0] == ["利用者ID", "氏名", "日時", "区分", "操作内容"]
    assert table[2][3:] == ["画像へのアクセス", "閲覧 / 患者番号 100 / 検査 1.2 / "
                            "施設 aoba-clinic"]


@pytest.mark.parametrize("text", [
    "yamada,山田 太郎\nsuzuki,鈴木 花子\n",
    "\ufeff\"yamada\",\"山田 太郎\"\r\n# no name\r\nsuzuki,鈴木 花子\r\n"])
def test_names_come_from_a_file(ledger, text):
    path = ledger.write("names.csv", text)
    table = rows(ledger("checklist", "--csv", "--names", str(path)))
    assert {row[0]: row[1] for row in table[1:3] + table[4:6]} == {
        "yamada": "山田 太郎", "suzuki": "鈴木 花子"}


def test_names_come_from_the_host_otherwise(ledger):
    assert rows(ledger("checklist", "--csv", "--user", "root"))[1][1] == "root"


def test_a_cell_cannot_be_a_formula_or_act_on_a_terminal(ledger):
    text = ledger("exports", "--csv")
    table = rows(text)
    assert table[2][1].startswith("'=cmd") and table[2][5].startswith("'+1")
    assert not [c for c in text if c not in "\r\n\ufeff"
                and not c.isprintable()]


def test_exports_are_the_downloads(ledger):
    found = json.loads(ledger("exports", "--json"))
    assert len(found) == 2
    assert found[0] == {
        "time": "2026-11-02 09:30:00", "user": "yamada", "name": "",
        "facility": "aoba-clinic", "address": "203.0.113.7", "patient": "100",
        "study": "1.2", "instances": 7, "bytes": 7 * 524288,
        "purpose": "TREAT", "entry": 5}


def test_accounts_tell_use_factors_and_dormancy(ledger):
    found = {row["user"]: row
             for row in json.loads(ledger("accounts", "--json"))}
    assert found["retired"]["state"] == "dormant"
    assert found["retired"]["last"] == "2026-06-01 10:05:00"
    assert found["yamada"] == {
        "user": "yamada", "name": "", "first": "2026-11-02 08:59:00",
        "last": "2026-11-02 09:35:00", "accesses": 2, "state": "active",
        "factors": "password,totp"}
    # a sign-in that failed is no use
    assert "never" not in found


def test_coverage_counts_two_kinds_and_asks_the_session(ledger):
    found = json.loads(ledger("coverage", "--json", "--lang", "en", status=1))
    assert [tuple(row.values()) for row in found] == [
        ("Accesses", "", 4, 2, 50), ("Sign-ins", "", 2, 1, 50),
        ("Accesses", "=cmd|" + EVIL, 1, 0, 0),
        ("Accesses", "suzuki", 1, 0, 0), ("Sign-ins", "suzuki", 1, 0, 0)]


def test_coverage_of_all_is_success(ledger):
    found = json.loads(ledger("coverage", "--json", "--user", "yamada"))
    assert [row["share"] for row in found] == [100, 100]


def test_tables_are_aligned(ledger):
    lines = ledger("coverage", "--lang", "en", status=1).splitlines()
    assert lines[0].split() == ["Kind", "User", "ID", "All", "With", "two",
                                "factors", "Share", "(%)"]
    assert lines[1].index("4") == lines[0].index("All")


def test_faults_are_told(sekisho, trail):
    for arguments, said in ((["--csv", "--json"], "two formats"),
                            (["--names", "/nowhere"], "/nowhere"),
                            (["--lang", "fr"], "en or ja"),
                            (["--month", "November"], "2026-11"),
                            (["--index", "/nowhere"], "audit index")):
        result = sekisho("audit", "checklist", "--trail", trail.trail,
                         *(["--index", trail.index]
                           if "--index" not in arguments else []), *arguments)
        assert result.returncode == 2 and said in result.stderr
        assert result.stdout == ""


def test_the_reading_is_recorded(tmp_path):
    with trail_daemon.running(tmp_path) as daemon:
        subprocess.run([PLAIN, "audit", "index", "--config", daemon.config],
                       env=BASE_ENV, capture_output=True, check=False)
        for name in ("checklist", "exports", "accounts", "coverage"):
            subprocess.run([PLAIN, "audit", name, "--csv", "--config",
                            daemon.config], env=BASE_ENV, check=True,
                           capture_output=True)
        daemon.front().checkpoint()
        assert [entry["query"] for entry in daemon.entries()
                if entry["event"] == "trail-read"] == [
            f"audit {name} --csv"
            for name in ("checklist", "exports", "accounts", "coverage")]


# ---- What the documents tell to type ----------------------------------------

def told(path, pattern):
    with open(f"{trail_daemon.TOP}/{path}", encoding="utf-8") as file:
        return re.findall(pattern, file.read(), re.M)


OFFICER = r"^sekisho ((?:audit|policy simulate) .*)$"
COMMANDS = {
    "docs/officer.md": told("docs/officer.md", OFFICER),
    "docs/ja/officer.md": told("docs/ja/officer.md", OFFICER),
    "docs/requirements.md": told(
        "docs/requirements.md",
        r"\| `sekisho ((?:audit|policy simulate) [^`]*)` \|"),
}


def test_both_languages_tell_the_same_commands():
    def bare(line):
        line = re.sub(r" --lang (en|ja)", "", line)
        return re.sub(r'"[^"]*"', '""', line)
    english, japanese = (list(map(bare, COMMANDS[path])) for path in (
        "docs/officer.md", "docs/ja/officer.md"))
    assert english == japanese and len(english) > 12


@pytest.mark.parametrize("page", COMMANDS)
def test_commands_of_the_documents_can_be_typed(page, tmp_path):
    assert COMMANDS[page]
    with trail_daemon.running(tmp_path) as daemon:
        front = daemon.front()
        front.send({"event": "access", "outcome": 0, "user": "yamada",
                    "patient": "12345", "study": "1.2", "action": "view",
                    "facility": "aoba-clinic", "address": "203.0.113.7"})
        front.checkpoint()
        (tmp_path / "new.conf").write_text(
            "facility a { network 203.0.113.0/28; }")
        # the daemon's child makes the index as soon as it has a moment
        end = time.monotonic() + 60
        while subprocess.run(
                [PLAIN, "audit", "accounts", "--config", daemon.config],
                env=BASE_ENV, capture_output=True, check=False
        ).returncode == 2 and time.monotonic() < end:
            time.sleep(0.2)
        for line in COMMANDS[page]:
            # a finding's id is one that the officer has just read
            if "--finding" in line:
                continue
            line = line.split(" > ")[0].replace(
                "/etc/sekisho/facilities.new", "new.conf")
            line = line.replace("2026-11-01 --to 2026-11-30", "7d --to now")
            line = line.replace("2027-03-31", str(
                datetime.date.today() + datetime.timedelta(days=90)))
            result = subprocess.run(
                [PLAIN, *shlex.split(line), "--config", daemon.config],
                env=BASE_ENV, capture_output=True, text=True, check=False,
                cwd=tmp_path, stdin=subprocess.DEVNULL)
            assert result.returncode in (0, 1, 5), (line, result.stderr)
