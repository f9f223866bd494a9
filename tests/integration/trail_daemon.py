"""A sekishod with a trail of its own, for tests.

    daemon = Daemon(folder)          # makes key, trail and configuration
    daemon.start()
    front = daemon.front()           # a front end: numbers, sends, waits
    front.send({"event": "access", "outcome": "0", "user": "yamada"})
    daemon.stop()                    # SIGTERM, and waits
    daemon.entries()                 # every sealed entry, as parsed JSON

Records travel as docs/record.md and lib/ipc/message.h say; this is written from
those, and shares no code with the C side.
"""

import contextlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SEKISHO = os.environ.get("SEKISHO_TOOL", os.path.join(TOP, "build/bin/sekisho"))
SEKISHOD = os.environ.get("SEKISHO_DAEMON",
                          os.path.join(TOP, "build/bin/sekishod"))
ORIGIN = "test.example/sekisho"

HELLO, WELCOME, RECORDS, ACK, REFUSED, STATUS, REPORT, CHECKPOINT, SIGNED = \
    range(1, 10)


def field_numbers():
    """The names of lib/trail/record.h, in its order: their numbers."""
    with open(os.path.join(TOP, "lib/trail/record.c"), encoding="utf-8") as file:
        text = file.read()
    with open(os.path.join(TOP, "lib/trail/record.h"), encoding="utf-8") as file:
        header = file.read()
    body = re.search(r"typedef enum \{\s*RECORD_ID = 0.*?RECORD_FIELDS", header,
                     re.S).group()
    order = re.findall(r"^\s*(RECORD_[A-Z0-9_]+)\b", body, re.M)[1:]
    order = ["RECORD_ID"] + [name for name in order
                             if name not in ("RECORD_ID", "RECORD_FIELDS")]
    names = dict(re.findall(r"\[(RECORD_\w+)\] = \{\"(\w+)\"", text))
    return {names[name]: number for number, name in enumerate(order)}


FIELDS = field_numbers()


def encode(record):
    """One record of a RECORDS message; values are text or numbers."""
    body = b""
    for name, value in sorted(record.items(), key=lambda item: FIELDS[item[0]]):
        value = value if isinstance(value, bytes) else str(value).encode()
        body += struct.pack(">BH", FIELDS[name], len(value)) + value
    return struct.pack(">I", len(body)) + body


def message(kind, number=0, payload=b""):
    return struct.pack(">2sBBIQ", b"Sk", 1, kind, len(payload), number) + payload


class Refused(Exception):
    """The daemon will not record this: its reason."""


class Front:
    """A front end: 16 bytes of id, records numbered from 1."""

    def __init__(self, path, front=None, acknowledged=0, source=b"nginx"):
        self.front = front or os.urandom(16)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(10)
        self.socket.connect(path)
        self.number = self.ask(HELLO, WELCOME, acknowledged,
                               self.front + source)[0]

    def receive(self):
        packet = self.socket.recv(65536)
        if not packet:
            raise ConnectionError("the daemon cut the connection")
        magic, version, kind, size, number = struct.unpack(">2sBBIQ",
                                                           packet[:16])
        assert (magic, version, size) == (b"Sk", 1, len(packet) - 16)
        return kind, number, packet[16:]

    def ask(self, kind, expected, number=0, payload=b""):
        self.socket.send(message(kind, number, payload))
        while True:
            kind, answered, rest = self.receive()
            if kind == REFUSED:
                raise Refused(rest.decode())
            if kind == expected:
                return answered, rest

    def post(self, *records, first=None):
        """Sends without waiting; returns the number of the last."""
        first = self.number + 1 if first is None else first
        self.socket.send(message(RECORDS, first,
                                 b"".join(map(encode, records))))
        self.number = first + len(records) - 1
        return self.number

    def wait(self, number=None):
        number = self.number if number is None else number
        while True:
            kind, answered, rest = self.receive()
            if kind == REFUSED and answered == number:
                raise Refused(rest.decode())
            if kind == ACK and answered >= number:
                return answered

    def send(self, *records, first=None):
        """Sends as one packet and waits until all are on disk."""
        return self.wait(self.post(*records, first=first))

    def report(self):
        return json.loads(self.ask(STATUS, REPORT)[1])

    def checkpoint(self):
        """Waits until a checkpoint covers all that was recorded."""
        self.ask(CHECKPOINT, SIGNED, self.number)

    def close(self):
        self.socket.close()


class Daemon:
    """Folder/conf, key, trail, socket "s"; `more` are lines of configuration."""

    def __init__(self, folder, more="", origin=ORIGIN, program=None):
        self.folder = str(folder)
        self.program = program or SEKISHOD
        self.config = f"{self.folder}/conf"
        self.trail = f"{self.folder}/trail"
        self.key = f"{self.folder}/key"
        self.socket = f"{self.folder}/s"
        self.origin = origin
        self.process = None
        self.log = f"{self.folder}/sekishod.log"
        for path in (SEKISHO, self.program):
            if not os.access(path, os.X_OK):
                raise RuntimeError(f"{path} is not made: run make")
        if len(self.socket) > 100:
            raise ValueError(f"{self.socket}: too long for a socket")
        self.configure(more)
        if not os.path.exists(f"{self.trail}/checkpoint"):
            self.init()

    def configure(self, more=""):
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(f"socket {self.socket};\ntrail {self.trail};\n"
                       f"origin {self.origin};\n")
            if not re.search(r"^\s*key\b", more, re.M):
                file.write(f"key {self.key};\n")
            if not re.search(r"^\s*web_user\b", more, re.M):
                file.write("web_user www-data;\n")
            if not re.search(r"^\s*journal\b", more, re.M):
                file.write("journal 8m;\nreserve 2m;\n")
            file.write(more + "\n")

    def init(self):
        result = subprocess.run([SEKISHO, "trail", "init", "--config",
                                 self.config], capture_output=True, text=True,
                                check=False)
        assert result.returncode == 0, result.stderr
        return result.stdout

    @property
    def verifier_key(self):
        result = subprocess.run([SEKISHO, "trail", "key", "--key", self.key],
                                capture_output=True, text=True, check=True)
        return result.stdout.strip()

    def start(self, env=None, arguments=()):
        """Returns when the socket answers."""
        assert self.process is None
        with open(self.log, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [self.program, "--config", self.config, *arguments],
                stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})})
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), \
                    socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
                probe.connect(self.socket)
                return self
            if self.process.poll() is not None:
                self.process = None
                raise RuntimeError(self.messages())
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(self.messages())
            time.sleep(0.02)

    def messages(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def front(self, *arguments, **options):
        return Front(self.socket, *arguments, **options)

    def _end(self, number):
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(60)
        self.process = None
        return status

    def stop(self):
        """As systemd does; the exit status."""
        return self._end(signal.SIGTERM)

    def kill(self):
        """As a crash does."""
        return self._end(signal.SIGKILL)

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    # ---- What is in the trail --------------------------------------------

    def checkpoint(self):
        """(size, root in base64) of the checkpoint on disk."""
        with open(f"{self.trail}/checkpoint", encoding="utf-8") as file:
            lines = file.read().split("\n")
        return int(lines[1]), lines[2]

    def lines(self):
        """The sealed entries, as bytes."""
        size, found = self.checkpoint()[0], []
        for index in range((size + 255) // 256):
            groups = [f"{index // 1000 ** i % 1000:03}"
                      for i in range(max(1, (len(str(index)) + 2) // 3))][::-1]
            path = f"{self.trail}/tile/entries/" + "/".join(
                ["x" + group for group in groups[:-1]] + groups[-1:])
            width = min(256, size - index * 256)
            if width < 256:
                path += f".p/{width}"
            with open(path, "rb") as file:
                data = file.read()
            while data:
                length = struct.unpack(">H", data[:2])[0]
                found.append(data[2:2 + length])
                data = data[2 + length:]
        assert len(found) == size
        return found

    def entries(self, event=None):
        """The sealed entries, parsed; of one event, if it is given."""
        return [entry for entry in map(json.loads, self.lines())
                if event is None or entry["event"] == event]


@contextlib.contextmanager
def running(folder, more="", **options):
    """A daemon that is stopped, and whose end must be a clean one."""
    daemon = Daemon(folder, more, **options)
    daemon.start()
    try:
        yield daemon
    finally:
        status = daemon.stop()
        assert status in (0, None), daemon.messages()
        assert "Sanitizer" not in daemon.messages(), daemon.messages()
