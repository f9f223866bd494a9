"""Asks sekishod about a person, as lib/ipc/otp_message.h has it; none of our C.

    Desk("/run/sekisho/sekishod.sock").ask("VERIFY", user="yamada", code="…")

As a program, for a peer with another uid: door_ask.py SOCKET OPERATION NAME=…
prints the answer as JSON, once standard input has given it a line.
"""

import json
import os
import re
import socket
import struct
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def numbers(header, prefix, first):
    """The constants of an enum in their order: {"user": 2, …}."""
    with open(os.path.join(TOP, "lib/ipc", header), encoding="utf-8") as file:
        text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
    body = re.search(r"enum \{([^}]*\b" + first + r"\b[^}]*)\}", text).group(1)
    found, number = {}, 0
    for name, value in re.findall(r"(\w+)(?:\s*=\s*(\d+))?\s*,?", body):
        number = int(value) if value else number
        found[name.removeprefix(prefix)] = number
        number += 1
    return found


OPERATIONS = numbers("otp_message.h", "ASK_", "ASK_NONE")
FIELDS = numbers("otp_message.h", "ASK_", "ASK_OPERATION")
NAMES = {number: name.lower() for name, number in FIELDS.items()}
MESSAGES = numbers("message.h", "MESSAGE_", "MESSAGE_ASK")


class Desk:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(20)
        self.socket.connect(path)
        self.number = 0

    def send(self, operation, **fields):
        fields["operation"] = OPERATIONS[operation]
        body = b""
        for name, value in fields.items():
            value = str(value).encode()
            if value:
                body += struct.pack(">BH", FIELDS[name.upper()],
                                    len(value)) + value
        self.number += 1
        self.socket.send(struct.pack(">2sBBIQ", b"Sk", 1, MESSAGES["ASK"],
                                     len(body), self.number) + body)

    def receive(self):
        packet = self.socket.recv(65536)
        magic, version, kind, size, number = struct.unpack(">2sBBIQ",
                                                           packet[:16])
        assert (magic, version, kind, size, number) == (
            b"Sk", 1, MESSAGES["ANSWER"], len(packet) - 16, self.number)
        rest, answer = packet[16:], {}
        while rest:
            field, length = struct.unpack(">BH", rest[:3])
            answer[NAMES[field]] = rest[3:3 + length].decode()
            rest = rest[3 + length:]
        return answer

    def ask(self, operation, **fields):
        self.send(operation, **fields)
        return self.receive()

    def close(self):
        self.socket.close()


def main():
    desk = Desk(sys.argv[1])
    fields = dict(word.split("=", 1) for word in sys.argv[3:])
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(desk.ask(sys.argv[2], **fields)), flush=True)


if __name__ == "__main__":
    main()
