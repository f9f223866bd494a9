"""nginx for measurements: one worker on loopback, its configuration as text.

Used by bench.py alone; the tests have a harness of their own.
"""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODULE = ROOT / "build/lib/ngx_http_sekisho_module.so"
SEKISHO = ROOT / "build/bin/sekisho"

# The first processor is the worker's and the second the client's; with one
# alone they share it.
CPUS = sorted(os.sched_getaffinity(0))
SERVER_CPU = CPUS[0]
CLIENT_CPU = CPUS[-1]


class Failed(Exception):
    """What a section of the benchmark cannot go on from."""


def find_nginx():
    """Path of the nginx of this machine, or None."""
    return shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/sbin")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Nginx:
    """One configuration: a folder, a port, a master and one worker.

    `head` stands before the http block (load_module), `http` in it, `location`
    in the only location.
    """

    def __init__(self, binary, folder, files, head="", http="", location=""):
        self.binary = binary
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.port = free_port()
        self.head, self.http, self.location = head, http, location
        self.files = files
        self.process = None
        self.worker = None

    def configure(self, master=True):
        place = self.folder
        # As root the worker too: sekishod lets in whom its configuration
        # names, and root.
        user = "user root;" if os.geteuid() == 0 else ""
        (place / "nginx.conf").write_text(f"""\
{user} {self.head}
daemon off;
master_process {"on" if master else "off"};
worker_processes 1;
pid {place}/nginx.pid;
error_log {place}/error.log notice;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi;
    scgi_temp_path {place}/scgi;
    keepalive_requests 100000000;
    default_type image/jpeg;
    {self.http}
    server {{
        listen 127.0.0.1:{self.port};
        root {self.files};
        location / {{
            {self.location}
        }}
    }}
}}
""")

    def command(self):
        return [self.binary, "-p", str(self.folder),
                "-c", str(self.folder / "nginx.conf"),
                "-e", str(self.folder / "error.log")]

    def start(self, prefix=(), master=True, seconds=20):
        """Starts, pins the worker, waits until it listens."""
        self.configure(master)
        output = open(self.folder / "output", "wb")
        self.process = subprocess.Popen(
            [*prefix, *self.command()], stdin=subprocess.DEVNULL,
            stdout=output, stderr=output)
        output.close()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.02)
                continue
            self.worker = self.process.pid
            if master:
                children = pathlib.Path(
                    f"/proc/{self.process.pid}/task/{self.process.pid}"
                    "/children").read_text().split()
                if not children:
                    time.sleep(0.02)
                    continue
                self.worker = int(children[0])
            os.sched_setaffinity(self.worker, {SERVER_CPU})
            return self
        self.stop()
        raise Failed(f"nginx did not start: {self.complaint()}")

    def complaint(self):
        for name in ("output", "error.log"):
            try:
                lines = (self.folder / name).read_text().strip().splitlines()
            except OSError:
                continue
            lines = [line for line in lines
                     if re.search(r"\[(emerg|alert|crit|error)\]", line)]
            if lines:
                return lines[-1]
        return "no reason in its log"

    def cpu_ns(self):
        """What the worker has run so far, nanoseconds of CPU time."""
        return int(pathlib.Path(f"/proc/{self.worker}/schedstat")
                   .read_text().split()[0])

    def stop(self):
        if self.process is None:
            return
        # Again and again: without a master, nginx notices a signal that comes
        # just before it waits for events only at the next event.
        for _ in range(50):
            if self.process.poll() is not None:
                break
            self.process.send_signal(signal.SIGQUIT)
            try:
                self.process.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
        else:
            self.process.kill()
            self.process.wait()
        self.process = None


def h2load(port, path, requests, connections=16):
    """Exactly so many requests over kept-alive HTTP/1.1 connections, from the
    other CPU; each must succeed."""
    done = subprocess.run(
        ["taskset", "-c", str(CLIENT_CPU), "h2load", "--h1", "-t1",
         "-n", str(requests), "-c", str(connections),
         f"http://127.0.0.1:{port}{path}"],
        capture_output=True, text=True, timeout=120, check=False)
    codes = re.search(r"status codes: (\d+) 2xx", done.stdout)
    if not codes or int(codes.group(1)) != requests:
        raise Failed(f"h2load {path}: "
                     + (done.stdout + done.stderr).strip()[-300:])


def ask(port, path, count):
    """Exactly `count` requests, one after the other on one connection."""
    request = (f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").encode()
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        stream = connection.makefile("rb")
        for _ in range(count):
            connection.sendall(request)
            status = stream.readline()
            if b" 200 " not in status:
                raise Failed(f"{path} was answered {status!r}")
            length = 0
            while True:
                line = stream.readline()
                if line in (b"\r\n", b""):
                    break
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            stream.read(length)


def folder():
    """A new folder that a worker of another user can read; the caller's."""
    place = tempfile.mkdtemp(prefix="sekisho-bench-")
    os.chmod(place, 0o755)
    return pathlib.Path(place)
