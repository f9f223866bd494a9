"""Nothing is left on the terminal: every status, from every source."""

import pytest

import gate_nginx

POLICY = """
timezone UTC;
facility viewer { network 127.0.10.1; }
facility full { network 127.0.10.2; actions query view download store; }
facility trial { network 127.0.10.4; mode dry-run; }
facility reader { network 127.0.10.5; users yamada; }
"""

HTTP = """
    facility_policy policy.img;
    facility_transport plain;
    proxy_http_version 1.1;
    server {
        listen 127.0.0.1:%%main%%;
        root html;
        etag on;
        facility_access on;

        location / { }
        location /headers/ {
            expires 1h;
            add_header Cache-Control "public";
            add_header Cache-Control "max-age=60" always;
            add_header Pragma "cache" always;
            add_header Referrer-Policy "unsafe-url" always;
            add_header ETag '"mine"' always;
            add_header Content-Disposition "attachment; filename=a" always;
        }
        location /basic/ { auth_basic x; auth_basic_user_file users; }
        location = /return-200 { return 200 "text"; }
        location = /return-301 { return 301 /; }
        location = /return-500 { return 500; }
        location /pacs/ { proxy_pass %%pacs%%; }
        location /gzip/ { alias html/; gzip on; gzip_min_length 1;
                          gzip_types *; }
        location /off/ { facility_residue off; alias html/; }
        location /off-pacs/ { facility_residue off; proxy_pass %%pacs%%; }
        location /dry/ { facility_access dry_run; alias html/; }
        location /dry-block/ { facility_access dry_run; facility_residue block;
                               alias html/; }
        location /open/ { facility_access off; alias html/; }
        location /open-block/ { facility_access off; facility_residue block;
                                proxy_pass %%pacs%%; }
        location /open-pacs/ { facility_access off; proxy_pass %%pacs%%; }
        location /error/ { error_page 404 /open/page.txt; }
        location /dry-pacs/ { facility_access dry_run; proxy_pass %%pacs%%; }
        location /sorry/ { error_page 403 /open/page.txt;
                           proxy_pass %%pacs%%; }
        location /close/ { facility_deny_status 444; proxy_pass %%pacs%%; }
        location /files/ { }
    }
"""

VIEWER, FULL, TRIAL, STRANGER = (f"127.0.10.{n}" for n in (1, 2, 4, 9))
LATER = {"If-Modified-Since": "Thu, 01 Jan 2037 00:00:00 GMT"}
ANY = {"If-None-Match": "*"}

UPSTREAM_HEADERS = [
    ("Cache-Control", "public"), ("cache-control", "max-age=9"),
    ("Pragma", "x"), ("Expires", "Thu, 01 Jan 2037 00:00:00 GMT"),
    ("ETag", '"v1"'), ("Last-Modified", "Thu, 01 Jan 2015 00:00:00 GMT"),
    ("Referrer-Policy", "unsafe-url"), ("Content-Type", "text/plain")]


@pytest.fixture(scope="module")
def gate(nginx_at, upstream, folder):
    html = folder / "html"
    (html / "headers").mkdir(parents=True)
    (html / "basic").mkdir()
    (html / "files").mkdir()
    (html / "page.txt").write_text("page\n" * 100)
    (html / "headers" / "page.txt").write_text("page\n")
    (html / "files" / "a.dcm").write_bytes(b"DICM" * 10)
    (html / "files" / "a.zip").write_bytes(b"PK" * 10)
    (folder / "users").write_text("yamada:{PLAIN}secret\n")
    gate_nginx.write_policy(folder / "policy.conf", POLICY,
                            folder / "policy.img")
    for status in (200, 201, 206, 301, 304, 401, 404, 410, 500, 503):
        upstream.answers[f"/pacs/{status}"] = (status, UPSTREAM_HEADERS, b"x")
    for place in ("pacs", "off-pacs", "open-block", "dry-pacs", "sorry",
                  "close", "open-pacs"):
        for name, value in DISPOSITIONS:
            upstream.answers[f"/{place}/{name}"] = (
                200, [("Content-Type", "text/plain"),
                      ("Content-Disposition", value)], b"x")
        for name, value in {**TAKEN_AWAY, **LOOKED_AT}.items():
            upstream.answers[f"/{place}/{name}"] = (
                200, [("Content-Type", value)], b"DICM")
    text = HTTP.replace("%%pacs%%", f"http://127.0.0.1:{upstream.port}")
    return nginx_at(folder, text)


DISPOSITIONS = [
    ("attachment", "attachment"), ("named", 'attachment; filename="a.dcm"'),
    ("upper", "ATTACHMENT;filename=a"), ("spaced", "attachment ; x=y"),
    ("unknown", "something; filename=a"), ("inline", "inline"),
    ("inline-named", "inline; filename=a.txt"), ("inlined", "inlined")]

TAKEN_AWAY = {
    "dicom": "application/dicom",
    "dicom-upper": "Application/DICOM",
    "dicom-syntax": "application/dicom; transfer-syntax=1.2.840.10008.1.2.1",
    "zip": "application/zip",
    "multipart": 'multipart/related; type="application/dicom"; boundary=x',
    "multipart-bare": "multipart/related;type=application/dicom",
    "multipart-last": "multipart/related; boundary=x; type=application/dicom",
    "multipart-upper": 'Multipart/Related; TYPE="Application/Dicom"',
    "multipart-both": "multipart/related; type=application/dicom+json; "
                      "x=application/dicom",
}

LOOKED_AT = {
    "json": "application/dicom+json", "xml": "application/dicom+xml",
    "multipart-json": 'multipart/related; type="application/dicom+json"',
    "multipart-frames": 'multipart/related; type="application/octet-stream"',
    "multipart-jpeg": 'multipart/related; type="image/jpeg"',
    "jpeg": "image/jpeg", "dicomlike": "application/dicomx",
    "zipped": "application/zipx", "multi": "multipart/form-data",
}


def assert_blocked(answer):
    assert answer.all("Cache-Control") == ["no-store"]
    assert answer.all("Referrer-Policy") == ["no-referrer"]
    for name in ("ETag", "Last-Modified", "Expires", "Pragma"):
        assert answer.all(name) == [], name


@pytest.mark.parametrize("path, source, headers, status", [
    ("/page.txt", VIEWER, {}, 200),
    ("/page.txt", VIEWER, {"Range": "bytes=0-3"}, 206),
    ("/page.txt", VIEWER, {"Range": "bytes=99999-"}, 416),
    ("/page.txt", VIEWER, LATER, 200), ("/page.txt", VIEWER, ANY, 200),
    ("/missing", VIEWER, {}, 404), ("/page.txt", STRANGER, {}, 403),
    ("/headers", VIEWER, {}, 301), ("/headers/page.txt", VIEWER, {}, 200),
    ("/headers/missing", VIEWER, {}, 404), ("/basic/x", VIEWER, {}, 401),
    ("/return-200", VIEWER, {}, 200), ("/return-301", VIEWER, {}, 301),
    ("/return-500", VIEWER, {}, 500), ("/gzip/page.txt", VIEWER,
                                       {"Accept-Encoding": "gzip"}, 200),
    ("/error/x", VIEWER, {}, 404), ("/dry-block/page.txt", VIEWER, {}, 200),
    ("/dry-block/page.txt", STRANGER, {}, 200),
    ("/open-block/x", STRANGER, {}, 200),
    *[(f"/pacs/{status}", VIEWER, {}, status)
      for status in (200, 201, 206, 301, 304, 401, 404, 410, 500, 503)],
])
def test_no_residue(gate, path, source, headers, status):
    answer = gate.request(path, source=source, headers=headers)
    assert answer.status == status
    assert_blocked(answer)


def test_no_residue_of_a_bad_request(gate):
    got = gate.raw(b"GET / HTTP/1.1\r\n\r\n").decode()
    assert "400" in got and "Cache-Control: no-store" in got


@pytest.mark.parametrize("path", ["/off/page.txt", "/dry/page.txt",
                                  "/open/page.txt"])
def test_residue_is_left_where_nobody_minds(gate, path):
    answer = gate.request(path)
    assert answer.headers["ETag"] and answer.headers["Last-Modified"]
    assert answer.headers["Cache-Control"] is None


def test_not_modified_where_nobody_minds(gate):
    etag = gate.request("/open/page.txt").headers["ETag"]
    answer = gate.request("/open/page.txt", headers={"If-None-Match": etag})
    assert answer.status == 304


def test_upstream_sees_no_conditions(gate, upstream):
    gate.request("/pacs/conditions", headers={
        "A": "1", **ANY, "B": "2", **LATER, "C": "3"})
    gate.request("/open-pacs/conditions", headers={**ANY, **LATER})
    headers = upstream.asked("/pacs/conditions")[-1][2]
    assert headers["If-None-Match"] is headers["If-Modified-Since"] is None
    assert (headers["A"], headers["B"], headers["C"]) == ("1", "2", "3")
    headers = upstream.asked("/open-pacs/conditions")[-1][2]
    assert headers["If-None-Match"] and headers["If-Modified-Since"]


@pytest.mark.parametrize("after", [0, 1, 15, 22])
@pytest.mark.parametrize("between", [0, 1, 19, 20])
@pytest.mark.parametrize("before", [0, 1, 14, 15, 16, 17, 18, 19, 20, 21, 38])
def test_conditions_are_found_wherever_they_stand(gate, upstream, before,
                                                  between, after):
    """The request's header lines are a list of arrays of twenty."""
    lines = ["GET /pacs/many HTTP/1.1", "Host: x", "Connection: close"]
    names = [f"X-{i}" for i in range(before + between + after)]
    lines += [f"{name}: {name}" for name in names]
    lines.insert(3 + before, "IF-none-match: *")
    lines.insert(3 + before + 1 + between, "if-modified-since: x")
    got = gate.raw("\r\n".join([*lines, "", ""]).encode())
    assert got.split()[1] == b"200"
    headers = upstream.asked("/pacs/many")[-1][2]
    assert headers["If-None-Match"] is headers["If-Modified-Since"] is None
    assert [name for name in headers if name.startswith("X-")] == names
    assert all(headers.get_all(name) == [name] for name in names)


# ---- Downloads ----

@pytest.mark.parametrize("name, value", DISPOSITIONS)
def test_attachments_need_the_download_action(gate, name, value):
    got = gate.request(f"/pacs/{name}").headers["Content-Disposition"]
    assert got == (value if name.startswith("inline") and name != "inlined"
                   else None)
    answer = gate.request(f"/pacs/{name}", source=FULL)
    assert answer.headers["Content-Disposition"] == value
    answer = gate.request(f"/off-pacs/{name}")
    assert answer.headers["Content-Disposition"] == value


def test_attachment_by_add_header(gate):
    answer = gate.request("/headers/page.txt")
    assert answer.headers["Content-Disposition"] is None
    answer = gate.request("/headers/page.txt", source=FULL)
    assert answer.headers["Content-Disposition"]


@pytest.mark.parametrize("name", TAKEN_AWAY)
def test_upstream_cannot_answer_a_view_with_a_download(gate, name):
    answer = gate.request(f"/pacs/{name}")
    assert answer.status == 403 and b"DICM" not in answer.data
    assert (answer.log["reason"], answer.log["action"]) == (
        "action-not-allowed", "download")
    assert gate.error_lines("facility: denied", "action: download",
                            answer.log["ticket"])
    assert_blocked(answer)


@pytest.mark.parametrize("name", LOOKED_AT)
def test_what_is_looked_at_passes(gate, name):
    answer = gate.request(f"/pacs/{name}")
    assert (answer.status, answer.data) == (200, b"DICM")


@pytest.mark.parametrize("name", TAKEN_AWAY)
def test_download_passes_where_it_is_allowed(gate, name):
    answer = gate.request(f"/pacs/{name}", source=FULL)
    assert (answer.status, answer.data) == (200, b"DICM")


@pytest.mark.parametrize("path", ["/files/a.dcm", "/files/a.zip"])
def test_static_files_are_downloads_by_their_type(gate, path):
    assert gate.request(path).status == 403
    assert gate.request(path, source=FULL).status == 200


@pytest.mark.parametrize("path, source", [
    ("/off-pacs/dicom", VIEWER), ("/pacs/multipart", VIEWER)])
def test_download_is_refused_also_where_residue_is_off(gate, path, source):
    assert gate.request(path, source=source).status == 403


def test_download_is_told_of_in_a_dry_run(gate):
    answer = gate.request("/dry-pacs/dicom")
    assert answer.status == 200
    assert (answer.log["verdict"], answer.log["reason"]) == (
        "deny_dry_run", "action-not-allowed")


def test_download_is_told_of_for_a_facility_in_dry_run(gate):
    answer = gate.request("/pacs/dicom", source=TRIAL)
    assert answer.status == 200
    assert (answer.log["reason"], answer.log["dry_run_reason"]) == (
        "dry-run", "action-not-allowed")


def test_download_passes_where_the_gate_is_off(gate):
    assert gate.request("/open-pacs/dicom", source=STRANGER).status == 200


def test_refused_download_with_an_error_page(gate):
    answer = gate.request("/sorry/dicom")
    assert answer.status == 403 and answer.text.startswith("page\n")
    assert_blocked(answer)


def test_refused_download_with_444(gate):
    data = b"GET /close/dicom HTTP/1.1\r\nHost: x\r\n\r\n"
    assert gate.raw(data) == b""


def test_refused_download_of_head(gate):
    answer = gate.request("/pacs/dicom", method="HEAD")
    assert answer.status == 403 and answer.data == b""
