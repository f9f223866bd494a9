#!/usr/bin/env python3
"""Durable verifications per second through sekishod; the bar is 2,000/s.

    tests/bench/bench_otp_daemon.py [SECONDS]

Starts a sekishod of its own with a store and a trail in a new folder under
SEKISHO_BENCH_FOLDER (default: build/, a real disk; a tmpfs would tell nothing),
and asks it by bench_otp_daemon.  Needs root, or the daemon's own user.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/integration"))

import otp_place  # noqa: E402  (the path above)

BAR = 2000


def main():
    seconds = sys.argv[1] if len(sys.argv) > 1 else "5"
    program = ROOT / "build/bench/bench_otp_daemon"
    base = os.environ.get("SEKISHO_BENCH_FOLDER", str(ROOT / "build"))
    best = 0
    with tempfile.TemporaryDirectory(dir=base, prefix="otp.") as folder, \
            otp_place.place(folder, "journal 64m;\nreserve 8m;\n") as place:
        for connections in ("1", "8", "32", "128"):
            done = subprocess.run([program, place.socket, connections, seconds],
                                  stdout=subprocess.PIPE, text=True, check=True)
            print("  " + done.stdout.strip(), flush=True)
            if connections == "32":
                best = float(done.stdout.split(": ")[1].split()[0])
    print(f"  bar: {BAR}/s with 32 connections: "
          f"{'met' if best >= BAR else 'NOT met'}")


if __name__ == "__main__":
    main()
