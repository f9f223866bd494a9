"""sekisho policy simulate: which past entries a policy would have refused."""

import json
import subprocess

import pytest

import report_trail
import trail_daemon
from report_trail import at
from tool import BASE_ENV, PIN_A, PIN_B, PLAIN, sekisho  # noqa: F401

AUTHORITY = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null",
             "-subj", "/CN=Aoba CA", "-days", "9"]

HOME = {"address": "192.0.2.50", "facility": "home"}


@pytest.fixture(scope="module")
def trail(tmp_path_factory):
    trail = report_trail.Trail(tmp_path_factory.mktemp("simulate"))

    def add(moment, user, event="access", outcome=0, **fields):
        named = {"facility": "aoba-clinic", "address": "203.0.113.7",
                 "service": "web", "action": "view", "tls": "TLSv1.3",
                 "user": user, **fields}
        trail.add(at(f"2026-11-{moment}"), event, outcome,
                  **{key: value for key, value in named.items()
                     if value is not None})

    add("02 10:00", "yamada")
    add("02 21:00", "yamada")
    add("02 22:00", "yamada")
    add("03 10:00", "suzuki", action="download")
    add("03 11:00", "mallory")
    add("03 12:00", "yamada", address="198.51.100.1", facility="old-place")
    add("03 12:30", "yamada", event="denied", outcome=8, action="download")
    add("03 13:00", "yamada", **HOME, certificate=PIN_A)
    add("03 14:00", "yamada", **HOME, certificate=PIN_B)
    add("03 15:00", "yamada", **HOME)
    add("04 10:00", "yamada", event="session", service="ssh", action=None,
        tls=None)
    return trail.write()


CLINIC = """\
timezone Asia/Tokyo;
facility aoba-clinic {{
    network 203.0.113.0/28;
    users   yamada suzuki;
    actions query view;
    {more}
}}
facility home {{ network any; device required; certificate sha256:{pin}; }}
"""


@pytest.fixture
def simulate(sekisho, trail):
    def run(text, *arguments, since="2026-11-01", status=1):
        sekisho.write("new.conf", text)
        result = sekisho("policy", "simulate", "new.conf", "--trail",
                         trail.trail, "--from", since, "--json", *arguments,
                         env={"TZ": "Asia/Tokyo"})
        assert result.returncode == status, result.stderr + result.stdout
        return json.loads(result.stdout)
    return run


def groups(found):
    return {(group["facility"], group["user"], group["reason"]): group["count"]
            for group in found["groups"]}


def clinic(more="", pin=PIN_A):
    return CLINIC.format(more=more, pin=pin)


def test_each_refusal_is_told_by_facility_user_and_reason(simulate):
    found = simulate(clinic("hours mon-fri 08:00-19:00;"))
    assert groups(found) == {
        ("aoba-clinic", "yamada", "closed"): 2,
        ("aoba-clinic", "suzuki", "action-not-allowed"): 1,
        ("aoba-clinic", "mallory", "user-not-listed"): 1,
        ("old-place", "yamada", "unknown-network"): 1,
        ("home", "yamada", "device-unknown"): 1,
        ("home", "yamada", "unknown-network"): 1}
    assert (found["entries"], found["refused"], found["cannot_be_told"]) == \
        (10, 7, 0)


def test_what_was_refused_then_is_no_entry(simulate):
    found = simulate(clinic(), "--to", "2026-11-03")
    assert ("aoba-clinic", "yamada", "action-not-allowed") not in groups(found)


def test_only_the_period_counts(simulate):
    found = simulate(clinic("hours mon-fri 08:00-19:00;"), "--to",
                     "2026-11-02T21:30")
    assert found["entries"] == 2 and found["refused"] == 1


def test_all_let_in_is_success(simulate):
    found = simulate(clinic(), "--to", "2026-11-02", status=0)
    assert found["groups"] == [] and found["entries"] == 3


def test_the_way_of_arrival_cannot_be_told(simulate):
    found = simulate(clinic("via 10.8.0.1;"), "--to", "2026-11-02")
    assert groups(found) == {("aoba-clinic", "yamada", "ingress"): 3}
    assert found["cannot_be_told"] == 3 and found["refused"] == 0


def test_the_country_cannot_be_told_without_a_database(simulate):
    found = simulate(clinic("country JP; via 10.8.0.1;"), "--to", "2026-11-02")
    assert groups(found) == {("aoba-clinic", "yamada", "ingress country"): 3}


def test_what_is_refused_anyway_is_refused(simulate):
    found = simulate(clinic("via 10.8.0.1; hours mon-fri 08:00-19:00;"),
                     "--to", "2026-11-02")
    assert groups(found) == {("aoba-clinic", "yamada", "ingress"): 1,
                             ("aoba-clinic", "yamada", "closed"): 2}


def test_the_chain_of_a_certificate_cannot_be_told(simulate, sekisho):
    subprocess.run([*AUTHORITY, "-out", sekisho.folder / "ca.pem"],
                   check=True, capture_output=True)
    found = simulate(f"""facility home {{
        network any; device required; certificate sha256:{PIN_A};
        device-ca {sekisho.folder}/ca.pem; }}""", since="2026-11-03T12:45")
    assert groups(found) == {("home", "yamada", "certificate-chain"): 1,
                             ("home", "yamada", "unknown-network"): 1,
                             ("aoba-clinic", "yamada", "unknown-network"): 1}


def test_a_facility_in_dry_run_tells_what_it_would_be(simulate):
    found = simulate(clinic("hours mon-fri 08:00-19:00; mode dry-run;"),
                     "--to", "2026-11-02")
    assert groups(found) == {("aoba-clinic", "yamada", "closed (dry-run)"): 2}


def test_codes_that_would_be_asked_for_are_counted(simulate):
    found = simulate(
        clinic("hours mon-fri 08:00-19:00; off-hours second-factor;"),
        "--to", "2026-11-02", status=0)
    assert found["code_asked"] == 2


def test_lines_are_for_people_and_harmless(sekisho, trail):
    sekisho.write("new.conf", clinic())
    result = sekisho("policy", "simulate", "new.conf", "--trail", trail.trail,
                     "--from", "2026-11-01", "--list",
                     env={"TZ": "Asia/Tokyo"})
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[:5]] == \
        ["#3", "#4", "#5", "#8", "#9"]
    assert lines[0].split()[1:3] == ["2026-11-03", "10:00:00"]
    assert "10 entries of the past were looked at: 5 would be refused" in \
        lines[-1]


def test_faults_are_told(sekisho, trail):
    sekisho.write("new.conf", clinic())
    sekisho.write("bad.conf", "facility {")
    for arguments, said in (
            (["new.conf"], "--from"),
            (["bad.conf", "--from", "2026-11-01"], "bad.conf"),
            (["new.conf", "--from", "soon"], "is no time"),
            (["new.conf", "--from", "2026-11-01", "--list", "--json"],
             "contradict")):
        result = sekisho("policy", "simulate", *arguments, "--trail",
                         trail.trail)
        assert result.returncode == 2 and said in result.stderr


def test_the_reading_is_recorded(tmp_path):
    with trail_daemon.running(tmp_path) as daemon:
        (tmp_path / "new.conf").write_text(clinic())
        result = subprocess.run(
            [PLAIN, "policy", "simulate", tmp_path / "new.conf", "--from",
             "2026-11-01", "--config", daemon.config], env=BASE_ENV,
            capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        daemon.front().checkpoint()
        read = [entry for entry in daemon.entries()
                if entry["event"] == "trail-read"]
        assert read[-1]["query"].startswith("policy simulate ")
