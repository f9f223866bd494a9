"""Each row of DICOM's audit messages (docs/record.md, "Audit messages"): a real
request, or act, leaves a record with the event, the codes and the objects of
that row."""

import json
import os
import re
import subprocess

import pytest

import audit_place
import gate_nginx
import trail_daemon
from audit_place import wait_for
from gate_nginx import ROOT, SEKISHO

STUDY = "1.2.840.10008.4711.{}"
PLACES = r"""
location /gate/ {{
    facility_policy policy.img; facility_transport plain; facility_access on;
    root html;
}}
location ~ ^/dicom-web/studies/1\.9\. {{
    audit_detail request; proxy_pass {pacs};
}}
location /said/ {{ return 200 "said"; }}
"""
POLICY = "facility clinic { network 127.0.10.0/24; actions view query; }\n"


@pytest.fixture(scope="module")
def place(folder, nginx_at, upstream):
    (folder / "html/gate").mkdir(parents=True)
    (folder / "html/gate/x").write_text("x")
    gate_nginx.write_policy(folder / "policy.conf", POLICY,
                            folder / "policy.img")
    found = audit_place.Place(
        folder, nginx_at, upstream, idle="1s",
        places=PLACES.format(pacs=f"http://127.0.0.1:{upstream.port}"))
    yield found
    found.close()


def sekisho(place, *arguments):
    return subprocess.run(
        [SEKISHO, *arguments, "--config", place.daemon.config],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)


def codes(place, record):
    """EventID and EventTypeCode, as `audit show` tells them."""
    done = sekisho(place, "audit", "show", record["id"])
    assert done.returncode == 0, done.stderr
    found = re.search(r"(?m)^DICOM event +(\d+)(?:\D+(\d+))?", done.stdout)
    assert found, done.stdout
    return int(found[1]), int(found[2] or 0)


# What is asked, the action, and the EventID of access and access-end.
ROWS = [
    ("view", "GET", "/dicom-web/studies/{}/series/1.2.3/instances/1.2.4/"
     "frames/1", 110103),
    ("download", "GET", "/dicom-web/studies/{}", 110106),
    ("store", "POST", "/dicom-web/studies/{}", 110104),
    ("delete", "DELETE", "/dicom-web/studies/{}", 110105),
]


@pytest.mark.parametrize("number,action,method,path,event",
                         [(i, *row) for i, row in enumerate(ROWS)],
                         ids=[row[0] for row in ROWS])
def test_what_is_done_to_a_study(place, number, action, method, path, event):
    study = STUDY.format(number)
    answer = place.get(path.format(study), method=method,
                       body=b"x" if method == "POST" else None)
    assert answer.status == 200
    # the record is on disk before the answer; sealed within a second
    opening, = place.daemon.wait("access", study=study)
    close, = place.daemon.wait("access-end", study=study)
    for record in (opening, close):
        assert record["action"] == action
        assert record["outcome"] == 0
        assert record["address"] == "127.0.10.1"
        assert codes(place, record) == (event, 0)
    assert close["open"] == opening["id"]


@pytest.mark.parametrize("number,action,method,path,event",
                         [(i, *row) for i, row in enumerate(ROWS)],
                         ids=[row[0] for row in ROWS])
def test_the_same_request_by_request(place, number, action, method, path,
                                     event):
    path = path.format(f"1.9.{number}")
    assert place.get(path, method=method,
                     body=b"x" if method == "POST" else None).status == 200
    before, = place.daemon.wait("request", study=f"1.9.{number}")
    after, = place.daemon.wait("request-end", open=before["id"])
    for record in (before, after):
        assert (record["action"], record["outcome"]) == (action, 0)
        assert codes(place, record) == (event, 0)


def test_query(place):
    terms = "PatientName=DEMO*&StudyDate=20261124"
    assert place.get("/dicom-web/studies?" + terms).status == 200
    opening, = place.daemon.wait("access", action="query")
    close, = place.daemon.wait("access-end", action="query")
    assert opening["query"] == terms and close["open"] == opening["id"]
    # a message of a query has its terms, whichever record it comes from
    assert close["query"] == terms and "cut" not in close
    assert "study" not in opening
    assert codes(place, opening) == codes(place, close) == (110112, 0)


def test_the_close_of_a_long_query_repeats_what_it_has_room_for(place):
    terms = "PatientName=" + ",".join(f"DEMO{i}*" for i in range(200))
    assert place.get("/dicom-web/studies?" + terms,
                     headers={"User-Agent": "long"}).status == 200
    opening, = place.daemon.wait("access", query=terms)
    close, = place.daemon.wait("access-end", open=opening["id"])
    assert "cut" not in opening
    assert close["cut"] == ["query"]
    assert terms.startswith(close["query"]) and len(close["query"]) > 200
    for name in ("user", "address", "action", "server"):
        assert close.get(name) == opening.get(name)


def test_query_for_one_patient_names_the_patient(place):
    assert place.get("/dicom-web/studies?PatientID=4711").status == 200
    record, = place.daemon.wait("access", query="PatientID=4711")
    assert record["patient"] == "4711"


def test_failed_answer_is_a_failed_outcome(place, upstream):
    study = STUDY.format(200)
    path = f"/dicom-web/studies/{study}/series/1.2.3/instances/1.2.4/frames/1"
    upstream.answers[path] = (404, [], b"")
    assert place.get(path).status == 404
    close, = place.daemon.wait("access-end", study=study)
    assert close["status"] == 404 and close["outcome"] == 4


def test_denied(place):
    assert place.get("/gate/x", source="127.0.20.1").status == 403
    record, = place.daemon.wait("denied", address="127.0.20.1")
    assert (record["outcome"], record["reason"]) == (8, "unknown-network")
    assert codes(place, record) == (110113, 0)


def test_answered_without_the_pacs(place):
    assert place.get("/said/x", source="127.0.20.2").text == "said"
    record, = place.daemon.wait("unrecorded", address="127.0.20.2")
    assert (record["outcome"], record["phase"]) == (0, "log")
    assert codes(place, record) == (110113, 0)


def test_program_start_and_stop(place):
    for event, kind in (("start", 110120), ("stop", 110121)):
        if event == "stop":
            place.daemon.stop()
            place.daemon.start()
            assert wait_for(place.is_up, 5)
        record = place.daemon.records(event)[0]
        assert (record["source"], record["outcome"]) == ("sekishod", 0)
        assert codes(place, record) == (110100, kind)


def test_recording_on_and_off(place):
    on = place.daemon.records("recording-on")
    assert len(on) == 1
    assert codes(place, on[0]) == (110113, 110134)
    place.nginx.configure(place.text().replace("audit on;", "audit off;"),
                          "worker_processes 1;")
    place.nginx.reload()
    off, = place.daemon.wait("recording-off")
    assert (off["source"], off["outcome"]) == ("nginx", 0)
    assert codes(place, off) == (110113, 110133)
    place.nginx.configure(place.text(), "worker_processes 1;")
    place.nginx.reload()
    place.daemon.wait("recording-on", 2)


def test_policy_changed(place):
    path = place.folder / "changed.conf"
    path.write_text("timezone UTC;\n" + POLICY.replace("query", "query store"))
    done = sekisho(place, "policy", "apply", path, "--image",
                   place.folder / "policy.img", "--note", "ticket 4711")
    assert done.returncode == 0, done.stderr
    record, = place.daemon.wait("policy-changed")
    assert (record["outcome"], record["note"]) == (0, "ticket 4711")
    assert record["policy"] != record["old"]
    assert codes(place, record) == (110113, 110129)
    # nginx decides by that version from now on, and says so

    def by_it():
        sources.append(f"127.0.10.{len(sources) + 1}")
        assert place.get("/gate/x", source=sources[-1]).status == 200
        return place.daemon.records("access", policy=record["policy"])
    sources = []
    assert wait_for(by_it, 8, 0.2)


def test_somebody_reads_the_trail(place):
    done = sekisho(place, "audit", "search", "--patient", "nobody")
    assert done.returncode == 1
    record = place.daemon.wait(
        "trail-read", query="audit search --patient nobody")[0]
    assert (record["source"], record["outcome"]) == ("sekisho", 0)
    assert record["user"]
    assert codes(place, record) == (110101, 0)


# ---- What no request brings about: a trail of its own -----------------------

@pytest.fixture
def daemon(tmp_path):
    with trail_daemon.running(tmp_path) as found:
        yield found


def event_codes(daemon, record):
    done = subprocess.run(
        [SEKISHO, "audit", "show", record["id"], "--config", daemon.config],
        stdout=subprocess.PIPE, text=True, check=True)
    found = re.search(r"(?m)^DICOM event +(\d+)(?:\D+(\d+))?", done.stdout)
    return int(found[1]), int(found[2] or 0)


def test_gap(daemon):
    front = daemon.front()
    front.send({"event": "access", "outcome": "0", "study": "1.2"})
    front.send({"event": "access", "outcome": "0", "study": "1.3"}, first=4)
    front.checkpoint()
    gap, = daemon.entries("gap")
    assert (gap["missing"], gap["from_number"]) == (2, 2)
    assert gap["outcome"] != 0
    assert event_codes(daemon, gap) == (110113, 0)


def test_served_without_a_record(daemon):
    """audit_fail allow: what nginx sends of it is in test_audit_hold.py."""
    front = daemon.front()
    front.send({"event": "lost", "outcome": "8", "lost": "3"})
    front.checkpoint()
    lost, = daemon.entries("lost")
    assert event_codes(daemon, lost) == (110113, 110134)


def test_key_changed(daemon):
    done = subprocess.run(
        [SEKISHO, "trail", "rotate", "--config", daemon.config],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False)
    assert done.returncode == 0, done.stdout
    daemon.front().checkpoint()
    record, = daemon.entries("key-changed")
    assert event_codes(daemon, record) == (110113, 110137)


def test_heartbeat_is_no_audit_message(daemon):
    daemon.front().checkpoint()
    beat = daemon.entries("heartbeat")[0]
    assert beat["clock"] in ("synchronised", "unsynchronised")
    done = subprocess.run(
        [SEKISHO, "audit", "show", beat["id"], "--config", daemon.config],
        stdout=subprocess.PIPE, text=True, check=True)
    assert "DICOM event" not in done.stdout


# ---- The page ----------------------------------------------------------------

def test_the_page_has_every_event_and_field_and_its_codes():
    """docs/record.md against lib/trail/record.c."""
    page = (ROOT / "docs/record.md").read_text(encoding="utf-8")
    source = (ROOT / "lib/trail/record.c").read_text(encoding="utf-8")
    rows = {}
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) > 2:
            for name in re.findall(r"`([a-z_-]+)`", cells[0]):
                rows[name] = line
    for name in re.findall(r'\[RECORD_\w+\] = \{"(\w+)"', source):
        assert name in rows, name
    events = re.findall(r'\[EVENT_\w+\] = \{"([a-z-]+)", (\d+), (\d+)', source)
    assert len(events) > 15
    for name, event, kind in events:
        if name == "none":
            continue
        assert name in rows, name
        for code in (event, kind):
            assert code == "0" or code in rows[name], (name, code)


def test_documented_json_is_what_records_have(daemon):
    daemon.front().checkpoint()
    for line in daemon.lines():
        record = json.loads(line)
        assert set(record) >= {"id", "time", "host", "source", "number",
                               "front", "event", "outcome"}
        assert os.linesep.encode() not in line
