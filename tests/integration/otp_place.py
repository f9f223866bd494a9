"""A sekishod that keeps one-time codes, and a client of its questions.

    place = otp_place.Place(folder)       # key, trail, store; started
    secret = place.enroll("yamada")       # by import: no code is used up
    place.ask("verify", user="yamada", code=door_codes.totp(secret))

Questions travel as lib/ipc/otp_message.h says; this is written from that, and
shares no code with the C side.
"""

import contextlib
import os
import pathlib
import re
import socket
import struct
import subprocess
import threading

import door_codes
from trail_daemon import SEKISHO, TOP, Daemon, message

ASK, ANSWER = 10, 11


def names(kind, first):
    """The enumerators of otp_message.h, in lower case: their numbers."""
    header = pathlib.Path(TOP, "lib/ipc/otp_message.h").read_text()
    body = header.split(f"}} {kind};")[0].rpartition("typedef enum {")[2]
    body = re.sub(r"/\*.*?\*/", "", body, flags=re.S)
    found = re.findall(r"ASK_([A-Z_]+)(?:\s*=\s*(\d+))?", body)
    numbers, number = {}, first
    for name, given in found:
        number = int(given) if given else number
        numbers[name.lower()] = number
        number += 1
    return numbers


OPERATIONS = names("ask_operation_t", 0)
FIELDS = names("ask_field_t", 1)
FIELD_NAMES = {number: name for name, number in FIELDS.items()}


def encode(fields):
    body = b""
    for name, value in sorted(fields.items(), key=lambda item: FIELDS[item[0]]):
        value = value if isinstance(value, bytes) else str(value).encode()
        body += struct.pack(">BH", FIELDS[name], len(value)) + value
    return body


def decode(body):
    fields = {}
    while body:
        number, size = struct.unpack(">BH", body[:3])
        name = FIELD_NAMES[number]
        assert name not in fields and size > 0 and size <= len(body) - 3
        fields[name] = body[3:3 + size].decode(errors="surrogateescape")
        body = body[3 + size:]
    return fields


class Asker:
    """One connection that asks; says no hello."""

    def __init__(self, path, timeout=30):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(timeout)
        self.socket.connect(str(path))
        self.number = 0

    def post(self, operation, **fields):
        self.number += 1
        fields = {name: value for name, value in fields.items() if value != ""}
        self.socket.send(message(ASK, self.number, encode(
            {"operation": OPERATIONS.get(operation, operation), **fields})))
        return self.number

    def wait(self, number=None):
        packet = self.socket.recv(65536)
        if not packet:
            raise ConnectionError("the daemon cut the connection")
        magic, version, kind, size, answered = struct.unpack(">2sBBIQ",
                                                             packet[:16])
        assert (magic, version, kind, size) == (b"Sk", 1, ANSWER,
                                                len(packet) - 16)
        assert answered == (number or self.number)
        return decode(packet[16:])

    def ask(self, operation, **fields):
        return self.wait(self.post(operation, **fields))

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Place(Daemon):
    """A Daemon with a store of codes; `more` are lines of configuration."""

    def __init__(self, folder, more="", start=True, env=None, store=None):
        folder = str(folder)
        self.store = store or f"{folder}/otp.db"
        self.otp_key = f"{folder}/otp.key"
        self.env = env
        super().__init__(folder, f"otp_store {self.store};\n"
                                 f"otp_key {self.otp_key};\n{more}")
        if not os.path.exists(self.otp_key):
            self.tool("otp", "key", "--config", self.config)
        if start:
            self.start(env)

    # ---- The command line ------------------------------------------------

    def run(self, *words, stdin="", **options):
        """`sekisho WORDS`: (status, output, errors)."""
        done = subprocess.run([SEKISHO, *map(str, words)], input=stdin,
                              capture_output=True, text=True, check=False,
                              timeout=60, **options)
        return done.returncode, done.stdout, done.stderr

    def tool(self, *words, stdin="", **options):
        """The same, and it must do it: its output."""
        status, output, errors = self.run(*words, stdin=stdin, **options)
        assert status == 0, f"{words}: {status}\n{output}{errors}"
        return output

    def otp(self, *words, **options):
        """`sekisho otp WORDS` of this daemon: (status, output, errors)."""
        return self.run("otp", *words, "--config", self.config, **options)

    # ---- Questions -------------------------------------------------------

    def asker(self):
        return Asker(self.socket)

    def ask(self, operation, **fields):
        with self.asker() as asker:
            return asker.ask(operation, **fields)

    def verify(self, user, code, **fields):
        return self.ask("verify", user=user, code=code, **fields)

    def enroll(self, user, secret=None, **fields):
        secret = secret or door_codes.new_secret()
        fields.setdefault("device", "phone")
        answer = self.ask("import", user=user,
                          secret=door_codes.base32(secret), **fields)
        assert answer["verdict"] == "yes", (answer, self.messages())
        return secret

    def state(self, user):
        return self.ask("state", user=user)["state_is"]

    def at_once(self, questions):
        """All are connected before the first is asked; the answers."""
        askers = [self.asker() for _ in questions]
        answers = [None] * len(questions)
        barrier = threading.Barrier(len(questions))

        def one(index):
            barrier.wait(30)
            with contextlib.suppress(OSError):
                answers[index] = askers[index].ask("verify",
                                                   **questions[index])

        threads = [threading.Thread(target=one, args=(index,))
                   for index in range(len(questions))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        for asker in askers:
            asker.close()
        return answers

    # ---- The trail -------------------------------------------------------

    def records(self, *events, **fields):
        """The sealed records of these events, of these values."""
        with contextlib.closing(self.front()) as front:
            front.checkpoint()
        return [entry for entry in self.entries()
                if entry["event"] in events
                and all(entry.get(name) == value
                        for name, value in fields.items())]


@contextlib.contextmanager
def place(folder, more="", **options):
    """A Place that is stopped, and whose end must be a clean one."""
    made = Place(folder, more, **options)
    try:
        yield made
    finally:
        status = made.stop()
        if status is not None:
            assert status == 0, made.messages()
            assert "Sanitizer" not in made.messages(), made.messages()


def as_user(uid, function, *arguments):
    """Calls it in a child of that uid; what it returns travels as repr()."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(read)
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            os.write(write, repr(function(*arguments)).encode())
            status = 0
        except BaseException as error:  # the child must not become pytest
            os.write(write, repr({"error": repr(error)}).encode())
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read) as file:
        text = file.read()
    os.waitpid(child, 0)
    return eval(text, {})  # our own child's repr
