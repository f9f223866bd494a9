"""Accesses that nobody closes are closed by the daemon, also after a start, and
if the trail has grown by more than a start reads since they were opened."""

import os
import time

import pytest

import trail_daemon

READ_BACK = 400            # instead of a million
ARGUMENTS = ("--read-back", str(READ_BACK))
CONFIG = "index off;\nheartbeat 1s;\ninterrupted 5s;\n"
TERMS = "PatientName=" + ",".join(f"DEMO{i}*" for i in range(100))


class Place(trail_daemon.Daemon):
    """With an access that is open, and far back."""

    def __init__(self, folder):
        super().__init__(folder, CONFIG)
        self.start(arguments=ARGUMENTS)
        self.worker = self.front(source=b"nginx")
        self.open = os.urandom(16).hex()
        self.record = {"id": self.open, "event": "access", "outcome": "0",
                       "user": "yamada", "study": "1.2.3", "action": "query",
                       "address": "203.0.113.5", "query": TERMS}
        self.worker.send(self.record)

    def fill(self, count=3 * READ_BACK):
        """So many records that are no accesses, and heartbeats among them."""
        front = self.front(source=b"test")
        for _ in range(count // 100):
            front.send(*[{"event": "denied", "outcome": "8"}] * 100)
        front.close()

    @property
    def file(self):
        return f"{self.trail}/openings"

    def remembered(self):
        try:
            with open(self.file, encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def crash(self, **start):
        self.worker.close()
        self.kill()
        start.get("before", lambda: None)()
        self.start(arguments=ARGUMENTS)

    def closes(self, seconds=0):
        """Of the access; waits so long for one."""
        end = time.monotonic() + seconds
        while True:
            front = self.front(source=b"test")
            front.checkpoint()
            front.close()
            found = [entry for entry in self.entries("access-end")
                     if entry["open"] == self.open]
            if found or time.monotonic() > end:
                return found
            time.sleep(0.2)


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    assert condition()


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    yield made
    status = made.stop()
    assert status == 0, made.messages()
    assert "Sanitizer" not in made.messages(), made.messages()


def test_an_access_is_closed_though_it_began_far_back(place):
    place.fill()
    wait_for(lambda: place.open in place.remembered())
    place.fill()
    place.crash()
    close, = place.closes(20)
    assert (close["reason"], close["outcome"], close["source"]) == (
        "interrupted", 8, "sekishod")
    for name in ("user", "study", "action", "address"):
        assert close[name] == place.record[name]
    # as much of the terms of a search as is kept; the opening has all
    assert close["cut"] == ["query"]
    assert TERMS.startswith(close["query"]) and len(close["query"]) > 400
    # it is no longer remembered, nor closed again by another start
    wait_for(lambda: place.remembered() == "")
    place.crash()
    time.sleep(6.5)
    assert len(place.closes()) == 1
    assert not [line for line in place.messages().splitlines()
                if "openings" in line]


def test_nothing_is_written_for_accesses_that_a_start_reads_anyway(place):
    for _ in range(3):
        beats = len(place.entries("heartbeat"))
        wait_for(lambda: len(place.entries("heartbeat")) > beats)
    assert place.remembered() == ""
    place.crash()
    close, = place.closes(20)
    assert close["reason"] == "interrupted"


def test_what_was_closed_since_is_not_closed_again(place):
    place.fill()
    wait_for(lambda: place.open in place.remembered())
    place.worker.send({"event": "access-end", "outcome": "0",
                       "open": place.open, "reason": "idle"})
    place.crash()
    time.sleep(6.5)
    close, = place.closes()
    assert close["reason"] == "idle"


def test_a_front_end_that_comes_back_closes_its_access_itself(place):
    place.fill()
    wait_for(lambda: place.open in place.remembered())
    place.crash()
    instance = place.worker.front[:8]
    worker = place.front(front=instance + os.urandom(8), source=b"nginx")
    time.sleep(6.5)
    assert not place.closes()
    worker.send({"event": "access-end", "outcome": "0", "open": place.open,
                 "reason": "idle"})
    close, = place.closes()
    assert close["reason"] == "idle"
    worker.close()


def test_the_file_goes_when_nothing_old_is_open(place):
    place.fill()
    wait_for(lambda: place.open in place.remembered())
    place.worker.send({"event": "access-end", "outcome": "0",
                       "open": place.open, "reason": "idle"})
    wait_for(lambda: place.remembered() == "")
    assert not os.path.exists(place.file)


def test_a_clean_stop_remembers_too(place):
    place.fill()
    wait_for(lambda: place.open in place.remembered())
    place.fill()
    place.worker.close()
    assert place.stop() == 0
    place.start(arguments=ARGUMENTS)
    close, = place.closes(20)
    assert close["reason"] == "interrupted"


DAMAGES = {
    "torn": (lambda text: text[:-2], "it is damaged"),
    "empty": (lambda text: "", "it is damaged"),
    "another": (lambda text: text.replace("1\nsize", "2\nsize"),
                "it is damaged"),
    "beyond": (lambda text: text.replace("size ", "size 9"),
               "it is not of this trail's end"),
    "foreign": (lambda text: text.replace("\nend", "\n1 " + 32 * "a" + "\nend"),
                "1 of its accesses are not in the trail"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_told_of_and_replaced(place, damage):
    """And what it tells is never believed beyond the trail."""
    change, told = DAMAGES[damage]
    place.fill()
    wait_for(lambda: place.open in place.remembered())
    text = place.remembered()
    changed = change(text)
    assert changed != text

    def spoil():
        with open(place.file, "w", encoding="utf-8") as file:
            file.write(changed)
    place.crash(before=spoil)
    assert told in place.messages()
    if damage == "foreign":
        assert len(place.closes(20)) == 1
        assert len(place.entries("access-end")) == 1
    else:
        # nothing that is known is open and far back
        wait_for(lambda: not os.path.exists(place.file))


def test_a_file_that_cannot_be_written_is_told_of_once(place):
    os.mkdir(place.file)
    place.fill()
    wait_for(lambda: "cannot be noted in" in place.messages())
    beats = len(place.entries("heartbeat"))
    wait_for(lambda: len(place.entries("heartbeat")) > beats + 2)
    assert place.messages().count("cannot be noted in") == 1
    os.rmdir(place.file)
    place.fill()
    wait_for(lambda: place.open in place.remembered())
