"""The disk of the trail is full, read-only, or fails."""

import os
import resource
import subprocess
import time

import pytest

import audit_place
import stage as stages
from audit_place import wait_for
from stage import count

# a request of an address of its own is a denial of its own
DENIED = "/closed/x"


def denials(one, addresses, prefix):
    for i in range(addresses):
        answer = one.place.get(
            DENIED, source=f"{prefix}.{i // 250}.{i % 250 + 1}")
        assert answer.status == 403


def refuses(one, load):
    """Ordinary requests are denied, with the reason; one or the other may be
    recorded, and served, as long as some bytes are left."""
    load.more(status=503, by=5)
    assert wait_for(lambda: one.place.get(
        f"/request/studies/1.9.{time.monotonic_ns()}/series").status == 503, 20)
    assert one.nginx.error_lines("denied, reason: audit-unavailable")


def test_full_disk_serves_nothing_records_denials_and_comes_back_by_itself(
        stage, small_disk):
    for _ in range(count(1, 10)):
        disk = small_disk("16m")
        (disk.path / "trail").mkdir(mode=0o750)
        one = stage(trail=disk.path / "trail", idle="1s")
        load = one.load(clients=3)
        load.more(by=50)
        disk.fill(leave=64 << 10)
        refuses(one, load)
        size = len(one.daemon.entries())
        denials(one, 40, "127.31")
        load.more(status=503, by=50)
        assert load.statuses[200]
        before = load.answered(200)
        # the journal's reserve has them, though nothing can be sealed
        assert wait_for(lambda: one.place.status()["sekisho_records_waiting"]
                        == 0, 20)
        denied = sum(1 for line in read(one)
                     if '"event":"denied"' in line and "127.31." in line)
        assert denied == 40
        assert len(one.daemon.entries()) - size < 1000
        disk.free()
        load.more(by=50)
        assert load.answered(200) > before
        # a daemon that is killed on a full disk finds everything again
        disk.fill(leave=64 << 10)
        refuses(one, load)
        denials(one, 10, "127.32")
        one.daemon.kill()
        one.kills += 1
        disk.free()
        one.daemon.start()
        load.more(by=50)
        entries = one.finish()
        for prefix, addresses in (("127.31.", 40), ("127.32.", 10)):
            found = {e["address"] for e in entries if e["event"] == "denied"
                     and e.get("address", "").startswith(prefix)}
            assert len(found) == addresses, (prefix, len(found))
        assert [e for e in entries if e.get("skipped")]


def read(one):
    """The lines of a running trail, with those that are not sealed."""
    done = subprocess.run(
        [audit_place.SEKISHO, "audit", "search", "--json", "--config",
         one.daemon.config], stdout=subprocess.PIPE, text=True, check=False)
    return done.stdout.splitlines()


def test_disk_that_is_full_at_the_start_of_the_daemon(stage, small_disk):
    disk = small_disk("12m")
    (disk.path / "trail").mkdir(mode=0o750)
    one = stage(trail=disk.path / "trail")
    load = one.load(clients=2)
    load.more(by=30)
    disk.fill()
    one.daemon.kill()
    one.kills += 1
    one.daemon.start()
    load.more(status=503, by=10)
    disk.free()
    load.more(by=30)
    one.finish()


def test_read_only_disk_is_told_and_costs_nothing(stage, small_disk):
    """The daemon cannot start there, says where, and does when it may write
    again; nginx denies meanwhile."""
    disk = small_disk("16m")
    (disk.path / "trail").mkdir(mode=0o750)
    one = stage(trail=disk.path / "trail")
    load = one.load(clients=2)
    load.more(by=30)
    one.daemon.stop()
    disk.mount("ro")
    done = subprocess.run([audit_place.DAEMON, "--config", one.daemon.config],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    assert done.returncode != 0
    said = done.stdout
    assert "cannot open the trail" in said and "Read-only" in said, said
    load.more(status=503, by=10)
    disk.mount("rw")
    one.daemon.start()
    load.more(by=30)
    one.finish()


@pytest.mark.skipif(os.geteuid() != 0, reason="another's limits need root")
def test_disk_that_fails_every_write_denies_until_it_is_whole(stage):
    """RLIMIT_FSIZE makes every write of a file fail, of journal and tiles."""
    one = stage(idle="1s")
    load = one.load(clients=4)
    for _ in range(count(2, 40)):
        load.more(by=30)
        resource.prlimit(one.daemon.process.pid, resource.RLIMIT_FSIZE,
                         (0, resource.RLIM_INFINITY))
        load.more(status=503, by=20)
        assert one.daemon.process.poll() is None
        resource.prlimit(one.daemon.process.pid, resource.RLIMIT_FSIZE,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        load.more(by=30)
    one.finish()


@pytest.mark.skipif(os.geteuid() != 0, reason="another's limits need root")
def test_daemon_killed_while_its_disk_fails_serves_nothing_it_refused(stage):
    """What was refused is told to the front end again after the restart, and
    is nothing that could be taken for recorded."""
    one = stage(idle="1s")
    load = one.load(clients=4)
    for _ in range(count(4, 100)):
        load.more(by=20)
        resource.prlimit(one.daemon.process.pid, resource.RLIMIT_FSIZE,
                         (0, resource.RLIM_INFINITY))
        load.more(status=503, by=4)
        one.daemon.kill()
        one.kills += 1
        one.daemon.start()
    load.more(by=20)
    one.finish()


def test_socket_that_vanished_is_back_with_the_daemon(stage):
    """Connections that are there go on; new workers find none, and deny."""
    one = stage(workers=1)
    load = one.load(clients=2)
    load.more(by=20)
    one.daemon.socket.unlink()
    load.more(by=20)
    one.nginx.reload()
    load.more(status=503, by=10)
    one.daemon.stop()
    one.daemon.start()
    load.more(by=20)
    one.finish()


def test_entries_of_a_full_disk_are_verified_by_its_own_reader(stage):
    """So that this file's checks can fail: a record taken out is seen."""
    one = stage()
    load = one.load(clients=2)
    load.more(by=20)
    one.finish()
    path = next((one.daemon.trail / "tile/entries").glob("000*"))
    path = next(path.iterdir()) if path.is_dir() else path
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    with pytest.raises(AssertionError):
        stages.check_trail(one.daemon)
