"""audit_detail study: one opening before the first byte, one close, and what
is between them is only counted."""

import signal
import threading

import time

import pytest

import audit_place
from audit_place import OTHER, STUDY, frame, wait_for

PLACES = """
location /static/ { root html; }
location /header/ { audit_id_header on; proxy_pass %%pacs%%/dicom-web/; }
location /named/ {
    audit_user $arg_user; audit_patient $arg_patient; audit_study $arg_study;
    audit_purpose $arg_purpose;
    root html;
}
location /orthanc/ { proxy_pass %%pacs%%/; }
location /redirect/ {
    rewrite ^/redirect/first/(.*)$ /dicom-web/studies/$1/series last;
    error_page 404 = /dicom-web/studies/1.9.9/series;
    root html;
}
location /off/ { audit off; root html; }
"""


@pytest.fixture(scope="module")
def place(folder, nginx_at, upstream):
    (folder / "html").mkdir()
    for name in ("static", "named", "off", "redirect"):
        (folder / "html" / name).mkdir()
        (folder / "html" / name / "x.js").write_text("x" * 100)
    found = audit_place.Place(
        folder, nginx_at, upstream, idle="1s",
        places=PLACES.replace("%%pacs%%",
                              f"http://127.0.0.1:{upstream.port}"))
    yield found
    found.close()


def test_recording_on_is_told_once(place):
    record, = place.daemon.wait("recording-on")
    assert record["outcome"] == 0 and "places" in record["note"]


def test_opening_is_there_before_the_image(place):
    answer = place.get(frame(STUDY, 1), headers={"User-Agent": "reader/1"})
    assert answer.status == 200
    record, = place.daemon.wait("access", study=STUDY)
    assert record["id"] == place.logged(answer.case)["id"]
    assert {name: record.get(name) for name in (
        "outcome", "source", "service", "action", "series", "instance",
        "method", "uri", "agent", "address", "user")} == {
            "outcome": 0, "source": "nginx", "service": "web",
            "action": "view", "series": f"{STUDY}.1",
            "instance": f"{STUDY}.1.1", "method": "GET",
            "uri": frame(STUDY, 1), "agent": "reader/1",
            "address": "127.0.10.1", "user": None}


def test_views_are_counted_and_told_by_the_close(place):
    study = "1.2.3.77"
    place.pacs.answers[frame(study, 3)] = (404, [], b"no")
    connection = place.nginx.connect()
    size = 0
    for image in (1, 2, 2, 3, 4):
        answer = place.get(frame(study, image), connection=connection)
        size += len(answer.data)
    connection.close()
    opening, = place.daemon.wait("access", study=study)
    close, = place.daemon.wait("access-end", study=study)
    assert close["open"] == opening["id"]
    assert (close["requests"], close["instances"]) == (5, 4)
    assert close["statuses"] == "200:4 404:1"
    assert close["reason"] == "idle"
    assert close["bytes"] > size
    assert close["first"] <= close["last"] <= close["time"]
    assert (close["address"], close["action"]) == ("127.0.10.1", "view")


def test_accesses_in_turn_on_one_connection_are_kept_apart(place):
    """The worker remembers the last key of a connection: not too long."""
    studies = ["1.2.3.991", "1.2.3.992", "1.2.3.99"]
    connection = place.nginx.connect()
    for image in (1, 2, 3):
        for study in studies:
            for _ in range(image):
                place.get(frame(study, image), connection=connection)
    connection.close()
    openings = [place.daemon.wait("access", study=study) for study in studies]
    closes = [place.daemon.wait("access-end", study=study)
              for study in studies]
    assert [len(found) for found in openings + closes] == [1] * 6
    for opening, close in zip(openings, closes):
        assert close[0]["open"] == opening[0]["id"]
        assert (close[0]["requests"], close[0]["instances"]) == (6, 3)


def test_many_at_once_are_one_opening(place):
    study = "1.2.3.78"
    answers = []

    def one(image):
        answers.append(place.get(frame(study, image)).status)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 40
    place.daemon.wait("access", study=study)
    close, = place.daemon.wait("access-end", study=study)
    assert close["requests"] == 40
    # beyond 32 they are estimated
    assert 36 <= close["instances"] <= 44 and "estimated" in close["note"]


def test_address_study_and_action_make_another_access(place):
    study = "1.2.3.79"
    place.get(frame(study))
    place.get(frame(study), source="127.0.10.2")
    place.get(f"/dicom-web/studies/{study}",
              headers={"Accept": 'multipart/related; type="application/dicom"'})
    place.get(frame(study + ".2"))
    assert {(r["address"], r["action"], r["study"]) for r in
            place.daemon.wait("access", 2, study=study, action="view")
            + place.daemon.wait("access", 1, study=study, action="download")
            + place.daemon.wait("access", 1, study=study + ".2")} == {
                ("127.0.10.1", "view", study), ("127.0.10.2", "view", study),
                ("127.0.10.1", "download", study),
                ("127.0.10.1", "view", study + ".2")}


def test_after_the_close_it_is_a_new_access(place):
    study = "1.2.3.80"
    place.get(frame(study))
    place.daemon.wait("access-end", study=study)
    place.get(frame(study))
    openings = place.daemon.wait("access", 2, study=study)
    closes = place.daemon.wait("access-end", 2, study=study)
    assert [r["id"] for r in openings] == [r["open"] for r in closes]


def test_searches_are_told_apart_by_their_terms(place):
    path = "/dicom-web/studies"
    for terms in ("PatientName=DEMO*", "PatientName=YAMADA*",
                  "PatientName=DEMO*"):
        assert place.get(f"{path}?{terms}").status == 200
    records = place.daemon.wait("access", 2, action="query")
    assert [r["query"] for r in records] == ["PatientName=DEMO*",
                                             "PatientName=YAMADA*"]


def test_search_by_post_is_a_record_each(place):
    for _ in range(2):
        place.get("/orthanc/tools/find", method="POST", body=b"{}")
    place.daemon.wait("request", 2, action="query")
    place.daemon.wait("request-end", 2, action="query")


def test_files_without_identifiers_are_one_access(place):
    for name in ("x.js", "y.js", "z.js"):
        place.get(f"/static/{name}", source="127.0.10.5")
    record, = place.daemon.wait("access", address="127.0.10.5")
    assert "study" not in record and record["action"] == "view"
    close, = place.daemon.wait("access-end", address="127.0.10.5")
    assert close["statuses"] == "200:1 404:2"


def test_instance_without_a_study_is_an_access_of_its_own(place):
    for digit in "ab":
        name = "-".join([digit * 8] * 5)
        place.get(f"/orthanc/instances/{name}/preview", source="127.0.10.6")
    records = place.daemon.wait("access", 2, address="127.0.10.6")
    assert {r["instance"][0] for r in records} == {"a", "b"}


def test_values_of_the_configuration(place):
    place.get("/named/x.js?user=yamada&patient=P1&study=9.9&purpose=second%20"
              "reading", source="127.0.10.7")
    record, = place.daemon.wait("access", address="127.0.10.7")
    assert (record["user"], record["patient"], record["study"],
            record["purpose"]) == ("yamada", "P1", "9.9", "second%20reading")
    close, = place.daemon.wait("access-end", address="127.0.10.7")
    assert (close["user"], close["patient"], close["study"],
            close["purpose"]) == ("yamada", "P1", "9.9", "second%20reading")


def test_long_and_hostile_values_change_no_access_into_another(place):
    long = "x" * 3000
    for name in (long + "1", long + "2", "%0a%00%ff"):
        assert place.get(f"/named/x.js?study={name}",
                         source="127.0.10.8").status == 200
    records = place.daemon.wait("access", 3, address="127.0.10.8")
    assert len({r["study"] for r in records}) == 3
    closes = place.daemon.wait("access-end", 3, address="127.0.10.8")
    assert all("study" in r.get("cut", []) for r in closes
               if r["study"].startswith("x"))


def test_id_is_sent_upstream_and_cannot_be_forged(place):
    answer = place.get("/header/studies/1.2.3.81/series",
                       headers={"X-Request-Audit-Id": "forged"})
    assert answer.status == 200
    sent = [headers.get_all("X-Request-Audit-Id")
            for _, path, headers in place.pacs.requests
            if "1.2.3.81" in path]
    assert sent == [[place.logged(answer.case)["id"]]]
    assert len(sent[0][0]) == 32


def test_rewrite_is_recorded_as_what_it_became(place):
    place.get("/redirect/first/1.2.3.82")
    record, = place.daemon.wait("access", study="1.2.3.82")
    assert record["uri"] == "/redirect/first/1.2.3.82"


def test_another_study_after_a_redirect_is_another_opening(place):
    answer = place.get("/redirect/missing", source="127.0.10.9")
    assert answer.status == 200
    records = place.daemon.wait("access", 2, address="127.0.10.9")
    assert [r.get("study") for r in records] == [None, "1.9.9"]
    assert place.logged(answer.case)["id"] == records[1]["id"]
    closes = place.daemon.wait("access-end", 2, address="127.0.10.9")
    assert all(r["requests"] == 1 for r in closes)


def test_where_audit_is_off_nothing_is_recorded(place):
    place.get("/off/x.js", source="127.0.10.10")
    place.get(frame("1.2.3.83"), source="127.0.10.10")
    place.daemon.wait("access", study="1.2.3.83")
    assert len(place.daemon.records("access", address="127.0.10.10")) == 1


def test_reload_goes_on_with_the_zone(place):
    for turn in range(10):
        study = f"1.2.3.84.{turn}"
        first = time.monotonic()
        place.get(frame(study))
        place.nginx.reload()
        place.get(frame(study, 2))
        if time.monotonic() - first < 0.9:
            break  # else a slow machine has let the first one become idle
    place.daemon.wait("access", study=study)
    close, = place.daemon.wait("access-end", study=study)
    assert (close["requests"], close["instances"]) == (2, 2)


def test_size_of_the_zone_cannot_be_changed_by_a_reload(place):
    place.nginx.configure(place.text(zone="audit:2m"),
                          "worker_processes 1;")
    before = place.nginx.workers()
    audit_place.expect_trouble(place.nginx, "cannot be changed by a reload")
    place.nginx.signal(signal.SIGHUP)
    assert place.nginx.error_lines("[emerg]", '"audit"',
                                   "cannot be changed by a reload",
                                   "1048576 to 2097152", seconds=10)
    assert place.nginx.workers() == before
    place.nginx.configure(place.text(), "worker_processes 1;")
    assert place.get().status == 200


def test_switching_audit_by_a_reload_is_recorded(place):
    before = len(place.daemon.records("recording-on"))
    place.nginx.configure(
        place.text(places=place.fill["places"].replace("audit off; root",
                                                       "root")),
        "worker_processes 1;")
    place.nginx.reload()
    assert wait_for(lambda: len(place.daemon.records("recording-on"))
                    == before + 1, 5)
    assert place.get(frame(OTHER)).status == 200
