"""Each request of a viewer and of Orthanc's explorer alone, before anything
else is known: what its answer tells is right, or nothing is told, and the
answer is the same byte for byte.  Then the explorer itself, in Chromium."""

import json
import re
import time

import pytest

import audit_place
import test_audit_protocol
from audit_place import wait_for
from browser import CHROMIUM, Browser
from test_audit_learn import JSON, HTTP, needs_orthanc, real, settled, whose
from test_audit_protocol import Daemon

pytestmark = needs_orthanc
__all__ = ["real"]   # a fixture

# of lib/trail/record.h, besides those that the protocol's tests look at
FIELDS = {17: "patient", 19: "series", 20: "instance"}

STUDY = "/dicom-web/studies/{m_study}"
SERIES = STUDY + "/series/{m_series}"
INSTANCE = SERIES + "/instances/{m_instance0}"
PNG = "image/png"
RAW = 'multipart/related; type="application/octet-stream"'
DICOM = 'multipart/related; type="application/dicom"'


def find(level, **more):
    return json.dumps({"Level": level, "Query": {"PatientID": "DEMO-0002"},
                       **more})


# What the trail is told: of the UID, of Orthanc's study, of Orthanc's patient.
UID, O_STUDY, O_PATIENT = "{m_study}", "{m_o_study}", "{m_o_patient}"
ALL = (UID, O_STUDY, O_PATIENT)
ORTHANC = (O_STUDY, O_PATIENT)

# method, path, Accept, body, what is learned
ALONE = [
    # a viewer
    ("GET", "/dicom-web/studies?StudyInstanceUID={m_study}", JSON, None, ALL),
    ("GET", "/dicom-web/studies?00100020={m_patient}", JSON, None, ALL),
    ("GET", "/dicom-web/studies?PatientName=DEMO*&limit=1&includefield=all",
     JSON, None, None),
    ("GET", STUDY + "/series", JSON, None, ALL),
    ("GET", "/dicom-web/series?SeriesInstanceUID={m_series}", JSON, None, ALL),
    ("GET", STUDY + "/instances", JSON, None, ALL),
    ("GET", SERIES + "/instances", JSON, None, ALL),
    ("GET", "/dicom-web/instances?SOPInstanceUID={m_instance0}", JSON, None,
     ALL),
    ("GET", STUDY + "/metadata", JSON, None, ALL),
    ("GET", SERIES + "/metadata", JSON, None, ALL),
    ("GET", INSTANCE + "/metadata", JSON, None, ALL),
    ("GET", INSTANCE + "/frames/1", RAW, None, ()),
    ("GET", INSTANCE + "/rendered", PNG, None, ()),
    ("GET", SERIES + "/rendered", PNG, None, ()),
    ("GET", STUDY + "/rendered", PNG, None, ()),
    ("GET", INSTANCE, DICOM, None, ()),
    ("GET", "/wado?requestType=WADO&studyUID={m_study}&seriesUID={m_series}"
     "&objectUID={m_instance0}&contentType=image/png", None, None, ()),
    ("GET", "/wado?requestType=WADO&studyUID={m_study}&seriesUID={m_series}"
     "&objectUID={m_instance0}&contentType=application/dicom", None, None, ()),
    # scripts
    ("POST", "/tools/find", None, find("Patient", Expand=True), ORTHANC),
    ("POST", "/tools/find", None, find("Study", Expand=True), ALL),
    ("POST", "/tools/find", None, find("Series", Expand=True), ()),
    ("POST", "/tools/find", None, find("Instance", Expand=True), ()),
    ("POST", "/tools/find", None, find("Study", Expand=True, Full=True,
                                       RequestedTags=["PatientID"]), ALL),
    ("POST", "/tools/find", None, find("Study"), ()),
    ("POST", "/tools/lookup", None, "{m_study}", ()),
    ("POST", "/tools/bulk-content", None, json.dumps(
        {"Resources": ["{m_o_study}"]}), ALL),
    ("POST", "/tools/bulk-content", None, json.dumps(
        {"Resources": ["{m_o_patient}", "{m_o_series}", "{m_o_instance0}"],
         "Short": True}), ORTHANC),
    # Orthanc
    *(("GET", path, None, None, ()) for path in (
        "/system", "/statistics", "/changes", "/exports", "/patients",
        "/studies", "/series", "/instances")),
    *(("GET", path, None, None, None) for path in (
        "/patients?expand", "/studies?expand", "/series?expand",
        "/instances?expand&since=0&limit=5")),
    ("GET", "/patients/{m_o_patient}", None, None, ORTHANC),
    ("GET", "/patients/{m_o_patient}?full", None, None, ORTHANC),
    ("GET", "/patients/{m_o_patient}/studies", None, None, ALL),
    ("GET", "/patients/{m_o_patient}/series", None, None, ()),
    ("GET", "/patients/{m_o_patient}/instances", None, None, ()),
    ("GET", "/patients/{m_o_patient}/instances-tags", None, None, ALL),
    ("GET", "/patients/{m_o_patient}/shared-tags", None, None, ALL),
    ("GET", "/patients/{m_o_patient}/module", None, None, ()),
    ("GET", "/studies/{m_o_study}", None, None, ALL),
    ("GET", "/studies/{m_o_study}?full", None, None, ALL),
    ("GET", "/studies/{m_o_study}?short", None, None, ALL),
    ("GET", "/studies/{m_o_study}?requestedTags=Modality", None, None, ALL),
    ("GET", "/studies/{m_o_study}/series", None, None, ()),
    ("GET", "/studies/{m_o_study}/series?full", None, None, ()),
    ("GET", "/studies/{m_o_study}/instances", None, None, ()),
    ("GET", "/studies/{m_o_study}/patient", None, None, ORTHANC),
    ("GET", "/studies/{m_o_study}/module", None, None, ()),
    ("GET", "/studies/{m_o_study}/module-patient", None, None, ()),
    ("GET", "/studies/{m_o_study}/shared-tags", None, None, ALL),
    ("GET", "/studies/{m_o_study}/instances-tags", None, None, ALL),
    ("GET", "/studies/{m_o_study}/instances-tags?simplify", None, None, ALL),
    ("GET", "/studies/{m_o_study}/metadata?expand", None, None, ()),
    ("GET", "/series/{m_o_series}", None, None, ()),
    ("GET", "/series/{m_o_series}/study", None, None, ALL),
    ("GET", "/series/{m_o_series}/patient", None, None, ORTHANC),
    ("GET", "/series/{m_o_series}/instances", None, None, ()),
    ("GET", "/series/{m_o_series}/instances-tags?short", None, None, ALL),
    ("GET", "/series/{m_o_series}/shared-tags", None, None, ALL),
    ("GET", "/series/{m_o_series}/ordered-slices", None, None, ()),
    ("GET", "/instances/{m_o_instance0}", None, None, ()),
    ("GET", "/instances/{m_o_instance0}/tags", None, None, ALL),
    ("GET", "/instances/{m_o_instance0}/tags?short", None, None, ALL),
    ("GET", "/instances/{m_o_instance0}/tags?simplify", None, None, ALL),
    ("GET", "/instances/{m_o_instance0}/simplified-tags", None, None, ALL),
    ("GET", "/instances/{m_o_instance0}/study", None, None, ALL),
    ("GET", "/instances/{m_o_instance0}/patient", None, None, ORTHANC),
    ("GET", "/instances/{m_o_instance0}/header", None, None, ()),
    ("GET", "/instances/{m_o_instance0}/metadata?expand", None, None, ()),
    ("GET", "/instances/{m_o_instance0}/content", None, None, ()),
    ("GET", "/instances/{m_o_instance0}/content/0010-0020", None, None, ()),
    ("GET", "/instances/{m_o_instance0}/frames", None, None, ()),
    ("GET", "/instances/{m_o_instance0}/preview", None, None, ()),
    ("GET", "/instances/{m_o_instance0}/file", None, None, ()),
]

PLACES = """
location / {{ proxy_pass http://127.0.0.1:{port}; }}
location /bare/ {{ audit off; proxy_pass http://127.0.0.1:{port}/; }}
"""


@pytest.fixture
def fresh(real, tmp_path, nginx_at, monkeypatch):
    """Before Orthanc; knows nothing, and says all it learns at once."""
    monkeypatch.setattr(test_audit_protocol, "FIELDS", {
        **test_audit_protocol.FIELDS, **FIELDS})
    daemon = Daemon(tmp_path / "d.sock")
    (tmp_path / "html").mkdir()
    nginx = nginx_at(tmp_path, audit_place.FORMAT + HTTP.format(
        socket=daemon.path, zone="audit:1m", idle="15m", prefix=tmp_path,
        pacs=f"http://127.0.0.1:{real.pacs.port}", more="",
        places=PLACES.format(port=real.pacs.port)),
        main="worker_processes 1;")
    nginx.daemon = daemon
    assert wait_for(lambda: daemon.records(event="recording-on"))
    yield nginx
    nginx.stop()
    daemon.stop()


def filled(text, words):
    for name, value in words.items():
        text = text.replace("{%s}" % name, value)
    return text


def whole(answer):
    """All of it, but for what no two answers have in common."""
    kind = answer.headers.get("Content-Type") or ""
    data = answer.data
    boundary = re.search('boundary="?([^";]+)', kind)
    if boundary:
        data = data.replace(boundary[1].encode(), b"BOUNDARY")
        kind = kind.replace(boundary[1], "BOUNDARY")
    rest = sorted((name, value) for name, value in answer.headers.items()
                  if name not in ("Date", "Content-Type"))
    return answer.status, kind, rest, data


@pytest.mark.parametrize("method,path,accept,body,expected", ALONE, ids=[
    f"{method} {path}" for method, path, *_ in ALONE])
def test_each_request_alone(real, fresh, method, path, accept, body, expected):
    words, daemon = real.words, fresh.daemon
    path = filled(path, words)
    if body is not None:
        body = filled(body, words)
    headers = {"Accept-Encoding": "identity"}
    if accept:
        headers["Accept"] = accept
    options = {"method": method, "body": body, "headers": headers}
    answer = fresh.request(path, **options)
    bare = fresh.request("/bare" + path, **options)
    assert answer.status in (200, 404), answer.data[:300]
    if not path.startswith("/statistics"):
        assert whole(answer) == whole(bare)

    def told():
        return {record["study"]: record["patient"]
                for _, record in daemon.records(event="patient-learned")
                if "patient" in record}

    if expected:
        assert wait_for(lambda: len(told()) >= len(expected)), told()
    # what came with the answer is there before the next one is asked for
    fresh.request("/status")
    time.sleep(0.05)
    right = {words[short + name]: words[short + "_patient"] for short in "cmo"
             for name in ("_study", "_o_study", "_o_patient")}
    assert told().items() <= right.items()
    if expected is not None:
        assert set(told()) == {filled(name, words) for name in expected}
    # what belongs to what is never another study's
    for _, record in daemon.records(event="patient-learned"):
        if "series" in record and "study" in record:
            assert {record["series"]: record["study"]}.items() <= {
                words[s + "_o_series"]: words[s + "_o_study"]
                for s in "cmo"}.items()


@pytest.mark.skipif(CHROMIUM is None, reason="needs the Debian package "
                    "chromium")
def test_the_explorer_in_chromium_is_known_by_patient(real):
    """Its pages one after the other, as somebody who looks for an image."""
    port, words = real.nginx.ports["main"], real.words
    address = f"http://127.0.0.1:{port}/app/explorer.html"
    blank = real.folder / "blank.html"
    blank.write_text("<title>blank</title>")
    asked = []
    with Browser() as browser:
        page = browser.open(blank)
        for hash_, last in (
                ("", "/system"),
                ("#find-patients", "/patients?expand"),
                ("#find-studies", "/studies?expand"),
                ("#patient?uuid={m_o_patient}",
                 "/patients/{m_o_patient}/studies"),
                ("#study?uuid={m_o_study}", "/studies/{m_o_study}/series"),
                ("#series?uuid={m_o_series}",
                 "/series/{m_o_series}/instances"),
                ("#instance?uuid={m_o_instance0}",
                 "/instances/{m_o_instance0}/tags")):
            before = len(page.requests)
            page.send("Page.navigate", url="about:blank")
            page.send("Page.navigate", url=address + filled(hash_, words))
            last = filled(last, words)

            def seen():
                page.run("1")   # reads what has come
                return any(last in url for url in page.requests[before:])

            assert wait_for(seen, 30, 0.1), page.requests[before:]
        page.run("jQuery.get('../instances/%s/preview?returnUnsupportedImage')"
                 ".status" % words["m_o_instance0"])
        asked = [url.partition(str(port))[2] for url in page.requests]
    # it is the explorer that this test has its requests from
    for expected in ("/patients?expand&since=0&limit=", "/studies?expand&since",
                     "/patients/{m_o_patient}?full",
                     "/studies/{m_o_study}?full", "/series/{m_o_series}?full",
                     "/instances/{m_o_instance0}?full",
                     "/instances/{m_o_instance0}/metadata?expand"):
        assert [url for url in asked if url.startswith(
            filled(expected, words))], (expected, asked)
    settled(real)
    names = [words["m" + name] for name in (
        "_o_study", "_o_series", "_o_patient", "_o_instance0")]
    found = [(record, patient) for record, patient in whose(real)
             if any(name in record["uri"] for name in names)]
    assert found
    for record, patient in found:
        assert patient == words["m_patient"], record
