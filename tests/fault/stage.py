"""A stage for faults: a PACS, an nginx under audit, a sekishod, a load of
requests; and what must hold whatever was done to them.

The PACS is an nginx of its own that is never touched, and logs which requests
it was asked, with the id of the record that lets them pass.  The trail is read
by tests/integration/test_trail_independent.py, from the specifications.
"""

import collections
import http.client
import json
import os
import random
import signal
import subprocess
import threading
import time

import audit_place
import gate_nginx
import test_trail_independent as independent
from audit_place import wait_for

LONG = os.environ.get("SEKISHO_LONG") == "1"

PACS = """
log_format pacs '$request_uri $http_x_request_audit_id';
access_log pacs.log pacs;
server {
    listen 127.0.0.1:%%main%%;
    location / { return 200 "image"; }
}
"""
PLACES = """
audit_id_header on;
location /request/ { audit_detail request; proxy_pass %%pacs%%; }
location /study/ {
    rewrite ^/study/(.*)$ /dicom-web/$1 break;
    proxy_pass %%pacs%%;
}
location /allow/ { audit_detail request; audit_fail allow; audit_timeout 500ms;
                   proxy_pass %%pacs%%; }
location /closed/ { deny all; root html; }
"""


def count(short, long):
    return long if LONG else short


class Load:
    """Clients that ask until they are told to stop; each request has a study
    of its own, or is one of a few views of it."""

    number = 0

    def __init__(self, nginx, clients=4, kinds=("request", "request", "study"),
                 pause=0.0, timeout=20):
        Load.number += 1
        self.nginx, self.kinds, self.pause = nginx, kinds, pause
        self.timeout = timeout
        self.name = f"1.2.{Load.number}"
        self.stopping = threading.Event()
        self.statuses = collections.Counter()
        self.served = {"request": set(), "study": set(), "allow": set(),
                       "closed": set()}
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(i,),
                                         daemon=True) for i in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self, client):
        connection, number = None, 0
        draw = random.Random(client)
        while not self.stopping.is_set():
            kind = self.kinds[number % len(self.kinds)]
            number += 1
            # three views of a study in a row, so that some are only counted
            study = f"{self.name}.{client}.{number // 9 if kind == 'study' else number}"
            path = f"/{kind}/studies/{study}/series"
            status = None
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(
                        "127.0.0.1", self.nginx.ports["main"],
                        timeout=self.timeout,
                        source_address=(f"127.0.10.{client + 1}", 0))
                connection.request("GET", path)
                answer = connection.getresponse()
                answer.read()
                status = answer.status
                if answer.will_close:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException):
                if connection:
                    connection.close()
                connection = None
                time.sleep(0.005)
            with self.lock:
                self.statuses[status] += 1
                if status == 200:
                    self.served[kind].add((path, study))
            if self.pause:
                time.sleep(self.pause * draw.random())

    def answered(self, status=200):
        with self.lock:
            return self.statuses[status]

    def more(self, status=200, by=1, seconds=20):
        """Waits until more of that status were answered."""
        before = self.answered(status)
        found = wait_for(lambda: self.answered(status) >= before + by, seconds)
        assert found, (self.statuses, self.nginx.errors()[-3000:])

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(self.timeout + 10)
        assert not [t for t in self.threads if t.is_alive()]
        return sum(self.statuses.values())


class Stage:
    def __init__(self, folder, nginx_at, workers=2, zone="audit:512k",
                 idle="2s", daemon="heartbeat 1s;", places="", pacs_more="",
                 trail=None):
        self.folder = folder
        (folder / "pacs").mkdir()
        self.pacs = nginx_at(folder / "pacs", PACS + pacs_more)
        self.pacs.port = self.pacs.ports["main"]
        text = (PLACES + places).replace(
            "%%pacs%%", f"http://127.0.0.1:{self.pacs.port}")
        (folder / "gate").mkdir()
        if trail:
            (folder / "gate/trail").symlink_to(trail)
        self.place = audit_place.Place(
            folder / "gate", nginx_at, self.pacs, places=text, zone=zone,
            idle=idle, daemon=daemon, main=f"worker_processes {workers};")
        self.daemon, self.nginx = self.place.daemon, self.place.nginx
        self.loads = []
        self.kills = 0

    def load(self, **options):
        self.loads.append(Load(self.nginx, **options))
        return self.loads[-1]

    def settled(self):
        """Nothing is on its way any more."""
        def look():
            try:
                status = self.place.status()
            except (OSError, http.client.HTTPException, AssertionError):
                return False
            return (status['sekisho_daemon_connections{state="up"}'] >= 1
                    and status["sekisho_records_waiting"] == 0)
        return wait_for(look, 20)

    def clear(self):
        for load in self.loads:
            load.stopping.set()
        self.nginx.stop()
        process = self.daemon.process
        if process and process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait(10)

    # ---- What must hold ----

    def asked(self):
        """What the PACS was asked: (path, id of the record)."""
        lines = (self.folder / "pacs/pacs.log").read_text().splitlines()
        return [tuple(line.split(" ")) for line in lines]

    def finish(self, gaps=0, lost=0, stopped=False):
        """Stops all of it, and looks at what came of it; the entries."""
        requests = sum(load.stop() for load in self.loads)
        if not stopped:
            assert self.settled(), self.nginx.errors()[-3000:]
        self.nginx.stop()
        self.daemon.stop()
        entries = check_trail(self.daemon, gaps=gaps)
        check_accesses(entries)
        self.check_served(entries, lost)
        print(f"{requests} requests, {len(entries)} records, "
              f"{self.kills} kills", end=" ")
        return entries

    def check_served(self, entries, lost=0):
        """What the PACS was asked has its record, and so has what clients
        were given."""
        ids = {e["id"] for e in entries if e["event"] in ("request", "access")}
        asked = self.asked()
        assert asked
        without = [a for a in asked if a[1] not in ids]
        assert not [a for a in without if not a[0].startswith("/allow/")], (
            without[:5])
        assert len(without) == lost, (len(without), lost)
        studies = {e.get("study") for e in entries
                   if e["event"] in ("request", "access")}
        paths = {e.get("uri") for e in entries if e["event"] == "request"}
        for load in self.loads:
            missing = {path for path, study in load.served["study"]
                       if study not in studies}
            missing |= {path for path, study in load.served["request"]
                        if path not in paths}
            assert not missing, sorted(missing)[:5]


def verifier_key(daemon):
    done = subprocess.run(
        [gate_nginx.SEKISHO, "trail", "key", "--key", daemon.folder / "key"],
        stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def verify(daemon):
    """What `sekisho audit verify` says: (exit status, text)."""
    done = subprocess.run(
        [gate_nginx.SEKISHO, "audit", "verify", "--config", daemon.config],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False)
    return done.returncode, done.stdout


def check_trail(daemon, gaps=0):
    """The trail of a daemon that is not running: whole, signed, each record
    once, no number missing but for so many `gap` records; the entries."""
    status, text = verify(daemon)
    assert status == (4 if gaps else 0), text
    log = independent.Log(str(daemon.trail), verifier_key(daemon))
    entries = [json.loads(line) for line in log.entries]
    ids = [e["id"] for e in entries]
    assert len(ids) == len(set(ids)), [
        e for e in entries if ids.count(e["id"]) > 1][:4]
    found = [e for e in entries if e["event"] == "gap"]
    assert len(found) == gaps, found
    missing = collections.Counter()
    last = {}
    for e in entries:
        if e["event"] == "gap":
            missing[e["of_front"]] += e["missing"]
        front, number = e["front"], e["number"]
        expected = last.get(front, 0) + 1 + e.get("skipped", 0)
        expected += missing.pop(front, 0)
        assert number == expected, (e, last.get(front))
        last[front] = number
    return entries


def check_accesses(entries):
    """Each opening has one close, and each `request` one end, at most; and
    none is of something that was never opened, but for requests that were
    denied because of that."""
    opened = {e["id"]: e for e in entries if e["event"] in ("access",
                                                            "request")}
    ends = collections.Counter()
    for e in entries:
        if e["event"] in ("access-end", "request-end"):
            assert e["open"] in opened or (
                e["event"] == "request-end" and e["status"] == 503
                and e["reason"] == "audit-unavailable"), e
            if e.get("reason") != "interrupted":
                ends[e["open"]] += 1
    assert not ends or max(ends.values()) == 1, [
        e for e in entries if ends[e.get("open")] > 1][:4]
    return opened
