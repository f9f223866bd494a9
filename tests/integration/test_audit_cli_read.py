"""sekisho audit tail, search, show: what they show, and that it is recorded."""

import csv
import io
import json
import os
import pty
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

import trail_daemon
from tool import BASE_ENV, sekisho  # noqa: F401

EVIL = "=cmd|' /C calc'!A1\x1b]0;owned\x07\u202egnp.exe\u200b\"quoted\"\n\x9b"
OPENING = "0123456789abcdef" * 2


def records():
    yield {"id": OPENING, "event": "access", "outcome": 0, "user": "yamada",
           "facility": "aoba-clinic", "address": "203.0.113.7",
           "action": "view", "patient": "12345", "study": "1.2.3",
           "session": "5f0c"}
    yield {"event": "denied", "outcome": 8, "reason": "unknown-network",
           "address": "198.51.100.9", "user": "mallory", "count": 3}
    yield {"event": "access-end", "open": OPENING, "outcome": 0,
           "user": "yamada", "facility": "aoba-clinic", "requests": 25,
           "bytes": 1048576}
    yield {"event": "access", "outcome": 0, "user": "山田", "study": "1.2.30",
           "patient": "=HYPERLINK(1)", "action": "download"}
    yield {"event": "lost", "outcome": 12, "lost": 7}
    yield {"event": "unrecorded", "outcome": 4, "user": EVIL, "agent": EVIL}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with trail_daemon.running(tmp_path_factory.mktemp("read")) as daemon:
        front = daemon.front()
        front.send(*records())
        front.checkpoint()
        yield daemon


@pytest.fixture(scope="module")
def copy(daemon, tmp_path_factory):
    """As it is before the tests read it, which adds to it."""
    folder = tmp_path_factory.mktemp("copy") / "trail"
    shutil.copytree(daemon.trail, folder)
    return folder


def lines(result):
    assert result.returncode in (0, 1), result.stderr
    return result.stdout.splitlines()


def harmless(text):
    assert not [c for c in text if c not in "\r\n" and not c.isprintable()
                and c != "\u3000"], repr(text)


# ---- tail -------------------------------------------------------------------

def test_tail_shows_records_in_order_and_no_heartbeats(sekisho, copy):
    shown = lines(sekisho("audit", "tail", "--trail", copy))
    events = [line.split()[3] for line in shown]
    assert events == ["start", "access", "denied", "access-end", "access",
                      "lost", "unrecorded"]
    everything = lines(sekisho("audit", "tail", "--trail", copy, "--all"))
    assert len(everything) == 8 and "heartbeat" in everything[1]


def test_columns_are_aligned(sekisho, copy):
    shown = lines(sekisho("audit", "tail", "--trail", copy, "-n", "5"))
    assert len({line.index("2026" if "2026" in line else "20")
                for line in shown}) == 1
    columns = [re.search(r"(ok|failed|major|minor) ", line).start()
               for line in shown]
    assert len(set(columns)) == 1
    assert shown[0].split()[0] == "3"  # the number of the entry
    assert "requests 25, bytes 1048576" in shown[1]


def test_times_are_local(sekisho, copy):
    here = lines(sekisho("audit", "tail", "-n", "1", "--trail", copy))[0]
    there = lines(sekisho("audit", "tail", "-n", "1", "--trail", copy,
                          env={"TZ": "Asia/Tokyo"}))[0]
    parse = [time.strptime(" ".join(line.split()[1:3]), "%Y-%m-%d %H:%M:%S")
             for line in (here, there)]
    assert time.mktime(parse[1]) - time.mktime(parse[0]) == 9 * 3600


def test_n_counts_what_is_shown(sekisho, tmp_path):
    """Beyond the window that is looked at first: heartbeats do not count."""
    folder = tmp_path / "d"
    folder.mkdir()
    with trail_daemon.running(folder) as daemon:
        front = daemon.front()
        front.send({"event": "access", "outcome": 0, "user": "first"})
        for _ in range(5):
            front.send(*[{"event": "heartbeat", "outcome": 0}] * 100)
        front.send({"event": "access", "outcome": 0, "user": "last"})
        front.checkpoint()
    shown = lines(sekisho("audit", "tail", "-n", "3", "--trail", daemon.trail))
    assert [re.search("first|last|stop", line).group() for line in shown] == \
        ["first", "last", "stop"]


@pytest.mark.parametrize("number", ["0", "-1", "x", "", "1000001", "1x"])
def test_a_number_that_is_none_is_refused(sekisho, copy, number):
    for option in (["tail", "-n"], ["search", "--limit"]):
        if (option[0], number) == ("search", "1000001"):
            continue
        result = sekisho("audit", option[0], option[1], number, "--trail", copy)
        assert result.returncode == 2 and option[1] in result.stderr


def test_json_is_the_trails_own_lines(sekisho, daemon, copy):
    shown = sekisho("audit", "tail", "--all", "--json", "--trail", copy,
                    raw=True)
    assert shown.stdout.splitlines() == daemon.lines()[:8]


def test_unsealed_records_are_shown_too(sekisho, tmp_path):
    folder = tmp_path / "d"
    folder.mkdir()
    daemon = trail_daemon.Daemon(folder).start()
    front = daemon.front()
    front.send(*[{"event": "access", "outcome": 0, "user": f"u{i}"}
                 for i in range(3)])
    daemon.kill()
    shown = lines(sekisho("audit", "tail", "--trail", daemon.trail, "-n", "1"))
    assert "u2" in shown[0]
    daemon.start()
    assert daemon.stop() == 0


def wait_for(function, what):
    deadline = time.monotonic() + 20
    while not function():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_f_follows_until_it_is_interrupted(sekisho, tmp_path, number):
    folder = tmp_path / "d"
    folder.mkdir()
    with trail_daemon.running(folder) as daemon, \
            open(tmp_path / "out", "wb") as out:
        front = daemon.front()
        front.send({"event": "access", "outcome": 0, "user": "before"})
        tail = subprocess.Popen([sekisho.program, "audit", "tail", "-f",
                                 "--config", daemon.config], stdout=out,
                                env=BASE_ENV)

        def shown(user):
            return user in (tmp_path / "out").read_text()

        try:
            wait_for(lambda: shown("before"), "the record before")
            for i in range(600):  # over many checkpoints and a full bundle
                front.send({"event": "access", "outcome": 0, "user": f"n{i}."})
            wait_for(lambda: shown("n599."), "the records that came")
        finally:
            tail.send_signal(number)
            assert tail.wait(20) == 0
        text = (tmp_path / "out").read_text()
        assert [text.count(f" n{i}. ") for i in range(600)] == [1] * 600
        assert text.count("trail-read") == 1


def test_f_ends_when_its_reader_does(sekisho, daemon):
    tail = subprocess.Popen([sekisho.program, "audit", "tail", "-f", "--config",
                             daemon.config], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env=BASE_ENV)
    assert tail.stdout.readline()
    tail.stdout.close()
    assert tail.wait(20) in (0, 2)
    assert b"Sanitizer" not in tail.stderr.read()
    tail.stderr.close()


# ---- search -----------------------------------------------------------------

@pytest.mark.parametrize("options, found", [
    (["--user", "yamada"], [2]),
    (["--user", "山田"], [5]),
    (["--user", "yama"], []),
    (["--user", EVIL.replace("\x9b", "")], []),
    (["--study", "1.2.3"], [2]),
    (["--patient", "12345", "--user", "yamada"], [2]),
    (["--patient", "12345", "--user", "mallory"], []),
    (["--facility", "aoba-clinic"], [2]),
    (["--address", "198.51.100.9"], [3]),
    (["--session", "5f0c"], [2]),
    (["--event", "denied"], [3]),
    (["--event", "heartbeat"], [1]),
    (["--reason", "unknown-network"], [3]),
    (["--action", "download"], [5]),
    (["--outcome", "failure"], [3, 6, 7]),
    (["--outcome", "success"], [0, 2, 5]),
    (["--outcome", "12"], [6]),
    (["--outcome", "4", "--from", "today"], [7]),
    (["--from", "1h"], [0, 2, 3, 5, 6, 7]),
    (["--from", "1h", "--records"], [0, 2, 3, 4, 5, 6, 7]),
    (["--event", "access-end"], [4]),
    (["--from", "1h", "--full"], [0, 2, 3, 5, 6, 7]),
    (["--to", "1h"], []),
    (["--to", "yesterday"], []),
    (["--from", "now"], []),
    (["--from", "2001-01-01", "--to", "@4000000000", "--limit", "2"], [0, 2]),
    (["--all", "--limit", "2"], [0, 1]),
])
def test_search_finds_exactly_what_matches(sekisho, copy, options, found):
    if "today" in options and time.gmtime().tm_hour == 0:
        pytest.skip("the records may be of yesterday")
    result = sekisho("audit", "search", "--trail", copy, *options)
    assert [int(line.split()[0]) for line in lines(result)] == found
    assert result.returncode == (0 if found else 1)


def test_a_value_with_escapes_is_found(sekisho, tmp_path):
    """Quotes, backslashes and controls stand escaped in a line."""
    folder = tmp_path / "d"
    folder.mkdir()
    values = ['a"b', "a\\b", "a\tb", "\u202ea", "'a", '"', "\\u0041"]
    with trail_daemon.running(folder) as daemon:
        front = daemon.front()
        front.send(*[{"event": "access", "outcome": 0, "user": value}
                     for value in values])
        front.checkpoint()
    for i, value in enumerate(values):
        result = sekisho("audit", "search", "--trail", daemon.trail, "--user",
                         value, "--json")
        assert [json.loads(line)["user"] for line in lines(result)] == \
            [value], value
        assert json.loads(result.stdout)["number"] == i + 1


def test_a_span_of_time_is_exact(sekisho, tmp_path):
    """1,500 records over hours: against a plain reading of all of them."""
    driver = os.path.join(trail_daemon.TOP, "build/obj/tests/data/trail_make")
    folder, key = tmp_path / "t", tmp_path / "k"
    subprocess.run([driver, "key", "a.example/b", key], check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run([driver, "create", folder, key], check=True)
    start, script, times = 1790000000, [], []
    for i in range(1500):
        # a few seconds of disorder, as front ends' clocks give it
        at = start + i * 7 + (i * 37 % 11) - 5
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + ".250Z"
        times.append(text)
        script.append(f'add {{"id":"{i:032x}","time":"{text}","number":{i}}}')
        if i % 500 == 499:
            script.append("append")
    subprocess.run([driver, "write", folder, key], check=True,
                   stdout=subprocess.DEVNULL,
                   input="\n".join(script).encode() + b"\n")
    for low, high in ((0, 1500), (300, 301), (255, 257), (700, 1400), (5, 5)):
        first = start + low * 7
        last = start + high * 7
        bounds = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
                  for at in (first, last)]
        expected = [i for i, text in enumerate(times)
                    if bounds[0][:19] + ".000Z" <= text < bounds[1][:19] +
                    ".000Z"]
        for more in ([], ["--full"]):
            result = sekisho("audit", "search", "--trail", folder, "--from",
                             bounds[0], "--to", bounds[1], "--json", *more)
            assert [json.loads(line)["number"]
                    for line in lines(result)] == expected


def test_local_times_and_days(sekisho, copy):
    env = {"TZ": "Pacific/Kiritimati"}  # 14 hours ahead of UTC
    today = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 14 * 3600))
    for day in (today, "today"):
        result = sekisho("audit", "search", "--trail", copy, "--from", day,
                         "--to", day, "--event", "lost", env=env)
        assert len(lines(result)) == 1 or time.gmtime().tm_hour in (9, 10)


@pytest.mark.parametrize("options, told", [
    (["--from", "yesterdayish"], "--from"),
    (["--to", "2026-02-30"], "--to"),
    (["--event", "acces"], 'did you mean "access"'),
    (["--event", "zzzzzzzz"], "--event"),
    (["--outcome", "bad"], "--outcome"),
    (["--user", ""], "--user"),
    (["--json", "--csv"], "--csv"),
    (["--usr", "x"], "--user"),
])
def test_what_makes_no_sense_is_told(sekisho, copy, options, told):
    result = sekisho("audit", "search", "--trail", copy, *options)
    assert result.returncode == 2
    assert told in result.stderr and result.stdout == ""


def test_csv_has_a_column_for_every_field_and_no_formulas(sekisho, copy):
    result = sekisho("audit", "search", "--trail", copy, "--csv", raw=True)
    text = result.stdout.decode()
    assert text.count("\r\n") == text.count("\n") == 7
    harmless(text)
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(rows) == 6
    assert set(rows[0]) == {"index", *trail_daemon.FIELDS, "closed", "state"}
    assert rows[3]["patient"] == "'=HYPERLINK(1)"
    assert rows[5]["user"].startswith("'=cmd|") and "owned" in rows[5]["user"]
    assert "\"quoted\"" in rows[5]["user"]
    assert rows[1]["user"] == "yamada" and rows[1]["index"] == "2"
    assert rows[1]["closed"] == "4" and rows[1]["requests"] == "25"
    assert [row["state"] for row in rows] == ["", "closed", "", "open", "", ""]
    for row in rows:
        assert not any(value[:1] in ("=", "+", "-", "@", "\t", "\r")
                       for value in row.values() if value)


def test_hostile_records_do_not_act_on_the_terminal(sekisho, copy):
    for arguments in (["tail"], ["search", "--outcome", "4"], ["show", "7"]):
        result = sekisho("audit", *arguments, "--trail", copy)
        assert "owned" in result.stdout
        harmless(result.stdout)


def on_terminal(program, *arguments):
    """Standard output and error of a command on a terminal."""
    child, terminal = pty.fork()
    if child == 0:
        os.execve(program, [program, *map(str, arguments)],
                  {**BASE_ENV, "TERM": "xterm"})
    output = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if not piece:
            break
        output += piece
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), output.decode()


def test_colours_and_a_heading_on_a_terminal(sekisho, copy):
    status, text = on_terminal(sekisho.program, "audit", "tail", "--all",
                               "--trail", copy)
    assert status == 0, text
    by_event = {line.split()[2 if "ENTRY" in line else 3]: line
                for line in text.splitlines()}
    assert "ENTRY" in text.splitlines()[0]
    assert by_event["denied"].startswith("\x1b[31m")
    assert by_event["lost"].startswith("\x1b[33m")
    assert by_event["heartbeat"].startswith("\x1b[2m")
    assert not by_event["access"].startswith("\x1b")
    assert "\x1b]" not in text and "\x9b" not in text
    status, text = on_terminal(sekisho.program, "audit", "tail", "--json",
                               "--trail", copy)
    assert status == 0 and "\u202e" not in text and "\x1b" not in text
    assert json.loads(text.splitlines()[-1])["agent"].startswith("=cmd")


# ---- show -------------------------------------------------------------------

@pytest.mark.parametrize("name", [OPENING, "2", "#2"])
def test_show_tells_all_fields(sekisho, copy, daemon, name):
    result = sekisho("audit", "show", name, "--trail", copy)
    assert result.returncode == 0, result.stderr
    fields = dict(line.split(None, 1) for line in result.stdout.splitlines()
                  if not line.startswith(("leaf", "local", "DICOM")))
    for name_, value in json.loads(daemon.lines()[2]).items():
        assert fields[name_] == str(value)
    assert "2, sealed" in fields["entry"]
    assert re.search(r"^leaf hash +[0-9a-f]{64}$", result.stdout, re.M)
    assert re.search(r"^DICOM event +110103$", result.stdout, re.M)


def test_show_json_is_the_line_itself(sekisho, daemon, copy):
    result = sekisho("audit", "show", "7", "--json", "--trail", copy, raw=True)
    assert result.stdout == daemon.lines()[7] + b"\n"


@pytest.mark.parametrize("name", ["99", "f" * 32, "x", "-1", "007", "#", "F" * 32,
                                  "99999999999999999999999"])
def test_what_is_not_there_is_told(sekisho, copy, name):
    result = sekisho("audit", "show", "--trail", copy, "--", name)
    assert result.returncode == 2 and result.stdout == "" and result.stderr


# ---- Reading is recorded ------------------------------------------------------

@pytest.mark.parametrize("arguments", [
    ["tail", "-n", "1"], ["search", "--user", "yamada"], ["show", OPENING],
    ["prove", "2"]])
def test_reading_is_recorded_before_it_is_shown(sekisho, daemon, arguments):
    before = len(daemon.entries("trail-read"))
    result = sekisho("audit", *arguments, "--config", daemon.config, "--note",
                     "ticket 4711")
    assert result.returncode == 0, result.stderr
    daemon.front().checkpoint()
    read = daemon.entries("trail-read")
    assert len(read) == before + 1
    assert read[-1]["user"] and read[-1]["note"] == "ticket 4711"
    assert read[-1]["query"] == " ".join(["audit", *arguments])
    assert read[-1]["source"] == "sekisho" and read[-1]["outcome"] == 0
    assert read[-1]["peer"].startswith(f"{os.geteuid()}:")


@pytest.mark.parametrize("arguments", [["status"], ["verify"], ["checkpoint"]])
def test_what_shows_no_record_is_not_recorded(sekisho, daemon, arguments):
    before = daemon.front().report()["received"]
    assert sekisho("audit", *arguments, "--config",
                   daemon.config).returncode == 0
    assert daemon.front().report()["received"] == before


def test_without_the_daemon_nothing_is_shown(sekisho, tmp_path):
    folder = tmp_path / "d"
    folder.mkdir()
    with trail_daemon.running(folder) as daemon:
        daemon.front().send({"event": "access", "outcome": 0, "user": "yamada"})
    for arguments in (["tail"], ["search"], ["show", "2"], ["prove", "2"]):
        result = sekisho("audit", *arguments, "--config", daemon.config)
        assert result.returncode == 2 and result.stdout == ""
        assert "--unrecorded" in result.stderr
        # nor under the trail's own name
        named = sekisho("audit", *arguments, "--config", daemon.config,
                        "--trail", os.path.join(daemon.trail, "."))
        assert named.returncode == 2 and named.stdout == ""
        result = sekisho("audit", *arguments, "--config", daemon.config,
                         "--unrecorded")
        assert result.returncode == 0 and "not recorded" in result.stderr
        assert result.stdout


def test_a_live_trail_is_known_by_its_lock(sekisho, daemon):
    """Not named in any configuration, and not to be read unseen."""
    result = sekisho("audit", "tail", "--trail", daemon.trail)
    assert result.returncode == 2 and result.stdout == ""
    assert "no sekishod answers" in result.stderr
    result = sekisho("audit", "tail", "--trail", daemon.trail, "--socket",
                     daemon.socket)
    assert result.returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="another user needs root")
def test_an_ordinary_reader_is_recorded_as_the_kernel_knows_him(sekisho):
    folder = tempfile.mkdtemp(prefix="sekisho-")
    try:
        os.chmod(folder, 0o755)
        program = shutil.copy(sekisho.program, f"{folder}/sekisho")
        with trail_daemon.running(folder) as daemon:
            for top, folders, names in os.walk(daemon.trail):
                for name in [top, *(os.path.join(top, n)
                                    for n in folders + names)]:
                    os.chmod(name, 0o755)
            uid = pwd.getpwnam("nobody").pw_uid
            result = subprocess.run(
                [program, "audit", "tail", "--config", daemon.config],
                user="nobody", extra_groups=[], capture_output=True, text=True,
                check=False, env={**BASE_ENV, "ASAN_OPTIONS": "detect_leaks=0",
                                  "SUDO_USER": "somebody-else"})
            assert result.returncode == 0, result.stderr
            daemon.front().checkpoint()
            read = daemon.entries("trail-read")
            assert len(read) == 1
            assert read[0]["peer"].startswith(f"{uid}:")
            assert read[0]["user"] != "somebody-else"
    finally:
        shutil.rmtree(folder)
