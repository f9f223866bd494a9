"""docs/verify-by-hand.md does what it says, on a trail of the real daemon."""

import os
import re
import shutil
import subprocess

import pytest

import trail_daemon
from trail_daemon import SEKISHO, TOP

DOCUMENT = os.path.join(TOP, "docs/verify-by-hand.md")
TOOLS = ("openssl", "sha256sum", "base64", "od", "xxd", "cmp")


def blocks():
    with open(DOCUMENT, encoding="utf-8") as file:
        return re.findall(r"^```sh\n(.*?)^```$", file.read(), re.M | re.S)


@pytest.fixture(scope="module", autouse=True)
def tools():
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not installed: {' '.join(missing)}")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with trail_daemon.running(tmp_path_factory.mktemp("hand")) as daemon:
        front = daemon.front()
        for i in range(9):
            front.send({"event": "access", "outcome": 0, "user": f"山田 {i}",
                        "study": f"1.2.{i}"})
        front.checkpoint()
        yield daemon


def run(daemon, folder, change="", key=None):
    """All blocks in one shell; `change` runs after the copy was made."""
    script = "\n".join(blocks())
    for path, real in (("/var/lib/sekisho/trail", daemon.trail),
                       ("/etc/sekisho/trail.key", key or daemon.key)):
        assert path in script
        script = script.replace(path, real)
    first, rest = script.split("\n", 1)
    assert first.startswith("cp -r")
    prelude = (f"set -eu\nsekisho() {{ '{SEKISHO}' \"$@\" --config "
               f"'{daemon.config}'; }}\n")
    return subprocess.run(["sh", "-c", f"{prelude}{first}\n{change}\n{rest}"],
                          cwd=folder, capture_output=True, text=True,
                          check=False, env={**os.environ, "LC_ALL": "C"})


def test_every_step_succeeds(daemon, tmp_path):
    result = run(daemon, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    size = daemon.checkpoint()[0]
    said = result.stdout
    for line in ("the verifier key is whole", f"{size} entries read",
                 "the tile is right", "the root is the one that was signed",
                 "the record is in the trail"):
        assert line in said, said
    assert (said + result.stderr).count("Signature Verified Successfully") == 2
    assert '"event":"start"' in said


def flip(path, offset):
    """One bit, in the shell's own copy."""
    return (f"python3 - {path} <<'END'\n"
            "import sys, glob\n"
            "path = glob.glob(sys.argv[1])[0]\n"
            "data = bytearray(open(path, 'rb').read())\n"
            f"data[{offset}] ^= 1\n"
            "open(path, 'wb').write(data)\nEND\n")


@pytest.mark.parametrize("path, offset, missing", [
    ("copy/tile/entries/000.p/*", 400, "the tile is right"),
    ("copy/tile/entries/000.p/*", -2, "the root is the one that was signed"),
    ("copy/tile/0/000.p/*", 33, "the tile is right"),
    ("copy/checkpoint", 3, "Signature Verified Successfully"),
    ("copy/checkpoint", -10, "Signature Verified Successfully"),
])
def test_a_flipped_bit_is_seen(daemon, tmp_path, path, offset, missing):
    result = run(daemon, tmp_path, flip(path, offset))
    assert missing not in result.stdout, result.stdout + result.stderr


def test_another_key_does_not_verify_it(daemon, tmp_path):
    (tmp_path / "other").mkdir()
    other = trail_daemon.Daemon(tmp_path / "other")
    result = run(daemon, tmp_path, key=other.key)
    assert result.returncode != 0
    assert "Signature Verified Successfully" not in result.stdout
