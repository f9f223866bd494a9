"""New policies and reloads under load: nobody notices.

wrk keeps the workers busy while images are renamed over the policy, good and
bad ones, and while nginx is reloaded.  No request may fail, the workers' memory
must not grow, and error.log must hold nothing that is nginx's or our trouble.

`make check` runs a short form; with SEKISHO_LONG=1 (`make fault`) there are
1,000 swaps and 50 reloads, some ten minutes.
"""

import http.client
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SEKISHO = ROOT / "build/bin/sekisho"
NGINX = os.environ.get("SEKISHO_NGINX") or shutil.which(
    "nginx", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
MODULE = os.environ.get(
    "SEKISHO_MODULE", str(ROOT / "build/lib/ngx_http_sekisho_module.so"))
LONG = os.environ.get("SEKISHO_LONG") == "1"
SANITIZED = os.environ.get("SEKISHO_SANITIZED") == "1"

SWAPS = 1000 if LONG else 12
RELOADS = 50 if LONG else 3
WARM_UP = 20 if LONG else 4   # swaps before memory is looked at
PREFIXES = 10_000             # an image of nearly 200 KB
GROWTH_BYTES = 128 * 1024     # what malloc may do, and less than one image
WORKERS = 2

# Longer than a worker may take to see, read and check an image (a second),
# with room for a busy machine.
TAKEOVER_SECONDS = 20

pytestmark = [
    pytest.mark.skipif(not NGINX, reason="install the Debian package nginx"),
    pytest.mark.skipif(not shutil.which("wrk"),
                       reason="install the Debian package wrk"),
]


def policy(name, seed):
    """facilities.conf: the client's facility, and many others."""
    draw = random.Random(seed)
    networks = {f"{draw.randrange(16, 126)}.{draw.randrange(256)}."
                f"{draw.randrange(256)}.{draw.randrange(256)}/32"
                for _ in range(PREFIXES)}
    return (f"timezone UTC;\nfacility {name} {{ network 127.0.0.0/8; }}\n"
            "facility elsewhere {\n"
            + "".join(f"    network {network};\n"
                      for network in sorted(networks))
            + "}\n")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two good images of one size, and bad ones by what is wrong with them."""
    place = tmp_path_factory.mktemp("images")
    good = []
    for name, seed in (("aoba-clinic", 1), ("sakura-clinic", 2)):
        text, image = place / f"{name}.conf", place / f"{name}.img"
        text.write_text(policy(name, seed))
        done = subprocess.run(
            [SEKISHO, "policy", "apply", text, "--image", image],
            capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        good.append(image.read_bytes())
    middle = len(good[0]) // 2
    bad = {
        "empty": b"",
        "cut": good[0][:middle],
        "damaged": (good[0][:middle] + bytes([good[0][middle] ^ 1])
                    + good[0][middle + 1:]),
        "longer": good[0] + b"\0",
        "text": b"facility aoba-clinic { network any; }\n",
    }
    return good, bad


class Gate:
    """nginx with two workers and a gate before one small file."""

    def __init__(self, place):
        self.place = place
        self.image = place / "policy.img"
        self.log = place / "error.log"
        self.temporary = 0
        (place / "html").mkdir()
        (place / "html/slice").write_bytes(b"0123456789abcdef" * 64)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        (place / "nginx.conf").write_text(f"""\
{f"load_module {MODULE};" if MODULE else ""}
{"user root;" if os.geteuid() == 0 else ""}
daemon off;
worker_processes {WORKERS};
pid {place}/nginx.pid;
error_log {place}/error.log notice;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi;
    scgi_temp_path {place}/scgi;
    keepalive_requests 100000000;
    facility_policy {self.image};
    facility_transport plain;
    server {{
        listen 127.0.0.1:{self.port};
        root {place}/html;
        location / {{
            facility_access on;
            add_header X-Facility $facility;
        }}
    }}
}}
""")
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [NGINX, "-p", str(self.place), "-c",
             str(self.place / "nginx.conf"), "-e", str(self.log)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        self.until(lambda: self.process.poll() is not None
                   or len(self.workers()) == WORKERS, "nginx to start")
        self.ask()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def until(self, true, what, seconds=TAKEOVER_SECONDS):
        end = time.monotonic() + seconds
        while not true():
            if time.monotonic() > end:
                pytest.fail(f"waited {seconds} s for {what}:\n"
                            + "\n".join(self.lines()[-20:]))
            time.sleep(0.02)

    def workers(self):
        pid = self.process.pid
        return [int(child) for child in pathlib.Path(
            f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def lines(self):
        return (self.log.read_text(errors="replace").splitlines()
                if self.log.exists() else [])

    def ask(self):
        """The facility by which one request of ours was admitted."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            client.request("GET", "/slice")
            answer = client.getresponse()
            answer.read()
            assert answer.status == 200
            return answer.getheader("X-Facility")
        finally:
            client.close()

    def put(self, content):
        """Renames it over the image, as `sekisho policy apply` does."""
        self.temporary += 1
        new = self.place / f"policy.img.{self.temporary}"
        new.write_bytes(content)
        new.rename(self.image)

    def memory(self):
        """Anonymous memory of each worker, bytes, least first: the images are
        mapped anonymously, and shared pages of programs are left out."""
        return sorted(
            int(re.search(r"^Anonymous:\s+(\d+) kB", pathlib.Path(
                f"/proc/{pid}/smaps_rollup").read_text(), re.M).group(1))
            * 1024 for pid in self.workers())


class Load:
    """wrk, until finish()."""

    def __init__(self, gate, *options):
        self.process = subprocess.Popen(
            ["wrk", "-t1", "-c8", "-d3600s", "--timeout", "10s", *options,
             f"http://127.0.0.1:{gate.port}/slice"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)

    def finish(self):
        """Ends it; its figures must tell of requests and of no failure."""
        self.process.send_signal(signal.SIGINT)
        output, _ = self.process.communicate(timeout=30)
        requests = re.search(r"(\d+) requests in", output)
        assert requests, output
        assert "Socket errors" not in output, output
        assert "Non-2xx" not in output, output
        return int(requests.group(1))

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


class Taken:
    """Follows error.log for what each worker says of images."""

    def __init__(self, gate):
        self.gate, self.read = gate, 0
        self.replaced, self.refused = {}, {}

    def look(self):
        with open(self.gate.log, errors="replace") as log:
            log.seek(self.read)
            text = log.read()
        whole, _, rest = text.rpartition("\n")
        self.read += len(text.encode()) - len(rest.encode())
        for line in whole.splitlines():
            worker = re.search(r"\] (\d+)#", line)
            if worker and "is replaced by" in line:
                pid = int(worker.group(1))
                self.replaced[pid] = self.replaced.get(pid, 0) + 1
            elif worker and "is refused" in line:
                pid = int(worker.group(1))
                self.refused[pid] = self.refused.get(pid, 0) + 1
        return self

    def all_replaced(self, count):
        self.look()
        return all(self.replaced.get(pid, 0) >= count
                   for pid in self.gate.workers())

    def all_refused(self, count):
        self.look()
        return all(self.refused.get(pid, 0) >= count
                   for pid in self.gate.workers())


@pytest.fixture
def gate(tmp_path, images):
    good, _ = images
    server = Gate(tmp_path)
    server.put(good[0])
    try:
        server.start()
        yield server
    finally:
        server.stop()
    # Whatever happened under load, nginx found nothing wrong with itself.
    wrong = [line for line in server.lines()
             if re.search(r"\[(alert|crit|emerg)\]|Sanitizer|runtime error|"
                          r"exited on signal|exited with code [1-9]", line)]
    assert not wrong, "\n".join(wrong[:20])


@pytest.fixture
def load(gate):
    started = []

    def start(*options):
        started.append(Load(gate, *options))
        return started[-1]
    yield start
    for one in started:
        one.stop()


def test_load_swaps_of_images(gate, load, images):
    good, bad = images
    taken = Taken(gate)
    memory, refusals = [], 0
    wrk = load()

    # Each good image is waited for in every worker, so that each counts; a
    # bad one now and then is refused by each and changes nothing.
    for swap in range(1, SWAPS + 1):
        gate.put(good[swap % 2])
        gate.until(lambda n=swap: taken.all_replaced(n),
                   f"swap {swap} to reach all workers")
        if swap % (10 if LONG else 3) == 0:
            name, content = list(bad.items())[refusals % len(bad)]
            refusals += 1
            gate.put(content)
            gate.until(lambda n=refusals: taken.all_refused(n),
                       f"the image that is {name} to be refused")
            assert gate.ask() == ("aoba-clinic", "sakura-clinic")[swap % 2]
            # Back, so that the next one is different from what is in use.
            gate.put(good[swap % 2])
        if swap >= WARM_UP and swap % 2 == 0:
            memory.append(gate.memory())

    requests = wrk.finish()
    assert gate.ask() == ("aoba-clinic", "sakura-clinic")[SWAPS % 2]
    assert requests > SWAPS
    print(f"{requests} requests, {SWAPS} swaps, {refusals} bad images, "
          f"memory of workers from {memory[0]} to {memory[-1]} bytes, "
          f"an image has {len(good[0])}")
    assert taken.look().replaced.keys() == set(gate.workers())
    assert all(count == SWAPS for count in taken.replaced.values())

    # A worker that has told of a takeover has let the old image go: requests
    # for this file are over within one turn of its loop.  So the readings are
    # all alike (they are to the byte, here), and a single image that is not
    # given back stands out.
    if not SANITIZED:  # which keeps freed memory on purpose
        half = len(memory) // 2
        growth = (max(map(max, memory[half:])) - max(map(max, memory[:half])))
        assert growth < GROWTH_BYTES < len(good[0]), memory


def test_load_storm_of_renames(gate, load, images):
    """Faster than anybody looks, good and bad ones: the last one counts."""
    good, bad = images
    draw = random.Random(7)
    wrk = load()
    for _ in range(2000 if LONG else 300):
        gate.put(draw.choice([*good, *bad.values()]))
        time.sleep(draw.random() / 100)
    gate.put(good[1])
    gate.until(lambda: {gate.ask() for _ in range(10)} == {"sakura-clinic"},
               "the last image")
    assert wrk.finish() > 0


def test_load_reloads(gate, load, images):
    """New connections for every request: a reload closes idle ones, and a
    client that is just about to use one sees that with any nginx."""
    good, _ = images
    master = []
    wrk = load("-H", "Connection: close")

    for reload in range(1, RELOADS + 1):
        before = set(gate.workers())
        gate.put(good[reload % 2])
        gate.process.send_signal(signal.SIGHUP)
        gate.until(lambda old=before: len(gate.workers()) == WORKERS
                   and not old & set(gate.workers()),
                   f"the workers of reload {reload}")
        assert gate.ask() == ("aoba-clinic", "sakura-clinic")[reload % 2]
        master.append(int(re.search(
            r"^Anonymous:\s+(\d+) kB", pathlib.Path(
                f"/proc/{gate.process.pid}/smaps_rollup").read_text(),
            re.M).group(1)) * 1024)

    requests = wrk.finish()
    assert requests > RELOADS
    print(f"{requests} requests, {RELOADS} reloads, memory of the master from "
          f"{master[0]} to {master[-1]} bytes")

    # The master reads an image for each new configuration and lets the old
    # one go: as above, after its first reloads.
    if not SANITIZED and len(master) >= 10:
        half = len(master) // 2
        growth = max(master[half:]) - max(master[:half])
        assert growth < GROWTH_BYTES < len(good[0]), master
