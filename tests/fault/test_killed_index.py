"""kill -9 of `sekisho audit index` while it makes audit.db from nothing."""

import hashlib
import json
import os
import random
import sqlite3
import subprocess
import time

from stage import count
from tool import TOP

ENTRIES = count(300_000, 1_500_000)  # more than two transactions
KILLS = count(4, 60)
DRIVER = os.path.join(TOP, "build/obj/tests/data/trail_make")
SEKISHO = os.path.join(TOP, "build/bin/sekisho")
TABLES = ("word", "access", "entry", "study", "part", "day")


def lines():
    """Accesses, closed a hundred entries later; patients learned."""
    common = {"time": "2026-11-24T06:09:02.123Z", "outcome": 0}
    for i in range(ENTRIES // 2):
        what = {"user": f"user{i % 50}", "study": f"1.2.{i % 9000}",
                "address": f"203.0.113.{i % 100}", "action": "view"}
        yield {"id": f"{i + 1:032x}", **common, "event": "access", **what}
        if i % 10 == 0:
            yield {"id": f"{i + 10**9:032x}", **common, "patient": f"P{i % 900}",
                   "event": "patient-learned", "study": f"1.2.{i % 9000}"}
        if i >= 100:
            j = i - 100
            what = {"user": f"user{j % 50}", "study": f"1.2.{j % 9000}",
                    "address": f"203.0.113.{j % 100}", "action": "view"}
            yield {"id": f"{i + 2 * 10**9:032x}", **common,
                   "event": "access-end", "open": f"{j + 1:032x}", **what}


def make_trail(folder):
    trail, key = folder / "trail", folder / "key"
    subprocess.run([DRIVER, "key", "killed.example/trail", key], check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run([DRIVER, "create", trail, key], check=True)
    with subprocess.Popen([DRIVER, "write", trail, key],
                          stdin=subprocess.PIPE,
                          stdout=subprocess.DEVNULL) as writer:
        for number, line in enumerate(lines()):
            writer.stdin.write(b"add " + json.dumps(
                line, separators=(",", ":")).encode() + b"\n")
            if number % 1000 == 999:
                writer.stdin.write(b"append\n")
        writer.stdin.write(b"append\n")
    assert writer.returncode == 0
    return trail


def command(trail, index, *options):
    return [SEKISHO, "audit", "index", "--trail", trail, "--index", index,
            *options]


def contents(index):
    """A hash of every row; what SQLite itself says of the file."""
    told = {}
    with sqlite3.connect(f"file:{index}?mode=ro", uri=True) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        for table in TABLES:
            rows = hashlib.sha256()
            for row in db.execute(f"SELECT * FROM {table} ORDER BY 1"):
                rows.update(repr(row).encode())
            told[table] = rows.hexdigest()
        told["indexes"] = sorted(name for name, in db.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'index'"))
        told["size"] = db.execute(
            "SELECT value FROM meta WHERE name = 'size'").fetchone()
    return told


def test_killed_while_it_is_filled_the_index_becomes_the_same(tmp_path):
    trail = make_trail(tmp_path)
    whole, cut = tmp_path / "whole.db", tmp_path / "cut.db"
    began = time.monotonic()
    subprocess.run(command(trail, whole), check=True, capture_output=True)
    took = time.monotonic() - began
    expected = contents(whole)
    draw = random.Random(5)
    kills = 0
    while kills < KILLS:
        with subprocess.Popen(command(trail, cut), stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True) as process:
            time.sleep(draw.random() * took)
            kills += process.poll() is None
            process.kill()
            said = process.stderr.read()
        assert "made anew" not in said, said
        if process.returncode == 0:
            assert contents(cut) == expected
            cut.unlink()
    done = subprocess.run(command(trail, cut), check=True, capture_output=True,
                          text=True)
    assert "made anew" not in done.stderr
    assert contents(cut) == expected
