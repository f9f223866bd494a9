"""sekisho audit search: an access and its close are one line, with and without
an index, against a plain model of what that means."""

import csv
import io
import json
import os
import random
import sqlite3
import subprocess
import time

import pytest

from tool import PLAIN, TOP, sekisho  # noqa: F401

MAKE = os.path.join(TOP, "build/obj/tests/data/trail_make")
OPENINGS = ("access", "request")
CLOSES = ("access-end", "request-end")
START = 1790000000


def at(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S.250Z", time.gmtime(seconds))


class Trail:
    """A trail of these entries; `sizes`: an index is made at each of them."""

    def __init__(self, folder):
        folder.mkdir()
        self.trail, self.key = folder / "trail", folder / "key"
        self.index = folder / "audit.db"
        self.entries = []
        subprocess.run([MAKE, "key", "a.example/b", self.key], check=True,
                       stdout=subprocess.DEVNULL)
        subprocess.run([MAKE, "create", self.trail, self.key], check=True)

    def add(self, entries, batch=1000):
        script = []
        for i, entry in enumerate(entries):
            self.entries.append(entry)
            script.append("add " + json.dumps(entry, separators=(",", ":")))
            if i % batch == batch - 1:
                script.append("append")
        script.append("append")
        subprocess.run([MAKE, "write", self.trail, self.key], check=True,
                       stdout=subprocess.DEVNULL,
                       input="\n".join(script).encode() + b"\n")

    def make_index(self):
        subprocess.run([PLAIN, "audit", "index", "--trail",
                        self.trail, "--index", self.index], check=True,
                       stdout=subprocess.DEVNULL)


def record(number, event, **fields):
    return {"id": f"{number + 1:032x}", "time": at(START + number),
            "number": number + 1, "event": event, "outcome": 0,
            **{name: value for name, value in fields.items()
               if value is not None}}


def made_up(count, seed):
    """Everything that can happen to an access, also what should not."""
    dice = random.Random(seed)
    opened = []
    for number in range(count):
        kind = dice.random()
        user = f"user{dice.randrange(5)}"
        fields = {"user": user, "study": dice.choice([None, "1.2.3", "1.2.4"]),
                  "patient": dice.choice([None, None, "P1", "P2"]),
                  "action": dice.choice(["view", "download"])}
        if kind < 0.4:
            opened.append((number, fields))
            yield record(number, dice.choice(OPENINGS), **fields)
        elif kind < 0.75 and opened:
            place = dice.choice(range(max(0, len(opened) - 8), len(opened)))
            first, told = opened[place]
            if dice.random() < 0.9:
                opened.pop(place)  # else it is closed twice, perhaps
            if dice.random() < 0.1:
                told = {**told, "study": "9.9"}  # of something else
            if dice.random() < 0.3:
                told = {"user": told["user"]}  # says less
            yield record(
                number, dice.choice(CLOSES), **told,
                **{"open": f"{first + 1:032x}", "requests": number,
                   "bytes": 10 * number, "duration_ms": 1000 * number,
                   "reason": dice.choice(["idle", "interrupted"]),
                   "outcome": None})
        elif kind < 0.8:
            yield record(number, "access-end", user=user, open="f" * 32)
        elif kind < 0.85 and opened:
            yield record(number, "access-joined", user=user,
                         open=f"{opened[-1][0] + 1:032x}")
        else:
            yield record(number, dice.choice(["denied", "sign-in"]), user=user)


def agrees(a, b, name):
    return a.get(name) is None or b.get(name) is None or a[name] == b[name]


def answer(entries, fits, limit=None):
    """(entry, its close or None or "open") for each line."""
    closes, waiting = {}, {}
    for number, entry in enumerate(entries):
        if entry["event"] in OPENINGS:
            waiting.setdefault(entry["id"], number)
        elif entry["event"] in CLOSES and entry["open"] in waiting:
            opening = entries[waiting[entry["open"]]]
            if agrees(opening, entry, "patient") and \
                    agrees(opening, entry, "study"):
                closes[waiting.pop(entry["open"])] = number
    told = set()
    lines = []
    for number, entry in enumerate(entries):
        if not fits(entry) or number in told:
            continue
        if entry["event"] in OPENINGS:
            lines.append((number, closes.get(number, "open")))
            told.add(closes.get(number))
        else:
            lines.append((number, None))
    return lines[:limit]


def read(result):
    """The same of what was printed as CSV."""
    assert result.returncode in (0, 1), result.stderr
    rows = csv.DictReader(io.StringIO(result.stdout.decode(), newline=""))
    lines = []
    for row in rows:
        state = row["state"]
        assert state in ("", "open", "closed", "interrupted"), row
        assert (row["closed"] != "") == (state in ("closed", "interrupted"))
        lines.append((int(row["index"]), None if state == "" else
                      "open" if state == "open" else int(row["closed"])))
    return lines


BETWEEN = (START + 200, START + 900)

QUERIES = [
    ([], lambda e: True),
    (["--user", "user1"], lambda e: e["user"] == "user1"),
    (["--event", "access"], lambda e: e["event"] == "access"),
    (["--event", "access-end"], lambda e: e["event"] == "access-end"),
    (["--reason", "interrupted"], lambda e: e.get("reason") == "interrupted"),
    (["--study", "1.2.3"], lambda e: e.get("study") == "1.2.3"),
    (["--action", "download", "--user", "user2"],
     lambda e: e.get("action") == "download" and e["user"] == "user2"),
    (["--from", f"@{BETWEEN[0]}", "--to", f"@{BETWEEN[1]}", "--user", "user3"],
     lambda e: at(BETWEEN[0]) <= e["time"] < at(BETWEEN[1])
     and e["user"] == "user3"),
    (["--from", f"@{BETWEEN[0]}", "--to", f"@{BETWEEN[1]}"],
     lambda e: at(BETWEEN[0]) <= e["time"] < at(BETWEEN[1])),
]


@pytest.fixture(scope="module", params=[0, 700, 1500])
def trail(request, tmp_path_factory):
    """Without an index, with one of a part, with one of all."""
    made = Trail(tmp_path_factory.mktemp("access") / "t")
    entries = list(made_up(1500, seed=5))
    made.add(entries[:request.param or 1500])
    if request.param:
        made.make_index()
    if request.param not in (0, 1500):
        made.add(entries[request.param:])
    return made


@pytest.mark.parametrize("limit", [None, 1, 7])
@pytest.mark.parametrize("options, fits", QUERIES,
                         ids=[" ".join(q[0]) or "all" for q in QUERIES])
def test_an_access_is_one_line_and_nothing_is_missing(sekisho, trail, options,
                                                      fits, limit):
    expected = answer(trail.entries, fits, limit)
    more = [] if limit is None else ["--limit", str(limit)]
    result = sekisho("audit", "search", "--trail", trail.trail, "--index",
                     trail.index, "--csv", *options, *more, raw=True)
    assert read(result) == expected
    told = result.stderr.decode()
    assert told.startswith(f"{len(expected):,} found, an access and its close "
                           "counted as one; holds at tree size"), told
    if limit is None:
        # each record that matches is in a line, its own or its opening's
        shown = {n for line in expected for n in line if isinstance(n, int)}
        assert {n for n, e in enumerate(trail.entries) if fits(e)} <= shown


def test_records_prints_every_record_on_its_own(sekisho, trail):
    result = sekisho("audit", "search", "--trail", trail.trail, "--index",
                     trail.index, "--csv", "--records", raw=True)
    rows = list(csv.DictReader(io.StringIO(result.stdout.decode(),
                                           newline="")))
    assert [int(row["index"]) for row in rows] == list(range(1500))
    assert "state" not in rows[0]
    assert result.stderr.decode().startswith("1,500 found; holds")
    plain = sekisho("audit", "search", "--trail", trail.trail, "--records")
    assert len(plain.stdout.splitlines()) == 1500


def test_json_is_the_trail_itself(sekisho, trail):
    result = sekisho("audit", "search", "--trail", trail.trail, "--index",
                     trail.index, "--json")
    assert [json.loads(line) for line in result.stdout.splitlines()] == \
        trail.entries


def lines_of(sekisho_, trail, *options):
    result = sekisho_("audit", "search", "--trail", trail.trail, *options)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_the_line_says_what_the_close_says(sekisho, tmp_path):
    made = Trail(tmp_path / "t")
    common = {"user": "yamada", "study": "1.2.3", "reason": "dry-run"}
    made.add([
        record(0, "access", **common),
        record(1, "access", **common),
        record(2, "access-end", **{**common, "open": f"{1:032x}",
                                   "outcome": 4, "requests": 25,
                                   "instances": 20, "bytes": 1048576,
                                   "duration_ms": 192000, "reason": "idle"}),
        record(3, "access", user="ito"),
        record(4, "access-end", user="ito", open=f"{4:032x}", patient="P7",
               duration_ms=5025000, reason="interrupted"),
    ])
    first, second, third = lines_of(sekisho, made)
    assert first.split()[:5] == ["0", *first.split()[1:3], "access", "minor"]
    assert first.endswith("study 1.2.3, reason dry-run, requests 25, "
                          "instances 20, bytes 1048576, duration 3 min 12 s")
    assert second.endswith("study 1.2.3, reason dry-run, still open")
    # the patient was not known when it was opened
    assert third.endswith("patient P7, duration 1 h 23 min, interrupted")
    result = sekisho("audit", "search", "--trail", made.trail, "--csv",
                     raw=True)
    rows = list(csv.DictReader(io.StringIO(result.stdout.decode(),
                                           newline="")))
    assert rows[0]["event"] == "access" and rows[0]["outcome"] == "4"
    assert rows[0]["id"] == f"{1:032x}" and rows[0]["reason"] == "dry-run"
    assert rows[0]["duration_ms"] == "192000" and rows[0]["closed"] == "2"
    assert (rows[1]["state"], rows[1]["closed"]) == ("open", "")
    assert (rows[2]["state"], rows[2]["patient"]) == ("interrupted", "P7")
    assert rows[2]["reason"] == "interrupted"


def test_a_close_behind_the_span_is_found_and_one_before_it_is_a_line(
        sekisho, tmp_path):
    made = Trail(tmp_path / "t")
    made.add([
        record(0, "access", user="early"),
        *(record(n, "denied", user="x") for n in range(1, 100)),
        record(100, "access-end", user="early", open=f"{1:032x}"),
        record(101, "access", user="late"),
        *(record(n, "denied", user="x") for n in range(102, 400)),
        record(400, "access-end", user="late", open=f"{102:032x}", requests=3),
    ])
    options = ["--from", f"@{START + 50}", "--to", f"@{START + 150}"]
    for indexed in (False, True):
        if indexed:
            made.make_index()
        shown = [line for line in lines_of(sekisho, made, *options)
                 if " denied " not in line]
        assert [line.split()[0] for line in shown] == ["100", "101"]
        assert "access-end" in shown[0] and "early" in shown[0]
        assert "requests 3" in shown[1]


def test_an_index_that_names_a_wrong_close_is_not_believed(sekisho, tmp_path):
    """What counts is the trail: the tables are only a help."""
    made = Trail(tmp_path / "t")
    made.add([
        record(0, "access", user="a"), record(1, "access", user="b"),
        record(2, "access-end", user="b", open=f"{2:032x}", requests=2),
        record(3, "access-end", user="a", open=f"{1:032x}", requests=1),
    ])
    right = lines_of(sekisho, made)
    made.make_index()
    with sqlite3.connect(made.index) as db:
        db.execute("UPDATE access SET closed = 5 - closed")
    assert lines_of(sekisho, made, "--index", made.index, "--user", "a") == \
        right[:1]
    with sqlite3.connect(made.index) as db:
        db.execute("UPDATE access SET closed = 1000")
    assert lines_of(sekisho, made, "--index", made.index, "--event",
                    "access") == right


MANY = 270000  # more lines than may wait


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """Accesses that are open while more lines pass than may wait."""
    made = Trail(tmp_path_factory.mktemp("long") / "t")
    entries = [{"id": f"{n + 1:032x}", "event": "sign-in", "outcome": 0}
               for n in range(MANY)]
    entries[0] = {"id": f"{1:032x}", "event": "access", "outcome": 0}
    entries[1] = {"id": f"{2:032x}", "event": "access", "outcome": 0}
    entries[MANY // 2] = {"id": f"{3:032x}", "event": "access", "outcome": 0}
    entries[-1] = {"id": "a" * 32, "event": "access-end", "open": f"{1:032x}",
                   "outcome": 0, "requests": 4}
    made.add(entries, batch=4000)
    return made


@pytest.mark.parametrize("indexed", [False, True])
def test_more_lines_than_may_wait_are_the_same_answer(sekisho, long, indexed):
    if indexed:
        long.make_index()
    lines = lines_of(sekisho, long)
    assert len(lines) == MANY - 1
    assert [int(line.split()[0]) for line in lines] == list(range(MANY - 1))
    assert "requests 4" in lines[0]
    assert lines[1].endswith("still open")
    assert lines[MANY // 2].endswith("still open")
