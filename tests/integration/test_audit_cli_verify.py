"""sekisho audit verify, prove, checkpoint and status.

Trails with numbers that do not fit cannot be had from sekishod: they are made
here, with a good key, as somebody would who has it.
"""

import base64
import glob
import hashlib
import json
import os
import shutil
import subprocess
import time

import pytest

import trail_daemon
from tool import sekisho  # noqa: F401

DRIVER = os.path.join(trail_daemon.TOP, "build/obj/tests/data/trail_make")
OK, ERROR, TAMPERED, GAP, UNSEALED = 0, 2, 3, 4, 5
FRONT = "a1" * 16
OTHER = "b2" * 16
OWN = "c3" * 16


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with trail_daemon.running(tmp_path_factory.mktemp("verify")) as daemon:
        front = daemon.front()
        for i in range(300):
            front.send({"event": "access", "outcome": 0, "user": f"u{i}"})
        front.checkpoint()
        front.close()
        yield daemon


@pytest.fixture
def copy(daemon, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(daemon.trail, folder)
    return folder


def verify(sekisho, *arguments):
    """Status and report; the text says the same."""
    result = sekisho("audit", "verify", "--json", *arguments)
    text = sekisho("audit", "verify", *arguments)
    assert text.returncode == result.returncode, text.stdout + text.stderr
    if result.returncode == ERROR:
        assert result.stdout == text.stdout == ""
        return ERROR, {"error": result.stderr}
    report = json.loads(result.stdout)
    assert text.stdout.startswith(report["result"])
    for finding in report["findings"] + report["gaps"]:
        assert finding["text"] in text.stdout
    names = {"OK": OK, "TAMPERED": TAMPERED, "GAP": GAP, "UNSEALED": UNSEALED}
    assert names[report["result"]] == result.returncode
    return result.returncode, report


# ---- OK, and what it needs ----------------------------------------------------

def test_a_live_trail_is_ok(sekisho, daemon):
    status, report = verify(sekisho, "--config", daemon.config)
    assert status == OK and report["sealed"] >= 302
    assert report["unsealed"] == 0 and report["journal"]


def test_a_copy_needs_the_verifier_key_and_nothing_else(sekisho, daemon, copy):
    shutil.rmtree(copy / "journal")
    os.unlink(copy / "lock")
    for key in (daemon.verifier_key, f"{daemon.key}.pub"):
        status, report = verify(sekisho, "--trail", copy, "--key", key)
        assert status == OK and not report["journal"]
    assert report["root"] == daemon.checkpoint()[1]


def test_without_a_key_nothing_is_said(sekisho, copy):
    status, report = verify(sekisho, "--trail", copy)
    assert status == ERROR and "--key" in report["error"]


def test_another_key_is_tampering(sekisho, daemon, copy):
    other = "test.example/sekisho+" + hashlib.sha256(
        b"test.example/sekisho\n\1" + bytes(32)).hexdigest()[:8] + "+" + \
        base64.b64encode(b"\1" + bytes(32)).decode()
    status, report = verify(sekisho, "--trail", copy, "--key", other)
    assert status == TAMPERED
    assert report["findings"][0]["kind"] == "checkpoint"
    # beside the right one it does no harm
    assert verify(sekisho, "--trail", copy, "--key", other, "--key",
                  daemon.verifier_key)[0] == OK


@pytest.mark.parametrize("key", ["x", "a+b+c", "", "a.b+00000000+AAAA"])
def test_a_key_that_is_none_is_told(sekisho, copy, key):
    status, report = verify(sekisho, "--trail", copy, "--key", key)
    assert status == ERROR and "Sanitizer" not in report["error"]


def test_a_folder_that_is_no_trail_is_an_error(sekisho, daemon, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "absent"):
        assert verify(sekisho, "--trail", tmp_path / folder, "--key",
                      daemon.verifier_key)[0] == ERROR


def test_the_limits_are_said_and_the_cure(sekisho, daemon, copy):
    text = sekisho("audit", "verify", "--trail", copy, "--key",
                   daemon.verifier_key).stdout
    assert "--checkpoint" in text and "earlier" in text


# ---- Tampered -----------------------------------------------------------------

def change(path, function):
    with open(path, "rb") as file:
        data = bytearray(file.read())
    data = function(data)
    with open(path, "wb") as file:
        file.write(data)


def flip(at):
    def change_one(data):
        data[at] ^= 1
        return data
    return change_one


@pytest.mark.parametrize("path, function, kind", [
    ("tile/entries/000", flip(1000), "entry"),
    ("tile/entries/000", flip(-1), "entry"),
    ("tile/entries/000", lambda data: data[:-40], "entry"),
    ("tile/entries/001.p/*", flip(30), "tile"),
    ("tile/0/000", flip(5), "tile"),
    ("tile/1/000.p/1", flip(5), "tile"),
    ("checkpoint", flip(2), "checkpoint"),
    ("checkpoint", flip(-9), "checkpoint"),
    ("checkpoint", lambda data: data[:100], "checkpoint"),
])
def test_a_change_is_found_and_named(sekisho, daemon, copy, path, function,
                                     kind):
    change(glob.glob(f"{copy}/{path}")[0], function)
    status, report = verify(sekisho, "--trail", copy, "--key",
                            daemon.verifier_key)
    assert status == TAMPERED
    kinds = {finding["kind"] for finding in report["findings"]}
    assert kind in kinds or kinds <= {"entry", "tile"}, report
    if path.startswith("tile"):
        assert path.split("*", maxsplit=1)[0] in report["findings"][0]["text"]


def test_a_missing_file_is_found_and_named(sekisho, daemon, copy):
    os.unlink(copy / "tile/entries/000")
    status, report = verify(sekisho, "--trail", copy, "--key",
                            daemon.verifier_key)
    assert status == TAMPERED
    assert report["findings"][0]["kind"] == "missing-file"
    assert "tile/entries/000" in report["findings"][0]["text"]


def test_kept_checkpoints(sekisho, tmp_path):
    """Rolled back, and replaced by a fresh trail: only a kept one shows it."""
    folder = tmp_path / "d"
    folder.mkdir()
    with trail_daemon.running(folder) as daemon:
        front = daemon.front()
        front.send({"event": "access", "outcome": 0})
        early, late = tmp_path / "early", tmp_path / "late"
        assert sekisho("audit", "checkpoint", "--config", daemon.config, "-o",
                       early).returncode == 0
        shutil.copytree(daemon.trail, tmp_path / "older")
        front.send({"event": "access", "outcome": 0})
        late.write_text(sekisho("audit", "checkpoint", "--config",
                                daemon.config).stdout)
        assert early.read_text().splitlines()[1] == "3"
        assert late.read_text().splitlines()[1] == "4"
    key = daemon.verifier_key
    status, report = verify(sekisho, "--trail", daemon.trail, "--key", key,
                            "--checkpoint", early, "--checkpoint", late)
    assert status == OK and report["checkpoints_kept"] == 2
    older = ["--trail", tmp_path / "older", "--key", key]
    assert verify(sekisho, *older)[0] == OK
    assert verify(sekisho, *older, "--checkpoint", early)[0] == OK
    status, report = verify(sekisho, *older, "--checkpoint", early,
                            "--checkpoint", late)
    assert status == TAMPERED
    assert report["findings"][0]["kind"] == "rolled-back"

    shutil.rmtree(daemon.trail)
    subprocess.run([DRIVER, "create", daemon.trail, daemon.key], check=True)
    daemon.start()
    front = daemon.front()
    for _ in range(9):
        front.send({"event": "access", "outcome": 0})
    assert daemon.stop() == 0
    fresh = ["--trail", daemon.trail, "--key", key]
    assert verify(sekisho, *fresh)[0] == OK
    status, report = verify(sekisho, *fresh, "--checkpoint", late)
    assert status == TAMPERED
    assert report["findings"][0]["kind"] == "replaced"

    late.write_text("nonsense")
    status, report = verify(sekisho, *fresh, "--checkpoint", late)
    assert status == TAMPERED
    assert report["findings"][0]["kind"] == "kept-checkpoint"
    assert verify(sekisho, *fresh, "--checkpoint", tmp_path / "no")[0] == ERROR


# ---- Unsealed -----------------------------------------------------------------

def test_records_after_the_checkpoint_are_unsealed(sekisho, tmp_path):
    folder, key = tmp_path / "t", tmp_path / "k"
    vkey = subprocess.run([DRIVER, "key", "a.example/b", key], check=True,
                          capture_output=True, text=True).stdout.strip()
    subprocess.run([DRIVER, "create", folder, key], check=True)
    subprocess.run([DRIVER, "write", folder, key], check=False,
                   stdout=subprocess.DEVNULL,
                   input=b"add {}\nappend\ncheckpoint\nadd {}\nadd {}\nappend\n"
                         b"crash\n")
    status, report = verify(sekisho, "--trail", folder, "--key", vkey)
    assert (status, report["sealed"], report["unsealed"]) == (UNSEALED, 1, 2)


def test_a_killed_daemon_is_no_alarm(sekisho, tmp_path):
    """Numbers go on where they were; what was not acknowledged comes again."""
    folder = tmp_path / "d"
    folder.mkdir()
    daemon = trail_daemon.Daemon(folder).start()
    ids = [os.urandom(16) for _ in range(3)]
    last = dict.fromkeys(ids, 0)
    for round_ in range(6):
        for front_id in ids:
            front = daemon.front(front_id, last[front_id])
            assert front.number == last[front_id]
            for _ in range(20):
                front.send({"event": "access", "outcome": 0})
            last[front_id] = front.number
        daemon.kill()
        assert verify(sekisho, "--config", daemon.config)[0] in (OK, UNSEALED)
        daemon.start()
    assert daemon.stop() == 0
    status, report = verify(sekisho, "--trail", daemon.trail, "--config",
                            daemon.config)
    assert (status, report["gaps_count"]) == (OK, 0)


# ---- Gaps ---------------------------------------------------------------------

def record(number, front=FRONT, event="access", **more):
    """As sekishod writes it."""
    value = {"id": os.urandom(16).hex(),
             "time": f"2026-11-24T06:{number // 60 % 60:02}:{number % 60:02}.000Z",
             "host": "gate1", "source": "nginx", "number": number,
             "front": front, "event": event, "outcome": 0, **more}
    return json.dumps(value, separators=(",", ":"))


def trail_of(tmp_path, lines):
    folder, key = tmp_path / "t", tmp_path / "k"
    vkey = subprocess.run([DRIVER, "key", "a.example/b", key], check=True,
                          capture_output=True, text=True).stdout.strip()
    subprocess.run([DRIVER, "create", folder, key], check=True)
    script = []
    for i, line in enumerate(lines):
        script.append("add " + line)
        if i % 500 == 499:
            script.append("append")
    subprocess.run([DRIVER, "write", folder, key], check=True,
                   stdout=subprocess.DEVNULL,
                   input="\n".join(script + ["append", ""]).encode())
    return ["--trail", folder, "--key", vkey]


def gaps(sekisho, tmp_path, lines):
    status, report = verify(sekisho, *trail_of(tmp_path, lines))
    assert report["findings"] == []
    assert status == (GAP if report["gaps"] else OK)
    return [(gap["kind"], gap["front"], gap["from"], gap["count"], gap["index"])
            for gap in report["gaps"]]


def gap_record(number, front, start, missing):
    return record(number, OWN, "gap", of_front=front, missing=missing,
                  from_number=start)


def beat(number, tree_size, **counters):
    text = " ".join(f"{front}:{count}" for front, count in counters.items())
    return record(number, OWN, "heartbeat", counters=text, tree_size=tree_size)


@pytest.mark.parametrize("lines, expected", [
    # numbers without a hole, of two front ends in turn
    ([record(1), record(1, OTHER), record(2), record(2, OTHER)], []),
    ([record(1), record(2), record(5)], [("missing", FRONT, 3, 2, 2)]),
    ([record(3)], [("missing", FRONT, 1, 2, 0)]),
    ([record(1), record(2), record(2)], [("repeated", FRONT, 2, 1, 2)]),
    ([record(1), record(3), record(2), record(4)],
     [("missing", FRONT, 2, 1, 1), ("repeated", FRONT, 2, 1, 2)]),
    # refused while the disk was full, and said so
    ([record(1), record(5, skipped=3), record(6)], []),
    ([record(1), record(5, skipped=2)], [("missing", FRONT, 4, 1, 1)]),
    ([record(1), record(5, skipped=3, cut=["user"])], None),
    ([record(3, skipped=2)], []),
    # a gap record accounts for it, and is told all the same
    ([record(1), gap_record(1, FRONT, 2, 3), record(5)],
     [("recorded", FRONT, 2, 3, 1)]),
    ([record(1), gap_record(1, FRONT, 2, 3), record(6)],
     [("recorded", FRONT, 2, 3, 1), ("missing", FRONT, 5, 1, 2)]),
    ([record(1), gap_record(1, FRONT, 2, 1), record(4, skipped=1), record(5)],
     [("recorded", FRONT, 2, 1, 1)]),
    ([record(1), gap_record(1, OTHER, 1, 1), record(3)],
     [("recorded", OTHER, 1, 1, 1), ("missing", FRONT, 2, 1, 2)]),
    # heartbeats count
    ([record(1), record(2), beat(1, 2, **{FRONT: 2})], []),
    ([record(1), beat(1, 1, **{FRONT: 3})], [("cut", FRONT, 2, 2, 1)]),
    ([record(1), beat(1, 1, **{FRONT: 3, OTHER: 2})],
     [("cut", FRONT, 2, 2, 1), ("cut", OTHER, 1, 2, 1)]),
    ([record(1), beat(1, 1, **{FRONT: 3}), record(4, skipped=2)], []),
    ([record(1), beat(1, 1, **{FRONT: "3-2", OTHER: "4-4"})], []),
    ([record(1), beat(1, 1, **{FRONT: "3-1", OTHER: 1})],
     [("cut", FRONT, 2, 1, 1), ("cut", OTHER, 1, 1, 1)]),
    ([record(1), beat(1, 1, **{FRONT: 3}), record(4)],
     [("missing", FRONT, 2, 2, 2)]),
    ([record(1), gap_record(1, FRONT, 2, 2), beat(2, 2, **{FRONT: 3})],
     [("recorded", FRONT, 2, 2, 1)]),
    ([record(1), beat(1, 5)], [("removed", OWN, 1, 4, 1)]),
    # what is no record, and what looks like one
    (["no json", "{}", record(1), '{"number":9,"front":"x"}', record(2)], []),
    ([record(1), record(2, host="a\"b"), record(3, host="c\\"),
      record(4, user='",\"skipped\":7}'), record(5)], []),
])
def test_numbers(sekisho, tmp_path, lines, expected):
    if expected is None:  # the daemon puts `skipped` behind `cut`
        lines = [lines[0], lines[1].replace(',"skipped":3', "")
                 .replace("}", ',"skipped":3}')]
        expected = []
    assert gaps(sekisho, tmp_path, lines) == expected


def test_numbers_over_the_edges_of_ranges(sekisho, tmp_path):
    """65,536 entries are looked at by one thread each, and then joined."""
    lines, numbers = [], {FRONT: 0, OTHER: 0}
    expected = []
    for i in range(65536 * 2 + 700):
        front = FRONT if i % 3 else OTHER
        numbers[front] += 1
        if i == 65536 + 1:  # the first of this front end in its range
            numbers[front] += 4
            expected.append(("missing", front, numbers[front] - 4, 4, i))
        if i == 65535:  # the last of its range: accounted for in the next
            lines.append(gap_record(1, FRONT, numbers[FRONT], 2))
            numbers[front] -= 1
            numbers[FRONT] += 2
            expected.insert(0, ("recorded", FRONT, numbers[FRONT] - 1, 2, i))
            continue
        if i == 65536 * 2 + 600:
            numbers[front] += 1
            expected.append(("missing", front, numbers[front] - 1, 1, i))
        lines.append(record(numbers[front], front))
    assert gaps(sekisho, tmp_path, lines)[0][0] == "recorded"
    found = gaps_again(sekisho, tmp_path)
    assert [gap[0] for gap in found] == ["recorded", "missing", "missing"]
    assert found[1][2:] == expected[1][2:] and found[2][2:] == expected[2][2:]


def gaps_again(sekisho, tmp_path):
    with open(tmp_path / "k", encoding="utf-8") as file:
        assert file.read().startswith("PRIVATE+KEY+")
    report = json.loads(sekisho("audit", "verify", "--trail", tmp_path / "t",
                                "--key", tmp_path / "k", "--json").stdout)
    return [(gap["kind"], gap["front"], gap["from"], gap["count"], gap["index"])
            for gap in report["gaps"]]


def test_a_gap_tells_between_which_records_and_when(sekisho, tmp_path):
    arguments = trail_of(tmp_path, [record(1), record(2), record(60)])
    text = sekisho("audit", "verify", *arguments).stdout
    assert (f"numbers 3 to 59 of front end {FRONT}: no record, and none that "
            "tells why, between entry 1 (2026-11-24 06:00:02) and entry 2 "
            "(2026-11-24 06:01:00)") in text


def test_many_front_ends_and_many_gaps(sekisho, tmp_path):
    """Tables that grow; the first 64 gaps are told, and how many there are."""
    lines = [record(2, f"{i:032x}") for i in range(3000)]
    status, report = verify(sekisho, *trail_of(tmp_path, lines))
    assert status == GAP and report["gaps_count"] == 3000
    assert [gap["index"] for gap in report["gaps"]] == list(range(64))


def test_a_gap_that_the_daemon_saw(sekisho, tmp_path):
    folder = tmp_path / "d"
    folder.mkdir()
    with trail_daemon.running(folder) as daemon:
        front = daemon.front()
        front.send({"event": "access", "outcome": 0})
        front.send({"event": "access", "outcome": 0}, first=4)
        status, report = verify(sekisho, "--config", daemon.config)
    assert status == GAP and len(report["gaps"]) == 1
    assert report["gaps"][0]["kind"] == "recorded"
    assert (report["gaps"][0]["from"], report["gaps"][0]["count"]) == (2, 2)


def test_tampering_weighs_more_than_a_gap(sekisho, tmp_path):
    arguments = trail_of(tmp_path, [record(1), record(3)])
    change(tmp_path / "t/tile/entries/000.p/2", flip(-3))
    assert verify(sekisho, *arguments)[0] == TAMPERED


# ---- prove --------------------------------------------------------------------

def node(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def check_proof(text, entry):
    """C2SP tlog-proof, RFC 9162 2.1.3.2: written from those."""
    head, checkpoint = text.split("\n\n", 1)
    lines = head.split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    assert lines[1].startswith("index ")
    index = int(lines[1].split()[1])
    path = [base64.b64decode(line) for line in lines[2:]]
    _, size, root = checkpoint.split("\n")[:3]
    first, last = index, int(size) - 1
    value = hashlib.sha256(b"\0" + entry).digest()
    for sibling in path:
        assert last > 0
        if first & 1 or first == last:
            value = node(sibling, value)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            value = node(value, sibling)
        first, last = first >> 1, last >> 1
    return last == 0 and value == base64.b64decode(root)


@pytest.mark.parametrize("index", [0, 1, 255, 256, 299, 301])
def test_a_proof_proves_its_record_and_no_other(sekisho, daemon, copy, index):
    result = sekisho("audit", "prove", str(index), "--trail", copy)
    assert result.returncode == 0, result.stderr
    entries = daemon.lines()
    assert check_proof(result.stdout, entries[index])
    assert not check_proof(result.stdout, entries[(index + 1) % 302])
    name = json.loads(entries[index])["id"]
    sekisho("audit", "prove", name, "--trail", copy, "-o", "proof")
    assert (sekisho.folder / "proof").read_text() == result.stdout


def test_a_fresh_record_is_sealed_and_proved_at_once(sekisho, daemon):
    front = daemon.front()
    name = os.urandom(16).hex()
    front.send({"id": name, "event": "access", "outcome": 0})
    result = sekisho("audit", "prove", name, "--config", daemon.config)
    assert result.returncode == 0, result.stderr
    entry = [line for line in daemon.lines() if name.encode() in line][0]
    assert check_proof(result.stdout, entry)


def test_what_does_not_fit_is_not_proved(sekisho, copy):
    change(copy / "tile/entries/000", flip(1000))
    entry = 0
    with open(copy / "tile/entries/000", "rb") as file:
        data, at = file.read(), 0
    while at + 2 + int.from_bytes(data[at:at + 2], "big") <= 1000:
        at += 2 + int.from_bytes(data[at:at + 2], "big")
        entry += 1
    result = sekisho("audit", "prove", str(entry), "--trail", copy)
    assert result.returncode == 2 and "tampered" in result.stderr
    assert result.stdout == ""


# ---- checkpoint and status ------------------------------------------------------

def test_a_checkpoint_covers_everything_so_far(sekisho, daemon):
    front = daemon.front()
    front.send({"event": "access", "outcome": 0})
    size = front.report()["tree_size"]
    result = sekisho("audit", "checkpoint", "--config", daemon.config)
    assert result.returncode == 0
    assert int(result.stdout.split("\n")[1]) == size
    assert "warning" not in result.stderr


def test_status_of_a_running_daemon(sekisho, daemon):
    result = sekisho("audit", "status", "--config", daemon.config)
    assert result.returncode == 0, result.stdout
    for word in ("running", daemon.trail, daemon.origin, "sealed", "front ends",
                 "journal"):
        assert word in result.stdout
    report = json.loads(sekisho("audit", "status", "--json", "--config",
                                daemon.config).stdout)
    assert report["daemon"]["state"] == "running"
    assert report["origin"] == daemon.origin and report["live"]
    assert report["sealed"] == report["daemon"]["sealed"]


def test_status_without_daemon_or_trail(sekisho, tmp_path):
    folder = tmp_path / "d"
    folder.mkdir()
    daemon = trail_daemon.Daemon(folder)
    result = sekisho("audit", "status", "--config", daemon.config)
    assert result.returncode == 1 and "not running" in result.stdout
    report = json.loads(sekisho("audit", "status", "--json", "--config",
                                daemon.config).stdout)
    assert report["daemon"] is None and report["sealed"] == 0
    result = sekisho("audit", "checkpoint", "--config", daemon.config)
    assert result.returncode == 0 and "warning" in result.stderr
    old = time.time() - 3600
    os.utime(f"{daemon.trail}/checkpoint", (old, old))
    result = sekisho("audit", "status", "--config", daemon.config)
    assert "360" in result.stdout.split("checkpoint")[1]
    shutil.rmtree(daemon.trail)
    assert sekisho("audit", "status", "--config",
                   daemon.config).returncode == 2
