"""sekisho audit report: what it counts, whom it tells what, and that nothing of
the trail can act on the page."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

import report_trail
import trail_daemon

sys.path.insert(0, os.path.join(trail_daemon.TOP, "tests/data"))
import make_mmdb  # noqa: E402
from report_trail import EVIL, at  # noqa: E402
from tool import POLICY, golden, sekisho  # noqa: E402,F401

TOKYO = {"TZ": "Asia/Tokyo"}
WORDS = os.path.join(trail_daemon.TOP, "tools/report")


def story(folder):
    """Three weeks in which everything happens once or twice."""
    trail = report_trail.Trail(folder)
    aoba = {"facility": "aoba-clinic", "address": "203.0.113.7",
            "service": "web", "agent": "Viewer/1"}
    night = {"facility": "night-desk", "address": "198.51.100.7",
             "service": "web"}
    # long before: an account that is not seen again, and a habit
    trail.access(at("2026-06-01 10:00"), "retired", action="view", study="1.9",
                 patient="900", **aoba)
    for day in ("10-05", "10-06"):
        for hour in (9, 10):
            trail.access(at(f"2026-{day} {hour:02}:00"), "yamada",
                         action="view", study="1.8", patient="901", **aoba)
    # the month
    trail.add(at("2026-11-02 08:59"), "sign-in", user="yamada", service="web",
              factors="password,totp", address="203.0.113.7")
    trail.access(at("2026-11-02 09:00"), "yamada", action="view", study="1.2.1",
                 patient="100", purpose="TREAT", session="s1", **aoba)
    trail.access(at("2026-11-02 11:30"), "yamada", minutes=30, images=1,
                 action="view", study="1.2.2", session="s1", **aoba)
    trail.add(at("2026-11-02 11:31"), "patient-learned", study="1.2.2",
              patient="100", issuer="AOBA")
    trail.access(at("2026-11-03 23:30"), "suzuki", action="download",
                 study="1.3.1", patient="200", session="s2", **night)
    trail.access(at("2026-11-07 10:00"), "suzuki", action="query",
                 patient="100", **aoba)
    trail.add(at("2026-11-04 03:00"), "denied", 8, reason="unknown-network",
              address="192.0.2.66", count=312, uri="/studies")
    trail.add(at("2026-11-04 04:00"), "denied", 8, reason="closed",
              user="suzuki", **aoba)
    trail.add(at("2026-11-05 09:00"), "sign-in", 4, user="suzuki",
              reason="wrong-code", address="203.0.113.7", service="web")
    trail.add(at("2026-11-05 09:01"), "code-alert", 8, user="suzuki",
              reason="code-used-twice", address="203.0.113.7", service="web")
    trail.add(at("2026-11-06 02:00"), "emergency-on", user="tanaka",
              note="network outage", facility="night-desk")
    trail.add(at("2026-11-06 02:05"), "heartbeat", counters="x:1")
    trail.add(at("2026-11-06 03:00"), "lost", 12, lost=7)
    trail.add(at("2026-11-06 12:00"), "policy-changed", user="root")
    trail.add(at("2026-11-06 13:00"), "trail-read", user="sato",
              query="audit search --user yamada")
    # hostile in every field that somebody else fills
    trail.access(at("2026-11-10 10:00"), "u" + EVIL, action="view",
                 facility="f" + EVIL, address="a" + EVIL, service="w" + EVIL,
                 session="s" + EVIL, purpose="p" + EVIL, patient="i" + EVIL,
                 study="1" + EVIL, agent="g" + EVIL)
    trail.add(at("2026-11-10 11:00"), "denied", 8, user="u" + EVIL,
              reason="r" + EVIL, address="a" + EVIL, uri="/" + EVIL)
    # at the edges of the month, in Tokyo
    trail.add(at("2026-10-31 23:59:59"), "start", source="sekishod")
    trail.add(at("2026-11-01 00:00"), "start", source="sekishod")
    trail.add(at("2026-11-30 23:59:59"), "stop", source="sekishod")
    trail.add(at("2026-12-01 00:00"), "stop", source="sekishod")
    return trail.write()


@pytest.fixture(scope="module")
def trail(tmp_path_factory):
    return story(tmp_path_factory.mktemp("story"))


@pytest.fixture
def report(sekisho, trail, tmp_path):
    """Makes a report of November; its text."""
    def make(*arguments, status=0, env=None, of=trail, verify=True):
        out = tmp_path / "report.html"
        out.unlink(missing_ok=True)
        result = sekisho("audit", "report", "--trail", of.trail, "--index",
                         of.index, "-o", out, *arguments,
                         *(["--key", of.vkey] if verify else ["--no-verify"]),
                         env={**TOKYO, **(env or {})})
        assert result.returncode == status, result.stderr
        make.said = result.stderr
        return out.read_text("utf-8") if out.exists() else None
    make.folder = tmp_path
    return make


def block(page):
    return re.search(r'<script type="application/json" id="data">(.*?)</script>',
                     page, re.S).group(1)


def data(page):
    return json.loads(block(page))


def unpack(found, name):
    """A column as the page's script reads it."""
    count, values, before = found["rows"]["count"], [], 0
    for value in found["rows"]["columns"][name]:
        if value < 0:
            values += [None] * -value
            continue
        if name in ("number", "time"):
            value = before + (value // 2 if value % 2 == 0
                              else -(value + 1) // 2)
            before = value
        values.append(value)
    return values + [None] * (count - len(values))


def texts(found, name):
    return [None if value is None else found["dictionary"][value]
            for value in unpack(found, name)]


# ---- What is counted --------------------------------------------------------

def test_figures_are_those_of_the_story(report):
    figures = data(report("--month", "2026-11"))["figures"]
    assert {name: figures[name] for name in (
        "accesses", "views", "exports", "denied", "failed_codes",
        "emergencies", "gaps", "policy_changes", "trail_reads", "heartbeats",
        "patients")} == {
        "accesses": 5, "views": 3, "exports": 1, "denied": 314,
        "failed_codes": 2, "emergencies": 1, "gaps": 1, "policy_changes": 1,
        "trail_reads": 1, "heartbeats": 1, "patients": 3}


def test_everything_counted_is_as_it_was(report):
    found = data(report("--month", "2026-11", "--lang", "en"))
    kept = {name: found[name] for name in (
        "figures", "charts", "sessions", "no_factor", "dormant", "from", "to",
        "zone", "offsets", "index_size")}
    golden("report-counted.json", json.dumps(kept, indent=1, sort_keys=True,
                                             ensure_ascii=False) + "\n")


def test_a_month_is_the_hosts(report):
    found = data(report("--month", "2026-11"))
    events = texts(found, "event")
    assert events.count("start") == 1 and events.count("stop") == 1
    found = data(report("--month", "2026-11", env={"TZ": "America/New_York"}))
    # 1 November 00:00 in Tokyo is October there, and so on
    assert [texts(found, "event").count(name)
            for name in ("start", "stop")] == [0, 2]
    assert found["zone"] == "America/New_York"
    assert [minutes for _, minutes in found["offsets"]] == [-240, -300]


def test_an_opening_and_its_close_are_one_row(report, trail):
    found = data(report("--month", "2026-11"))
    row = texts(found, "study").index("1.2.2")
    number = unpack(found, "number")[row]
    assert unpack(found, "closed")[row] == number + 1
    assert unpack(found, "duration")[row] == 30 * 60 * 1000
    assert unpack(found, "instances")[row] == 1
    assert "access-end" not in texts(found, "event")
    # whose study it was came to light only afterwards
    assert texts(found, "patient")[row] == "100"


def test_each_row_has_the_hash_of_its_leaf(report, trail):
    found = data(report("--month", "2026-11"))
    hashes = base64.b64decode(found["rows"]["hashes"])
    numbers = unpack(found, "number")
    assert len(hashes) == 32 * len(numbers) and len(numbers) > 15
    for i, number in enumerate(numbers):
        expected = hashlib.sha256(
            b"\0" + trail.lines[number].encode("utf-8")).digest()
        assert hashes[32 * i:32 * i + 32] == expected


def test_one_facility_or_user_alone(report):
    found = data(report("--month", "2026-11", "--facility", "night-desk"))
    assert set(texts(found, "facility")) == {"night-desk"}
    assert found["figures"]["exports"] == 1 == found["figures"]["accesses"]
    found = data(report("--month", "2026-11", "--user", "yamada"))
    assert set(texts(found, "user")) == {"yamada"}


def test_out_of_hours_is_the_policys_where_there_is_one(report, sekisho):
    usual = data(report("--month", "2026-11"))
    # 3 November 23:30; 7 November is a Saturday
    assert usual["figures"]["off_hours"] == 2 and usual["hours"] is False
    sekisho.write("facilities.conf", POLICY)
    assert sekisho("policy", "apply", "facilities.conf", "--image",
                   "policy.img").returncode == 0
    found = data(report("--month", "2026-11", "--policy",
                        report.folder / "policy.img"))
    # Saturday morning is open at aoba-clinic; the night desk's Tuesday evening
    # is in Berlin's afternoon
    assert found["hours"] is True
    off = [study for study, flag in zip(texts(found, "study"),
                                        unpack(found, "off")) if flag]
    assert off == ["1.3.1"]
    assert found["names"]["aoba-clinic"] == "Aoba Imaging Clinic"


def test_countries_are_told_only_where_they_are_known(report):
    assert "countries" not in data(report("--month", "2026-11"))
    database = report.folder / "country.mmdb"
    make_mmdb.write(database, {"203.0.113.0/24": "JP", "192.0.2.0/24": "US"})
    found = data(report("--month", "2026-11", "--geoip", database))
    assert found["countries"] == {"203.0.113.7": "JP", "192.0.2.66": "US"}


def test_findings_are_told_with_their_records(report, trail):
    found = data(report("--month", "2026-11"))
    emergency = [one for one in found["findings"] if one["user"] == "tanaka"]
    assert len(emergency) == 1 and emergency[0]["state"] == "open"
    assert emergency[0]["severity"] == "high" and emergency[0]["text"]
    (number,) = emergency[0]["numbers"]
    assert json.loads(trail.lines[number])["event"] == "emergency-on"
    other = data(report("--month", "2026-11", "--user", "yamada"))
    assert not [one for one in other["findings"] if one["user"] != "yamada"]


# ---- The trail itself -------------------------------------------------------

def test_the_verdict_names_its_checkpoint(report, trail):
    verdict = data(report("--month", "2026-11"))["verify"]
    with open(f"{trail.trail}/checkpoint", encoding="utf-8") as file:
        lines = file.read().split("\n")
    assert verdict["result"] == "ok"
    assert [str(verdict["sealed"]), verdict["root"]] == lines[1:3]


def test_without_verifying_it_says_so(report):
    page = report("--month", "2026-11", verify=False)
    assert data(page)["verify"]["result"] == "none"


def test_missing_numbers_are_told_in_page_and_status(report, tmp_path):
    trail = report_trail.Trail(tmp_path / "gap")
    trail.access(at("2026-11-02 09:00"), "yamada", action="view", study="1.1")
    trail.lines.append(trail.lines.pop().replace('"number":2', '"number":9'))
    trail.write()
    page = report("--month", "2026-11", of=trail, status=4)
    assert data(page)["verify"]["result"] == "gap"
    assert data(page)["verify"]["gaps"] == 1


def test_no_key_is_no_report(sekisho, trail, tmp_path):
    result = sekisho("audit", "report", "--trail", trail.trail, "-o",
                     tmp_path / "r.html")
    assert result.returncode == 2 and "--no-verify" in result.stderr
    assert not (tmp_path / "r.html").exists()


def changed(trail, folder):
    """A copy in which one letter of one entry is another."""
    copy = report_trail.Trail.__new__(report_trail.Trail)
    copy.trail, copy.index = f"{folder}/trail", f"{folder}/audit.db"
    copy.vkey = trail.vkey
    shutil.copytree(trail.trail, copy.trail)
    shutil.copy(trail.index, copy.index)
    entries = next(path for path in sorted(
        (folder / "trail/tile/entries").rglob("*")) if path.is_file())
    entries.write_bytes(entries.read_bytes().replace(
        b"network outage", b"network outagE", 1))
    return copy


def test_a_changed_trail_is_told_in_page_and_status(report, trail, tmp_path):
    copy = changed(trail, tmp_path)
    page = report("--month", "2026-11", of=copy, status=3)
    assert data(page)["verify"]["result"] == "tampered"
    assert data(page)["verify"]["findings"]
    assert "TAMPERED" in report.said
    letter = report("--patient", "100", of=copy, status=3, env={"LC_ALL": "C"})
    assert "found a problem" in letter


def test_an_index_of_something_else_is_refused(report, trail, tmp_path):
    """Its rows would have the hashes of other records."""
    other = tmp_path / "other.db"
    shutil.copy(trail.index, other)
    for table in ("access", "entry"):
        subprocess.run(["sqlite3", other, f"UPDATE {table} SET record_id ="
                        " zeroblob(16) WHERE number = 20"], check=True)
    copy = report_trail.Trail.__new__(report_trail.Trail)
    copy.trail, copy.index, copy.vkey = trail.trail, str(other), trail.vkey
    assert report("--month", "2026-11", of=copy, status=2) is None
    assert "sekisho audit index" in report.said


# ---- Options ----------------------------------------------------------------

@pytest.mark.parametrize(("arguments", "said"), [
    (["--month", "2026-13"], "--month"),
    (["--month", "11-2026"], "--month"),
    (["--month", "2026-11", "--from", "2026-11-01"], "contradict"),
    (["--from", "2026-11-02", "--to", "2026-11-01"], "--from"),
    (["--from", "yestermorrow"], "--from"),
    (["--lang", "fr"], "--lang"),
    (["--patient", "1", "--user", "yamada"], "--patient"),
    (["--issuer", "X"], "--issuer"),
    (["--user", ""], "--user"),
])
def test_what_makes_no_sense_is_refused(report, arguments, said):
    assert report(*arguments, status=2) is None
    assert said in report.said


def test_only_its_maker_can_read_it(report):
    report("--month", "2026-11")
    assert os.stat(report.folder / "report.html").st_mode & 0o777 == 0o600


def test_a_dash_prints_it(sekisho, trail):
    result = sekisho("audit", "report", "--trail", trail.trail, "--key",
                     trail.vkey, "--month", "2026-11", "-o", "-")
    assert result.returncode == 0
    assert result.stdout.startswith("<!doctype html>")


def test_the_language_is_the_locales(report):
    assert '<html lang="en">' in report("--month", "2026-11")
    assert '<html lang="ja">' in report("--month", "2026-11", "--lang", "ja")


# ---- Hostile text -----------------------------------------------------------

def sha(text):
    return "'sha256-" + base64.b64encode(
        hashlib.sha256(text.encode()).digest()).decode() + "'"


def test_only_our_own_scripts_and_style_are_allowed(report):
    page = report("--month", "2026-11")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"',
                       page).group(1)
    scripts = re.findall(r"<script>(.*?)</script>", page, re.S)
    styles = re.findall(r"<style>(.*?)</style>", page, re.S)
    assert len(scripts) == 2 and len(styles) == 1
    assert policy == (f"default-src 'none'; style-src {sha(styles[0])}; "
                      f"script-src {sha(scripts[0])} {sha(scripts[1])}; "
                      "base-uri 'none'; form-action 'none'")


def test_no_text_of_the_trail_is_markup(report):
    page = report("--month", "2026-11")
    assert not re.search(r"[<>&]", block(page))
    assert page.count("</script>") == 3
    found = data(page)
    evil = [text for text in found["dictionary"] if EVIL in text]
    assert len(evil) >= 10  # and it is all there, in the data
    assert "window.owned" not in page.replace(block(page), "")


def test_no_text_of_the_trail_is_markup_for_patients(report):
    page = report("--patient", "i" + EVIL)
    assert "<script" not in page and "<img" not in page
    assert "script-src" not in page and "default-src 'none'" in page
    assert page.count("window.owned=1") >= 3
    assert "{{style}}" in page and "\u202e" not in page


def test_what_the_program_carries_cannot_end_its_own_block():
    names = [name for name in os.listdir(WORDS)
             if name.endswith((".js", ".css"))]
    assert len(names) > 7
    for name in names:
        with open(os.path.join(WORDS, name), encoding="utf-8") as file:
            assert not re.search(r"</(script|style)|<!--", file.read(), re.I)
    with open("/usr/share/javascript/chart.js/chart.min.js",
              encoding="utf-8") as file:
        assert not re.search(r"</script|<!--|sourceMappingURL", file.read(),
                             re.I)


# ---- For the patient --------------------------------------------------------

@pytest.mark.parametrize("lang", ["en", "ja"])
def test_the_patients_list_is_as_it_was(report, lang):
    page = report("--patient", "100", "--lang", lang, "--from", "2026-11-01",
                  "--to", "2026-11-20")
    golden(f"report-patient-{lang}.html",
           re.sub(r"<style>.*?</style>|sha256-[^']*", "", page, flags=re.S))


def test_the_patient_learns_who_where_when_and_what_for(report):
    page = report("--patient", "100", "--lang", "en")
    rows = re.findall(r"<tr>(<td.*?)</tr>", page, re.S)
    cells = [[re.sub("<[^>]*>", "", cell).strip() for cell in
              re.findall(r"<td[^>]*>(.*?)</td>", row, re.S)] for row in rows]
    assert cells == [
        ["2 November 2026, 9:00", "yamada", "aoba-clinic",
         "Looked at (20 images)", "Treatment"],
        ["2 November 2026, 11:30", "yamada", "aoba-clinic",
         "Looked at (1 image)", "No reason was given"],
        ["7 November 2026, 10:00", "suzuki", "aoba-clinic",
         "Searched for (20 images)", "No reason was given"]]


def test_the_patient_learns_nothing_of_others(report):
    page = report("--patient", "100")
    for other in ("200", "901", "900", "night-desk", "retired", "1.3.1",
                  "1.2.1", "203.0.113.7", "Viewer/1", "window.owned"):
        assert other not in re.sub(r"<style>.*?</style>|<meta[^>]*>", "", page,
                                   flags=re.S), other


def test_a_patient_nobody_knows(report):
    page = report("--patient", "4711", status=1)
    assert "Nobody opened your images" in page and "<table" not in page
    assert "4711" in report.said


def test_a_number_of_two_issuers_is_not_guessed(sekisho, tmp_path, report):
    trail = report_trail.Trail(tmp_path / "two")
    for study, issuer, user in (("1.1", "AOBA", "yamada"),
                                ("1.2", "KITA", "suzuki")):
        trail.access(at("2026-11-02 09:00"), user, study=study, action="view",
                     facility=issuer.lower())
        trail.add(at("2026-11-02 09:01"), "patient-learned", study=study,
                  patient="100", issuer=issuer)
    trail.write()
    assert report("--patient", "100", of=trail, status=2) is None
    assert "AOBA" in report.said and "KITA" in report.said
    page = report("--patient", "100", "--issuer", "KITA", of=trail)
    assert "suzuki" in page and "yamada" not in page


# ---- Reading is recorded ----------------------------------------------------

def test_who_makes_a_report_is_recorded_before_anything_is_shown(
        sekisho, tmp_path):
    folder = tmp_path / "d"
    folder.mkdir()
    with trail_daemon.running(folder) as daemon:
        front = daemon.front()
        front.send({"event": "access", "outcome": 0, "user": "yamada",
                    "patient": "100", "study": "1.2", "action": "view"})
        front.checkpoint()
        assert sekisho("audit", "index", "--config", daemon.config, "--index",
                       folder / "a.db").returncode == 0
        out = tmp_path / "r.html"
        result = sekisho("audit", "report", "--config", daemon.config,
                         "--patient", "100", "--index", folder / "a.db",
                         "--note", "asked at the desk", "-o", out)
        assert result.returncode == 0, result.stderr
        front.checkpoint()
        read = daemon.entries("trail-read")
        assert len(read) == 1
        assert "audit report --patient 100" in read[0]["query"]
        assert read[0]["note"] == "asked at the desk" and read[0]["user"]
    out.unlink()
    result = sekisho("audit", "report", "--config", daemon.config, "--patient",
                     "100", "--index", folder / "a.db", "-o", out)
    assert result.returncode == 2 and "recorded" in result.stderr
    assert not out.exists()


# ---- Texts ------------------------------------------------------------------

def words(lang):
    with open(os.path.join(WORDS, f"words.{lang}"), encoding="utf-8") as file:
        return dict(line.rstrip("\n").split(" = ", 1) for line in file
                    if not line.startswith("#"))


def test_both_languages_say_the_same_things():
    english, japanese = words("en"), words("ja")
    assert list(english) == list(japanese)
    for key, text in english.items():
        assert sorted(set(re.findall(r"\{\d\}", text))) == \
            sorted(set(re.findall(r"\{\d\}", japanese[key]))), key


def test_every_event_and_reason_has_a_name():
    known = words("en")
    with open(os.path.join(trail_daemon.TOP, "lib/trail/record.c"),
              encoding="utf-8") as file:
        events = re.findall(r'\[EVENT_\w+\] = \{"([a-z-]+)"', file.read())
    folded = {"none", "access-end", "access-joined", "request-end", "heartbeat",
              "patient-learned"}
    assert {event for event in events if event not in folded} == \
        {key[6:] for key in known if key.startswith("event.")}
    with open(os.path.join(trail_daemon.TOP, "lib/policy/decide_names.c"),
              encoding="utf-8") as file:
        reasons = re.findall(r'\[POLICY_[A-Z_]+\] = "([a-z-]+)",', file.read())
    missing = [reason for reason in reasons if "-" in reason
               and f"reason.{reason}" not in known]
    assert not missing


def test_every_text_the_page_asks_for_is_there():
    known = words("en")
    asked = []
    for name in os.listdir(WORDS):
        if name.endswith(".js"):
            with open(os.path.join(WORDS, name), encoding="utf-8") as file:
                asked += re.findall(r"\bt\('([a-z_.]+)'[,)]", file.read())
    for name in ("report.html", "patient.html"):
        with open(os.path.join(WORDS, name), encoding="utf-8") as file:
            asked += [key for key in re.findall(r"\{\{([a-z_.]+)\}\}",
                                                file.read())
                      if key not in ("lang", "policy", "style", "script",
                                     "charts_library", "data", "body")]
    assert len(asked) > 60
    assert [key for key in asked if key not in known] == []
