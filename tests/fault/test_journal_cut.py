"""The write-ahead file after a crash: cut at every byte, and every byte of it
changed."""

import json
import os
import shutil
import struct
import subprocess

import pytest

import audit_place
import stage as stages
import test_trail_independent as independent
import trail_daemon
from stage import LONG

HEADER = 64


def record(number):
    return {"event": "request", "outcome": 0, "user": f"user-{number}",
            "study": f"1.2.3.{number}", "note": "x" * (number % 50)}


class Crashed:
    """The folder of a daemon that was killed with records behind the last
    checkpoint, and what it had acknowledged."""

    def __init__(self, folder):
        self.folder = folder
        # the first start of it all is sealed before the records come
        daemon = trail_daemon.Daemon(folder, "journal 4m;\nreserve 1m;\n"
                                     "heartbeat 5m;")
        daemon.start()
        front = daemon.front()
        self.front = front.front
        self.front_text = front.front.hex()
        front.send(*[record(i) for i in range(1, 6)])
        front.checkpoint()
        self.sealed = daemon.checkpoint()[0]
        self.acknowledged = []  # numbers at the end of each batch
        at = 5
        for size in (1, 3, 1, 2):
            front.send(*[record(at + i + 1) for i in range(size)])
            at += size
            self.acknowledged.append(at)
        daemon.kill()
        assert daemon.checkpoint()[0] == self.sealed, "it was sealed meanwhile"
        front.close()
        self.last = at
        # generation 1 of the ring, as lib/trail/journal.h has it
        self.file = f"{folder}/trail/journal/1"
        with open(self.file, "rb") as file:
            self.bytes = file.read()
        # (first byte, byte behind it, entries before it, its entries); what
        # fills it up to a multiple of 8 is no part of it
        self.batches = []
        offset, entries = HEADER, 0
        while True:
            index, payload, held = struct.unpack_from("<QII", self.bytes,
                                                      offset + 16)
            if held == 0:
                break
            assert index == entries
            size = HEADER + 32 * held + payload
            self.batches.append((offset, offset + size, entries, held))
            offset += (size + 7) // 8 * 8
            entries += held
        self.end = self.batches[-1][1]

    def kept(self, offset):
        """Entries that the file still holds if it ends there."""
        return sum(held for _, end, _, held in self.batches if end <= offset)


class Copy:
    """A copy of it to start from, with something done to the journal."""

    def __init__(self, crashed, folder):
        self.crashed, self.folder = crashed, folder
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(f"{crashed.folder}/trail", f"{folder}/trail")
        shutil.copy(f"{crashed.folder}/key", f"{folder}/key")
        self.daemon = trail_daemon.Daemon(
            folder, "journal 4m;\nreserve 1m;\nheartbeat 5m;")
        self.file = f"{folder}/trail/journal/1"

    def start(self):
        """None, or what it said when it refused to start."""
        try:
            self.daemon.start()
        except RuntimeError as error:
            return str(error)
        return None

    def end(self):
        """Stops it; the entries of a trail that is whole."""
        assert self.daemon.stop() == 0, self.daemon.messages()
        done = subprocess.run(
            [trail_daemon.SEKISHO, "audit", "verify", "--config",
             self.daemon.config], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        log = independent.Log(self.daemon.trail, self.daemon.verifier_key)
        entries = [json.loads(line) for line in log.entries]
        ids = [e["id"] for e in entries]
        assert len(ids) == len(set(ids))
        return entries

    def numbers(self, entries):
        return [e["number"] for e in entries
                if e["front"] == self.crashed.front_text]


@pytest.fixture(scope="module", name="crashed")
def make_crashed(tmp_path_factory):
    for attempt in range(20):
        folder = tmp_path_factory.mktemp(f"crashed{attempt}")
        try:
            return Crashed(str(folder))
        except AssertionError as error:
            if "sealed meanwhile" not in str(error):
                raise
    raise AssertionError("a checkpoint always came first")


def sample(first, last, step):
    """All bytes, or some and those at the edges."""
    if LONG:
        return range(first, last)
    return sorted({first, first + 1, last - 1} | set(range(first, last, step)))


def replay(crashed, copy, kept, cut):
    """The daemon is up: exactly what is whole is there, in order."""
    entries = copy.end()
    assert len(entries) > kept
    held = [e["number"] for e in entries[:max(kept, crashed.sealed)]
            if e["front"] == crashed.front_text]
    assert copy.numbers(entries) == held == list(range(1, len(held) + 1))
    cuts = [e for e in entries if e["event"] == "tail-cut"]
    assert [(c["cut_bytes"], c["note"]) for c in cuts] == cut, (kept, cuts)
    assert [e["event"] for e in entries[max(kept, crashed.sealed):]][0] == \
        "start"


def test_journal_that_is_cut_at_any_byte_keeps_what_is_whole(crashed,
                                                             tmp_path):
    cases = 0
    for at in sample(0, crashed.end, 307):
        copy = Copy(crashed, str(tmp_path / "cut"))
        os.truncate(copy.file, at)
        said = copy.start()
        assert said is None, (at, said)
        whole = [b for b in crashed.batches if b[1] <= at]
        begins = crashed.batches[len(whole)][0] if at < crashed.end else at
        replay(crashed, copy, crashed.kept(at),
               [(max(0, at - begins), "journal/1")])
        cases += 1
    print(f"{cases} cuts", end=" ")


def test_journal_with_any_byte_changed_is_cut_there_or_refused(crashed,
                                                               tmp_path):
    """In the last batch it is what a crash leaves, and cut.  Before it, what
    was acknowledged would be lost: that is refused, with the place.  What the
    checkpoint covers needs no journal."""
    cases = refused = 0
    first_unsealed = next(b for b in crashed.batches
                          if b[2] + b[3] > crashed.sealed)
    last = crashed.batches[-1]
    for at in sample(HEADER, crashed.end, 311):
        copy = Copy(crashed, str(tmp_path / "flip"))
        with open(copy.file, "r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 0x10]))
        said = copy.start()
        cases += 1
        batch = next((b for b in crashed.batches if b[0] <= at < b[1]), None)
        if batch is None:   # between two batches
            assert said is None, (at, said)
            assert copy.numbers(copy.end()) == list(
                range(1, crashed.last + 1)), at
            continue
        if batch == last:
            assert said is None, (at, said)
            entries = copy.end()
            assert copy.numbers(entries) == list(
                range(1, crashed.acknowledged[-2] + 1)), at
            assert [e["note"] for e in entries
                    if e["event"] == "tail-cut"] == ["journal/1"], at
        elif batch[0] >= first_unsealed[0]:
            assert said is not None, at
            assert f"journal/1: the batch at byte {batch[0]}" in said, said
            assert "later batches follow" in said, said
            refused += 1
        elif said is None:
            assert copy.numbers(copy.end()) == list(
                range(1, crashed.last + 1)), at
        else:
            assert "journal/1" in said, said
            refused += 1
    print(f"{cases} bytes changed, {refused} refused", end=" ")


def test_loss_of_what_was_acknowledged_is_told_as_a_gap(crashed, tmp_path):
    """Half of the last batches is gone from a disk that had said it was there:
    the front end knows better, and how many."""
    copy = Copy(crashed, str(tmp_path / "lost"))
    os.truncate(copy.file, crashed.batches[-2][0] + 9)
    assert copy.start() is None
    front = copy.daemon.front(crashed.front, crashed.last)
    assert front.number == crashed.last
    front.send(record(crashed.last + 1))
    front.close()
    assert copy.daemon.stop() == 0
    gap, = copy.daemon.entries("gap")
    kept = crashed.acknowledged[-3]
    assert (gap["reason"], gap["from_number"], gap["missing"]) == (
        "acknowledged-and-lost", kept + 1, crashed.last - kept)
    config = audit_place.Daemon.__new__(audit_place.Daemon)
    config.config = copy.daemon.config
    assert stages.verify(config)[0] == 4
