#!/usr/bin/env python3
"""What audit_learn costs: CPU of the worker, side by side with the same
location without it.

    tests/bench/learn.py [--rounds N] [--no-callgrind]
    tests/bench/learn.py --orthanc [--plain] [--rounds N]

The requests are those of a viewer that opens a study of 20 slices; the user's
view of it, `per opening`, is all of them together.  `list` is a search that
answers with 100 studies.  The PACS is an nginx with files, so that it takes no
notice of who asks, or a real Orthanc (--orthanc), with the requests of its
explorer besides.  The CPU of the PACS is told beside it, and `all` is the ratio
for the two together: a client that takes gzip gets it from Orthanc, but where
answers are read Orthanc is asked not to compress them, so it has less to do and
nginx more to move.  With --plain no client takes it, and what is left is the
reading.
CPU is of schedstat, the two take turns; instructions are callgrind's in a
process of its own, the difference of two lengths.  What a worker learns the
first time it sees it is not in these figures.
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
sys.path[:0] = [str(TESTS / name) for name in ("integration", "demo", "data")]
import audit_place      # noqa: E402
import gate_nginx       # noqa: E402
import make_dicom       # noqa: E402
import stage            # noqa: E402

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
    """Nanoseconds, of all threads."""
    return sum(int(task.read_text().split()[0])
               for task in pathlib.Path(f"/proc/{pid}/task").glob(
                   "*/schedstat"))


ENCODING = {"Accept-Encoding": "gzip"}


def run(connection, where, paths, times):
    for _ in range(times):
        for path in paths:
            connection.request("GET", where + path, headers=ENCODING)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, (path, answer.status)


def measure(gate, sets, rounds, pacs):
    worker, = gate.workers()
    connection = gate.connect(source=None)
    for where in ("/on", "/off"):
        for paths in sets.values():
            run(connection, where, paths, 2)
    print(f"{'':12} {'off us':>9} {'on us':>9} {'ratio':>7}  quartiles   "
          f"{'PACS off':>9} {'PACS on':>9} {'all':>7}")
    for name, paths in sets.items():
        times = max(1, 25 // len(paths))
        seen = []
        for number in range(rounds):
            took = {}
            for where in (("/on", "/off") if number % 2 else ("/off", "/on")):
                before = cpu(worker), cpu(pacs)
                run(connection, where, paths, times)
                took[where] = [(after - one) / times / 1000 for after, one in
                               zip((cpu(worker), cpu(pacs)), before)]
            seen.append(took)
        off, on, pacs_off, pacs_on = (
            statistics.median(one[where][whose] for one in seen)
            for whose in (0, 1) for where in ("/off", "/on"))
        ratios, both = (sorted(values) for values in (
            [one["/on"][0] / one["/off"][0] for one in seen],
            [sum(one["/on"]) / sum(one["/off"]) for one in seen]))
        print(f"{name:12} {off:9.1f} {on:9.1f} {statistics.median(ratios):7.3f}"
              f"  {ratios[len(ratios) // 4]:.3f}-"
              f"{ratios[-len(ratios) // 4]:.3f} {pacs_off:9.1f} {pacs_on:9.1f} "
              f"{statistics.median(both):7.3f}", flush=True)


# ---- A real Orthanc ---------------------------------------------------------

def orthanc_sets(orthanc, studies):
    """Of a study of 20 slices, and of the 100 that there are."""
    study = studies[0]
    series = study["series"][0]
    base = f"/dicom-web/studies/{study['study']}"
    first = series["instances"][0]["orthanc"]
    patient = json.loads(orthanc.request(
        "GET", f"/studies/{study['orthanc']}"))["ParentPatient"]
    sets = {
        "search": [f"/dicom-web/studies?limit=101&offset=0&fuzzymatching="
                   f"false&includefield=00081030,00080060&StudyInstanceUID="
                   f"{study['study']}"],
        "series": [f"{base}/series?includefield=0008103E"],
        "metadata": [f"{base}/series/{series['series']}/metadata"],
        "frames": [f"{base}/series/{series['series']}/instances/"
                   f"{one['instance']}/frames/1"
                   for one in series["instances"]],
        "list": ["/dicom-web/studies?limit=100"]}
    sets["per opening"] = (
        sets["search"] + sets["series"]
        + [f"/dicom-web/studies?00100020={study['patient']['id']}"]
        + sets["metadata"] + sets["frames"])
    # as its explorer.js has them: the lists, then a patient's page, a study's,
    # a series', an instance's
    sets["explorer"] = ["/system", "/patients?expand&since=0&limit=101&full",
                        "/studies?expand&since=0&limit=101&full"]
    of_patient, of_study, of_series = (
        f"/patients/{patient}?full", f"/studies/{study['orthanc']}?full",
        f"/series/{series['orthanc']}?full")
    sets["explorer"] += [
        of_patient, f"/patients/{patient}/studies?full",
        of_study, of_patient, f"/studies/{study['orthanc']}/series?full",
        of_series, of_study, of_patient,
        f"/series/{series['orthanc']}/instances?full",
        f"/instances/{first}?full", of_series, of_study, of_patient,
        f"/instances/{first}/tags", f"/instances/{first}/metadata?expand"]
    return sets


def start_orthanc(place, started):
    studies = make_dicom.make(str(place / "dicom"))
    orthanc = stage.Orthanc(str(place / "orthanc"))
    started.append(orthanc)
    orthanc.start()
    orthanc.store(studies)
    patient = json.loads(orthanc.request(
        "GET", f"/studies/{studies[2]['orthanc']}"))["ParentPatient"]
    for number in range(100 - len(studies)):
        orthanc.request("POST", f"/patients/{patient}/modify",
                        json.dumps({"Force": True, "Replace": {
                            "PatientID": f"LIST-{number}",
                            "PatientName": f"DEMO^LIST{number}"}}))
    count = len(json.loads(orthanc.request("GET", "/studies")))
    assert count == 100, count
    return orthanc, orthanc_sets(orthanc, studies)


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
    for name in ("search", "metadata", "list", "per opening"):
        paths, each = SETS[name], {}
        more = max(10, 200 // len(paths))
        for where in ("/off", "/on"):
            few, many = (instructions(place, gate_text, where, paths, times)
                         for times in (3, 3 + more))
            each[where] = (many - few) / more
        print(f"{name:12} {each['/off']:9.0f} {each['/on']:9.0f} "
              f"{each['/on'] / each['/off']:7.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--no-callgrind", action="store_true")
    parser.add_argument("--orthanc", action="store_true",
                        help="a real one behind it")
    parser.add_argument("--plain", action="store_true",
                        help="clients that take no gzip")
    parser.add_argument("--buffers", default="",
                        help="proxy_buffers and the like, for both")
    options = parser.parse_args()
    if options.plain:
        ENCODING["Accept-Encoding"] = "identity"
    place = pathlib.Path(tempfile.mkdtemp(prefix="sekisho-learn."))
    started = []
    try:
        (place / "daemon").mkdir()
        daemon = audit_place.Daemon(place / "daemon")
        started.append(daemon)
        if options.orthanc:
            pacs, sets = start_orthanc(place, started)
            port, pid = pacs.port, pacs.process.pid
        else:
            sizes, sets = make_files(place / "files"), SETS
            print("bytes:", ", ".join(f"{n} {s}" for n, s in sizes.items()))
            pacs = start(place, "pacs", PACS.replace("{root}", str(
                place / "files")).replace("{{", "{").replace("}}", "}"),
                main="worker_processes 1;")
            started.append(pacs)
            port, pid = pacs.ports["main"], pacs.workers()[0]
        text = GATE.format(socket=daemon.socket, pacs=port,
                           buffers=options.buffers)
        gate = start(place, "gate", text, main="worker_processes 1;")
        started.append(gate)
        time.sleep(1)
        measure(gate, sets, options.rounds, pid)
        if not (options.orthanc or options.no_callgrind) and shutil.which(
                "valgrind"):
            grind(place, text)
    finally:
        for one in reversed(started):
            one.stop()
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
