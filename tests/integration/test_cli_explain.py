"""`sekisho policy explain`."""

import hashlib
import json
import re
import os
import subprocess
import sys
import time

import pytest

from tool import PIN_A, PIN_B, POLICY, TOP, golden, sekisho  # noqa: F401

sys.path.insert(0, os.path.join(TOP, "tests", "data"))

import make_mmdb  # noqa: E402


@pytest.fixture
def explain(sekisho):
    sekisho.write("f.conf", POLICY)

    def run(*arguments, **kwargs):
        return sekisho("policy", "explain", *arguments, "--policy", "f.conf",
                       **kwargs)
    run.tool = sekisho
    return run


def answer(explain, *arguments):
    result = explain(*arguments, "--json")
    assert result.stderr == ""
    document = json.loads(result.stdout)
    assert result.returncode == (0 if document["verdict"] == "allow" else 1)
    return document


def outcomes(document):
    return {c["name"]: c["outcome"] for c in document["conditions"]}


OPEN = ("--at", "2048-12-01T10:00")  # a Tuesday


# ---- for people ------------------------------------------------------------------

GOLDEN = {
    "allowed": ["203.0.113.5", "--user", "yamada", *OPEN],
    "closed": ["203.0.113.5", "--user", "yamada", "--at", "2048-11-28T14:12"],
    "holiday": ["203.0.113.5", "--at", "2048-12-30T10:00"],
    "not-valid": ["2001:db8:10::5", "--at", "2059-04-01T10:00"],
    "ssh-any": ["8.8.8.8", "--service", "ssh", *OPEN],
    "user": ["203.0.113.5", "--user", "mallory", *OPEN],
    "user-later": ["203.0.113.5", *OPEN],
    "action": ["203.0.113.5", "--action", "delete", *OPEN],
    "service": ["198.51.100.7", "--service", "desktop", *OPEN],
    "ingress": ["198.51.100.7", "--via", "10.8.0.2", *OPEN],
    "country": ["198.51.100.7", "--via", "10.8.0.1", "--country", "US", *OPEN],
    "off-hours": ["198.51.100.7", "--via", "10.8.0.1", "--country", "JP", *OPEN],
    "off-hours-no-factor": ["198.51.100.7", "--via", "10.8.0.1", "--country",
                            "JP", "--factor", "none", *OPEN],
    "plain": ["203.0.113.5", "--plain", *OPEN],
    "dry-run": ["192.0.2.1", *OPEN],
    "any-without": ["8.8.8.8", *OPEN],
    "any-with": ["8.8.8.8", "--certificate", f"sha256:{PIN_A}", *OPEN],
    "any-other": ["8.8.8.8", "--certificate", f"sha256:{PIN_B}", *OPEN],
    "local": ["local", "--service", "desktop", *OPEN],
}


@pytest.mark.parametrize("name", GOLDEN)
def test_what_a_person_reads(explain, name):
    result = explain(*GOLDEN[name])
    golden(f"explain-{name}.txt", result.stdout)
    assert result.stderr == ""
    allowed = "\nallow: " in result.stdout
    assert result.returncode == (0 if allowed else 1)


# ---- JSON -----------------------------------------------------------------------

def test_json_has_all_of_the_decision(explain):
    document = answer(explain, "203.0.113.5", "--user", "yamada", *OPEN)
    version = document.pop("policy_version")
    assert len(version) == 16
    conditions = document.pop("conditions")
    assert [c["name"] for c in conditions] == [
        "network", "valid", "services", "via", "transport", "device", "country",
        "calendar", "hours", "actions", "users"]
    assert conditions[8] == {
        "name": "hours", "outcome": "passed",
        "rule": "mon-fri 08:00-19:00 sat 08:00-13:00",
        "request": "it is Tue 2048-12-01 10:00 in Asia/Tokyo"}
    assert document == {
        "verdict": "allow", "facility": "aoba-clinic",
        "name": "Aoba Imaging Clinic", "reason": "ok", "dry_run_reason": None,
        "address": "203.0.113.5", "service": "web", "action": "view",
        "user": "yamada", "at": "2048-12-01T10:00:00+09:00",
        "unix": 2490397200, "timezone": "Asia/Tokyo",
        "obligations": {
            "second_factor": True, "factor_fresh": False,
            "users_pending": False, "idle_seconds": 900, "max_seconds": 28800,
            "actions": ["query", "view", "download"]},
        "opens": None}


REASONS = {
    "ok": ["203.0.113.5", "--user", "yamada", *OPEN],
    "closed": ["203.0.113.5", "--at", "2048-11-28T14:12"],
    "holiday": ["203.0.113.5", "--at", "2048-12-30T10:00"],
    "not-valid": ["203.0.113.5", "--at", "2059-04-01T10:00"],
    "unknown-network": ["8.8.8.8", "--service", "desktop", *OPEN],
    "user-not-listed": ["203.0.113.5", "--user", "mallory", *OPEN],
    "action-not-allowed": ["203.0.113.5", "--action", "delete", *OPEN],
    "service-not-allowed": ["198.51.100.7", "--service", "desktop", *OPEN],
    "wrong-ingress": ["198.51.100.7", *OPEN],
    "wrong-country": ["198.51.100.7", "--via", "10.8.0.1", *OPEN],
    "factor-missing": ["198.51.100.7", "--via", "10.8.0.1", "--country", "JP",
                       "--factor", "none", *OPEN],
    "plaintext": ["203.0.113.5", "--plain", *OPEN],
    "dry-run": ["192.0.2.1", *OPEN],
    "device-missing": ["192.0.2.1", *OPEN],
    "device-unknown": ["8.8.8.8", "--certificate", f"sha256:{PIN_B}", *OPEN],
}
FAILS = {
    "closed": "hours", "holiday": "calendar", "not-valid": "valid",
    "unknown-network": "network", "user-not-listed": "users",
    "action-not-allowed": "actions", "service-not-allowed": "services",
    "wrong-ingress": "via", "wrong-country": "country",
    "factor-missing": "hours", "plaintext": "transport", "dry-run": "device",
    "device-missing": "device", "device-unknown": "device",
}


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_and_the_condition_that_fails(explain, reason):
    if reason == "unknown-network":
        policy = POLICY.replace("any;", "192.0.2.0/25;").replace(
            "192.0.2.0/24", "192.0.2.128/25")
        explain.tool.write("f.conf", policy)
    if reason == "device-missing":
        explain.tool.write("f.conf", re.sub(r"mode\s+dry-run;", "", POLICY))
    document = answer(explain, *REASONS[reason])
    assert document["reason"] == reason
    assert document["verdict"] == ("allow" if reason in ("ok", "dry-run")
                                   else "deny")
    failed = [name for name, outcome in outcomes(document).items()
              if outcome == "failed"]
    assert failed == ([FAILS[reason]] if reason in FAILS else [])
    after = list(outcomes(document).values())
    if failed:
        behind = after[list(outcomes(document)).index(failed[0]) + 1:]
        assert set(behind) <= {"not-tried"}


def test_dry_run_tells_what_it_would_have_been(explain):
    document = answer(explain, "192.0.2.1", *OPEN)
    assert document["dry_run_reason"] == "device-missing"
    assert document["obligations"]["second_factor"] is False


def test_a_user_not_named_is_left_open(explain):
    document = answer(explain, "203.0.113.5", *OPEN)
    assert document["verdict"] == "allow"
    assert document["user"] is None
    assert document["obligations"]["users_pending"] is True
    assert outcomes(document)["users"] == "postponed"


def test_off_hours_owe_a_fresh_factor(explain):
    asked = ["198.51.100.7", "--via", "10.8.0.1", "--country", "KR", *OPEN]
    document = answer(explain, *asked)
    assert document["obligations"]["factor_fresh"] is True
    assert outcomes(document)["hours"] == "postponed"
    document = answer(explain, *asked, "--factor", "fresh")
    assert document["obligations"]["factor_fresh"] is False
    assert outcomes(document)["hours"] == "passed"


def test_no_action_is_asked_of_ssh(explain):
    asked = ["198.51.100.7", "--via", "10.8.0.1", "--country", "JP",
             "--service", "ssh", "--at", "2048-12-01T23:00"]
    document = answer(explain, *asked)
    assert document["action"] == "none"
    assert outcomes(document)["actions"] == "not-asked"
    assert outcomes(document)["transport"] == "not-asked"


def test_an_ipv4_address_in_ipv6_is_that_address(explain):
    document = answer(explain, "::ffff:203.0.113.5", *OPEN)
    assert document["address"] == "203.0.113.5"
    assert document["facility"] == "aoba-clinic"


def test_an_image_and_its_text_answer_alike(explain):
    tool = explain.tool
    assert tool("policy", "apply", "f.conf", "--image", "p.img").returncode == 0
    text = explain("203.0.113.5", *OPEN, "--json").stdout
    image = tool("policy", "explain", "203.0.113.5", *OPEN, "--json",
                 "--policy", "p.img").stdout
    assert text == image


def test_now_is_the_default(explain):
    # time(2) is the clock at its last tick, some milliseconds behind
    before = int(time.time() - 0.1)
    document = answer(explain, "203.0.113.5")
    assert before <= document["unix"] <= int(time.time())


# ---- time -----------------------------------------------------------------------

@pytest.mark.parametrize("text, unix", [
    ("2048-12-01T10:00+09:00", 2490397200),
    ("2048-12-01T01:00:00Z", 2490397200),
    ("2048-12-01T10:00", 2490397200),
    ("2048-12-01 10:00:00", 2490397200),
    ("@2490397200", 2490397200),
])
def test_forms_of_time(explain, text, unix):
    assert answer(explain, "203.0.113.5", "--at", text)["unix"] == unix


def test_a_time_without_offset_is_the_facilitys_and_this_is_said(explain):
    result = explain("198.51.100.7", "--at", "2048-12-01T10:00")
    assert ("the time given is that of Europe/Berlin, the zone of night-desk\n"
            in result.stdout)
    assert "2048-12-01T10:00:00+01:00" in result.stdout


def test_a_time_with_an_offset_is_shown_in_the_facilitys_zone(explain):
    result = explain("198.51.100.7", "--at", "2048-12-01T10:00Z")
    assert "the time given" not in result.stdout
    assert "2048-12-01T11:00:00+01:00, Europe/Berlin" in result.stdout


def test_a_time_that_clocks_show_twice(explain):
    result = explain("198.51.100.7", "--at", "2048-10-25T02:30")
    assert "clocks show it twice on that day: the first is meant" in result.stdout
    assert "2048-10-25T02:30:00+02:00" in result.stdout


def test_a_time_that_clocks_skip(explain):
    result = explain("198.51.100.7", "--at", "2048-03-29T02:30")
    assert "clocks skip it on that day" in result.stdout
    assert "2048-03-29T03:30:00+02:00" in result.stdout


def test_without_a_facility_the_time_is_utc(explain):
    explain.tool.write("f.conf", "timezone Asia/Tokyo;\n"
                                 "facility f { network 192.0.2.1; }\n")
    result = explain("8.8.8.8", "--at", "2048-12-01T10:00")
    golden("explain-unknown-network.txt", result.stdout)
    assert result.returncode == 1


@pytest.mark.parametrize("asked, opens", [
    ("2048-11-28T14:12", "2048-11-30T08:00:00+09:00"),   # Saturday afternoon
    ("2048-12-28T19:00", "2049-01-04T08:00:00+09:00"),   # before the holidays
    ("2026-03-01T10:00", "2026-04-01T08:00:00+09:00"),   # before it is valid
    ("2048-12-01T07:59", "2048-12-01T08:00:00+09:00"),
])
def test_the_next_opening(explain, asked, opens):
    assert answer(explain, "203.0.113.5", "--at", asked)["opens"] == opens


def test_what_never_opens_again(explain):
    result = explain("203.0.113.5", "--at", "2059-04-01T10:00")
    assert "does not open within 400 days\n" in result.stdout
    assert answer(explain, "203.0.113.5", "--at",
                  "2059-04-01T10:00")["opens"] is None


def test_an_opening_that_would_not_help(explain):
    result = explain("203.0.113.5", "--at", "2048-12-01T07:00", "--action",
                     "delete")
    assert ("opens Tue 2048-12-01 08:00 (2048-12-01T08:00:00+09:00, Asia/Tokyo), "
            "and is refused then for another reason: action-not-allowed\n"
            in result.stdout)


# ---- errors ----------------------------------------------------------------------

@pytest.mark.parametrize("arguments, message", [
    (["300.0.0.1"], '"300.0.0.1" is no address'),
    (["pacs.example"], '"pacs.example" is no address'),
    (["203.0.113.0/28"], '"203.0.113.0/28" is no address'),
    (["::1", "--via", "x"], '--via "x" is no address'),
    (["::1", "--at", "yesterday"], '--at "yesterday" is no time'),
    (["::1", "--at", "2026-02-30T10:00"], '--at "2026-02-30T10:00" is no time'),
    (["::1", "--service", "ftp"], '--service "ftp": write web, ssh or desktop'),
    (["::1", "--action", "look"], '--action "look": write query, view'),
    (["::1", "--action", "none"], '--action "none": write query, view'),
    (["::1", "--factor", "maybe"], '--factor "maybe": write fresh or none'),
    (["::1", "--country", "jp"], '--country "jp": write two capital letters'),
    (["::1", "--country", "JPN"], '--country "JPN": write two capital letters'),
    (["::1", "--country", "JP", "--geoip", "x"],
     "--country and --geoip exclude each other"),
    (["::1", "--geoip", "missing"], "missing: "),
    (["::1", "--geoip", "f.conf"], "f.conf: "),
    (["::1", "--certificate", "sha256:12"], "write sha256: and 64"),
    (["::1", "--certificate", "sha256:" + "g" * 64], "write sha256: and 64"),
    (["::1", "--certificate", "sha256:" + "a" * 66], "write sha256: and 64"),
    (["::1", "--certificate", "missing.pem"], "missing.pem: No such file"),
    (["::1", "--certificate", "f.conf"], "f.conf: no certificate in PEM or DER"),
    (["::1", "--certificate", "."], "--certificate .: Is a directory"),
    (["::1", "--verified-by", "x"], "--verified-by needs --certificate"),
    (["::1", "--verified-by", "x", "--certificate", f"sha256:{PIN_A}"],
     "--verified-by needs the certificate's file"),
])
def test_errors_name_the_cure(explain, arguments, message):
    result = explain(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert message in result.stderr


def test_a_missing_policy(sekisho):
    result = sekisho("policy", "explain", "::1", "--policy", "missing.img")
    assert result.returncode == 2
    assert result.stderr == ("sekisho policy explain: missing.img: No such file "
                             "or directory\n")


# ---- certificates ------------------------------------------------------------------

def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True,
                   capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A root, an issuing authority, a terminal's certificate; a stranger."""
    folder = tmp_path_factory.mktemp("ca")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for name in ("root", "other"):
        openssl(folder, "req", "-x509", *key, "-keyout", f"{name}.key", "-out",
                f"{name}.pem", "-subj", f"/CN={name}", "-days", "20000")
    (folder / "ca.ext").write_text("basicConstraints=critical,CA:TRUE\n")
    (folder / "leaf.ext").write_text("extendedKeyUsage=clientAuth\n")
    (folder / "server.ext").write_text("extendedKeyUsage=serverAuth\n")
    for name, issuer, extension in (("issuing", "root", "ca"),
                                    ("leaf", "issuing", "leaf"),
                                    ("server", "issuing", "server")):
        openssl(folder, "req", *key, "-keyout", f"{name}.key", "-out",
                f"{name}.csr", "-subj", f"/CN={name}")
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA",
                f"{issuer}.pem", "-CAkey", f"{issuer}.key", "-CAcreateserial",
                "-out", f"{name}.pem", "-days", "10000", "-extfile",
                f"{extension}.ext")
    openssl(folder, "x509", "-in", "leaf.pem", "-outform", "DER", "-out",
            "leaf.der")
    for name in ("leaf", "server"):
        (folder / f"{name}-chain.pem").write_text(
            (folder / f"{name}.pem").read_text()
            + (folder / "issuing.pem").read_text())
    return folder


def fingerprint(folder, name):
    der = subprocess.run(["openssl", "x509", "-in", name, "-outform", "DER"],
                         cwd=folder, check=True, capture_output=True).stdout
    return hashlib.sha256(der).hexdigest()


@pytest.fixture
def devices(sekisho, authority):
    def run(rule, *arguments):
        sekisho.write("d.conf", "timezone UTC;\nfacility d { network any; "
                                f"device required; {rule} }}\n")
        result = sekisho("policy", "explain", "192.0.2.9", "--json", "--policy",
                         "d.conf", *arguments)
        assert result.returncode in (0, 1), result.stderr
        return json.loads(result.stdout)
    run.folder = authority
    return run


def request_of(document, name):
    return next(c["request"] for c in document["conditions"]
                if c["name"] == name)


@pytest.mark.parametrize("name", ["leaf.pem", "leaf.der", "leaf-chain.pem"])
def test_a_pinned_certificate_in_any_form(devices, name):
    pin = fingerprint(devices.folder, "leaf.pem")
    document = devices(f"certificate sha256:{pin};", "--certificate",
                       devices.folder / name)
    assert document["reason"] == "ok"
    assert f"sha256:{pin} /CN=leaf, from 20" in request_of(document, "device")


def test_a_fingerprint_with_colons(devices):
    pin = fingerprint(devices.folder, "leaf.pem")
    colons = ":".join(pin[i:i + 2] for i in range(0, 64, 2)).upper()
    document = devices(f"certificate sha256:{pin};", "--certificate",
                       f"sha256:{colons}")
    assert document["reason"] == "ok"
    assert "its dates not known" in request_of(document, "device")


def test_a_certificate_before_and_after_its_dates(devices):
    pin = fingerprint(devices.folder, "leaf.pem")
    for at in ("2020-01-01T00:00", "2065-01-01T00:00"):
        document = devices(f"certificate sha256:{pin};", "--certificate",
                           devices.folder / "leaf.pem", "--at", at)
        assert document["reason"] == "device-unknown"


def test_an_authority_needs_a_verified_chain(devices):
    rule = f"device-ca {devices.folder}/issuing.pem;"
    document = devices(rule, "--certificate", devices.folder / "leaf-chain.pem")
    assert document["reason"] == "device-unknown"
    assert ("chain not checked (--verified-by)"
            in request_of(document, "device"))
    document = devices(rule, "--certificate", devices.folder / "leaf-chain.pem",
                       "--verified-by", devices.folder / "root.pem")
    assert document["reason"] == "ok"
    assert "chain verified" in request_of(document, "device")


def test_the_root_of_the_chain_counts_too(devices):
    document = devices(f"device-ca {devices.folder}/root.pem;", "--certificate",
                       devices.folder / "leaf-chain.pem", "--verified-by",
                       devices.folder / "root.pem")
    assert document["reason"] == "ok"


@pytest.mark.parametrize("certificate, authority_file, words", [
    ("leaf-chain.pem", "other.pem", "unable to get local issuer certificate"),
    ("leaf.pem", "root.pem", "unable to get local issuer certificate"),
    ("server-chain.pem", "root.pem", "purpose"),
])
def test_a_chain_that_does_not_verify(devices, certificate, authority_file,
                                      words):
    document = devices(f"device-ca {devices.folder}/issuing.pem;",
                       "--certificate", devices.folder / certificate,
                       "--verified-by", devices.folder / authority_file)
    assert document["reason"] == "device-unknown"
    assert words in request_of(document, "device")


def test_a_chain_is_verified_as_of_the_moment_asked(devices):
    document = devices(f"device-ca {devices.folder}/issuing.pem;",
                       "--certificate", devices.folder / "leaf-chain.pem",
                       "--verified-by", devices.folder / "root.pem", "--at",
                       "2065-01-01T00:00")
    assert document["reason"] == "device-unknown"
    assert "has expired" in request_of(document, "device")


def test_an_authority_file_that_is_none(explain, authority):
    result = explain("::1", "--certificate", authority / "leaf.pem",
                     "--verified-by", "f.conf")
    assert result.returncode == 2
    assert "--verified-by f.conf: no PEM file of certificates" in result.stderr


def test_one_network_two_facilities_told_apart_by_certificate(sekisho, authority):
    sekisho.write("f.conf", "timezone UTC;\n" + "".join(
        f"facility {name} {{ network 192.0.2.0/24; device required; "
        f"certificate sha256:{pin}; }}\n"
        for name, pin in (("a", PIN_A), ("b", PIN_B))))
    for name, pin in (("a", PIN_A), ("b", PIN_B)):
        result = sekisho("policy", "explain", "192.0.2.1", "--policy", "f.conf",
                         "--json", "--certificate", f"sha256:{pin}")
        assert json.loads(result.stdout)["facility"] == name
    result = sekisho("policy", "explain", "192.0.2.1", "--policy", "f.conf",
                     *OPEN)
    golden("explain-two-candidates.txt", result.stdout)
    assert result.returncode == 1


# ---- country ----------------------------------------------------------------------

def test_the_country_from_a_database(explain):
    path = explain.tool.write("c.mmdb", make_mmdb.build(
        {"198.51.100.0/24": "JP", "203.0.113.0/24": "US"}))
    asked = ["198.51.100.7", "--via", "10.8.0.1", "--geoip", path, "--at",
             "2048-12-01T23:00"]
    document = answer(explain, *asked)
    assert document["reason"] == "ok"
    assert request_of(document, "country") == "it is in JP"


def test_a_dry_run_of_any_network_lets_no_stranger_in(explain):
    explain.tool.write("f.conf", "facility home { network any; mode dry-run; "
                       f"device required; certificate sha256:{PIN_A}; }}\n")
    for arguments in ([], ["--service", "ssh"],
                      ["--certificate", f"sha256:{PIN_B}"]):
        document = answer(explain, "8.8.8.8", *arguments, *OPEN)
        assert (document["verdict"], document["facility"]) == ("deny", None)
    document = answer(explain, "8.8.8.8", "--action", "delete",
                      "--certificate", f"sha256:{PIN_A}", *OPEN)
    assert (document["verdict"], document["reason"]) == ("allow", "dry-run")
