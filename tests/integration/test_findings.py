"""Every misdeed of a made-up region is among the findings, and little else.

`make check` reads a small region (20,000 records); with SEKISHO_LONG=1 (`make
fault`) also the whole one: 30 facilities, 200 users, 300,000 records.  Figures
are printed; docs/findings.md has those of the whole one.
"""

import collections
import datetime
import json
import os
import subprocess
import sys
import time

import pytest

from tool import BASE_ENV, PLAIN, TOP

sys.path.insert(0, os.path.join(TOP, "tests", "data"))

import region  # noqa: E402

LONG = os.environ.get("SEKISHO_LONG") == "1"
FALSE_A_DAY = 2
ZONE = datetime.timedelta(hours=9)
ENV = {**BASE_ENV, "TZ": "Asia/Tokyo"}


def run(*arguments, expect=(0,)):
    result = subprocess.run([PLAIN, "audit", *arguments], env=ENV, check=False,
                            capture_output=True, text=True, timeout=600)
    assert result.returncode in expect, result.stderr
    return result.stdout


class Made:
    def __init__(self, folder, events, seed):
        self.daemon, self.manifest = region.make(folder, events, seed)
        run("index", "--config", self.daemon.config)

    def findings(self, *more):
        """Of a copy, as it were: no daemon runs that could record it."""
        return json.loads(run(
            "review", "--list", "--json", "--unrecorded", "--config",
            self.daemon.config, "--geoip", f"{self.daemon.folder}/region.mmdb",
            "--from", self.manifest["from"], "--to", self.manifest["to"], *more,
            expect=(0, 1)))


@pytest.fixture(scope="module", params=[
    pytest.param((20000, 1), id="small"),
    pytest.param((region.FULL, 1), id="whole", marks=pytest.mark.skipif(
        not LONG, reason="SEKISHO_LONG=1 is not set")),
    pytest.param((region.FULL, 2), id="another", marks=pytest.mark.skipif(
        not LONG, reason="SEKISHO_LONG=1 is not set")),
])
def made(request, tmp_path_factory):
    return Made(str(tmp_path_factory.mktemp("r")), *request.param)


def day_of(text):
    moment = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ")
    return (moment + ZONE).date().isoformat()


def is_of(finding, planted):
    days = {day_of(finding["from"]), day_of(finding["to"])}
    return (planted["rule"] == finding["rule"] and planted["day"] in days
            and planted["user"] in (None, finding.get("user"))
            and (planted["user"] or planted.get("address") in
                 (None, finding.get("address"))))


def test_every_planted_misdeed_is_among_the_findings(made):
    start = time.monotonic()
    answer = made.findings()
    seconds = time.monotonic() - start
    findings, planted = answer["findings"], made.manifest["planted"]
    assert {p["rule"] for p in planted} == {
        "off-hours", "new-country", "new-address", "volume", "many-patients",
        "two-places", "own-name", "denials", "code-used-twice", "emergency",
        "not-wiped", "gap"}
    missed = [p for p in planted if not any(is_of(f, p) for f in findings)]
    assert missed == []
    # an act may show in another way, too: that is no false finding
    bad_days = {(p["user"], p["day"]) for p in planted if p["user"]}
    false = [f for f in findings if not any(is_of(f, p) for p in planted)
             and (f.get("user"), day_of(f["from"])) not in bad_days]
    print(f"\n{made.manifest['events']} records written in "
          f"{made.manifest['written_seconds']} s; {len(findings)} findings in "
          f"{seconds:.1f} s: {len(planted)} planted, all found; "
          f"{len(false)} false, {len(false) / region.DAYS:.2f} a day: "
          f"{dict(collections.Counter(f['rule'] for f in false))}")
    assert len(false) <= FALSE_A_DAY * region.DAYS
    assert answer["skipped"] == []


def test_ids_are_the_same_in_another_period(made):
    whole = {f["id"] for f in made.findings()["findings"]}
    assert len(whole) > 10
    gap = next(p for p in made.manifest["planted"] if p["rule"] == "gap")
    day = json.loads(run(
        "review", "--list", "--json", "--unrecorded", "--config",
        made.daemon.config, "--from", gap["day"], "--to", gap["day"],
        expect=(1,)))
    assert {f["id"] for f in day["findings"]} <= whole
    assert "gap" in {f["rule"] for f in day["findings"]}
    assert day["skipped"] == ["new-country"]


def test_a_rule_that_is_off_is_told_as_not_looked_at(made, tmp_path):
    settings = tmp_path / "findings.conf"
    settings.write_text("off-hours off;\ngap off;\n")
    answer = made.findings("--settings", settings)
    assert answer["skipped"] == ["off-hours", "gap"]
    assert not {f["rule"] for f in answer["findings"]} & {"off-hours", "gap"}


def test_the_same_seed_makes_the_same_region():
    one, two = (region.Region(20000, 7).make() for _ in range(2))
    other = region.Region(20000, 8).make()
    assert one.events == two.events and one.planted == two.planted
    assert one.events != other.events


def test_the_daemon_says_that_the_times_are_made_up(made):
    assert "--accept-times" in made.daemon.messages()
    notes = [entry.get("note", "") for entry
             in made.daemon.entries("heartbeat")]
    assert notes and all("--accept-times" in note for note in notes)


def test_the_example_and_the_document_are_the_defaults(made, tmp_path):
    example = os.path.join(TOP, "conf-examples/findings.conf")
    with open(os.path.join(TOP, "docs/findings.md"), encoding="utf-8") as file:
        shown = file.read().split("```nginx\n")[1].split("```")[0]
    document = tmp_path / "findings.conf"
    document.write_text(shown)
    ordinary = made.findings()["findings"]
    assert made.findings("--settings", example)["findings"] == ordinary
    assert made.findings("--settings", document)["findings"] == ordinary
    with open(example, encoding="utf-8") as file:
        lines = [line.split("#")[0].split() for line in file]
    assert [line for line in lines if line] == [
        line.split() for line in shown.splitlines() if line]
