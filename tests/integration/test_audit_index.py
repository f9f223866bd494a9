"""audit.db: kept by the daemon, made by the command line, and of no influence
on the answers of a search."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time

import pytest

import trail_daemon
from tool import BASE_ENV, TOP, sekisho  # noqa: F401

FORMAT = os.path.join(TOP, "conf-examples/lnav/sekisho.json")


ORTHANC_PATIENT = "0123456789abcdef0123456789abcdef01234567"


def orthanc(digit):
    return "-".join([digit * 8] * 5)


def records():
    """Twenty accesses of four users to five studies, two of whose patients are
    learned, one of them late; denials; a claim that is no answer."""
    for i in range(20):
        opening = f"{i + 1:032x}"
        common = {"user": f"user{i % 4}", "facility": f"f{i % 3}",
                  "address": f"203.0.113.{i % 4}", "study": f"1.2.{i % 5}",
                  "session": f"s{i % 4}", "action": "view"}
        if i == 7:
            yield {"event": "patient-learned", "outcome": 0, "patient": "P1",
                   "study": "1.2.1", "issuer": "H"}
        if i == 3:
            common["patient"] = "P2"
        yield {"id": opening, "event": "access", "outcome": 0, **common}
        if i % 6 != 5:
            yield {"event": "access-end", "outcome": 0, "open": opening,
                   "reason": "idle", "requests": i, **common}
    yield {"event": "denied", "outcome": 8, "reason": "unknown-network",
           "address": "198.51.100.9", "count": 3}
    yield {"event": "denied", "outcome": 8, "reason": "closed",
           "patient": "P1", "study": "1.2.4"}
    yield {"event": "patient-learned", "outcome": 0, "patient": "P2",
           "study": "1.2.2"}
    # named by Orthanc's id of the patient, whose it is learned afterwards
    yield {"id": f"{99:032x}", "event": "access", "outcome": 0,
           "user": "user9", "patient": ORTHANC_PATIENT, "action": "view"}
    yield {"event": "patient-learned", "outcome": 0, "patient": "P3",
           "study": ORTHANC_PATIENT}
    # a series and an instance alone, and only then what they are a part of
    for i, (field, digit) in enumerate([("series", "a"), ("instance", "b"),
                                        ("instance", "c"), ("series", "d")]):
        opening = f"{i + 200:032x}"
        common = {"user": f"parts{i}", field: orthanc(digit), "action": "view"}
        yield {"id": opening, "event": "access", "outcome": 0, **common}
        yield {"id": f"{i + 300:032x}", "event": "access-end", "outcome": 0,
               "open": opening, "reason": "idle", **common}
    learned = {"event": "patient-learned", "outcome": 0}
    yield {**learned, "instance": orthanc("b"), "series": orthanc("a")}
    yield {**learned, "series": orthanc("a"), "study": orthanc("e")}
    yield {**learned, "patient": "P4", "study": orthanc("e")}
    yield {**learned, "instance": orthanc("c"), "study": orthanc("e")}


QUERIES = [
    [], ["--all"], ["--user", "user1"], ["--user", "nobody"],
    ["--facility", "f2"], ["--address", "203.0.113.3"], ["--patient", "P1"],
    ["--patient", "P2"], ["--patient", "P1", "--user", "user2"],
    ["--patient", "unknown"], ["--patient", "P3"], ["--patient", "P4"], ["--patient", "P2", "--all"],
    ["--study", "1.2.2"], ["--study", "1.2.2", "--user", "user3"],
    ["--event", "denied"], ["--event", "heartbeat"],
    ["--event", "access", "--facility", "f0"], ["--outcome", "failure"],
    ["--outcome", "success", "--user", "user0"], ["--outcome", "8"],
    ["--reason", "idle"], ["--reason", "closed"], ["--session", "s2"],
    ["--action", "view", "--limit", "7"], ["--from", "1h", "--user", "user1"],
    ["--to", "1h", "--user", "user1"], ["--full", "--user", "user1"],
    ["--patient", "P1", "--csv"], ["--user", "user1", "--json"],
    ["--user", "user1", "--records"], ["--event", "access-end"],
    ["--csv", "--records"], ["--patient", "P2", "--limit", "2", "--csv"],
]


def wait_for(function, what):
    deadline = time.monotonic() + 30
    while not function():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.fixture(scope="module")
def trail(tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    with trail_daemon.running(folder, "index off;") as daemon:
        for record in records():
            daemon.front().send(record)
    return daemon.trail


@pytest.fixture
def copy(trail, tmp_path):
    return shutil.copytree(trail, tmp_path / "copy" / "trail")


def database(path):
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True)


def size_of(path):
    """Entries in it; None while it cannot be read."""
    try:
        with database(path) as db:
            return db.execute("SELECT value FROM meta WHERE name = 'size'"
                              ).fetchone()[0]
    except sqlite3.OperationalError:
        return None


@pytest.mark.parametrize("indexed", [False, True])
def test_a_series_or_instance_alone_is_found_by_its_patient(sekisho, copy,
                                                            indexed):
    if indexed:
        sekisho("audit", "index", "--trail", copy)
    result = sekisho("audit", "search", "--trail", copy, "--patient", "P4",
                     "--event", "access", "--json")
    found = [json.loads(line)["user"] for line in result.stdout.splitlines()]
    assert found == ["parts0", "parts1", "parts2"]


# ---- The command line -----------------------------------------------------------

@pytest.mark.parametrize("options", QUERIES, ids=" ".join)
def test_a_search_answers_the_same_with_and_without(sekisho, copy, options):
    without = sekisho("audit", "search", "--trail", copy, *options)
    made = sekisho("audit", "index", "--trail", copy)
    assert made.returncode == 0, made.stderr
    assert os.path.exists(copy.parent / "audit.db")
    found = sekisho("audit", "search", "--trail", copy, *options)
    assert (found.stdout, found.returncode) == (without.stdout,
                                                without.returncode)
    assert "holds at tree size" in found.stderr
    assert "holds at tree size" in without.stderr


@pytest.mark.parametrize("options", [["--patient", "P1"], ["--patient", "P2"],
                                     ["--patient", "P3"], ["--patient", "P4"],
                                     ["--user", "user1"], ["--study", "1.2.1"]],
                         ids=" ".join)
@pytest.mark.parametrize("taken", [5, 12, 30, 52, 53, 54, 55])
def test_what_the_index_does_not_hold_yet_is_read(sekisho, trail, copy, options,
                                                  taken, tmp_path):
    """An index of the first entries: a patient learned after them counts."""
    driver = os.path.join(TOP, "build/obj/tests/data/trail_make")
    lines = subprocess.run([driver, "read", trail], check=True,
                           capture_output=True).stdout.splitlines()
    folder, key = tmp_path / "t", tmp_path / "k"
    subprocess.run([driver, "key", trail_daemon.ORIGIN, key], check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run([driver, "create", folder, key], check=True)
    for part in (lines[:taken], lines[taken:]):
        script = b"".join(b"add " + line + b"\n" for line in part) + b"append\n"
        subprocess.run([driver, "write", folder, key], check=True, input=script,
                       stdout=subprocess.DEVNULL)
        if part is not lines and size_of(tmp_path / "audit.db") is None:
            sekisho("audit", "index", "--trail", folder)
    assert size_of(tmp_path / "audit.db") == taken
    found = sekisho("audit", "search", "--trail", folder, "--json", *options)
    without = sekisho("audit", "search", "--trail", copy, "--json", *options)
    assert found.stdout == without.stdout != ""


def test_a_patient_is_found_by_what_was_learned_later(sekisho, copy):
    sekisho("audit", "index", "--trail", copy)
    result = sekisho("audit", "search", "--trail", copy, "--patient", "P2",
                     "--event", "access", "--json")
    found = [json.loads(line) for line in result.stdout.splitlines()]
    # four accesses to 1.2.2, and study 1.2.3, which a request claimed
    assert {entry["study"] for entry in found} == {"1.2.2", "1.2.3"}
    assert len(found) == 8


def test_a_patient_is_found_by_the_id_that_orthanc_gave(sekisho, copy):
    for indexed in (False, True):
        if indexed:
            sekisho("audit", "index", "--trail", copy)
        result = sekisho("audit", "search", "--trail", copy, "--patient", "P3",
                         "--event", "access", "--json")
        found, = [json.loads(line) for line in result.stdout.splitlines()]
        assert found["user"] == "user9"
    with database(copy.parent / "audit.db") as db:
        assert db.execute("SELECT patient FROM accesses WHERE user = 'user9'"
                          ).fetchall() == [("P3",)]


def test_the_tables_are_as_documented(sekisho, copy):
    """Every table, column and index of docs/audit-db.md, and no other."""
    sekisho("audit", "index", "--trail", copy)
    with open(os.path.join(TOP, "docs/audit-db.md"), encoding="utf-8") as file:
        text = file.read()
    told = sqlite3.connect(":memory:")
    told.executescript(text.split("```sql", 1)[1].split("```", 1)[0])

    def shape(db):
        names = {row for row in db.execute(
            "SELECT type, name, tbl_name FROM sqlite_schema "
            "WHERE sql IS NOT NULL AND type <> 'view'")}
        columns = {(table, *column[1:4]) for _, _, table in names
                   for column in db.execute(f"PRAGMA table_info({table})")}
        return names, columns

    with database(copy.parent / "audit.db") as db:
        assert shape(db) == shape(told)
        query = text.split("opened a patient's images:", 1)[1]
        query = query.split("```sql", 1)[1].split("```", 1)[0]
        rows = db.execute(query.replace("'12345'", "'P1'")).fetchall()
        assert len(rows) == 4
        plan = " ".join(row[3] for row in db.execute(
            "EXPLAIN QUERY PLAN " + query))
        assert "SCAN access" not in plan and "access_study" in plan


@pytest.mark.parametrize("damage", ["foreign", "garbage", "cut"])
def test_a_damaged_index_is_told_and_not_believed(sekisho, copy, damage):
    sekisho("audit", "index", "--trail", copy)
    path = copy.parent / "audit.db"
    before = sekisho("audit", "search", "--trail", copy, "--user", "user1")
    data = path.read_bytes()
    path.write_bytes({"foreign": b"These are somebody's words.\n",
                      "garbage": data[:100] + b"\xff" * (len(data) - 100),
                      "cut": data[:8192]}[damage])
    result = sekisho("audit", "search", "--trail", copy, "--user", "user1")
    assert result.returncode == 0 and result.stdout == before.stdout
    assert "the index is not used" in result.stderr
    again = sekisho("audit", "index", "--trail", copy)
    assert again.returncode == 0 and "made anew" in again.stderr
    assert os.path.exists(f"{path}.not-ours") == (damage == "foreign")
    result = sekisho("audit", "search", "--trail", copy, "--user", "user1")
    assert result.stdout == before.stdout
    assert "not used" not in result.stderr


def test_an_index_of_another_trail_is_not_used(sekisho, copy, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    with trail_daemon.running(other, "index off;") as daemon:
        for record in records():
            daemon.front().send(record)
    sekisho("audit", "index", "--trail", daemon.trail, "--index",
            copy.parent / "audit.db")
    result = sekisho("audit", "search", "--trail", copy, "--user", "user1")
    assert "not those that it holds" in result.stderr
    assert result.returncode == 0 and result.stdout


# ---- The daemon --------------------------------------------------------------------

def test_the_daemon_keeps_it_up_to_date_and_tells(sekisho, tmp_path):
    folder = tmp_path / "d"
    folder.mkdir()
    with trail_daemon.running(folder) as daemon:
        front = daemon.front()
        front.send(*records())
        wait_for(lambda: front.report()["index_size"] ==
                 front.report()["tree_size"], "the index")
        assert front.report()["index"] == str(folder / "audit.db")
        status = sekisho("audit", "status", "--config", daemon.config).stdout
        assert "audit.db, holds at tree size" in status
        busy = sekisho("audit", "index", "--config", daemon.config)
        assert busy.returncode == 0 and "by another process" in busy.stdout
        busy = sekisho("audit", "index", "--rebuild", "--config", daemon.config)
        assert busy.returncode == 2 and "stop sekishod" in busy.stderr
        result = sekisho("audit", "search", "--config", daemon.config,
                         "--patient", "P1", "--event", "access")
        assert len(result.stdout.splitlines()) == 4
    assert size_of(folder / "audit.db") is not None
    assert os.stat(folder / "audit.db").st_mode & 0o7777 == 0o640


def children(daemon):
    path = f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children"
    with open(path, encoding="ascii") as file:
        return [int(pid) for pid in file.read().split()]


def test_a_killed_indexer_is_started_again_and_nothing_is_lost(tmp_path):
    folder = tmp_path / "d"
    folder.mkdir()
    with trail_daemon.running(folder) as daemon:
        front = daemon.front()
        wait_for(lambda: size_of(folder / "audit.db"), "an index")
        child = children(daemon)
        assert len(child) == 1
        os.kill(child[0], signal.SIGKILL)
        front.send(*records())
        wait_for(lambda: children(daemon) not in ([], child), "another child")
        wait_for(lambda: front.report()["index_size"] ==
                 front.report()["tree_size"], "the index")
        assert front.report()["state"] == "running"
    assert "ended by signal 9" in daemon.messages()


def test_the_indexer_ends_with_its_daemon(tmp_path):
    folder = tmp_path / "d"
    folder.mkdir()
    daemon = trail_daemon.Daemon(folder).start()
    wait_for(lambda: children(daemon), "a child")
    child = children(daemon)[0]
    daemon.kill()

    def gone():
        try:
            with open(f"/proc/{child}/stat", encoding="ascii") as file:
                return file.read().rsplit(")", 1)[1].split()[0] == "Z"
        except FileNotFoundError:
            return True

    wait_for(gone, "the child's end")
    daemon.start()
    assert daemon.stop() == 0


def test_an_index_that_cannot_be_written_hurts_nobody(sekisho, tmp_path):
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "audit.db").mkdir()
    with trail_daemon.running(folder) as daemon:
        front = daemon.front()
        wait_for(lambda: front.report()["index_problem"], "the problem")
        front.send(*records())
        assert front.report()["index_state"] == "failed"
        assert front.report()["state"] == "running"
        result = sekisho("audit", "status", "--config", daemon.config)
        assert result.returncode == 0
        assert "not kept up to date" in result.stdout
        result = sekisho("audit", "search", "--config", daemon.config, "--user",
                         "user1", "--event", "access")
        assert result.returncode == 0 and len(result.stdout.splitlines()) == 5


def test_index_off_means_no_child_and_no_file(tmp_path):
    folder = tmp_path / "d"
    folder.mkdir()
    with trail_daemon.running(folder, "index off;") as daemon:
        assert daemon.front().report()["index"] == "off"
        assert children(daemon) == []
        daemon.configure(f"index {folder}/other.db;")
        daemon.reload()
        wait_for(lambda: size_of(folder / "other.db"), "the index")
    assert not os.path.exists(folder / "audit.db")


@pytest.mark.parametrize("value", ["audit.db", "on"])
def test_a_wrong_path_is_told(tmp_path, value):
    daemon = trail_daemon.Daemon(tmp_path)
    daemon.configure(f"index {value};")
    result = subprocess.run([daemon.program, "--config", daemon.config,
                             "--check-config"], capture_output=True, text=True,
                            check=False)
    assert result.returncode == 2 and "no absolute path" in result.stderr


# ---- lnav ---------------------------------------------------------------------------

@pytest.mark.skipif(shutil.which("lnav") is None, reason="lnav is not installed")
def test_lnav_knows_the_records(sekisho, copy, tmp_path):
    result = sekisho("audit", "search", "--trail", copy, "--json", raw=True)
    (tmp_path / "records.json").write_bytes(result.stdout)
    env = {**BASE_ENV, "HOME": str(tmp_path), "TERM": "dumb",
           "XDG_CONFIG_HOME": str(tmp_path / "config")}
    installed = subprocess.run(["lnav", "-i", FORMAT], env=env,
                               capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stderr
    shown = subprocess.run(
        ["lnav", "-n", "-c", ";SELECT event, user, study, log_level FROM "
         "sekisho_log WHERE address = '198.51.100.9' OR study = '1.2.0' "
         "ORDER BY log_line LIMIT 1", "-c", ":write-json-to -",
         tmp_path / "records.json"], env=env, capture_output=True, text=True,
        check=False, stdin=subprocess.DEVNULL)
    assert "error" not in shown.stderr, shown.stderr
    assert '"event": "access"' in shown.stdout, shown.stdout
    assert '"study": "1.2.0"' in shown.stdout
    plain = subprocess.run(["lnav", "-n", tmp_path / "records.json"], env=env,
                           capture_output=True, text=True, check=False,
                           stdin=subprocess.DEVNULL)
    assert "denied" in plain.stdout and '{"id"' not in plain.stdout
