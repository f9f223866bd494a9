#!/usr/bin/env python3
"""What audit_learn costs: CPU of the worker, side by side with the same
location without it.

    tests/bench/learn.py [--rounds N] [--no-callgrind]

The requests are those of a viewer that opens a study of 20 slices, from a
PACS that is an nginx with files; the user's view of it, `per opening`, is all
of them together. `list` is a search that answers with 100 studies.
CPU is of /proc/PID/schedstat, the two take turns; instructions are callgrind's
in a process of its own, the difference of two lengths.  What a worker learns
the first time it sees it is not in these figures.
"""

import argparse
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "integration"))
import audit_place      # noqa: E402
import gate_nginx       # noqa: E402

STUDY, SERIES = "1.2.840.113619.2.55.3", "1.2.840.113619.2.55.3.1"
BASE = f"/dicom-web/studies/{STUDY}"
SETS = {
    "search": ["/dicom-web/studies?limit=found"],
    "series": [f"{BASE}/series?limit=series"],
    "metadata": [f"{BASE}/series/{SERIES}/metadata"],
    "frames": [f"{BASE}/series/{SERIES}/instances/{SERIES}.{n}/frames/1"
               for n in range(20)],
    "list": ["/dicom-web/studies?limit=all"],
}
SETS["per opening"] = (SETS["search"] * 2 + SETS["series"] * 2
                       + SETS["metadata"] + SETS["frames"])


def element(vr, *values):
    return {"vr": vr, "Value": list(values)}


def dataset(number, more):
    made = {"00080005": element("CS", "ISO_IR 192"),
            "00080020": element("DA", "20260406"),
            "00080061": element("CS", "CT"),
            "00081190": element("UR", f"http://pacs{BASE}"),
            "00100010": element("PN", {"Alphabetic": "DEMO^HANAKO"}),
            "00100020": element("LO", f"DEMO-{number}"),
            "00100040": element("CS", "F"),
            "0020000D": element("UI", f"{STUDY}.{number}" if number
                                else STUDY),
            "00201206": element("IS", 1)}
    for tag in range(more):
        made[f"0028{tag:04X}"] = element("DS", 0.5, tag)
    return made


def make_files(root):
    def put(path, data):
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data if isinstance(data, bytes)
                           else json.dumps(data, indent=3).encode())
        return target.stat().st_size

    return {
        "search": put("/found", [dataset(0, 5)]),
        "series": put("/series", [dataset(0, 5)]),
        "metadata": put(SETS["metadata"][0],
                        [dataset(0, 60) for _ in range(20)]),
        "frames": [put(path, os.urandom(131072))
                   for path in SETS["frames"]][0],
        "list": put("/all", [dataset(n, 5) for n in range(100)])}


PACS = """
server { listen 127.0.0.1:%%main%%; root {root};
         default_type application/dicom+json;
         location = /dicom-web/studies {{ try_files /$arg_limit =404; }}
         location ~ /series$ {{ try_files /$arg_limit =404; }}
         location ~ /frames/ {{ default_type application/octet-stream; }} }
"""
GATE = """
audit_trail unix:{socket}; audit_zone audit:8m; access_log off;
upstream pacs {{ server 127.0.0.1:{pacs}; keepalive 8; }}
server {{ listen 127.0.0.1:%%main%%; keepalive_requests 1000000; audit on;
    proxy_http_version 1.1; proxy_set_header Connection ""; {buffers}
    location /on/ {{ audit_learn on; proxy_pass http://pacs/; }}
    location /off/ {{ proxy_pass http://pacs/; }} }}
"""


def start(place, name, text, **options):
    (place / name).mkdir()
    return gate_nginx.Nginx(place / name, text, **options)


def cpu(pid):
    return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def run(connection, where, paths, times):
    for _ in range(times):
        for path in paths:
            connection.request("GET", where + path,
                               headers={"Accept-Encoding": "gzip"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, (path, answer.status)


def measure(gate, rounds):
    worker, = gate.workers()
    connection = gate.connect(source=None)
    for where in ("/on", "/off"):
        run(connection, where, SETS["per opening"] + SETS["list"], 5)
    print(f"{'':12} {'off us':>9} {'on us':>9} {'ratio':>7}  quartiles")
    for name, paths in SETS.items():
        times = max(1, 25 // len(paths))
        seen = []
        for number in range(rounds):
            took = {}
            for where in (("/on", "/off") if number % 2 else ("/off", "/on")):
                before = cpu(worker)
                run(connection, where, paths, times)
                took[where] = (cpu(worker) - before) / times / 1000
            seen.append(took)
        ratios = sorted(one["/on"] / one["/off"] for one in seen)
        print(f"{name:12} "
              f"{statistics.median(o['/off'] for o in seen):9.1f} "
              f"{statistics.median(o['/on'] for o in seen):9.1f} "
              f"{statistics.median(ratios):7.3f}  "
              f"{ratios[len(ratios) // 4]:.3f}-{ratios[-len(ratios) // 4]:.3f}")


def instructions(place, gate_text, where, paths, times):
    """callgrind's count for so many rounds, all in."""
    folder = place / f"grind-{len(list(place.iterdir()))}"
    folder.mkdir()
    gate = gate_nginx.Nginx(folder, gate_text, start=False,
                            main="master_process off;")
    out = folder / "callgrind.out"
    with open(folder / "valgrind.log", "wb") as log:
        process = subprocess.Popen(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}",
             *gate.command("-g", "daemon off;")], stdout=log, stderr=log)
    try:
        assert gate_nginx.wait_for(
            lambda: gate.listens(gate.ports["main"]), 60, 0.1)
        time.sleep(2)
        connection = gate.connect(source=None)
        connection.timeout = 120
        run(connection, where, paths, times)
        connection.close()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(120)
    return int(re.search(r"^(?:totals|summary): (\d+)", out.read_text(),
                         re.M)[1])


def grind(place, gate_text):
    print(f"\n{'':12} {'off':>9} {'on':>9} {'ratio':>7}  "
          "instructions in user space")
    for name in ("metadata", "list", "per opening"):
        paths, each = SETS[name], {}
        for where in ("/off", "/on"):
            few, many = (instructions(place, gate_text, where, paths, times)
                         for times in (3, 13))
            each[where] = (many - few) / 10
        print(f"{name:12} {each['/off']:9.0f} {each['/on']:9.0f} "
              f"{each['/on'] / each['/off']:7.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--no-callgrind", action="store_true")
    parser.add_argument("--buffers", default="",
                        help="proxy_buffers and the like, for both")
    options = parser.parse_args()
    place = pathlib.Path(tempfile.mkdtemp(prefix="sekisho-learn."))
    started = []
    try:
        sizes = make_files(place / "files")
        print("bytes:", ", ".join(f"{n} {s}" for n, s in sizes.items()))
        (place / "daemon").mkdir()
        daemon = audit_place.Daemon(place / "daemon")
        started.append(daemon)
        pacs = start(place, "pacs", PACS.replace("{root}", str(
            place / "files")).replace("{{", "{").replace("}}", "}"),
            main="worker_processes 1;")
        started.append(pacs)
        text = GATE.format(socket=daemon.socket, pacs=pacs.ports["main"],
                           buffers=options.buffers)
        gate = start(place, "gate", text, main="worker_processes 1;")
        started.append(gate)
        time.sleep(1)
        measure(gate, options.rounds)
        if not options.no_callgrind and shutil.which("valgrind"):
            grind(place, text)
    finally:
        for one in reversed(started):
            one.stop()
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
