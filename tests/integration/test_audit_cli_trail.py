"""sekisho trail init, key and rotate."""

import os
import pwd
import shutil
import stat
import subprocess
import tempfile

import pytest

import trail_daemon
from tool import sekisho  # noqa: F401

ORIGIN = "pacs.example/sekisho"


@pytest.fixture
def open_folder():
    """One that other users can reach, too; pytest's own are closed."""
    folder = tempfile.mkdtemp(prefix="sekisho-")
    os.chmod(folder, 0o755)
    yield folder
    shutil.rmtree(folder)


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def init(sekisho, *more):
    return sekisho("trail", "init", "--trail", "state/trail", "--key", "etc/key",
                   "--origin", ORIGIN, *more)


def vkey_of(result):
    return [line.split()[-1] for line in result.stdout.splitlines()
            if line.startswith("verifier key")][0]


def test_init_makes_key_and_trail_and_tells_the_verifier_key(sekisho):
    result = init(sekisho)
    assert result.returncode == 0, result.stderr
    key, folder = sekisho.folder / "etc/key", sekisho.folder / "state/trail"
    assert mode(key) == 0o400
    assert mode(folder) == 0o750
    assert mode(folder / "checkpoint") == 0o640
    assert (folder / "checkpoint").read_text().startswith(f"{ORIGIN}\n0\n")
    vkey = vkey_of(result)
    assert vkey.startswith(f"{ORIGIN}+")
    assert (sekisho.folder / "etc/key.pub").read_text() == vkey + "\n"
    assert sekisho("trail", "key", "--key", "etc/key").stdout == vkey + "\n"
    assert "PRIVATE" not in result.stdout


def test_init_writes_nothing_over(sekisho):
    assert init(sekisho).returncode == 0
    key = (sekisho.folder / "etc/key").read_bytes()
    checkpoint = (sekisho.folder / "state/trail/checkpoint").read_bytes()
    again = init(sekisho)
    assert again.returncode == 2 and "already" in again.stderr
    other = sekisho("trail", "init", "--trail", "state/trail", "--key",
                    "etc/key2", "--origin", ORIGIN)
    assert other.returncode == 2 and "already" in other.stderr
    assert not (sekisho.folder / "etc/key2").exists()
    third = sekisho("trail", "init", "--trail", "state/new", "--key", "etc/key",
                    "--origin", ORIGIN)
    assert third.returncode == 2 and "never written over" in third.stderr
    assert not (sekisho.folder / "state/new").exists()
    assert (sekisho.folder / "etc/key").read_bytes() == key
    assert (sekisho.folder / "state/trail/checkpoint").read_bytes() == checkpoint


def test_a_trail_that_cannot_be_made_leaves_no_key(sekisho):
    (sekisho.folder / "state").mkdir()
    (sekisho.folder / "state/trail").write_text("a file")
    result = init(sekisho)
    assert result.returncode == 2
    assert not (sekisho.folder / "etc/key").exists()
    assert not (sekisho.folder / "etc/key.pub").exists()


@pytest.mark.parametrize("origin", ["a b", "a+b", "", "x" * 256, "tab\there"])
def test_an_origin_that_is_no_name_is_refused(sekisho, origin):
    result = sekisho("trail", "init", "--trail", "t", "--key", "k", "--origin",
                     origin)
    assert result.returncode == 2
    assert not (sekisho.folder / "k").exists()


def test_without_a_configuration_everything_must_be_given(sekisho):
    if os.path.exists("/etc/sekisho/sekishod.conf"):
        pytest.skip("this host has a configuration")
    result = sekisho("trail", "init", "--trail", "t")
    assert result.returncode == 2
    assert "--config" in result.stderr and "--origin" in result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="another owner needs root")
def test_everything_is_the_owners(sekisho, open_folder):
    key, trail = f"{open_folder}/etc/key", f"{open_folder}/state/trail"
    result = sekisho("trail", "init", "--trail", trail, "--key", key,
                     "--origin", ORIGIN, "--owner", "www-data")
    assert result.returncode == 0, result.stderr
    uid = pwd.getpwnam("www-data").pw_uid
    owned = [key, trail]
    for folder, folders, names in os.walk(trail):
        owned += [os.path.join(folder, name) for name in folders + names]
    assert len(owned) > 6
    assert {os.stat(path).st_uid for path in owned} == {uid}
    # and root reads such a key all the same
    again = sekisho("trail", "key", "--key", key)
    assert again.returncode == 0 and again.stdout.strip() == vkey_of(result)


def test_an_unknown_owner_is_told(sekisho):
    result = init(sekisho, "--owner", "no-such-user")
    assert result.returncode == 2 and "no-such-user" in result.stderr
    assert not (sekisho.folder / "etc").exists()


def test_a_key_that_others_may_read_is_refused(sekisho):
    assert init(sekisho).returncode == 0
    os.chmod(sekisho.folder / "etc/key", 0o444)
    result = sekisho("trail", "key", "--key", "etc/key")
    assert result.returncode == 2 and "chmod 0400" in result.stderr


def test_rotation(sekisho, tmp_path):
    """Both steps, with the real daemon, and each state of it verified."""
    folder = tmp_path / "d"
    folder.mkdir()
    daemon = trail_daemon.Daemon(folder)
    old = daemon.verifier_key
    refused = sekisho("trail", "rotate", "--config", daemon.config)
    assert refused.returncode == 2 and "no sekishod answers" in refused.stderr
    assert not (folder / "key.2").exists()
    daemon.start()
    try:
        result = sekisho("trail", "rotate", "--config", daemon.config)
        assert result.returncode == 0, result.stderr
        new = sekisho("trail", "key", "--key", folder / "key.2").stdout.strip()
        assert new != old and old in result.stdout and new in result.stdout
        assert f"key {folder}/key.2 {folder}/key;" in result.stdout
        assert mode(folder / "key.2") == 0o400
        assert daemon.stop() == 0
        changed = daemon.entries("key-changed")
        assert [(entry["key"], entry["old"]) for entry in changed] == \
            [(new, old)]
        assert changed[0]["user"] and changed[0]["source"] == "sekisho"

        daemon.configure(f"key {folder}/key.2 {folder}/key;")
        daemon.start()
        keys = sekisho("trail", "key", "--config", daemon.config).stdout
        assert keys.split() == [new, old]
        again = sekisho("trail", "rotate", "--config", daemon.config)
        assert again.returncode == 2 and "under way" in again.stderr
        for key in (old, new):
            assert sekisho("audit", "verify", "--config", daemon.config,
                           "--key", key).returncode == 0
        assert daemon.stop() == 0

        daemon.configure(f"key {folder}/key.2;")
        daemon.start()
        front = daemon.front()
        front.send({"event": "denied", "outcome": 8})
        front.checkpoint()
        verify = sekisho("audit", "verify", "--config", daemon.config)
        assert verify.returncode == 0, verify.stdout + verify.stderr
        assert sekisho("audit", "verify", "--config", daemon.config, "--key",
                       old).returncode == 3
    finally:
        daemon.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="another user needs root")
def test_a_change_that_cannot_be_recorded_leaves_no_key(sekisho, open_folder):
    """The daemon takes such a record from root and its own user only."""
    program = shutil.copy(sekisho.program, f"{open_folder}/sekisho")
    with trail_daemon.running(open_folder) as daemon:
        nobody = pwd.getpwnam("nobody").pw_uid
        for path in (open_folder, daemon.key, daemon.config):
            os.chown(path, nobody, -1)
        result = subprocess.run(
            [program, "trail", "rotate", "--config", daemon.config],
            user="nobody", extra_groups=[], capture_output=True, text=True,
            check=False, env={"ASAN_OPTIONS": "detect_leaks=0"})
        assert result.returncode == 2, result.stdout + result.stderr
        assert "could not be recorded" in result.stderr
        assert not os.path.exists(f"{open_folder}/key.2")
        assert not os.path.exists(f"{open_folder}/key.2.pub")
        os.chown(open_folder, 0, -1)
