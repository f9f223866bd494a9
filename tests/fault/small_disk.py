"""A tmpfs in a mount namespace of its own, reached from outside through the
process that holds it."""

import os
import pathlib
import signal
import subprocess

import pytest

SCRIPT = 'mount -t tmpfs -o size="$2" tmpfs "$1" && echo ready && exec sleep 3600'


class SmallDisk:
    def __init__(self, folder, size):
        if os.geteuid() != 0:
            pytest.skip("mounting a tmpfs needs root")
        folder.mkdir(exist_ok=True)
        self.inside = folder
        self.holder = subprocess.Popen(  # pylint: disable=consider-using-with
            ["unshare", "-m", "sh", "-c", SCRIPT, "sh", str(folder), size],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)
        line = self.holder.stdout.readline()
        if line != "ready\n":
            self.holder.wait(10)
            pytest.skip(f"no new mount namespace may be made here: {line}")
        self.path = pathlib.Path(f"/proc/{self.holder.pid}/root{folder}")
        self.ballast = self.path / "ballast"

    def mount(self, options):
        subprocess.run(
            ["nsenter", "-m", "-r", "-t", str(self.holder.pid), "mount",
             "-o", f"remount,{options}", str(self.inside)], check=True)

    def fill(self, leave=0):
        """Writes until only so many bytes are free."""
        with open(self.ballast, "ab", buffering=0) as file:
            while True:
                state = os.statvfs(self.path)
                free = state.f_bavail * state.f_frsize - leave
                if free <= 0:
                    return
                try:
                    file.write(b"x" * min(free, 1 << 20))
                except OSError:
                    return

    def free(self):
        self.ballast.unlink(missing_ok=True)

    def close(self):
        self.holder.send_signal(signal.SIGKILL)
        self.holder.wait(10)
        self.holder.stdout.close()
