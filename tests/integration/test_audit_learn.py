"""Whose study it is, learned from what the PACS answers; the answers stay as
they are."""

import gzip
import hashlib
import http.client
import json
import os
import shutil
import socket
import sys
import threading
import time

import pytest

import audit_place
from audit_place import wait_for

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TESTS, "demo"), os.path.join(TESTS, "data")]
import make_dicom  # noqa: E402
import stage       # noqa: E402

PLACES = """
location /names/ {
    audit_learn on; audit_learn_names on; proxy_pass %%pacs%%/dicom-web/;
}
location /off/ { audit_learn off; proxy_pass %%pacs%%/dicom-web/; }
location /bare/ { audit off; proxy_pass %%pacs%%/dicom-web/; }
location /small/ {
    proxy_buffer_size 4k; proxy_buffers 2 4k; proxy_busy_buffers_size 4k;
    proxy_pass %%pacs%%/dicom-web/;
}
location /zip/ {
    gzip on; gzip_types application/dicom+json; gzip_min_length 1;
    proxy_pass %%pacs%%/dicom-web/;
}
location /orthanc/ { proxy_pass %%pacs%%/; }
"""
HTTP = audit_place.HTTP.replace("audit on;", "audit on; audit_learn on;")


class Pacs:
    """Answers what it is told to, in pieces of any size."""

    def __init__(self):
        self.answers = {}   # path -> (headers, body, piece, chunked)
        self.asked = []     # (path, lower-case header names)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(client,),
                             daemon=True).start()

    def talk(self, client):
        with client, client.makefile("rb") as lines:
            first = lines.readline().decode().split()
            if len(first) < 2:
                return
            headers = http.client.parse_headers(lines)
            lines.read(int(headers.get("Content-Length") or 0))
            path = first[1].partition("?")[0]
            self.asked.append((path, [name.lower() for name in headers]))
            extra, body, piece, chunked = self.answers.get(
                path, ([], b"[]", 0, False))
            head = ["HTTP/1.1 200 OK", "Connection: close", *extra]
            if not any(line.startswith("Content-Type") for line in extra):
                head.append("Content-Type: application/dicom+json")
            head.append("Transfer-Encoding: chunked" if chunked
                        else f"Content-Length: {len(body)}")
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                client.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
                piece = piece or len(body) or 1
                for at in range(0, len(body), piece):
                    part = body[at:at + piece]
                    client.sendall(b"%x\r\n%s\r\n" % (len(part), part)
                                   if chunked else part)
                if chunked:
                    client.sendall(b"0\r\n\r\n")
            except OSError:
                pass  # the client had enough

    def say(self, path, body, *headers, piece=0, chunked=False):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.answers[path] = (list(headers), body, piece, chunked)
        return body

    def close(self):
        self.listener.close()


def dataset(study, patient, issuer=None, name=None, more=0):
    made = {"00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
            "00081115": {"vr": "SQ", "Value": [
                {"0020000D": {"vr": "UI", "Value": ["9.9.9"]},
                 "00100020": {"vr": "LO", "Value": ["SOMEBODY-ELSE"]}}]}}
    if name:
        made["00100010"] = {"vr": "PN", "Value": [{"Alphabetic": name}]}
    if patient:
        made["00100020"] = {"vr": "LO", "Value": [patient]}
    if issuer:
        made["00100021"] = {"vr": "LO", "Value": [issuer]}
    made["0020000D"] = {"vr": "UI", "Value": [study]}
    for number in range(more):
        made[f"0029{number:04X}"] = {"vr": "LO", "Value": ["x" * 50]}
    return made


def orthanc_id(*names):
    digits = hashlib.sha1("|".join(names).encode()).hexdigest()
    return "-".join(digits[at:at + 8] for at in range(0, 40, 8))


@pytest.fixture(scope="module")
def pacs():
    made = Pacs()
    yield made
    made.close()


@pytest.fixture(scope="module")
def place(folder, nginx_at, pacs):
    found = audit_place.Place(
        folder, nginx_at, pacs, http=HTTP,
        places=PLACES.replace("%%pacs%%", f"http://127.0.0.1:{pacs.port}"))
    yield found
    found.close()


def learned(place, count, **fields):
    return place.daemon.wait("patient-learned", count, **fields)


def settled(place):
    """All records that were handed over are on disk, and readable."""
    assert wait_for(
        lambda: place.status()["sekisho_records_waiting"] == 0, 5)
    time.sleep(1.5)


def test_a_search_tells_whose_studies_they_are(place, pacs):
    pacs.say("/dicom-web/studies", [
        dataset("1.1", "P1", "HOSP"), dataset("1.2", "P2")])
    assert place.get("/dicom-web/studies").status == 200
    record, = learned(place, 1, study="1.1")
    assert {name: record.get(name) for name in (
        "patient", "issuer", "name", "outcome", "source", "user")} == {
            "patient": "P1", "issuer": "HOSP", "name": None, "outcome": 0,
            "source": "nginx", "user": None}
    assert "issuer" not in learned(place, 1, study="1.2")[0]
    assert not place.daemon.records("patient-learned", study="9.9.9")


def test_orthancs_names_are_told_too(place):
    """… so that what is asked for by them is known as well."""
    for name in (orthanc_id("P1", "1.1"), orthanc_id("P1")):
        assert learned(place, 1, study=name)[0]["patient"] == "P1"


def test_each_is_told_once(place, pacs):
    before = place.status()["sekisho_learned_total"]
    for _ in range(3):
        assert place.get("/dicom-web/studies").status == 200
    assert place.status()["sekisho_learned_total"] == before
    # … until it changes
    pacs.say("/dicom-web/studies", [dataset("1.2", "P2-CORRECTED")])
    place.get("/dicom-web/studies?x=1")
    learned(place, 1, study="1.2", patient="P2-CORRECTED")


def test_names_are_kept_only_where_they_are_wanted(place, pacs):
    body = [dataset("1.5", "P5", name="YAMADA^HANAKO")]
    pacs.say("/dicom-web/studies", body)
    place.get("/dicom-web/studies?y=1")
    assert "name" not in learned(place, 1, study="1.5")[0]
    place.get("/names/studies")
    found = learned(place, 2, study="1.5")
    assert found[1]["name"] == "YAMADA^HANAKO"


def test_nothing_is_learned_where_it_is_off(place, pacs):
    pacs.say("/dicom-web/studies", [dataset("1.6", "P6")])
    before = place.status()["sekisho_learn_answers_total"]
    place.get("/off/studies")
    place.get("/bare/studies")
    assert place.status()["sekisho_learn_answers_total"] == before


def test_metadata_is_read_to_the_first_dataset(place, pacs):
    pacs.say("/dicom-web/studies/1.7/metadata",
             [dataset("1.7", "P7", more=50) for _ in range(20)])
    place.get("/dicom-web/studies/1.7/metadata")
    assert learned(place, 1, study="1.7")[0]["patient"] == "P7"


def test_what_lies_beneath_a_known_study_is_not_read_again(place, pacs):
    """… but searches are, which see a correction."""
    def read(path):
        before = place.status()["sekisho_learn_answers_total"]
        place.get(path)
        return place.status()["sekisho_learn_answers_total"] - before

    pacs.say("/dicom-web/studies", [dataset("1.9", "P9")])
    assert read("/dicom-web/studies/1.9/metadata") == 1   # and says nothing
    before = place.status()["sekisho_learned_total"]
    assert read("/dicom-web/studies?StudyInstanceUID=1.9") == 1
    # known once it is on disk
    assert wait_for(lambda: place.status()["sekisho_learned_total"]
                    == before + 3, 5)
    assert read("/dicom-web/studies/1.9/metadata") == 0
    assert read("/dicom-web/studies/1.9.1/metadata") == 1
    assert read("/names/studies/1.9/metadata") == 1   # its name is not known
    pacs.say("/dicom-web/studies", [dataset("1.9", "P9-CORRECTED")])
    assert read("/dicom-web/studies?StudyInstanceUID=1.9") == 1
    learned(place, 1, study="1.9", patient="P9-CORRECTED")


def fetch(place, path, headers=(), slow=False):
    """Everything that comes, but for the date."""
    with socket.create_connection(
            ("127.0.0.1", place.nginx.ports["main"])) as client:
        if slow:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        lines = [f"GET {path} HTTP/1.1", "Host: x", "Connection: close",
                 *headers]
        client.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        client.settimeout(30)
        if slow:
            time.sleep(1)
        got = b""
        while True:
            part = client.recv(65536)
            if not part:
                break
            got += part
    head, _, body = got.partition(b"\r\n\r\n")
    return sorted(line for line in head.split(b"\r\n")
                  if not line.startswith(b"Date:")), body


def body_of(got):
    """The chunks of a chunked answer, joined."""
    head, body = got
    if b"Transfer-Encoding: chunked" not in head:
        return body
    joined = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        joined, body = joined + body[:int(size, 16)], body[int(size, 16) + 2:]
    return joined


@pytest.mark.parametrize("chunked", (False, True), ids=("length", "chunked"))
@pytest.mark.parametrize("piece", (0, 1, 7, 4096))
def test_the_answer_is_the_same_byte_for_byte(place, pacs, chunked, piece):
    study = f"1.8.{piece}.{int(chunked)}"
    body = pacs.say("/dicom-web/studies/" + study + "/series",
                    [dataset(study, "é日😀", more=5)] * 2, piece=piece,
                    chunked=chunked)
    with_it = fetch(place, f"/dicom-web/studies/{study}/series")
    without = fetch(place, f"/bare/studies/{study}/series")
    assert with_it[0] == without[0]
    assert body_of(with_it) == body_of(without) == body
    if not chunked:
        assert with_it == without
    assert learned(place, 1, study=study)[0]["patient"] == "é日😀"


def test_large_answers_go_through_files(place, pacs):
    """The client is slow, nginx has 8 KB: the rest lies in a file."""
    body = pacs.say("/dicom-web/studies", [
        dataset(f"1.10.{number}", f"L{number}", more=400)
        for number in range(200)])
    assert len(body) > 6_000_000
    before = place.status()["sekisho_learn_unread_total"]
    got = fetch(place, "/small/studies", slow=True)
    assert body_of(got) == body
    place.nginx.expected.append(r"buffered to a temporary file")
    assert place.nginx.error_lines("buffered to a temporary file")
    learned(place, 1, study="1.10.199", patient="L199")
    settled(place)
    assert len([record for record in place.daemon.records("patient-learned")
                if record["study"].startswith("1.10.")]) == 200
    assert place.status()["sekisho_learn_unread_total"] == before


ENCODING = ("Accept-Encoding: gzip, deflate",)


def test_upstream_is_not_asked_to_compress_what_is_read(place, pacs):
    def asked(path, at="/dicom-web"):
        fetch(place, at + path, ENCODING)
        found = [names for one, names in pacs.asked
                 if one == "/dicom-web" + path]
        return "accept-encoding" in found[-1]

    assert not asked("/studies/1.11/series")
    assert not asked("/studies/1.11/metadata")
    assert asked("/studies/1.11/series", "/off")
    assert asked("/studies/1.11/series/1/instances/1/frames/1")
    assert asked("/studies/1.11/rendered")


def test_nginx_may_compress_it_all_the_same(place, pacs):
    body = pacs.say("/dicom-web/studies", [dataset("1.12", "P12", more=20)])
    head, _ = got = fetch(place, "/zip/studies", ENCODING)
    assert b"Content-Encoding: gzip" in head
    assert gzip.decompress(body_of(got)) == body
    learned(place, 1, study="1.12", patient="P12")


@pytest.mark.parametrize("body,headers", [
    (gzip.compress(b'[{"0020000D": {"Value": ["1.13"]}}]', mtime=0),
     ("Content-Encoding: gzip",)),
    (b'[{"0020000D": ', ("Content-Encoding: br",)),
    (b"<html>", ()), (b'{"a": ]', ())],
    ids=["gzip", "br", "html", "broken"])
def test_what_cannot_be_read_is_counted_and_passed_on(place, pacs, body,
                                                      headers):
    pacs.say("/dicom-web/studies", body, *headers)
    before = place.status()["sekisho_learn_unread_total"]
    assert body_of(fetch(place, "/dicom-web/studies")) == body
    assert place.status()["sekisho_learn_unread_total"] == before + 1


def test_other_content_is_not_looked_at(place, pacs):
    pacs.say("/dicom-web/studies", [dataset("1.14", "P14")],
             "Content-Type: text/html")
    before = place.status()["sekisho_learn_answers_total"]
    place.get("/dicom-web/studies")
    assert place.status()["sekisho_learn_answers_total"] == before


def test_a_store_tells_which_study_and_by_whom(place, pacs):
    url = "http://x/dicom-web/studies/1.15"
    pacs.say("/dicom-web/studies", {
        "00081190": {"vr": "UR", "Value": [url]},
        "00081199": {"vr": "SQ", "Value": [
            {"00081190": {"vr": "UR", "Value": [url + "/series/1"]}}]}})
    for _ in range(2):
        place.get("/dicom-web/studies", method="POST", body=b"x")
    record, = learned(place, 1, study="1.15")
    assert record["action"] == "store" and record["address"] == "127.0.10.1"
    assert "patient" not in record


STUDY_ID, SERIES_ID = orthanc_id("P16", "1.16"), orthanc_id("s")
INSTANCES = [orthanc_id("i", str(number)) for number in range(3)]


def test_an_instance_is_known_by_its_study_once_it_was_told(place, pacs):
    json_type = "Content-Type: application/json; charset=utf-8"
    preview = "/orthanc/instances/%s/preview"

    place.get(preview % INSTANCES[0])
    record, = place.daemon.wait("access", instance=INSTANCES[0])
    assert "study" not in record

    pacs.say("/series/" + SERIES_ID, {
        "ID": SERIES_ID, "Instances": INSTANCES, "ParentStudy": STUDY_ID,
        "Type": "Series"}, json_type)
    pacs.say("/studies/" + STUDY_ID, {
        "ID": STUDY_ID, "MainDicomTags": {"StudyInstanceUID": "1.16"},
        "PatientMainDicomTags": {"PatientID": "P16"}, "Series": [SERIES_ID],
        "ParentPatient": orthanc_id("P16"), "Type": "Study"}, json_type)
    place.get("/orthanc/series/" + SERIES_ID)
    place.get("/orthanc/studies/" + STUDY_ID)

    # what was opened before is told now, and only that
    record, = learned(place, 1, instance=INSTANCES[0])
    assert record["series"] == SERIES_ID
    record, = [one for one in learned(place, 2, series=SERIES_ID)
               if "instance" not in one]
    assert record["study"] == STUDY_ID
    # … and what is opened from now on is one access to that study
    opening, = place.daemon.wait("access", study=STUDY_ID)
    for instance in INSTANCES[1:]:
        answer = place.get(preview % instance)
        assert place.logged(answer.case)["id"] == opening["id"]
    for name in ("1.16", STUDY_ID, orthanc_id("P16")):
        learned(place, 1, study=name, patient="P16")


def test_without_the_daemon_it_waits_and_is_told_once(place, pacs):
    place.get("/dicom-web/studies/1.21/series")   # the access is open
    pacs.say("/dicom-web/studies/1.21/series", [dataset("1.21", "P21")])
    place.daemon.stop()
    assert wait_for(lambda: place.status()[
        'sekisho_daemon_connections{state="up"}'] == 0, 5)
    time.sleep(1.2)   # nobody hopes any more
    audit_place.expect_trouble(place.nginx, "sekishod")
    before = place.status()
    for _ in range(5):
        assert place.get("/dicom-web/studies/1.21/series").status == 200
    place.daemon.start()
    # nothing is asked for any more
    for name in ("1.21", orthanc_id("P21", "1.21"), orthanc_id("P21")):
        learned(place, 1, study=name, patient="P21")
    settled(place)
    learned(place, 1, study="1.21")
    after = place.status()
    assert after["sekisho_learned_total"] == before[
        "sekisho_learned_total"] + 3
    assert after["sekisho_learned_lost_total"] == before[
        "sekisho_learned_lost_total"]


# ---- A real PACS ------------------------------------------------------------

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
LACKING = [package for program, package in (
    ("Orthanc", "orthanc"), ("dump2dcm", "dcmtk"))
    if not shutil.which(program, path=PATH)]
if not os.path.exists(stage.PLUGIN):
    LACKING.append("orthanc-dicomweb")
needs_orthanc = pytest.mark.skipif(
    bool(LACKING), reason="needs the Debian packages " + " ".join(LACKING))

JSON = "application/dicom+json"
# method, path, Accept, body; whose: c(t), m(r), o(ther), None: a search
VIEWER = [
    ("GET", "/dicom-web/studies?limit=101&offset=0&fuzzymatching=false"
     "&includefield=00081030%2C00080060&StudyInstanceUID={c_study}", JSON),
    ("GET", "/dicom-web/studies/{c_study}/series?includefield=0008103E", JSON),
    ("GET", "/dicom-web/studies?00100020={c_patient}", JSON),
    ("GET", "/dicom-web/studies/{c_study}/series/{c_series}/metadata", JSON),
    *(("GET", "/dicom-web/studies/{c_study}/series/{c_series}/instances/"
       "{c_instance%d}/frames/1" % number, None) for number in range(4))]
EXPLORER = [
    ("GET", "/system", None), ("GET", "/patients?expand", None),
    ("GET", "/studies?expand&since=0&limit=100", None),
    ("GET", "/patients/{m_o_patient}", None),
    ("GET", "/patients/{m_o_patient}/studies", None),
    ("GET", "/studies/{m_o_study}", None),
    ("GET", "/studies/{m_o_study}/series", None),
    ("GET", "/series/{m_o_series}", None),
    ("GET", "/series/{m_o_series}/study", None),
    ("GET", "/series/{m_o_series}/instances", None),
    ("GET", "/instances/{m_o_instance0}", None),
    ("GET", "/instances/{m_o_instance0}/tags?simplify", None),
    ("GET", "/instances/{m_o_instance1}/tags", None),
    ("GET", "/instances/{m_o_instance2}/simplified-tags", None),
    ("GET", "/instances/{m_o_instance1}/preview", None),
    ("GET", "/studies/{m_o_study}/archive", None),
    # nothing was asked of this one but the list of all
    ("GET", "/studies/{o_o_study}/archive", None)]


@pytest.fixture(scope="module")
def real(tmp_path_factory, nginx_at):
    folder = tmp_path_factory.mktemp("real")
    studies = make_dicom.make(str(folder / "dicom"))
    orthanc = stage.Orthanc(str(folder / "orthanc"))
    try:
        orthanc.start()
        orthanc.store(studies)
        words = {}
        for short, kind in (("c", "CT"), ("m", "MR"), ("o", "OT")):
            study = next(one for one in studies if one["modality"] == kind)
            series = study["series"][0]
            patient = study["patient"]["id"]
            words.update({
                f"{short}_study": study["study"], f"{short}_patient": patient,
                f"{short}_series": series["series"],
                f"{short}_o_study": study["orthanc"],
                f"{short}_o_patient": orthanc_id(patient),
                f"{short}_o_series": series["orthanc"]})
            for number, one in enumerate(series["instances"][:4]):
                words[f"{short}_instance{number}"] = one["instance"]
                words[f"{short}_o_instance{number}"] = one["orthanc"]
        found = audit_place.Place(
            folder, nginx_at, orthanc, http=HTTP,
            places=f"""
            location / {{ proxy_pass http://127.0.0.1:{orthanc.port}; }}
            location /bare/ {{
                audit off; proxy_pass http://127.0.0.1:{orthanc.port}/;
            }}""")
        found.words = words
        yield found
        found.close()
    finally:
        orthanc.stop()


def ask(real, method, path, accept=None, body=None, encoding="gzip"):
    for name, value in real.words.items():
        path = path.replace("{%s}" % name, value)
    headers = {"Accept-Encoding": encoding, **({"Accept": accept}
                                               if accept else {})}
    answer = real.nginx.request(path, method=method, headers=headers,
                                body=body)
    assert answer.status == 200, (path, answer.data[:200])
    return answer


def whose(real):
    """Every record that names something, and whose that is."""
    known = {record["study"]: record["patient"]
             for record in real.daemon.records("patient-learned")
             if "study" in record and "patient" in record}
    for record in real.daemon.records("access"):
        name = record.get("study") or record.get("patient")
        if name or record.get("series") or record.get("instance"):
            yield record, known.get(name, record.get("patient"))


@needs_orthanc
def test_orthancs_answers_are_the_same(real):
    """Before anything else is known; `bare` has no audit."""
    for method, path, accept in VIEWER + EXPLORER:
        if path.endswith("/archive") or "{o_" in path:
            continue  # made at the time it is asked for
        answer = ask(real, method, path, accept, encoding="identity")
        bare = ask(real, method, "/bare" + path, accept, encoding="identity")

        def lines(one):
            return sorted((name, value) for name, value in one.headers.items()
                          if name not in ("Date", "Content-Type")
                          or "boundary" not in value and name != "Date")

        # a boundary of multipart/related is never the same twice
        if "multipart" in (answer.headers.get("Content-Type") or ""):
            assert len(answer.data) == len(bare.data), path
            continue
        assert lines(answer) == lines(bare), path
        assert answer.data == bare.data, path


@needs_orthanc
def test_a_viewers_requests_are_known_by_patient(real):
    for method, path, accept in VIEWER:
        ask(real, method, path, accept)
    settled(real)
    found = [(record, patient) for record, patient in whose(real)
             if record.get("study") == real.words["c_study"]]
    assert found
    assert {patient for _, patient in found} == {real.words["c_patient"]}


@needs_orthanc
def test_the_explorers_requests_are_known_by_patient(real):
    for method, path, accept in EXPLORER:
        ask(real, method, path, accept)
    ask(real, "POST", "/tools/find", body=json.dumps({
        "Level": "Study", "Expand": True, "Query": {"PatientID": "DEMO-*"}}))
    settled(real)
    asked = {"m": 0, "o": 0}
    for record, patient in whose(real):
        for short in asked:
            if any(real.words[short + name] in record["uri"] for name in (
                    "_o_study", "_o_series", "_o_patient", "_o_instance0",
                    "_o_instance1" if short == "m" else "_o_study")):
                assert patient == real.words[short + "_patient"], record
                asked[short] += 1
    # a patient, a study by view and by download
    assert asked["m"] >= 3 and asked["o"] >= 1, asked


@needs_orthanc
def test_nothing_of_orthanc_is_taken_for_anothers(real):
    settled(real)
    for record in real.daemon.records("patient-learned"):
        names = [short for short in "cmo" if record.get("study") in (
            real.words[short + "_study"], real.words[short + "_o_study"],
            real.words[short + "_o_patient"])]
        if "patient" in record:
            assert [real.words[short + "_patient"] for short in names] == [
                record["patient"]]


@needs_orthanc
def test_what_is_stored_is_known(real):
    path = os.path.join(str(real.folder), "dicom")
    with open(next(os.path.join(at, name) for at, _, names in os.walk(path)
                   for name in sorted(names) if name.endswith(".dcm")),
              "rb") as data:
        instance = data.read()
    body = (b"--part\r\nContent-Type: application/dicom\r\n\r\n" + instance
            + b"\r\n--part--\r\n")
    answer = real.nginx.request(
        "/dicom-web/studies", method="POST", body=body, headers={
            "Accept": JSON, "Content-Type": "multipart/related; "
            'type="application/dicom"; boundary=part'})
    assert answer.status == 200, answer.data[:300]
    record, = real.daemon.wait("patient-learned", action="store")
    assert record["study"] in real.words.values()
