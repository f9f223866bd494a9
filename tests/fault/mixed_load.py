#!/usr/bin/env python3
"""Mixed load on a gate with audit: is memory flat, and is every request told?

    tests/fault/mixed_load.py --folder DIR

One sekishod, one nginx with the gate and audit (`study` and `request`), a PACS
that is a second nginx, and clients that search, view, download, break off, are
denied, send rubbish, use HTTP/2 and keep connections over reloads.  Meanwhile
nginx is reloaded, policies are swapped, the daemon is told to reload, and the
trail is read, verified and signed on the command line.

DIR/samples.csv gets memory, files and sizes every ten seconds.  Afterwards the
access log is compared with the trail, request by request.

The verdict on memory is of runs of half an hour and the time to warm up: until
what is bounded has reached its bound, as sekishod's list of the last 65,536
closed accesses (at 350 requests a second some 40 minutes; --warm-up).  The ten
minutes after that are the measure: for each of sekishod, the master and the
workers together, the median of the last ten minutes may lie above it by 2 % or
512 KiB, whichever is more.  There is no reload in the last third, so
that what a worker loses by and by is seen in one that lives that long.  Open
files are counted when nobody asks anything, before and after.
"""

import argparse
import collections
import csv
import http.client
import json
import os
import pathlib
import random
import re
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]
                       / "integration"))

# pylint: disable=wrong-import-position
import audit_place  # noqa: E402
import gate_certificates  # noqa: E402
import gate_nginx  # noqa: E402
from gate_nginx import wait_for  # noqa: E402

LONG_SECONDS, WARM_UP_SECONDS, LONG_RATE = 5400, 2700, 350
WINDOW_SECONDS = 600
BOUND_PART, BOUND_BYTES = 0.02, 512 * 1024
CLIENTS = 8

UPSTREAM = """
access_log off;
keepalive_requests 100000;
server {
    listen 127.0.0.1:%%pacs%%;
    root html;
    default_type application/dicom;
    location / { try_files /image =404; }
    location ~ ^/dicom-web/studies/[^/]+$ { try_files /study =404; }
    location = /dicom-web/studies { try_files /list =404; }
}
"""

GATE = """
audit_trail unix:{socket};
audit_zone audit:2m;
audit_idle {idle};
facility_policy policy.img;
facility_transport plain;
keepalive_requests 100000;
ssl_certificate server.crt;
ssl_certificate_key server.key;
server {{
    listen 127.0.0.1:%%main%%;
    listen 127.0.0.1:%%tls%% ssl http2;
    access_log audit.log audit;
    audit on;
    facility_access on;
    location = /status {{
        audit off; facility_access off; access_log off; sekisho_status;
    }}
    location /dicom-web/ {{ proxy_pass {pacs}; }}
    location /each/ {{ audit_detail request; proxy_pass {pacs}/; }}
    location /said/ {{ return 200 "said"; }}
}}
"""
POLICY = """
facility clinic-{name} {{ network 127.0.10.0/24; actions query view download; }}
facility other {{ network 127.0.11.0/24; actions query; }}
"""


# ---- What is started --------------------------------------------------------

class Place:
    def __init__(self, folder, idle, workers):
        self.folder = pathlib.Path(folder)
        self.workers = workers
        self.pacs = self.daemon = self.nginx = None
        try:
            self.start(idle)
        except BaseException:
            self.stop()
            raise

    def start(self, idle):
        pacs = self.folder / "pacs"
        (pacs / "html").mkdir(parents=True)
        for name, size in (("image", 4_000), ("list", 20_000),
                           ("study", 400_000)):
            (pacs / "html" / name).write_bytes(os.urandom(size))
        self.pacs = gate_nginx.Nginx(pacs, UPSTREAM,
                                     main="worker_processes 1;")
        self.daemon = audit_place.Daemon(self.folder, "heartbeat 10s;")
        gate_certificates.Certificate(self.folder, "server", client=False)
        self.swaps = 0
        self.swap_policy()
        text = audit_place.FORMAT + GATE.format(
            socket=self.daemon.socket, idle=f"{idle}s",
            pacs=f"http://127.0.0.1:{self.pacs.ports['pacs']}")
        self.nginx = gate_nginx.Nginx(
            self.folder, text, main=f"worker_processes {self.workers};")
        assert wait_for(self.is_up, 20), self.nginx.errors()

    def stop(self):
        """What is wrong about their ends, and in nginx's error logs."""
        trouble = []
        for what in (self.nginx, self.pacs, self.daemon):
            try:
                if what:
                    what.stop()
            except AssertionError as error:
                trouble.append(f"{error}")
        return trouble

    def swap_policy(self):
        self.swaps += 1
        gate_nginx.write_policy(self.folder / "policy.conf",
                                POLICY.format(name="ab"[self.swaps % 2]),
                                self.folder / "policy.img")

    def status(self, port="main"):
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.nginx.ports[port], timeout=20)
        try:
            connection.request("GET", "/status")
            text = connection.getresponse().read().decode()
        finally:
            connection.close()
        return {name: float(value) for name, value in re.findall(
            r"^([^#\s]+(?:\{[^}]*\})?) (\S+)$", text, re.M)}

    def is_up(self):
        return (self.status().get('sekisho_daemon_connections{state="up"}', 0)
                >= 1)

    def processes(self):
        """(role, pid); workers that are just ending are none of them."""
        found = [("sekishod", self.daemon.process.pid),
                 ("master", self.nginx.process.pid)]
        for pid in self.nginx.workers():
            try:
                name = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if name.startswith(b"nginx: worker process\0") \
                    or name.rstrip(b"\0 ") == b"nginx: worker process":
                found.append(("workers", pid))
        return found

    def files(self):
        """Open files by role, when nobody asks anything."""
        count = collections.Counter()
        for role, pid in self.processes():
            count[role] += len(os.listdir(f"/proc/{pid}/fd"))
        return dict(count)

    def command(self, *arguments, good=(0,)):
        done = subprocess.run(
            [gate_nginx.SEKISHO, *arguments, "--config", self.daemon.config],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            check=False)
        assert done.returncode in good, (
            f"{arguments}: {done.returncode}\n{done.stdout[-2000:]}"
            f"{done.stderr[-2000:]}")
        return done.stdout


# ---- Clients ----------------------------------------------------------------

class Client(threading.Thread):
    """One person after another: a session is a search and what follows."""

    def __init__(self, place, seed, rate):
        super().__init__(daemon=True)
        self.place, self.draw = place, random.Random(seed)
        self.step = 1 / rate
        self.next = time.monotonic()
        self.ending = threading.Event()
        self.answers = collections.Counter()   # (what, status)
        self.trouble = []

    def run(self):
        while not self.ending.is_set():
            kind = self.draw.choices(
                (self.view, self.denied, self.abort, self.rubbish,
                 self.without_keep_alive, self.http2),
                (60, 10, 10, 4, 14, 2))[0]
            try:
                kind()
            except Exception as error:  # whatever it is, it is told
                self.trouble.append(f"{kind.__name__}: {error!r}")
                self.ending.wait(0.1)

    def pace(self):
        self.next = max(self.next + self.step, time.monotonic() - 1)
        self.ending.wait(max(0, self.next - time.monotonic()))

    def address(self):
        return f"127.0.10.{self.draw.randrange(1, 200)}"

    def study(self):
        return f"1.2.840.99.{self.draw.randrange(1, 3000)}"

    def connect(self, address):
        return http.client.HTTPConnection(
            "127.0.0.1", self.place.nginx.ports["main"], timeout=30,
            source_address=(address, 0))

    def ask(self, connection, path, what, expected, method="GET"):
        """Again if a worker that ends has just closed the connection: a client
        of any nginx does that."""
        self.pace()
        for attempt in range(3):
            try:
                connection.request(method, path,
                                   headers={"User-Agent": "mixed/1"})
                answer = connection.getresponse()
                answer.read()
                break
            except (ConnectionError, http.client.RemoteDisconnected):
                connection.close()
                if attempt == 2:
                    raise
        self.answers[what, answer.status] += 1
        if answer.status != expected:
            self.trouble.append(f"{what}: {answer.status} for {path}")

    def pages(self, study):
        """A search, images, now and then the whole study."""
        yield f"/dicom-web/studies?PatientID={study}", "search"
        for image in range(self.draw.randrange(5, 40)):
            yield audit_place.frame(study, image), "view"
        if self.draw.random() < 0.3:
            yield f"/dicom-web/studies/{study}", "download"

    def view(self):
        each = "/each" if self.draw.random() < 0.3 else ""
        connection = self.connect(self.address())
        try:
            for path, what in self.pages(self.study()):
                if self.ending.is_set():
                    break
                self.ask(connection, each + path, what + each, 200)
        finally:
            connection.close()

    def without_keep_alive(self):
        address = self.address()
        for path, what in list(self.pages(self.study()))[:6]:
            connection = self.connect(address)
            try:
                self.ask(connection, path, what, 200)
            finally:
                connection.close()

    def denied(self):
        """Unknown networks, and what the facility may not do."""
        if self.draw.random() < 0.7:
            connection = self.connect(f"127.0.20.{self.draw.randrange(1, 50)}")
            method = "GET"
        else:
            connection = self.connect(self.address())
            method = "DELETE"
        try:
            for _ in range(self.draw.randrange(1, 6)):
                self.ask(connection, f"/dicom-web/studies/{self.study()}",
                         "denied", 403, method)
        finally:
            connection.close()

    def send(self, address, data):
        connection = socket.socket()
        connection.settimeout(30)
        connection.bind((address, 0))
        connection.connect(("127.0.0.1", self.place.nginx.ports["main"]))
        connection.sendall(data)
        return connection

    def abort(self):
        """Gone at once, or within the answer; by FIN or by RST."""
        self.pace()
        each = self.draw.choice(("", "/each"))
        with self.send(self.address(),
                       f"GET {each}/dicom-web/studies/{self.study()} HTTP/1.1"
                       "\r\nHost: gate\r\n\r\n".encode()) as connection:
            if self.draw.random() < 0.7:
                connection.recv(self.draw.randrange(1, 100_000))
            if self.draw.random() < 0.5:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                      struct.pack("ii", 1, 0))
        self.answers["abort", 0] += 1

    def rubbish(self):
        self.pace()
        with self.send(self.address(), self.draw.choice((
                b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\0\0\r\n\r\n",
                b"GET /said/x HTTP/1.1\r\nHost: gate\r\n"
                b"Connection: close\r\n\r\n",
                b"GET /dicom-web/%00 HTTP/1.1\r\nHost: gate\r\n\r\n",
                b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: g\r\n\r\n",
        ))) as connection:
            while connection.recv(65536):
                pass
        self.answers["rubbish", 0] += 1

    def http2(self):
        """Streams of one connection; curl stops at what a reload ends."""
        study, count = self.study(), 20
        for _ in range(count):
            self.pace()
        port = self.place.nginx.ports["tls"]
        done = subprocess.run(
            ["curl", "-sk", "--http2", "-Z", "--parallel-max", "8",
             "--max-time", "30", "--interface", self.address(),
             "--write-out", "%{http_code} %{http_version}\n",
             "-o", "/dev/null", f"https://127.0.0.1:{port}"
             + audit_place.frame(study, f"[1-{count}]")],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            check=False)
        for line in done.stdout.splitlines():
            status, version = line.split()
            self.answers[f"http/{version}", int(status)] += 1
            if status not in ("200", "000"):
                self.trouble.append(f"http2: {line}")


# ---- Measuring --------------------------------------------------------------

def memory(pid):
    """(Pss, what is the process's own) in bytes."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return tuple(int(re.search(rf"^{name}:\s+(\d+) kB", text,
                               re.M).group(1)) * 1024
                 for name in ("Pss", "Anonymous"))


def processor(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text()
    fields = fields.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def size_of(folder):
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(path, name)).st_size
            except FileNotFoundError:
                pass
    return total


class Samples:
    COLUMNS = ("seconds", "role", "processes", "pss", "anonymous", "files",
               "cpu_seconds", "trail_bytes", "requests")

    def __init__(self, place, path):
        self.place, self.rows = place, []
        self.file = open(path, "w", newline="", encoding="utf-8")
        self.writer = csv.writer(self.file)
        self.writer.writerow(self.COLUMNS)
        self.start = time.monotonic()

    def take(self, requests):
        seconds = round(time.monotonic() - self.start)
        trail = size_of(self.place.daemon.trail)
        found = {}
        for role, pid in self.place.processes():
            try:
                pss, own = memory(pid)
                files = len(os.listdir(f"/proc/{pid}/fd"))
                used = processor(pid)
            except (OSError, AttributeError):
                continue   # it has just ended
            row = found.setdefault(role, [0] * 5)
            for i, value in enumerate((1, pss, own, files, used)):
                row[i] += value
        for role, row in found.items():
            self.rows.append((seconds, role, *row, trail, requests))
            self.writer.writerow(self.rows[-1])
        self.file.flush()

    def window(self, role, column, start, end, processes):
        at = self.COLUMNS.index(column)
        return [row[at] for row in self.rows
                if row[1] == role and start <= row[0] < end
                and row[2] == processes]

    def judge(self, workers, warm_up):
        """(all is flat, lines that say so)."""
        last, good, lines = self.rows[-1][0], True, []
        for role in ("sekishod", "master", "workers"):
            for column in ("pss", "anonymous"):
                count = workers if role == "workers" else 1
                before = self.window(role, column, warm_up,
                                     warm_up + WINDOW_SECONDS, count)
                after = self.window(role, column, last - WINDOW_SECONDS, last,
                                    count)
                if not before or not after:
                    return False, [f"{role}: no samples"]
                first, then = statistics.median(before), \
                    statistics.median(after)
                bound = max(first * BOUND_PART, BOUND_BYTES)
                flat = then - first <= bound
                good = good and flat
                lines.append(
                    f"{role} {column}: {first / 1024:.0f} KiB, then "
                    f"{then / 1024:.0f} KiB (at most {bound / 1024:.0f} more): "
                    + ("flat" if flat else "GROWING"))
        return good, lines


# ---- Requests and records ---------------------------------------------------

def records(trail):
    """Each sealed record, from the bundles; never all of them in memory."""
    size = int((trail / "checkpoint").read_text().split("\n")[1])
    for number in range((size + 255) // 256):
        name, rest = f"{number % 1000:03d}", number // 1000
        while rest:
            name, rest = f"x{rest % 1000:03d}/{name}", rest // 1000
        path = trail / "tile/entries" / name
        width = min(256, size - number * 256)
        if width < 256:
            path = path.with_name(path.name + ".p") / str(width)
        data, at = path.read_bytes(), 0
        for _ in range(width):
            length, = struct.unpack_from(">H", data, at)
            yield json.loads(data[at + 2:at + 2 + length])
            at += 2 + length


def account(place):
    """Compares access log and trail; returns what does not fit."""
    wrong = []
    by_id, without = collections.Counter(), collections.Counter()
    lines = gone = 0
    with open(place.folder / "audit.log", encoding="utf-8",
              errors="replace") as file:
        for line in file:
            _, status, audit_id, _, _, _ = line.rstrip("\n").split("|", 5)
            lines += 1
            if audit_id not in ("-", ""):
                by_id[audit_id] += 1
            elif status == "499":
                gone += 1
            else:
                without["denied" if status == "403" else "unrecorded"] += 1
    opened, closed = {}, collections.Counter()
    told, seen, number = collections.Counter(), set(), {}
    count = 0
    for record in records(place.daemon.trail):
        count += 1
        event = record["event"]
        if record["id"] in seen:
            wrong.append(f"{record['id']} is there twice")
        seen.add(record["id"])
        front = record["front"]
        if record["number"] != number.get(front, 0) + 1:
            wrong.append(f"{front}: {record['number']} after "
                         f"{number.get(front)}")
        number[front] = record["number"]
        if event in ("access", "request"):
            opened[record["id"]] = event
        elif event in ("access-end", "request-end"):
            closed[record["open"]] += record.get("requests", 1)
            if opened.get(record["open"]) != event.removesuffix("-end"):
                wrong.append(f"{event} without its opening: {record}")
        elif event in ("denied", "unrecorded"):
            told[event] += record.get("count", 1)
        elif event in ("gap", "lost", "tail-cut"):
            wrong.append(f"{event}: {record}")
    # A client that goes while its request is held: the record is made, but
    # the request was not served under it, and has no $audit_id in the log.
    held = 0
    for audit_id in opened.keys() | by_id.keys() | closed.keys():
        more = closed[audit_id] - by_id[audit_id]
        held += more
        if audit_id not in opened or closed[audit_id] == 0 or more < 0 \
                or more > gone:
            wrong.append(
                f"{audit_id}: {by_id[audit_id]} requests in the log, "
                f"{closed[audit_id]} in the trail, opened: "
                f"{opened.get(audit_id)}")
    if held != gone:
        wrong.append(f"{gone} left while held, the trail has {held} of them")
    if told != without:
        wrong.append(f"the log has {dict(without)}, the trail {dict(told)}")
    return wrong, (f"{lines} requests: {sum(by_id.values())} under "
                   f"{len(by_id)} openings, {gone} gone while "
                   f"held, {without['denied']} denied, "
                   f"{without['unrecorded']} refused early; {count} records")


# ---- The run ----------------------------------------------------------------

def periods(seconds):
    """What happens how often; a short run sees each at least twice."""
    return {"reload": min(300, seconds / 4), "policy": min(37, seconds / 7),
            "hangup": min(170, seconds / 4), "search": min(110, seconds / 3),
            "verify": min(140, seconds / 3),
            "checkpoint": min(60, seconds / 4),
            "sample": min(10, seconds / 10)}


def command_of(place, name, turn):
    if name == "search":
        place.command("audit", "search", "--json", "--limit", "50",
                      "--study", f"1.2.840.99.{turn}", good=(0, 1))
    elif name == "verify":
        # 5: records after the last checkpoint
        place.command("audit", "verify", good=(0, 5))
    else:
        assert "test.example/sekisho" in place.command("audit", "checkpoint")


def drive(place, samples, clients, seconds, wrong):
    done = collections.Counter()
    start = time.monotonic()
    every = periods(seconds)
    due = {name: period for name, period in every.items()}
    while (now := time.monotonic() - start) < seconds:
        name = min(due, key=due.get)
        if due[name] > now:
            time.sleep(min(due[name] - now, 1, seconds - now))
            continue
        due[name] = max(due[name] + every[name], now)
        if name == "reload" and now > seconds * 2 / 3:
            continue
        done[name] += 1
        assert place.daemon.process.poll() is None, \
            place.daemon.log.read_text()[-4000:]
        if name == "sample":
            samples.take(sum(sum(c.answers.values()) for c in clients))
        elif name == "reload":
            place.nginx.reload()
        elif name == "policy":
            place.swap_policy()
        elif name == "hangup":
            place.daemon.signal(signal.SIGHUP)
        else:
            try:
                command_of(place, name, done[name])
            except AssertionError as error:
                wrong.append(f"{name}: {error}")   # and the load goes on
    return done


def quiet(place, idle):
    """All accesses are closed and all old workers gone."""
    assert wait_for(lambda: place.status()["sekisho_accesses_open"] == 0
                    and len(place.processes()) == place.workers + 2,
                    idle * 4 + 30, 0.2), place.status()
    # the one connection of the question just asked
    time.sleep(0.5)
    return place.files()


def run(folder, seconds, rate=LONG_RATE, workers=2, warm_up=WARM_UP_SECONDS,
        idle=None, say=print):
    """Runs the load; returns what is wrong, as lines."""
    idle = idle or (20 if seconds >= 60 else 2)
    place = Place(folder, idle, workers)
    wrong = []
    try:
        files = quiet(place, idle)
        samples = Samples(place, place.folder / "samples.csv")
        clients = [Client(place, seed, rate / CLIENTS)
                   for seed in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            done = drive(place, samples, clients, seconds, wrong)
        finally:
            for client in clients:
                client.ending.set()
            for client in clients:
                client.join(60)
        answers = sum((client.answers for client in clients),
                      collections.Counter())
        for client in clients:
            wrong += client.trouble
        if quiet(place, idle) != files:
            wrong.append(f"open files: {files} before, {place.files()} after")
        status = place.status()
        for name in ("sekisho_requests_without_record_total",
                     "sekisho_requests_refused_total",
                     "sekisho_records_refused_total",
                     "sekisho_records_turned_away_total"):
            if status[name]:
                wrong.append(f"{name} is {status[name]:.0f}")
    finally:
        wrong += place.stop()
    place.command("audit", "verify")
    found, line = account(place)
    wrong += found
    say(", ".join(f"{name} {count}" for name, count in sorted(done.items())))
    say(", ".join(f"{what} {status}: {count}"
                  for (what, status), count in sorted(answers.items())))
    say(line)
    say(f"trail: {size_of(place.daemon.trail) >> 20} MiB; open files {files}")
    for role in ("sekishod", "workers"):
        cpu = [row for row in samples.rows if row[1] == role]
        say(f"{role}: {cpu[-1][6]:.1f} s of CPU (its present processes)")
    if seconds >= warm_up + 3 * WINDOW_SECONDS:
        flat, lines = samples.judge(workers, warm_up)
        for line in lines:
            say(line)
        if not flat:
            wrong += [line for line in lines if "GROWING" in line
                      or "no samples" in line]
    return wrong


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=LONG_SECONDS)
    parser.add_argument("--warm-up", type=float, default=WARM_UP_SECONDS,
                        help="seconds before memory is looked at")
    parser.add_argument("--rate", type=float, default=LONG_RATE,
                        help="requests per second, of all clients")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=pathlib.Path,
                        help="is made; keeps logs, trail and samples.csv")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mixed-") as folder:
        if arguments.folder:
            folder = arguments.folder
            folder.mkdir(parents=True)
        wrong = run(folder, arguments.seconds, arguments.rate,
                    arguments.workers, arguments.warm_up)
    for line in wrong[:100]:
        print("NOT OK:", line)
    print(f"{len(wrong)} not ok" if wrong else "OK")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
