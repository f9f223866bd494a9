"""A trail, a sekishod and an nginx under audit, for tests.

    SEKISHO_DAEMON  the daemon to start  [build/bin/sekishod]

The entries of the trail are read from its bundles as the specification has
them, not by our own code.
"""

import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import time

import gate_nginx
from gate_nginx import ROOT, SEKISHO, wait_for

DAEMON = pathlib.Path(
    os.environ.get("SEKISHO_DAEMON", ROOT / "build/bin/sekishod"))

STUDY = "1.2.840.113619.2.55.3.604688119.971.1"
OTHER = "1.2.840.113619.2.55.3.604688119.971.2"


def frame(study=STUDY, image=1):
    return (f"/dicom-web/studies/{study}/series/{study}.1/instances/"
            f"{study}.1.{image}/frames/1")


class Daemon:
    def __init__(self, folder, text="", start=True):
        self.folder = pathlib.Path(folder)
        self.socket = self.folder / "sekishod.sock"
        self.trail = self.folder / "trail"
        self.config = self.folder / "sekishod.conf"
        self.log = self.folder / "sekishod.log"
        self.process = None
        self.config.write_text(f"""
socket {self.socket};
trail {self.trail};
key {self.folder}/key;
origin test.example/sekisho;
web_user root;
journal 4m;
reserve 1m;
{text}
""")
        done = subprocess.run(
            [SEKISHO, "trail", "init", "--config", self.config],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False)
        assert done.returncode == 0, done.stdout
        if start:
            self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [DAEMON, "--config", self.config], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log)
        assert wait_for(self.answers, 10), self.log.read_text()

    def answers(self):
        if self.process.poll() is not None:
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            assert self.process.wait(20) == 0, self.log.read_text()
        self.process = None

    def kill(self):
        self.process.kill()
        self.process.wait(10)
        self.process = None

    # ---- What is in the trail ----

    def entries(self):
        """All records; a partial bundle goes when a later one is there."""
        for _ in range(100):
            try:
                return self.read_entries()
            except FileNotFoundError:
                time.sleep(0.01)
        return self.read_entries()

    def read_entries(self):
        size = int((self.trail / "checkpoint").read_text().split("\n")[1])
        entries, number = [], 0
        while len(entries) < size:
            width = min(256, size - len(entries))
            name, rest = f"{number % 1000:03d}", number // 1000
            while rest:
                name, rest = f"x{rest % 1000:03d}/{name}", rest // 1000
            path = self.trail / "tile/entries" / name
            if width < 256:
                path = path.with_name(path.name + ".p") / str(width)
            data = path.read_bytes()
            for _ in range(width):
                length, = struct.unpack(">H", data[:2])
                entries.append(json.loads(data[2:2 + length]))
                data = data[2 + length:]
            number += 1
        return entries

    def records(self, event=None, **fields):
        """Those of nginx (event None: all but the daemon's own)."""
        return [e for e in self.entries()
                if (e["source"] == "nginx" if event is None
                    else e["event"] == event)
                and all(e.get(name) == value
                        for name, value in fields.items())]

    def wait(self, event, count=1, seconds=8, **fields):
        """So many records of that event; a checkpoint takes a second."""
        def look():
            try:
                found = self.records(event, **fields)
            except OSError:
                return None
            return found if len(found) >= count else None
        found = wait_for(look, seconds, 0.05)
        assert found, (f"{count} {event} {fields} not in:\n" + "\n".join(
            json.dumps(e) for e in self.entries()
            if e["event"] != "heartbeat"))
        assert len(found) == count, found
        return found

    def verify(self):
        """The trail is whole, numbers have no gap, no id is there twice."""
        def check():
            done = subprocess.run(
                [SEKISHO, "audit", "verify", "--config", self.config],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                check=False)
            outputs.append(done.stdout)
            return done.returncode == 0
        outputs = []
        # for a second what was written last is not sealed yet
        assert wait_for(check, 4, 0.5), outputs[-1]
        entries = self.entries()
        ids = [e["id"] for e in entries]
        assert len(ids) == len(set(ids)), "an id is in the trail twice"
        last = {}
        for entry in entries:
            front, number = entry["front"], entry["number"]
            expected = last.get(front, 0) + 1 + entry.get("skipped", 0)
            assert number == expected, (
                f"{front}: {number} after {last.get(front)}")
            last[front] = number
        assert not [e for e in entries if e["event"] == "gap"]


HTTP = """
audit_trail unix:{socket};
audit_zone {zone};
audit_idle {idle};
access_log audit.log audit;
server {{
    listen 127.0.0.1:%%main%%;
    audit on;
    root {prefix}/html;
    client_max_body_size 16m;
    location = /status {{ audit off; sekisho_status; }}
    location /dicom-web/ {{ proxy_pass {pacs}; }}
    {places}
}}
{more}
"""
FORMAT = ("log_format audit '$http_x_case|$status|$audit_id|$facility_reason|"
          "$request_time|$uri';")


class Place:
    """A daemon, and an nginx that is audited by it."""

    def __init__(self, folder, nginx_at, pacs, places="", more="", idle="15m",
                 zone="audit:1m", daemon="", main="worker_processes 1;",
                 wait=True, http=HTTP, events=""):
        self.folder = folder
        (folder / "html").mkdir(exist_ok=True)
        self.daemon = Daemon(folder, daemon, start=wait)
        self.pacs = pacs
        self.fill = dict(socket=self.daemon.socket, zone=zone, idle=idle,
                         prefix=folder, pacs=f"http://127.0.0.1:{pacs.port}",
                         places=places, more=more)
        self.http = http
        self.nginx = nginx_at(folder, self.text(), main=main, events=events)
        if wait:
            assert wait_for(self.is_up, 5), self.nginx.errors()

    def text(self, **changes):
        return FORMAT + self.http.format(**{**self.fill, **changes})

    def get(self, path=None, **options):
        return self.nginx.request(path or frame(), **options)

    def status(self):
        """The status page: name and labels -> value."""
        answer = self.nginx.request("/status")
        assert answer.status == 200, answer.text
        return {name: float(value) for name, value in re.findall(
            r"^([^#\s]+(?:\{[^}]*\})?) (\S+)$", answer.text, re.M)}

    def is_up(self):
        return self.status()['sekisho_daemon_connections{state="up"}'] >= 1

    def logged(self, case):
        def look():
            for line in (self.folder / "audit.log").read_text().splitlines():
                fields = line.split("|")
                if fields[0] == case:
                    return dict(zip(("case", "status", "id", "reason", "time",
                                     "uri"), fields))
            return None
        return wait_for(look)

    def close(self):
        self.nginx.stop()
        self.daemon.stop()
        self.daemon.verify()


def expect_trouble(nginx, *expressions):
    nginx.expected.extend(expressions)


__all__ = ["Daemon", "Place", "frame", "STUDY", "OTHER", "gate_nginx",
           "wait_for"]
