"""A trail written by lib/trail, judged by another implementation: RFC 6962 and
the C2SP specifications (tlog-tiles, tlog-checkpoint, signed-note, tlog-proof)
once more, from their texts, with hashlib and cryptography alone."""

import base64
import hashlib
import os
import random
import shutil
import subprocess

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey, Ed25519PublicKey)
from cryptography.hazmat.primitives import serialization

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
DRIVER = f"{TOP}/build/obj/tests/data/trail_make"
NAME = "example.org/trail"


# ---- The specifications, once more -----------------------------------------

def leaf(entry):
    return hashlib.sha256(b"\0" + entry).digest()


def tree(hashes):
    """RFC 6962 2.1, word by word: the root of a list of leaf hashes."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return hashlib.sha256(b"\1" + tree(hashes[:k]) + tree(hashes[k:])).digest()


def path(m, hashes):
    """RFC 6962 2.1.1."""
    if len(hashes) <= 1:
        return []
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    if m < k:
        return path(m, hashes[:k]) + [tree(hashes[k:])]
    return path(m - k, hashes[k:]) + [tree(hashes[:k])]


def consistency(m, hashes, whole=True):
    """RFC 6962 2.1.2."""
    if m == len(hashes):
        return [] if whole else [tree(hashes)]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    if m <= k:
        return consistency(m, hashes[:k], whole) + [tree(hashes[k:])]
    return consistency(m - k, hashes[k:], False) + [tree(hashes[:k])]


def tile_path(level, index, width=256):
    name = f"{index % 1000:03d}"
    while index >= 1000:
        index //= 1000
        name = f"x{index % 1000:03d}/{name}"
    return f"tile/{level}/{name}" + (f".p/{width}" if width < 256 else "")


def key_id(name, kind, public):
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) +
                          public).digest()[:4]


def parse_vkey(text):
    name, identity, material = text.split("+", 2)
    raw = base64.b64decode(material, validate=True)
    assert raw[0] == 1 and len(raw) == 33
    assert key_id(name, 1, raw[1:]).hex() == identity
    return name, bytes.fromhex(identity), raw[1:]


def open_note(note, vkey):
    """The text, if it is signed by the key."""
    name, identity, public = parse_vkey(vkey)
    text, signatures = note.rsplit("\n\n", 1)
    text += "\n"
    for line in signatures.splitlines():
        dash, who, encoded = line.split(" ")
        assert dash == "\u2014"
        raw = base64.b64decode(encoded, validate=True)
        if (who, raw[:4]) == (name, identity):
            Ed25519PublicKey.from_public_bytes(public).verify(
                raw[4:], text.encode())
            return text
    raise InvalidSignature(f"nobody known signed: {signatures}")


class Log:
    """Everything of a trail's folder, derived from its bundles."""

    def __init__(self, folder, vkey):
        with open(f"{folder}/checkpoint", encoding="utf-8") as file:
            self.note = file.read()
        origin, size, root = open_note(self.note, vkey).splitlines()
        assert origin == parse_vkey(vkey)[0]
        self.size = int(size)
        assert size == str(self.size)
        self.entries = []
        self.files = {"checkpoint"}
        for index in range((self.size + 255) // 256):
            width = min(256, self.size - 256 * index)
            name = tile_path(0, index, width).replace("tile/0/",
                                                      "tile/entries/")
            data = self.read(folder, name)
            for _ in range(width):
                length = int.from_bytes(data[:2], "big")
                assert len(data) >= 2 + length
                self.entries.append(data[2:2 + length])
                data = data[2 + length:]
            assert data == b""
        self.hashes = [leaf(entry) for entry in self.entries]
        self.root = tree(self.hashes)
        assert base64.b64encode(self.root).decode() == root
        level, row = 0, self.hashes
        while row:
            for index in range((len(row) + 255) // 256):
                part = row[256 * index:256 * index + 256]
                name = tile_path(level, index, len(part))
                assert self.read(folder, name) == b"".join(part), name
            level, row = level + 1, [tree(row[at:at + 256]) for at in
                                     range(0, len(row) - 255, 256)]

    def read(self, folder, name):
        self.files.add(name)
        with open(f"{folder}/{name}", "rb") as file:
            return file.read()


# ---- The driver --------------------------------------------------------------

class Writer:
    def __init__(self, folder, *keys, env=None):
        self.process = subprocess.Popen(
            [DRIVER, "write", folder, *keys], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env={**os.environ, **(env or {})})

    def ask(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().decode().strip()

    def append(self, entries, privileged=False):
        for entry in entries:
            self.process.stdin.write(b"add " + entry + b"\n")
        return self.ask("append!" if privileged else "append")

    def close(self):
        self.process.stdin.close()
        answer = self.process.stdout.read().decode().strip()
        assert self.process.wait() == 0
        return answer

    def crash(self):
        self.process.stdin.write(b"crash\n")
        self.process.stdin.close()
        assert self.process.wait() == 9


def run(*arguments, check=True):
    result = subprocess.run([DRIVER, *arguments], check=False,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if check:
        assert result.returncode == 0, result.stderr.decode()
    return result.stdout.decode()


@pytest.fixture(name="trail")
def make_trail(tmp_path):
    folder, key = str(tmp_path / "trail"), str(tmp_path / "key")
    vkey = run("key", NAME, key).strip()
    env = {"TRAIL_SEGMENT": str(1 << 20), "TRAIL_SEGMENTS": "4"}
    subprocess.run([DRIVER, "create", folder, key], check=True,
                   env={**os.environ, **env})
    return folder, key, vkey


def entry(number):
    return (f'{{"number":{number},"user":"山田","pad":"'
            f'{"x" * (number % 400)}"}}').encode()


def fill(folder, key, first, count, batch=997):
    writer = Writer(folder, key)
    for at in range(first, first + count, batch):
        part = [entry(i) for i in range(at, min(at + batch, first + count))]
        assert writer.append(part) == f"OK {at}"
    assert writer.close() == "closed 0"


# ---- Tests ---------------------------------------------------------------------

def test_the_reference_key_of_signed_note_is_ours_too():
    """The note of the specification verifies here: so this file's own reading
    of the format is right."""
    note = ("This is an example message.\n\n\u2014 example.com/foo "
            "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYj"
            "OBH3mFXmRKuwHjG1Yu72IneyaQM=\n")
    vkey = ("example.com/foo+530d903a+"
            "AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
    assert open_note(note, vkey) == "This is an example message.\n"
    with pytest.raises(InvalidSignature):
        open_note(note.replace("an ", "no "), vkey)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 2000, 66000])
def test_tiles_bundles_and_checkpoint_are_those_of_the_specification(
        trail, size):
    folder, key, vkey = trail
    fill(folder, key, 0, size)
    log = Log(folder, vkey)
    assert log.entries == [entry(i) for i in range(size)]
    # and nothing else lies there
    found = {os.path.relpath(os.path.join(where, name), folder)
             for where, _, names in os.walk(folder) for name in names}
    assert {name for name in found if not name.startswith("journal/")} == \
        log.files | {"lock"}
    assert run("verify", folder, vkey).split() == ["OK", str(size), "0"]


def test_growing_in_steps_gives_the_same_tree(trail):
    folder, key, vkey = trail
    at = 0
    for count in (1, 1, 250, 4, 1, 255, 700, 3000):
        fill(folder, key, at, count, batch=100)
        at += count
        log = Log(folder, vkey)
        assert log.entries == [entry(i) for i in range(at)]


def test_proofs_are_those_of_rfc_6962(trail):
    folder, key, vkey = trail
    size = 1500
    fill(folder, key, 0, size)
    log = Log(folder, vkey)
    for index in [0, 1, 255, 256, 257, 1023, 1024, 1498, 1499]:
        lines = run("prove", folder, str(index)).split("\n\n", 1)
        head = lines[0].split("\n")
        assert head[0] == "c2sp.org/tlog-proof@v1"
        assert head[1] == f"index {index}"
        assert [base64.b64decode(line) for line in head[2:]] == \
            path(index, log.hashes)
        assert lines[1] == log.note
    for old, new in [(1, 2), (1, 1500), (256, 1500), (255, 1499), (700, 1000),
                     (1024, 1025), (1499, 1500), (512, 768)]:
        proof = run("consistency", folder, str(old), str(new)).split()
        assert [bytes.fromhex(line) for line in proof] == \
            consistency(old, log.hashes[:new])


def test_a_crash_loses_nothing_that_was_acknowledged(trail):
    folder, key, vkey = trail
    fill(folder, key, 0, 300)
    writer = Writer(folder, key)
    assert writer.append([entry(i) for i in range(300, 700)]) == "OK 300"
    writer.crash()
    assert run("read", folder).encode().splitlines() == \
        [entry(i) for i in range(700)]
    assert run("verify", folder, vkey).split()[0] in ("OK", "UNSEALED")
    Writer(folder, key).close()
    assert Log(folder, vkey).entries == [entry(i) for i in range(700)]


def test_both_keys_of_a_rotation_verify(trail, tmp_path):
    folder, key, vkey = trail
    fill(folder, key, 0, 10)
    new_key = str(tmp_path / "new")
    new_vkey = run("key", NAME, new_key).strip()
    writer = Writer(folder, key, new_key)
    assert writer.append([entry(10)]) == "OK 10"
    writer.close()
    assert Log(folder, vkey).root == Log(folder, new_vkey).root
    with open(f"{folder}/checkpoint", encoding="utf-8") as file:
        assert file.read().count("\u2014") == 2


def test_the_key_file_is_the_seed_of_that_verifier_key(trail):
    _, key, vkey = trail
    with open(key, encoding="utf-8") as file:
        text = file.read()
    assert text.startswith("PRIVATE+KEY+" + NAME + "+") and text[-1] == "\n"
    raw = base64.b64decode(text.strip().split("+", 4)[-1])
    assert raw[0] == 1
    public = Ed25519PrivateKey.from_private_bytes(raw[1:]).public_key()
    assert parse_vkey(vkey)[2] == public.public_bytes(
        serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    assert oct(os.stat(key).st_mode & 0o777) == "0o400"


def test_a_copy_elsewhere_needs_only_the_verifier_key(trail, tmp_path):
    folder, key, vkey = trail
    fill(folder, key, 0, 600)
    copy = str(tmp_path / "copy")
    shutil.copytree(folder, copy)
    shutil.rmtree(f"{copy}/journal")
    os.unlink(f"{copy}/lock")
    assert run("verify", copy, vkey).split() == ["OK", "600", "0"]
    assert run("read", copy).encode().splitlines() == \
        [entry(i) for i in range(600)]


def test_flipped_bits_are_seen_by_both(trail):
    """A hundred random changes anywhere below tile/ or in the checkpoint."""
    folder, key, vkey = trail
    fill(folder, key, 0, 700)
    names = sorted(Log(folder, vkey).files)
    chance = random.Random(6962)
    for _ in range(100):
        name = f"{folder}/{chance.choice(names)}"
        with open(name, "rb") as file:
            data = bytearray(file.read())
        before = bytes(data)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        with open(name, "wb") as file:
            file.write(data)
        assert run("verify", folder, vkey).startswith("TAMPERED"), name
        with pytest.raises(Exception):
            Log(folder, vkey)
        with open(name, "wb") as file:
            file.write(before)
    assert run("verify", folder, vkey).startswith("OK")


def test_a_kept_checkpoint_shows_the_roll_back(trail, tmp_path):
    folder, key, vkey = trail
    fill(folder, key, 0, 300)
    older = str(tmp_path / "older")
    shutil.copytree(folder, older)
    fill(folder, key, 300, 50)
    kept = str(tmp_path / "kept")
    shutil.copy(f"{folder}/checkpoint", kept)
    assert run("verify", folder, vkey, kept).startswith("OK 350")
    answer = run("verify", older, vkey, kept)
    assert answer.startswith("TAMPERED") and "rolled back" in answer


SCRIPT = r"""
set -e
mount -t tmpfs -o size=14m tmpfs "$1"
exec "$2" "$3" "$1"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a tmpfs needs root")
def test_a_full_disk_keeps_what_it_acknowledged(trail, tmp_path):
    """A tmpfs of 14 MiB with a journal of 4: it fills, takes privileged records
    only, and goes on when there is room again."""
    _, key, vkey = trail
    mount = tmp_path / "small"
    mount.mkdir()
    result = subprocess.run(
        ["unshare", "-m", "sh", "-c", SCRIPT, "sh", str(mount),
         os.sys.executable, os.path.abspath(__file__)],
        env={**os.environ, "TRAIL_KEY": key, "TRAIL_VKEY": vkey},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if b"ermission denied" in result.stdout and result.returncode:
        pytest.skip("no new mount namespace may be made here")
    assert result.returncode == 0, result.stdout.decode()


def full_disk(mount):
    """Runs inside the namespace of the test above."""
    key, vkey = os.environ["TRAIL_KEY"], os.environ["TRAIL_VKEY"]
    env = {"TRAIL_SEGMENT": str(1 << 20), "TRAIL_SEGMENTS": "4"}
    folder = f"{mount}/trail"
    subprocess.run([DRIVER, "create", folder, key], check=True,
                   env={**os.environ, **env})
    with open(f"{mount}/ballast", "wb") as file:
        file.write(b"x" * (6 << 20))
    writer = Writer(folder, key, env=env)
    acked, refused = 0, 0
    while refused < 3:
        answer = writer.append([entry(i) for i in range(acked, acked + 500)])
        if answer == f"OK {acked}":
            acked += 500
        else:
            assert answer == "error -28", answer
            refused += 1
    assert acked > 2000
    assert writer.ask("status").startswith("2 ")
    taken = 0
    while True:
        answer = writer.append([entry(i) for i in range(acked, acked + 500)],
                               privileged=True)
        if answer != f"OK {acked}":
            assert answer == "error -28", answer
            break
        acked += 500
        taken += 1
    assert taken > 0
    lines = run("read", folder).encode().splitlines()
    assert lines == [entry(i) for i in range(acked)]
    assert run("verify", folder, vkey).startswith("UNSEALED")
    os.unlink(f"{mount}/ballast")
    assert writer.ask("checkpoint") == f"OK {acked}"
    assert writer.append([entry(acked)]) == f"OK {acked}"
    assert writer.close() == "closed 0"
    assert Log(folder, vkey).entries == [entry(i) for i in range(acked + 1)]


if __name__ == "__main__":
    full_disk(os.sys.argv[1])
