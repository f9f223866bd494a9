"""The worker's side of the protocol (lib/ipc/message.h), against a daemon of
the test's own that says what a real one says rarely."""

import concurrent.futures
import os
import socket
import struct
import threading
import time

import pytest

import audit_place
from audit_place import frame, wait_for

HELLO, WELCOME, RECORDS, ACK, REFUSED = 1, 2, 3, 4, 5
FIELDS = {0: "id", 6: "event", 7: "outcome", 18: "study", 55: "skipped"}


def message(kind, number, payload=b""):
    return b"Sk\x01" + bytes([kind]) + struct.pack(
        ">IQ", len(payload), number) + payload


class Daemon:
    """Welcomes whoever comes; `answer` says what a packet of records gets."""

    def __init__(self, path):
        self.path = path
        self.hellos = []     # (front, source, number)
        self.packets = []    # of (number, record), as they came
        self.held = {}       # front -> last number taken
        self.answer = self.acknowledge
        self.before_welcome = lambda connection, front: None
        self.connections = []
        self.threads = []
        self.server = None
        self.listen()

    def listen(self):
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.server.bind(str(self.path))
        self.server.listen(16)
        threading.Thread(target=self.accept, args=(self.server,),
                         daemon=True).start()

    def accept(self, server):
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self.serve, args=(connection,),
                             daemon=True).start()

    def serve(self, connection):
        front = None
        while True:
            try:
                data = connection.recv(70000)
            except OSError:
                return
            if not data:
                connection.close()
                return
            assert data[:3] == b"Sk\x01"
            kind, size, number = data[3], *struct.unpack(">IQ", data[4:16])
            payload = data[16:]
            assert len(payload) == size
            if kind == HELLO:
                front = payload[:16]
                self.hellos.append((front, payload[16:], number))
                self.before_welcome(connection, front)
                connection.send(message(WELCOME, self.held.get(front, 0)))
            elif kind == RECORDS:
                records = list(self.parse(number, payload))
                self.packets.append(records)
                self.answer(connection, front, records)

    @staticmethod
    def parse(number, payload):
        while payload:
            size, = struct.unpack(">I", payload[:4])
            record, rest = {}, payload[4:4 + size]
            payload = payload[4 + size:]
            while rest:
                length, = struct.unpack(">H", rest[1:3])
                if rest[0] in FIELDS:
                    record[FIELDS[rest[0]]] = rest[3:3 + length].decode()
                rest = rest[3 + length:]
            yield number, record
            number += 1

    def acknowledge(self, connection, front, records):
        self.held[front] = records[-1][0]
        connection.send(message(ACK, records[-1][0]))

    def silence(self, connection, front, records):
        pass

    def hang_up(self, connection, front, records):
        connection.shutdown(socket.SHUT_RDWR)

    def records(self, **fields):
        return [(n, r) for packet in list(self.packets) for n, r in packet
                if all(r.get(k) == v for k, v in fields.items())]

    def stop(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        os.unlink(self.path)
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.connections.clear()


PLACES = """
location /request/ { audit_detail request; proxy_pass %%pacs%%/; }
location /fast/ { audit_detail request; audit_timeout 10ms; root html; }
"""


@pytest.fixture
def daemon(tmp_path):
    daemon = Daemon(tmp_path / "d.sock")
    yield daemon
    daemon.stop()


@pytest.fixture
def nginx(tmp_path, nginx_at, upstream, daemon):
    (tmp_path / "html").mkdir()
    text = audit_place.FORMAT + audit_place.HTTP.format(
        socket=daemon.path, zone="audit:1m", idle="15m", prefix=tmp_path,
        pacs=f"http://127.0.0.1:{upstream.port}", more="",
        places=PLACES.replace("%%pacs%%",
                              f"http://127.0.0.1:{upstream.port}"))
    nginx = nginx_at(tmp_path, text, main="worker_processes 1;")
    assert wait_for(lambda: daemon.records(event="recording-on"))
    time.sleep(0.05)
    yield nginx
    nginx.stop()


def later(function, *arguments, **options):
    return concurrent.futures.ThreadPoolExecutor(1).submit(
        function, *arguments, **options)


def test_hello_and_the_first_record(daemon, nginx):
    (front, source, number), = daemon.hellos
    assert (source, number) == (b"nginx", 0)
    assert len(set(front)) > 4
    assert nginx.request(frame("2.1")).status == 200
    (number, record), = daemon.records(study="2.1")
    assert (number, record["event"]) == (2, "access")


def test_front_ids_over_a_reload(daemon, nginx):
    nginx.reload()
    assert wait_for(lambda: len(daemon.hellos) == 2)
    one, two = (hello[0] for hello in daemon.hellos)
    assert one[:8] == two[:8] and one[8:] != two[8:]
    assert len(daemon.records(event="recording-on")) == 1


def test_refusal_is_a_denial_at_once_and_told_by_the_next_record(daemon,
                                                                nginx):
    def refuse(connection, front, records):
        for number, record in records:
            if record.get("study") in ("2.2", "2.3"):
                connection.send(message(REFUSED, number, b"no space left"))
        daemon.acknowledge(connection, front, records)
    daemon.answer = refuse
    start = time.monotonic()
    assert nginx.request(frame("2.2")).status == 503
    assert nginx.request("/request/studies/2.3").status == 503
    assert time.monotonic() - start < 1
    assert nginx.error_lines("sekishod refuses records: no space left")
    assert nginx.error_lines("audit-unavailable", "refused the record")
    # denied; its end is recorded, so it is told there
    (number, record), = wait_for(lambda: daemon.records(event="denied"))
    refused = [n for n, r in daemon.records(study="2.2")
               + daemon.records(study="2.3") if r["event"] != "request-end"
               and r["event"] != "denied"]
    assert refused[0] == number - 1 and record["skipped"] == "1"
    daemon.answer = daemon.acknowledge
    # the same access again: the same id, another number
    assert nginx.request(frame("2.2")).status == 200
    opened = daemon.records(study="2.2", event="access")
    assert [r["id"] for _, r in opened] == [opened[0][1]["id"]] * 2
    assert opened[0][0] < opened[1][0]


def test_hello_tells_the_last_recorded_number_not_the_last_refused(daemon,
                                                                  nginx):
    assert nginx.request(frame("2.4")).status == 200

    def refuse(connection, front, records):
        for number, _ in records:
            connection.send(message(REFUSED, number, b"full"))
        connection.send(message(ACK, records[-1][0]))
        daemon.held[front] = records[-1][0]
    daemon.answer = refuse
    assert nginx.request(frame("2.5")).status == 503
    time.sleep(0.1)
    last = max(n for n, _ in daemon.records())
    daemon.answer = daemon.acknowledge
    front = daemon.hellos[0][0]
    # a daemon that is started anew and knows of no refusal
    daemon.held[front] = 2
    daemon.stop()
    daemon.listen()
    assert wait_for(lambda: len(daemon.hellos) == 2)
    assert daemon.hellos[1][2] == 2
    assert nginx.request(frame("2.6")).status == 200
    number, record = daemon.records(study="2.6", event="access")[0]
    assert number == last + 1 and record["skipped"] == str(last - 2)


def test_what_was_not_acknowledged_goes_out_again(daemon, nginx):
    daemon.answer = daemon.hang_up
    answer = later(nginx.request, frame("2.7"))
    assert wait_for(lambda: len(daemon.records(study="2.7")) >= 2)
    assert not answer.done()
    daemon.answer = daemon.acknowledge
    assert answer.result(5).status == 200
    sent = daemon.records(study="2.7")
    assert len({(n, r["id"]) for n, r in sent}) == 1


def test_welcome_settles_what_the_daemon_has(daemon, nginx):
    def take_and_die(connection, front, records):
        daemon.held[front] = records[-1][0]
        connection.shutdown(socket.SHUT_RDWR)
    daemon.answer = take_and_die
    assert nginx.request(frame("2.8")).status == 200
    assert len(daemon.records(study="2.8")) == 1


def test_refusal_may_come_before_the_welcome(daemon, nginx):
    """What the daemon could not tell the last connection."""
    def die(connection, front, records):
        daemon.held[front] = records[-1][0]
        daemon.before_welcome = lambda c, f: c.send(
            message(REFUSED, records[-1][0], b"full"))
        daemon.answer = daemon.acknowledge
        connection.shutdown(socket.SHUT_RDWR)
    daemon.answer = die
    assert nginx.request(frame("2.9")).status == 503


def test_last_words_of_a_daemon_are_heard(daemon, nginx):
    """With unread data at its own side the kernel answers ECONNRESET first."""
    def tell_and_die(connection, front, records):
        connection.send(message(ACK, records[-1][0]))
        daemon.held[front] = records[-1][0]
        connection.close()
    daemon.answer = tell_and_die
    assert nginx.request(frame("2.10")).status == 200
    assert len(daemon.records(study="2.10")) == 1


@pytest.mark.parametrize("rubbish", [
    b"", b"x", b"Sk\x01", b"Sk\x02" + bytes(13), message(99, 0),
    message(ACK, 1)[:-1] + b"\xff", message(ACK, 1 << 63),
    message(REFUSED, 1 << 40), message(WELCOME, 0), b"\xff" * 60000,
    b"Sk\x01\x04" + b"\xff" * 12,
], ids=lambda rubbish: f"{rubbish[:4].hex() or 'end'}-{len(rubbish)}")
def test_rubbish_ends_the_connection_and_nothing_else(daemon, nginx, rubbish):
    def answer(connection, front, records):
        daemon.answer = daemon.acknowledge
        if rubbish:
            connection.send(rubbish)
        else:
            connection.shutdown(socket.SHUT_RDWR)
    daemon.answer = answer
    assert nginx.request(frame("2.11")).status == 200
    assert len(daemon.hellos) == 2
    assert len({n for n, _ in daemon.records(study="2.11")}) == 1


def test_messages_of_a_newer_daemon_are_passed_over(daemon, nginx):
    def answer(connection, front, records):
        connection.send(message(7, 0, b"{}"))
        daemon.acknowledge(connection, front, records)
    daemon.answer = answer
    assert nginx.request(frame("2.12")).status == 200
    assert len(daemon.hellos) == 1


def test_records_that_are_ready_at_once_go_in_one_packet(daemon, nginx):
    daemon.answer = daemon.silence
    first = later(nginx.request, frame("2.13.0"))
    assert wait_for(lambda: daemon.records(study="2.13.0"))
    daemon.stop()
    rest = [later(nginx.request, frame(f"2.13.{i}")) for i in range(1, 9)]
    time.sleep(0.3)
    daemon.answer = daemon.acknowledge
    daemon.listen()
    assert {a.result(5).status for a in [first, *rest]} == {200}
    assert any(len(packet) >= 9 for packet in daemon.packets)
    for packet in daemon.packets:
        numbers = [n for n, _ in packet]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_daemon_that_hangs_up_again_and_again_is_as_good_as_none(daemon,
                                                                 nginx):
    daemon.answer = daemon.hang_up
    first = later(nginx.request, frame("2.14"))
    time.sleep(1.5)
    start = time.monotonic()
    statuses = [nginx.request(frame(f"2.14.{i}")).status for i in range(5)]
    assert statuses == [503] * 5
    assert first.result(5).status == 503
    # not one attempt after the other, and not a line for each
    assert len(daemon.hellos) < 20
    assert len(nginx.error_lines("no connection to sekishod")) < 20
    assert time.monotonic() - start < 11


def test_full_queue_is_a_denial(daemon, nginx):
    """A worker keeps no more than it has room for, and refuses the rest."""
    daemon.answer = daemon.silence
    denied = 0

    def ask(_):
        with socket.create_connection(
                ("127.0.0.1", nginx.ports["main"])) as sock:
            sock.sendall(b"GET /fast/x HTTP/1.1\r\nHost: x\r\n\r\n" * 40)
            got = b""
            sock.settimeout(20)
            while got.count(b"HTTP/1.1 ") < 40:
                got += sock.recv(65536)
            return got.count(b"HTTP/1.1 503")
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        for count in pool.map(ask, range(280)):
            denied += count
    assert denied == 280 * 40
    assert nginx.error_lines("too many records wait for sekishod") or \
        nginx.error_lines("sekishod is not there")
    daemon.answer = daemon.acknowledge
    daemon.stop()
    daemon.listen()
    assert wait_for(lambda: nginx.request(frame("2.15")).status == 200, 10)
    numbers = sorted({n for n, _ in daemon.records()})
    assert len(numbers) > 1000
    assert numbers == list(range(1, len(numbers) + 1))


def test_worker_that_is_stopped_hands_over_what_it_has(daemon, nginx):
    daemon.answer = daemon.silence
    answer = later(nginx.request, frame("2.16"))
    assert wait_for(lambda: daemon.records(study="2.16"))
    daemon.answer = daemon.acknowledge
    daemon.stop()
    nginx.signal(3)
    daemon.listen()
    assert answer.result(10).status == 200
    assert wait_for(lambda: nginx.process.poll() is not None, 10)
    assert not nginx.error_lines("could not be handed", seconds=0)
