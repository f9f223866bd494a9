"""The tamper battery, with the real `sekisho audit verify` on copies.

What is done to a trail is found, and named: the file, the entry, the byte
where there is one.  And nothing is found where nothing was done.

tests/unit/test_trail_verify.c does the same in process, in other places.
"""

import base64
import glob
import hashlib
import os
import re
import shutil
import struct
import subprocess
import threading

import pytest

import trail_daemon
from test_audit_cli_verify import verify
from tool import sekisho  # noqa: F401

OK, ERROR, TAMPERED, UNSEALED = 0, 2, 3, 5
HEADER = 64   # of a file of the journal, and of a batch in it
HASH = 32


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A trail as kill -9 leaves it: some entries under the checkpoint, and
    three in the journal alone."""
    daemon = trail_daemon.Daemon(tmp_path_factory.mktemp("killed"))
    for _ in range(20):
        daemon.start()
        front = daemon.front()
        front.send({"event": "access", "outcome": 0, "user": "yamada"})
        front.checkpoint()
        for i in range(3):
            front.send({"event": "access", "outcome": 0, "user": f"u{i}"})
        daemon.kill()
        front.close()
        # the next checkpoint comes within a second: rarely it was quicker
        if first_lines(daemon, daemon.trail)[0] == (UNSEALED, 3):
            return daemon
    pytest.fail("each time all was under a checkpoint already")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    """One that ended in peace, with a full bundle and a partial one."""
    with trail_daemon.running(tmp_path_factory.mktemp("whole")) as daemon:
        front = daemon.front()
        for first in range(0, 300, 50):
            front.send(*({"event": "access", "outcome": 0, "user": f"u{i}"}
                         for i in range(first, first + 50)))
        front.checkpoint()
        front.close()
    return daemon


@pytest.fixture
def copy(daemon, tmp_path):
    return shutil.copytree(daemon.trail, tmp_path / "copy")


def first_lines(daemon, folder, *more):
    """((exit status, entries after the checkpoint), all that is said)."""
    done = subprocess.run(
        [trail_daemon.SEKISHO, "audit", "verify", "--trail", folder, "--key",
         f"{daemon.key}.pub", *more], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"})
    after = re.search(r"entries under the checkpoint, (\d+) after it",
                      done.stdout)
    return (done.returncode, int(after[1]) if after else 0), done.stdout


def flips(path, places):
    """Flips a bit in one byte after the other, each time another bit, and puts
    it right again."""
    with open(path, "r+b", buffering=0) as file:
        data = file.read()
        for place in places if places is not None else range(len(data)):
            for value in (data[place] ^ 1 << place % 8, data[place]):
                file.seek(place)
                file.write(bytes([value]))
                if value != data[place]:
                    yield place


# ---- Each byte --------------------------------------------------------------

def entry_of(data, place):
    """The entry of a bundle that this byte belongs to."""
    at = index = 0
    while True:
        size = struct.unpack_from(">H", data, at)[0] + 2
        if place < at + size:
            return index, place < at + 2
        at, index = at + size, index + 1


def test_each_byte_of_the_entries(killed, tmp_path):
    folder = shutil.copytree(killed.trail, tmp_path / "copy")
    path, = glob.glob(f"{folder}/tile/entries/000.p/*")
    name = os.path.relpath(path, folder)
    with open(path, "rb") as file:
        data = file.read()
    for place in flips(path, None):
        (status, _), text = first_lines(killed, folder)
        assert status == TAMPERED and name in text, (place, text)
        index, in_length = entry_of(data, place)
        # a false length moves all that follow: one of those does not fit
        named = [int(n) for n in re.findall(r"entry (\d+)", text)]
        assert named and (named[0] >= index if in_length
                          else named[0] == index), (place, text)
    assert first_lines(killed, folder)[0] == (UNSEALED, 3)


def test_each_byte_of_the_hashes(killed, tmp_path):
    folder = shutil.copytree(killed.trail, tmp_path / "copy")
    path, = glob.glob(f"{folder}/tile/0/000.p/*")
    name = os.path.relpath(path, folder)
    for place in flips(path, None):
        (status, _), text = first_lines(killed, folder)
        assert status == TAMPERED and name in text, (place, text)
    assert first_lines(killed, folder)[0] == (UNSEALED, 3)


def test_each_byte_of_the_checkpoint(killed, tmp_path):
    folder = shutil.copytree(killed.trail, tmp_path / "copy")
    for place in flips(f"{folder}/checkpoint", None):
        (status, _), text = first_lines(killed, folder)
        assert status == TAMPERED and "checkpoint: " in text, (place, text)
    assert first_lines(killed, folder)[0] == (UNSEALED, 3)


def test_each_byte_of_the_verifier_key(killed, tmp_path):
    """It is no part of the trail, but whoever has a false one must notice."""
    path = shutil.copy(f"{killed.key}.pub", tmp_path / "key")
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        assert file.read()[-1:] == b"\n"
    for place in flips(path, range(size - 1)):
        done = subprocess.run(
            [trail_daemon.SEKISHO, "audit", "verify", "--trail", killed.trail,
             "--key", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False)
        assert done.returncode in (ERROR, TAMPERED), (place, done.stdout)


class Batch:
    """A batch of the journal, read by the layout in lib/trail/journal.h."""

    def __init__(self, data, offset):
        self.offset = offset
        self.sequence, self.index, payload, self.entries = struct.unpack_from(
            "<QQII", data, offset + 8)
        self.used = offset + HEADER + self.entries * HASH + payload
        self.end = (self.used + 7) // 8 * 8


def batches(path):
    with open(path, "rb") as file:
        data = file.read()
    offset, found = HEADER, []
    while data[offset:offset + 4] == b"\xffSKJ":
        found.append(Batch(data, offset))
        offset = found[-1].end
    return found


def newest(folder):
    """The file of the journal that is written to: its number."""
    generations = {}
    for path in glob.glob(f"{folder}/journal/*"):
        with open(path, "rb") as file:
            header = file.read(HEADER)
        if header[:3] == b"SKJ":
            generations[struct.unpack_from("<Q", header, 8)[0]] = int(
                os.path.basename(path))
    return generations[max(generations)]


def test_each_byte_of_the_journal(killed, tmp_path):
    """Three entries of it are under no checkpoint yet.

    The rule:
    - the header of the file in use, and each batch that a whole one follows:
      found, named with file, byte and entry;
    - the last batch: nothing tells its damage from a crash in the middle of
      writing it (nobody was told then that it is on disk).  Its entries are
      not counted; and the place is told, but for a batch whose first 16 bytes
      (mark and number) are not its own: then none begins there at all;
    - up to seven bytes between two batches, what lies behind the last one, and
      files that hold no entry without a checkpoint: nobody reads them.
    """
    folder = shutil.copytree(killed.trail, tmp_path / "copy")
    number = newest(folder)
    path = f"{folder}/journal/{number}"
    found = batches(path)
    assert len(found) >= 4 and found[-1].entries == 1

    for place in flips(path, range(HEADER)):
        (status, _), text = first_lines(killed, folder)
        assert status == TAMPERED, (place, text)
        assert f"journal/{number}: its header was changed" in text

    # the last one under the checkpoint, and those after it
    for batch in found[-4:-1]:
        for place in flips(path, range(batch.offset, batch.end)):
            seen, text = first_lines(killed, folder)
            if place >= batch.used:
                assert seen == (UNSEALED, 3), (place, text)
                continue
            assert seen[0] == TAMPERED, (place, text)
            assert (f"journal/{number}: the batch at byte {batch.offset} "
                    f"(entry {batch.index}) was changed") in text

    last = found[-1]
    for place in flips(path, range(last.offset, last.end + 100)):
        seen, text = first_lines(killed, folder)
        if place >= last.used:
            assert seen == (UNSEALED, 3), (place, text)
            continue
        assert seen == (UNSEALED, 2), (place, text)
        assert place < last.offset + 16 or (
            f"journal/{number} at byte {last.offset}" in text), (place, text)

    size = os.path.getsize(path)
    for place in flips(path, (size // 2, size - 1)):
        assert first_lines(killed, folder)[0] == (UNSEALED, 3), place
    for name in set(os.listdir(f"{folder}/journal")) - {str(number)}:
        for place in flips(f"{folder}/journal/{name}", (0, 63, 64, size - 1)):
            assert first_lines(killed, folder)[0] == (UNSEALED, 3), place


def test_journal_of_a_sealed_trail_proves_nothing(daemon, tmp_path):
    """All that it holds is under the checkpoint and in the bundles: damage is
    told as a torn end at most, and never an alarm (as a copy of the files one
    by one, from under a running daemon, may look the same)."""
    folder = shutil.copytree(daemon.trail, tmp_path / "copy")
    number = newest(folder)
    path = f"{folder}/journal/{number}"
    last = batches(path)[-1]
    for place in flips(path, (0, HEADER - 1, HEADER, HEADER + 20, last.offset,
                              last.offset + 40, last.used - 1, last.used)):
        seen, text = first_lines(daemon, folder)
        assert seen[0] in (OK, UNSEALED) and seen[1] == 0, (place, text)
        if seen[0] == UNSEALED:
            assert f"journal/{number} at byte" in text
    shutil.rmtree(f"{folder}/journal")
    assert first_lines(daemon, folder)[0] == (OK, 0)


# ---- Entries ----------------------------------------------------------------

def split(data):
    found = []
    while data:
        size = struct.unpack(">H", data[:2])[0]
        found.append(data[2:2 + size])
        data = data[2 + size:]
    return found


def edit(path, function):
    with open(path, "rb") as file:
        found = split(file.read())
    found = function(found)
    with open(path, "wb") as file:
        file.write(b"".join(struct.pack(">H", len(e)) + e for e in found))
    return found


def swapped(entries):
    entries[10], entries[20] = entries[20], entries[10]
    return entries


@pytest.mark.parametrize("bundle, first", [("000", 0), ("001.p/*", 256)])
@pytest.mark.parametrize("change, named", [
    (lambda e: e[:10] + e[11:], (10, -1)),              # removed
    (lambda e: e[:10] + e[11:] + [e[10]], (10,)),       # moved to the end
    (swapped, (10,)),
    (lambda e: e[:11] + e[10:], (11, -1)),              # there twice
    (lambda e: e[:11] + [e[10]] + e[12:], (11,)),       # in another's place
    (lambda e: e[:-1], (-1,)),
    (lambda e: e[:-20], (-20,)),
    (lambda e: e + [e[-1]], (-1, 0)),
    (lambda e: [], (0,)),
], ids=["removed", "moved", "swapped", "repeated", "overwritten", "cut-one",
        "cut-many", "added", "emptied"])
def test_entries(sekisho, daemon, copy, bundle, first, change, named):
    path, = glob.glob(f"{copy}/tile/entries/{bundle}")
    with open(path, "rb") as file:
        count = len(split(file.read()))
    edit(path, change)
    status, report = verify(sekisho, "--trail", copy, "--key",
                            f"{daemon.key}.pub")
    assert status == TAMPERED and report["findings_count"] <= 2
    text = report["findings"][0]["text"]
    assert os.path.relpath(path, copy) in text
    entries = {first + (n if n >= 0 else count + n) for n in named}
    assert (report["findings"][0]["index"] in entries
            or re.search(r"entry (\d+)", text)[1] in map(str, entries)), text


def leaf(entry):
    return hashlib.sha256(b"\0" + entry).digest()


def tree(hashes):
    """RFC 6962, 2.1."""
    if len(hashes) == 1:
        return hashes[0]
    half = 1 << (len(hashes) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + tree(hashes[:half])
                          + tree(hashes[half:])).digest()


def forge(folder, size):
    """Makes hashes and checkpoint fit changed entries, but for the signature,
    as somebody can who has no key."""
    leaves = []
    for path in (f"{folder}/tile/entries/000",
                 *glob.glob(f"{folder}/tile/entries/001.p/*")):
        with open(path, "rb") as file:
            leaves += map(leaf, split(file.read()))
    assert len(leaves) == size
    for path, data in ((f"{folder}/tile/0/000", leaves[:256]),
                       (f"{folder}/tile/0/001.p/{size - 256}", leaves[256:]),
                       (f"{folder}/tile/1/000.p/1", [tree(leaves[:256])])):
        assert os.path.exists(path)
        with open(path, "wb") as file:
            file.write(b"".join(data))
    with open(f"{folder}/checkpoint", encoding="utf-8") as file:
        lines = file.read().split("\n")
    lines[2] = base64.b64encode(tree(leaves)).decode()
    with open(f"{folder}/checkpoint", "w", encoding="utf-8") as file:
        file.write("\n".join(lines))


def test_entries_with_all_that_needs_no_key(sekisho, daemon, copy):
    """An edit that reaches up to the signature ends there."""
    size = daemon.checkpoint()[0]
    forge(copy, size)
    status, report = verify(sekisho, "--trail", copy, "--key",
                            f"{daemon.key}.pub")
    assert status == OK, report   # the forger's arithmetic is right

    edit(f"{copy}/tile/entries/000", lambda entries: [
        entry.replace(b'"u7"', b'"u8"') for entry in entries])
    checkpoint = f"{copy}/checkpoint"
    with open(checkpoint, "rb") as file:
        signed = file.read()
    forge(copy, size)
    status, report = verify(sekisho, "--trail", copy, "--key",
                            f"{daemon.key}.pub")
    assert status == TAMPERED
    assert report["findings"][0]["kind"] == "checkpoint"

    # with the checkpoint that was signed: it is not of these hashes, and
    # as those agree with each other, which of them is false cannot be told
    with open(checkpoint, "wb") as file:
        file.write(signed)
    status, report = verify(sekisho, "--trail", copy, "--key",
                            f"{daemon.key}.pub")
    assert status == TAMPERED
    assert "root of 3" in report["findings"][0]["text"]


@pytest.mark.parametrize("name", [
    "tile/entries/000", "tile/entries/001.p/*", "tile/0/000", "tile/0/001.p/*",
    "tile/1/000.p/1", "journal/0", "journal/2"])
def test_missing_files(sekisho, daemon, copy, name):
    path, = glob.glob(f"{copy}/{name}")
    os.unlink(path)
    status, report = verify(sekisho, "--trail", copy, "--key",
                            f"{daemon.key}.pub")
    assert status == TAMPERED
    assert os.path.relpath(path, copy) in report["findings"][0]["text"]


def test_without_a_checkpoint_it_is_no_trail(sekisho, daemon, copy):
    os.unlink(copy / "checkpoint")
    status, report = verify(sekisho, "--trail", copy, "--key",
                            f"{daemon.key}.pub")
    assert status == ERROR and "checkpoint" in report["error"]


# ---- The whole trail --------------------------------------------------------

@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """Its state at 40 entries in `early`, at 90 in `late`, with checkpoints."""
    folder = tmp_path_factory.mktemp("history")
    (folder / "d").mkdir()
    daemon = trail_daemon.Daemon(folder / "d")
    for name, count in (("early", 40), ("late", 50)):
        daemon.start()
        front = daemon.front()
        front.send(*({"event": "access", "outcome": 0, "user": f"{name}{i}"}
                     for i in range(count)))
        front.checkpoint()
        front.close()
        assert daemon.stop() == 0
        shutil.copytree(daemon.trail, folder / name)
        shutil.copy(f"{daemon.trail}/checkpoint", folder / f"{name}.kept")
    daemon.states = folder
    return daemon


def kept(daemon, *names):
    return [word for name in names
            for word in ("--checkpoint", daemon.states / f"{name}.kept")]


def test_rolled_back_to_an_older_state(sekisho, history):
    key = ["--key", f"{history.key}.pub"]
    for state, names, expected in (
            ("late", ["early", "late"], OK), ("early", ["early"], OK),
            ("early", [], OK), ("early", ["early", "late"], TAMPERED)):
        status, report = verify(sekisho, "--trail", history.states / state,
                                *key, *kept(history, *names))
        assert status == expected, (state, names, report)
    finding, = report["findings"]
    assert finding["kind"] == "rolled-back"
    sizes = [(history.states / f"{name}.kept").read_text().split("\n")[1]
             for name in ("early", "late")]
    assert all(re.search(rf"\b{size}\b", finding["text"]) for size in sizes)


def test_rolled_back_without_the_journal_of_then(sekisho, history, tmp_path):
    """Today's write-ahead file under yesterday's tiles: what the tiles lack
    is still in there, or it begins too late; either shows."""
    folder = shutil.copytree(history.states / "early", tmp_path / "copy")
    shutil.rmtree(folder / "journal")
    shutil.copytree(history.states / "late/journal", folder / "journal")
    status, report = verify(sekisho, "--trail", folder, "--key",
                            f"{history.key}.pub")
    assert status in (UNSEALED, TAMPERED)
    assert status == TAMPERED or report["unsealed"] >= 50


@pytest.mark.parametrize("same_key", [True, False],
                         ids=["same-key", "other-key"])
def test_replaced_by_a_fresh_trail(sekisho, history, tmp_path, same_key):
    (tmp_path / "d").mkdir()
    if same_key:
        for suffix in ("", ".pub"):
            shutil.copy(f"{history.key}{suffix}", tmp_path / f"d/key{suffix}")
        subprocess.run(
            [os.path.join(trail_daemon.TOP,
                          "build/obj/tests/data/trail_make"),
             "create", tmp_path / "d/trail", tmp_path / "d/key"], check=True)
    fresh = trail_daemon.Daemon(tmp_path / "d")
    fresh.start()
    front = fresh.front()
    front.send(*({"event": "access", "outcome": 0, "user": f"u{i}"}
                 for i in range(120)))
    front.close()
    assert fresh.stop() == 0
    key = ["--key", f"{history.key}.pub"]
    status, report = verify(sekisho, "--trail", fresh.trail, *key)
    if same_key:
        # a good trail; only what was kept elsewhere shows that it is not ours
        assert status == OK
        status, report = verify(sekisho, "--trail", fresh.trail, *key,
                                *kept(history, "early", "late"))
        kinds = {finding["kind"] for finding in report["findings"]}
        assert kinds == {"replaced"} and report["findings_count"] == 2
    else:
        assert report["findings"][0]["kind"] == "checkpoint"
    assert status == TAMPERED


# ---- No false alarm ---------------------------------------------------------

def test_no_alarm_while_it_is_written(tmp_path):
    with trail_daemon.running(tmp_path) as daemon:
        over = threading.Event()

        def write():
            front, i = daemon.front(), 0
            while not over.is_set():
                front.send(*({"event": "access", "outcome": 0, "user": f"u{i}",
                              "uri": "/" + "x" * 200} for _ in range(37)))
                i += 1
            front.close()
        writers = [threading.Thread(target=write) for _ in range(2)]
        for writer in writers:
            writer.start()
        try:
            sizes = set()
            for _ in range(40):
                seen, text = first_lines(daemon, daemon.trail)
                assert seen[0] in (OK, UNSEALED), text
                sizes.add(text.split("\n")[0])
        finally:
            over.set()
            for writer in writers:
                writer.join()
    assert len(sizes) > 3   # it did grow meanwhile
    assert first_lines(daemon, daemon.trail)[0] == (OK, 0)


def test_no_alarm_after_kill_and_restart(tmp_path):
    daemon = trail_daemon.Daemon(tmp_path)
    for turn in range(8):
        daemon.start()
        front = daemon.front()
        for i in range(turn * 5):
            front.post({"event": "access", "outcome": 0, "user": f"u{i}"})
        if turn % 2:
            front.wait()
        daemon.kill()
        front.close()
        seen, text = first_lines(daemon, daemon.trail)
        assert seen[0] in (OK, UNSEALED), text
    with_restart = daemon.start()
    assert with_restart.stop() == 0
    assert first_lines(daemon, daemon.trail)[0] == (OK, 0)


def test_no_alarm_after_a_change_of_keys(sekisho, tmp_path):
    daemon = trail_daemon.Daemon(tmp_path)
    daemon.start()
    try:
        front = daemon.front()
        front.send({"event": "access", "outcome": 0})
        assert sekisho("audit", "checkpoint", "--config", daemon.config, "-o",
                       tmp_path / "kept").returncode == 0
        front.close()
        assert sekisho("trail", "rotate", "--config",
                       daemon.config).returncode == 0
        for keys in (f"{daemon.key}.2 {daemon.key}", f"{daemon.key}.2"):
            assert daemon.stop() == 0
            daemon.configure(f"key {keys};")
            daemon.start()
            front = daemon.front()
            front.send({"event": "access", "outcome": 0})
            front.checkpoint()
            front.close()
            files = [word for key in keys.split()
                     for word in ("--key", f"{key}.pub")]
            assert verify(sekisho, "--trail", daemon.trail, *files)[0] in (
                OK, UNSEALED)
            # what was kept under the old key needs the old key
            status, report = verify(
                sekisho, "--trail", daemon.trail, "--key",
                f"{daemon.key}.2.pub", "--key", f"{daemon.key}.pub",
                "--checkpoint", tmp_path / "kept")
            assert status in (OK, UNSEALED), report
    finally:
        daemon.stop()
