"""nginx is reloaded or replaced by another binary while requests are served
and held."""

import contextlib
import os
import signal
import subprocess

import pytest

from audit_place import wait_for
from stage import count


def test_reload_during_a_hold(stage):
    """Held requests of the old workers are answered when the daemon is back,
    and their records are there once."""
    one = stage(idle="1s")
    load = one.load(clients=6)
    for _ in range(count(3, 60)):
        load.more(by=30)
        one.daemon.signal(signal.SIGSTOP)
        assert wait_for(
            lambda: one.place.status()["sekisho_requests_waiting"] > 0, 5)
        before = set(one.nginx.workers())
        one.nginx.signal(signal.SIGHUP)
        assert wait_for(lambda: set(one.nginx.workers()) - before, 10)
        one.daemon.signal(signal.SIGCONT)
        load.more(by=20)
        assert wait_for(
            lambda: not before & set(one.nginx.workers()), 30)
    one.finish()


class Masters:
    """An nginx that has left its parent, as an upgrade of itself needs."""

    def __init__(self, one):
        self.nginx = one.nginx
        self.pid_file = one.nginx.prefix / "nginx.pid"
        self.old_file = one.nginx.prefix / "nginx.pid.oldbin"
        self.nginx.signal(signal.SIGQUIT)
        self.nginx.process.wait(20)
        subprocess.run(self.nginx.command(), check=True)
        assert wait_for(lambda: self.current() and one.place.is_up(), 10)

    def current(self):
        # nginx renames it while it is replaced
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int(self.pid_file.read_text())
        return 0

    def upgrade(self):
        """Both are there, old and new, and both serve: their ids."""
        old = self.current()
        os.kill(old, signal.SIGUSR2)
        assert wait_for(lambda: self.current() not in (0, old)
                        and self.old_file.exists(), 15), self.nginx.errors()
        return old, self.current()

    def end(self, master):
        """SIGQUIT, and until it is gone."""
        os.kill(master, signal.SIGQUIT)
        assert wait_for(lambda: not alive(master), 30), self.nginx.errors()

    def stop(self):
        for _ in range(2):
            master = self.current()
            if master:
                with contextlib.suppress(ProcessLookupError):
                    self.end(master)
        self.nginx.process.returncode = 0


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(name="upgraded")
def make_upgraded(stage):
    one = stage(idle="1s")
    masters = Masters(one)
    try:
        yield one, masters
    finally:
        masters.stop()


def test_binary_upgrade_and_its_rollback_under_load(upgraded):
    one, masters = upgraded
    load = one.load(clients=5)
    for turn in range(count(2, 20)):
        load.more(by=20)
        old, new = masters.upgrade()
        load.more(by=40)
        if turn % 2:
            # back: the old workers are started again, the new ones go
            os.kill(old, signal.SIGHUP)
            masters.end(new)
            assert wait_for(lambda: masters.current() == old, 10)
        else:
            masters.end(old)
            assert masters.current() == new
        load.more(by=20)
    load.stop()
    assert one.settled()
    masters.stop()
    entries = one.finish(stopped=True)
    # each binary has a zone of its own, and so an id of its own
    assert len({e["front"][:16] for e in entries
                if e["source"] == "nginx"}) >= 2


def test_binary_upgrade_while_the_daemon_says_nothing(upgraded):
    one, masters = upgraded
    load = one.load(clients=5)
    for _ in range(count(1, 15)):
        load.more(by=20)
        one.daemon.signal(signal.SIGSTOP)
        assert wait_for(
            lambda: one.place.status()["sekisho_requests_waiting"] > 0, 5)
        old, _ = masters.upgrade()
        os.kill(old, signal.SIGQUIT)
        one.daemon.signal(signal.SIGCONT)
        assert wait_for(lambda master=old: not alive(master), 30)
        load.more(by=20)
    load.stop()
    assert one.settled()
    masters.stop()
    one.finish(stopped=True)
