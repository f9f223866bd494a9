"""A real Orthanc behind the gate: what a viewer needs works under `query
view`, and no way that Orthanc has to take DICOM away does."""

import concurrent.futures
import http.client
import json
import os
import shutil
import sys

import pytest

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TESTS, "demo"), os.path.join(TESTS, "data")]
import make_dicom  # noqa: E402
import stage       # noqa: E402

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
LACKING = [package for program, package in (
    ("Orthanc", "orthanc"), ("dump2dcm", "dcmtk"))
    if not shutil.which(program, path=PATH)]
if not os.path.exists(stage.PLUGIN):
    LACKING.append("orthanc-dicomweb")
pytestmark = pytest.mark.skipif(
    bool(LACKING), reason="needs the Debian packages " + " ".join(LACKING))

VIEWER, SENDER, TAKER = "127.0.11.1", "127.0.11.2", "127.0.11.3"
POLICY = """
facility viewer { network 127.0.11.1; device none; actions query view; }
facility sender { network 127.0.11.2; device none; actions query view store; }
facility taker  { network 127.0.11.3; device none;
                  actions query view download; }
"""
NGINX = stage.gate_config(
    "'$request $status $facility $facility_reason $facility_action'", """
    facility_policy @DIR@/policy.img;
    facility_transport plain;
    server {
        listen 127.0.0.1:@PORT@;
        client_max_body_size 64m;
        location / {
            facility_access on;
            facility_residue block;
            proxy_pass http://127.0.0.1:@ORTHANC@;
        }
    }
""")


class Pacs:
    """Orthanc with the made-up studies, and the gate before it."""

    def __init__(self, folder):
        self.folder = folder
        self.studies = make_dicom.make(os.path.join(folder, "dicom"))
        self.orthanc = stage.Orthanc(os.path.join(folder, "orthanc"))
        self.nginx = None
        try:
            self.orthanc.start()
            self.orthanc.store(self.studies)
            stage.apply_policy(folder, POLICY)
            self.nginx = stage.Nginx(folder, NGINX, {
                "ORTHANC": self.orthanc.port}, ("127.0.0.1",))
            self.nginx.start()
        except BaseException:
            self.close()
            raise

    def close(self):
        for part in (self.nginx, self.orthanc):
            if part:
                part.stop()

    def ask(self, address, method, path, accept=None, body=None, kind=None):
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.nginx.port, timeout=20,
            source_address=(address, 0))
        headers = {}
        if accept:
            headers["Accept"] = accept
        if kind:
            headers["Content-Type"] = kind
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return stage.Answer(answer.status, answer.reason, answer.headers,
                                answer.read())
        finally:
            connection.close()

    def ct(self):
        """Study, series (as make_dicom describes them) of the CT."""
        study = next(study for study in self.studies
                     if study["modality"] == "CT")
        return study, study["series"][0]


@pytest.fixture(scope="module")
def pacs():
    # Not below pytest's own folder, which www-data may not enter.
    folder = stage.scratch_folder("sekisho-orthanc.")
    made = None
    try:
        made = Pacs(folder)
        yield made
        errors = stage.read(made.nginx.error_log)
        assert "[alert]" not in errors and "[emerg]" not in errors, errors
    finally:
        if made:
            made.close()
        shutil.rmtree(folder, ignore_errors=True)


JSON = "application/dicom+json"


def test_viewer_opens_a_study(pacs):
    """The requests of a viewer, in its order (FACTS.md, "A real PACS")."""
    study, series = pacs.ct()
    base = "/dicom-web/studies/" + study["study"]

    found = pacs.ask(VIEWER, "GET", "/dicom-web/studies?limit=101&offset=0"
                     "&fuzzymatching=false&includefield=00081030%2C00080060"
                     "&StudyInstanceUID=" + study["study"], JSON)
    assert found.status == 200
    assert [one["0020000D"]["Value"] for one in found.json()] \
        == [[study["study"]]]

    listed = pacs.ask(VIEWER, "GET", base + "/series?includefield=0008103E",
                      JSON)
    assert [one["0020000E"]["Value"] for one in listed.json()] \
        == [[series["series"]]]

    others = pacs.ask(VIEWER, "GET", "/dicom-web/studies?00100020="
                      + study["patient"]["id"], JSON)
    assert len(others.json()) == 1

    metadata = pacs.ask(VIEWER, "GET", base + "/series/%s/metadata"
                        % series["series"], JSON)
    assert metadata.status == 200 and len(metadata.json()) == 20


def test_viewer_gets_twenty_frames_at_once(pacs):
    study, series = pacs.ct()
    paths = ["/dicom-web/studies/%s/series/%s/instances/%s/frames/1" % (
        study["study"], series["series"], instance["instance"])
        for instance in series["instances"]]
    accept = ("multipart/related; type=\"application/octet-stream\"; "
              "transfer-syntax=*")
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(
            lambda path: pacs.ask(VIEWER, "GET", path, accept), paths))
    assert [answer.status for answer in answers] == [200] * 20
    # 256 by 256 pixels of 16 bits, and the part's head.
    assert all(len(answer.body) > 131072 for answer in answers)
    assert len({answer.body[-131000:] for answer in answers}) > 10


@pytest.mark.parametrize("accept,start", [
    ("image/png", b"\x89PNG"), ("image/jpeg", b"\xff\xd8")])
def test_rendered_picture(pacs, accept, start):
    study, series = pacs.ct()
    answer = pacs.ask(
        VIEWER, "GET", "/dicom-web/studies/%s/series/%s/instances/%s/rendered"
        % (study["study"], series["series"],
           series["instances"][0]["instance"]), accept)
    assert answer.status == 200 and answer.body.startswith(start)


@pytest.mark.parametrize("path", [
    "/app/explorer.html", "/app/libs/jquery.min.js", "/system", "/patients",
    "/studies?expand", "/studies/{o_study}", "/studies/{o_study}/series",
    "/series/{o_series}", "/instances/{o_instance}/preview",
    "/instances/{o_instance}/simplified-tags"])
def test_explorer_works(pacs, path):
    """Orthanc's own pages, and what they ask for."""
    answer = pacs.ask(VIEWER, "GET", fill(pacs, path))
    assert answer.status == 200, (path, answer.body[:200])
    assert answer.body


def test_explorer_searches(pacs):
    answer = pacs.ask(VIEWER, "POST", "/tools/find", body=json.dumps({
        "Level": "Study", "Query": {"PatientID": "DEMO-*"}}))
    assert answer.status == 200 and len(answer.json()) == 3


def fill(pacs, path):
    study, series = pacs.ct()
    instance = series["instances"][0]
    return (path.replace("{o_study}", study["orthanc"])
            .replace("{o_series}", series["orthanc"])
            .replace("{o_instance}", instance["orthanc"])
            .replace("{study}", study["study"])
            .replace("{series}", series["series"])
            .replace("{instance}", instance["instance"]))


# method, path, Accept, body
DOWNLOADS = [
    ("GET", "/studies/{o_study}/archive", None, None),
    ("GET", "/studies/{o_study}/media", None, None),
    ("GET", "/series/{o_series}/archive", None, None),
    ("GET", "/series/{o_series}/media", None, None),
    ("GET", "/instances/{o_instance}/file", None, None),
    ("GET", "/instances/{o_instance}//file", None, None),
    ("GET", "/instances/{o_instance}/%66ile", None, None),
    ("GET", "/dicom-web/studies/{study}", None, None),
    ("GET", "/dicom-web/studies/{study}/", None, None),
    ("GET", "/dicom-web/studies/{study}", "application/zip", None),
    ("GET", "/dicom-web/studies/{study}/series/{series}",
     'multipart/related; type="application/dicom"', None),
    ("GET", "/dicom-web/studies/{study}/series/{series}/instances/{instance}",
     None, None),
    ("GET", "/dicom-web/studies/{study}/series/{series}/instances/{instance}",
     'multipart/related; type="application/dicom"; transfer-syntax=*', None),
    ("GET", "/dicom-web//studies/{study}/./series/{series}", None, None),
    ("GET", "/wado?requestType=WADO&studyUID={study}&seriesUID={series}"
     "&objectUID={instance}&contentType=application%2Fdicom", None, None),
    ("GET", "/wado?requestType=WADO&studyUID={study}&seriesUID={series}"
     "&objectUID={instance}&contentType=image/jpeg"
     "&contentType=application/dicom", None, None),
    ("POST", "/tools/create-archive", None, '["{o_study}"]'),
    ("POST", "/tools/create-media", None, '["{o_study}"]'),
    ("POST", "/studies/{o_study}/archive", None, "{}"),
]


@pytest.mark.parametrize("method,path,accept,body", DOWNLOADS, ids=[
    "%s %s%s" % (method, path, " " + accept if accept else "")
    for method, path, accept, _ in DOWNLOADS])
def test_download_is_refused_and_allowed(pacs, method, path, accept, body):
    """Refused under `query view`; it is a real download where allowed."""
    path = fill(pacs, path)
    body = fill(pacs, body) if body else None
    refused = pacs.ask(VIEWER, method, path, accept, body)
    assert refused.status == 403, refused.body[:200]
    assert b"DICM" not in refused.body and not refused.body.startswith(b"PK")

    taken = pacs.ask(TAKER, method, path, accept, body)
    assert taken.status != 403, taken.body[:300]


@pytest.mark.parametrize("path,accept", [
    ("/studies/{o_study}/archive", None),
    ("/instances/{o_instance}/file", None),
    ("/dicom-web/studies/{study}", None),
    ("/wado?requestType=WADO&studyUID={study}&seriesUID={series}"
     "&objectUID={instance}&contentType=application/dicom", None)])
def test_download_arrives_where_allowed(pacs, path, accept):
    answer = pacs.ask(TAKER, "GET", fill(pacs, path), accept)
    assert answer.status == 200
    assert b"DICM" in answer.body or answer.body.startswith(b"PK")


@pytest.mark.parametrize("method,path,body", [
    ("DELETE", "/studies/{o_study}", None),
    ("DELETE", "/instances/{o_instance}", None),
    ("POST", "/studies/{o_study}/modify", '{"Replace": {}}'),
    ("POST", "/modalities/elsewhere/store", '["{o_study}"]'),
    ("PUT", "/modalities/elsewhere", '["AET", "192.0.2.1", 104]'),
    ("POST", "/tools/execute-script", "print(1)"),
    ("POST", "/tools/shutdown", ""),
    ("POST", "/tools/reset", "")])
def test_nobody_deletes_or_administers(pacs, method, path, body):
    for address in (VIEWER, SENDER, TAKER):
        answer = pacs.ask(address, method, fill(pacs, path),
                          body=fill(pacs, body) if body else body)
        assert answer.status == 403, (address, answer.body[:200])
    # … and it is all still there.
    assert len(json.loads(pacs.orthanc.request("GET", "/studies"))) == 3


def stow(pacs):
    """A STOW-RS body with one instance of the MR study."""
    study = next(study for study in pacs.studies if study["modality"] == "MR")
    with open(study["series"][0]["instances"][0]["file"], "rb") as data:
        instance = data.read()
    body = (b"--part\r\nContent-Type: application/dicom\r\n\r\n" + instance
            + b"\r\n--part--\r\n")
    return body, 'multipart/related; type="application/dicom"; boundary=part'


def test_store_by_dicomweb_needs_store(pacs):
    body, kind = stow(pacs)
    refused = pacs.ask(VIEWER, "POST", "/dicom-web/studies", JSON, body, kind)
    assert refused.status == 403
    stored = pacs.ask(SENDER, "POST", "/dicom-web/studies", JSON, body, kind)
    assert stored.status == 200, stored.body[:300]
    # ReferencedSOPSequence: what was stored.
    assert len(stored.json()["00081199"]["Value"]) == 1


def test_upload_by_rest_needs_store(pacs):
    _, series = pacs.ct()
    with open(series["instances"][0]["file"], "rb") as data:
        body = data.read()
    assert pacs.ask(VIEWER, "POST", "/instances", body=body).status == 403
    assert pacs.ask(SENDER, "POST", "/instances", body=body).status == 200


def test_stranger_reaches_nothing(pacs):
    for path in ("/", "/app/explorer.html", "/system", "/dicom-web/studies",
                 "/wado", "/studies/{o_study}/archive"):
        answer = pacs.ask("127.0.11.9", "GET", fill(pacs, path))
        assert answer.status == 403, path
        assert b"rthanc" not in answer.body
