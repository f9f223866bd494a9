"""`sekisho policy diff`: who gains and who loses."""

import ipaddress
import json
import random

import pytest

from tool import PIN_A, PIN_B, POLICY, golden, sekisho  # noqa: F401

HEAD = "timezone UTC;\n"


@pytest.fixture
def diff(sekisho):
    def run(old, new, *options):
        sekisho.write("old.conf", old)
        sekisho.write("new.conf", new)
        result = sekisho("policy", "diff", "old.conf", "new.conf", *options)
        assert result.stderr == ""
        return result
    run.tool = sekisho
    return run


def lines(result):
    assert result.returncode == 1
    return result.stdout.splitlines()


def facility(rules="", networks="10.0.0.0/8", name="f"):
    return HEAD + f"facility {name} {{ network {networks}; {rules} }}\n"


def test_no_difference(diff):
    result = diff(POLICY, "# the same\n" + POLICY)
    assert result.returncode == 0
    assert result.stdout.startswith("no difference: policy ")


def test_an_image_and_a_text(sekisho):
    sekisho.write("f.conf", POLICY)
    sekisho("policy", "apply", "f.conf", "--image", "p.img")
    assert sekisho("policy", "diff", "p.img", "f.conf").returncode == 0
    assert sekisho("policy", "diff", "f.conf", "p.img").returncode == 0
    sekisho.write("g.conf", facility())
    assert sekisho("policy", "diff", "p.img", "g.conf").returncode == 1


def test_errors(sekisho):
    sekisho.write("f.conf", POLICY)
    sekisho.write("bad.conf", "facility f {}\n")
    for pair in (("f.conf", "missing"), ("missing", "f.conf"),
                 ("f.conf", "bad.conf"), ("bad.conf", "f.conf")):
        result = sekisho("policy", "diff", *pair)
        assert result.returncode == 2
        assert result.stdout == ""
        assert result.stderr


# ---- addresses -----------------------------------------------------------------

@pytest.mark.parametrize("old, new, expected", [
    # gained and lost
    (facility(networks="10.0.0.0/8"), facility(networks="10.0.0.0/8 192.0.2.0/24"),
     ["+ 192.0.2.0/24 may now enter as ‘f’ (was: nobody)"]),
    (facility(networks="10.0.0.0/8 192.0.2.7"), facility(networks="10.0.0.0/8"),
     ["- 192.0.2.7 may no longer enter (was: ‘f’)"]),
    # a part of a network
    (facility(networks="10.0.0.0/8"), facility(networks="10.0.0.0/9"),
     ["- 10.128.0.0/9 may no longer enter (was: ‘f’)"]),
    # what is no single prefix is a range
    (facility(networks="10.0.0.0/8"), facility(networks="10.0.0.0/30"),
     ["- 10.0.0.4 - 10.255.255.255 may no longer enter (was: ‘f’)"]),
    # written otherwise: no difference in addresses
    (facility(networks="10.0.0.0/9 10.128.0.0/9"), facility(networks="10.0.0.0/8"),
     ["~ who may enter is the same; the images differ in form (order of "
      "facilities, how hours and networks are written, or time-zone data)"]),
    # neighbours are told as one
    (facility(networks="10.0.0.0/8"),
     facility(networks="10.0.0.0/8 192.0.2.0/25 192.0.2.128/25"),
     ["+ 192.0.2.0/24 may now enter as ‘f’ (was: nobody)"]),
    # IPv6, to its last address
    (facility(networks="10.0.0.0/8"),
     facility(networks="10.0.0.0/8 ffff:ffff:ffff:ffff::/64 8000::/2"),
     ["+ 8000::/2 may now enter as ‘f’ (was: nobody)",
      "+ ffff:ffff:ffff:ffff::/64 may now enter as ‘f’ (was: nobody)"]),
    (facility(networks="10.0.0.0/8"), facility(networks="10.0.0.0/8 128.0.0.0/1"),
     ["+ 128.0.0.0/1 may now enter as ‘f’ (was: nobody)"]),
    # a wide IPv6 network is not one of IPv4
    (facility(networks="10.0.0.0/8"), facility(networks="10.0.0.0/8 ::/1"),
     ["+ ::/1 may now enter as ‘f’ (was: nobody)"]),
    # from one facility to another; the longer prefix wins
    (facility(networks="10.0.0.0/8") + "facility g { network 192.0.2.0/24; }",
     facility(networks="10.0.0.0/8")
     + "facility g { network 192.0.2.0/24 10.1.0.0/16; }",
     ["~ 10.1.0.0/16 now enters as ‘g’ (was: ‘f’)"]),
])
def test_addresses(diff, old, new, expected):
    assert lines(diff(old, new)) == expected


def test_addresses_beside_a_facility_of_any_network(diff):
    readers = (f"facility readers {{ network any; device required; "
               f"certificate sha256:{PIN_A}; }}\n")
    old = facility(networks="192.0.2.0/24") + readers
    new = facility(networks="192.0.2.0/25") + readers
    assert lines(diff(old, new)) == [
        "- 192.0.2.128/25 may no longer enter but as ‘readers’ from any network "
        "(was: ‘f’)"]
    assert lines(diff(new, old)) == [
        "+ 192.0.2.128/25 may now enter as ‘f’ (was: ‘readers’ from any "
        "network)"]


def test_facilities_that_share_a_network(diff):
    one = (HEAD + "facility a { network 192.0.2.0/24; device required; "
           f"certificate sha256:{PIN_A}; }}\n")
    two = one + ("facility b { network 192.0.2.0/24; device required; "
                 f"certificate sha256:{PIN_B}; }}\n")
    assert lines(diff(one, two))[0] == (
        "~ 192.0.2.0/24 now enters as ‘a’ or ‘b’ (was: ‘a’)")


def test_addresses_against_a_slow_and_plain_calculation(diff):
    """Random nested networks in a /26: each address is asked one by one."""
    chance = random.Random(20261124)

    def policy():
        owner = {}
        for _ in range(chance.randrange(2, 7)):
            length = chance.randrange(26, 33)
            base = chance.randrange(64) >> (32 - length) << (32 - length)
            owner[(base, length)] = chance.choice("abc")
        text = HEAD
        for name in "abc":
            mine = [f"192.0.2.{base}/{length}"
                    for (base, length), who in owner.items() if who == name]
            if mine:
                text += f"facility {name} {{ network {' '.join(mine)}; }}\n"
        entered = []
        for address in range(64):
            matches = [(length, who) for (base, length), who in owner.items()
                       if base <= address < base + (1 << (32 - length))]
            entered.append(max(matches)[1] if matches else None)
        return text, entered

    def expected(before, after):
        told, start = [], 0
        for end in range(1, 65):
            if end < 64 and (before[end], after[end]) == (before[start],
                                                          after[start]):
                continue
            if before[start] != after[start]:
                told.append((start, end - 1, before[start], after[start]))
            start = end
        return told

    for _ in range(25):
        (old, before), (new, after) = policy(), policy()
        document = json.loads(diff(old, new, "--json").stdout)
        told = []
        for change in document["changes"]:
            if change["what"] != "network" or change["facility"]:
                continue
            text = change["text"]
            addresses, words = text.split(" may " if " may " in text
                                          else " now ", 1)
            if " - " in addresses:
                first, last = addresses.split(" - ")
            else:
                network = ipaddress.ip_network(addresses)
                first, last = network[0], network[-1]
            names = words.split("‘")
            was = names[-1][0] if "(was: nobody)" not in words else None
            now = names[1][0] if " as ‘" in words else None
            told.append((int(str(first).split(".")[3]),
                         int(str(last).split(".")[3]), was, now))
        assert told == expected(before, after), (old, new)


# ---- facilities, rule by rule ---------------------------------------------------

PIN = f"device required; certificate sha256:{PIN_A};"

RULES = {
    "users": ("users a b;", "users b c;",
              ["- a may no longer enter at ‘f’", "+ c may now enter at ‘f’"]),
    "a rule about users comes": (
        "", "users a b;",
        ["- only the users listed may now enter at ‘f’ (was: anybody): a, b"]),
    "a rule about users goes": (
        "users a b;", "",
        ["+ any user may now enter at ‘f’ (was: 2 listed)"]),
    "hours wider": ("hours mon-fri 09:00-17:00;", "hours mon-fri 09:00-18:00;",
                    ["+ ‘f’ is now also open mon-fri 17:00-18:00"]),
    "hours moved": (
        "hours mon 09:00-17:00;", "hours mon 08:00-16:00 sat 10:00-12:00;",
        ["+ ‘f’ is now also open mon 08:00-09:00 sat 10:00-12:00",
         "- ‘f’ is no longer open mon 16:00-17:00"]),
    "hours over midnight": (
        "hours sun 22:00-04:00;", "hours sun 22:00-06:00;",
        ["+ ‘f’ is now also open mon 04:00-06:00"]),
    "hours come": (
        "", "hours mon-fri 00:00-24:00;",
        ["- ‘f’ is no longer open sat-sun 00:00-24:00"]),
    "holidays": (
        "closed 2048-01-01..2048-01-10;",
        "closed 2048-01-05..2048-01-12 2048-02-01;",
        ["+ ‘f’ is no longer closed on 2048-01-01..2048-01-04",
         "- ‘f’ is now closed on 2048-01-11..2048-01-12",
         "- ‘f’ is now closed on 2048-02-01"]),
    "valid longer": ("valid 2026-01-01..2048-01-01;",
                     "valid 2026-01-01..2049-01-01;",
                     ["+ ‘f’ is now valid 2026-01-01..2049-01-01 (was: "
                      "2026-01-01..2048-01-01)"]),
    "valid shorter": ("", "valid 2026-01-01..;",
                      ["- ‘f’ is now valid 2026-01-01.. (was: always)"]),
    "valid moved": ("valid 2026-01-01..2048-01-01;",
                    "valid 2026-01-02..2049-01-01;",
                    ["~ ‘f’ is now valid 2026-01-02..2049-01-01 (was: "
                     "2026-01-01..2048-01-01)"]),
    "services": ("services web ssh;", "services web desktop;",
                 ["+ ‘f’ now allows desktop", "- ‘f’ no longer allows ssh"]),
    "actions": ("actions query view;", "actions view download store;",
                ["+ ‘f’ now allows download store",
                 "- ‘f’ no longer allows query"]),
    "certificates": (
        PIN, f"device required; certificate sha256:{PIN_B};",
        [f"- certificate sha256:{PIN_A} is no longer accepted at ‘f’",
         f"+ certificate sha256:{PIN_B} is now accepted at ‘f’"]),
    "device": (PIN, PIN.replace("required", "optional"),
               ["+ ‘f’ device certificate: optional (was: required)"]),
    "via": ("via 10.9.0.1;", "via 10.9.0.2;",
            ["- arriving on 10.9.0.1 one may no longer enter at ‘f’",
             "+ arriving on 10.9.0.2 one may now enter at ‘f’"]),
    "via goes": ("via 10.9.0.1;", "",
                 ["+ arriving on any address one may now enter at ‘f’ (was: 1 "
                  "listed)"]),
    "country comes": (
        "", "country JP;",
        ["- only from the countries listed one may now enter at ‘f’ (was: any "
         "country): from country JP"]),
    "country": ("country JP;", "country JP KR;",
                ["+ from country KR one may now enter at ‘f’"]),
    "second factor": ("", "second-factor never;",
                      ["+ ‘f’ no longer asks for a second factor"]),
    "off hours": ("hours mon 09:00-17:00;",
                  "hours mon 09:00-17:00; off-hours second-factor;",
                  ["+ ‘f’ now opens outside its hours to a fresh code"]),
    "session": ("session idle 15m max 8h;", "session idle 10m;",
                ["- ‘f’ session idle: 10m (was: 15m)",
                 "+ ‘f’ session max: no limit (was: 8h)"]),
    "mode": ("mode dry-run;", "mode enforce;",
             ["- ‘f’ is now enforced (was: dry-run)"]),
    "mode back": ("mode enforce;", "mode dry-run;",
                  ["+ ‘f’ is now in dry-run: whoever matches it enters (was: "
                   "enforced)"]),
    "zone": ("hours mon 09:00-17:00;",
             "hours mon 09:00-17:00; timezone Asia/Tokyo;",
             ["~ ‘f’ keeps the time of Asia/Tokyo (was: UTC)"]),
    "name": ("name A;", "name B; contact C;",
             ["~ ‘f’ name is now \"B\" (was: \"A\")",
              "~ ‘f’ contact is now \"C\" (was: \"\")"]),
}


@pytest.mark.parametrize("rule", RULES)
def test_rules(diff, rule):
    old, new, expected = RULES[rule]
    # `country` on private addresses is warned of: another network
    old = facility(old, networks="203.0.113.0/24")
    new = facility(new, networks="203.0.113.0/24")
    assert lines(diff(old, new)) == expected


def test_a_rule_changed_and_changed_back_gains_what_was_lost(diff):
    swap = {"gain": "loss", "loss": "gain", "change": "change"}
    for old, new, _ in RULES.values():
        old, new = (facility(text, networks="203.0.113.0/24")
                    for text in (old, new))
        there = json.loads(diff(old, new, "--json").stdout)["changes"]
        back = json.loads(diff(new, old, "--json").stdout)["changes"]
        assert (sorted((c["what"], swap[c["effect"]]) for c in there)
                == sorted((c["what"], c["effect"]) for c in back))


def test_facilities_that_come_and_go(diff):
    old = facility() + "facility g { network 192.0.2.0/24; }\n"
    new = facility() + ("facility h { network 192.0.2.0/25 198.51.100.1; "
                        "hours mon 08:00-09:00; users a b; mode dry-run; }\n")
    golden("diff-come-and-go.txt", diff(old, new).stdout)


def test_any_and_local_come_and_go(diff):
    old = facility(PIN) + "facility g { network local; }\n"
    new = facility(PIN, networks="any") + "facility g { network 192.0.2.1; }\n"
    golden("diff-any-local.txt", diff(old, new).stdout)


def test_json(diff):
    document = json.loads(diff(facility(), facility("users a;"), "--json").stdout)
    assert document.pop("old") != document.pop("new")
    assert document == {
        "same": False,
        "changes": [{"effect": "loss", "what": "users", "facility": "f",
                     "text": "only the users listed may now enter at ‘f’ (was: "
                             "anybody): a"}]}
    result = diff(facility(), facility(), "--json")
    assert result.returncode == 0
    document = json.loads(result.stdout)
    assert document["same"] is True and document["changes"] == []


def test_another_order_is_a_difference_in_form(diff):
    parts = ["facility a { network 10.0.0.0/8; }\n",
             "facility b { network 11.0.0.0/8; }\n"]
    result = diff(HEAD + parts[0] + parts[1], HEAD + parts[1] + parts[0])
    assert lines(result)[0].startswith("~ who may enter is the same;")


def test_ascii_where_the_locale_is_not_utf8(diff):
    diff(facility("users a;"), facility("users b;"))
    result = diff.tool("policy", "diff", "old.conf", "new.conf",
                       env={"LC_ALL": "C"})
    assert result.stdout == ("- a may no longer enter at 'f'\n"
                             "+ b may now enter at 'f'\n")
