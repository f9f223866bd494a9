"""Requests that nginx itself denies, and whose error page is where audit is
off: they are recorded as what they were."""

import base64

import pytest

import audit_place

PLACES = """
location /deny/ { deny all; error_page 403 /off/page.html; root html; }
location /deny-as-200/ { deny all; error_page 403 =200 /off/page.html; }
location /named/ { deny all; error_page 403 = @off; root html; }
location @off { audit off; return 200 "named"; }
location /basic/ { auth_basic "x"; auth_basic_user_file users;
                   error_page 401 /off/page.html; root html; }
location /found/ { error_page 404 /off/page.html; root html; }
location /off/ { audit off; root html; }
location /off-too/ { audit off; deny all; error_page 403 /off/page.html; }
"""


@pytest.fixture(scope="module")
def place(folder, nginx_at, upstream):
    (folder / "html/off").mkdir(parents=True)
    (folder / "html/off/page.html").write_text("the page")
    (folder / "users").write_text("yamada:{PLAIN}secret\n")
    found = audit_place.Place(folder, nginx_at, upstream, places=PLACES)
    yield found
    found.close()


def basic(password):
    return {"Authorization": "Basic " + base64.b64encode(
        f"yamada:{password}".encode()).decode()}


@pytest.mark.parametrize("path, status, source, event, reason, headers", [
    ("/deny/x", 403, "127.0.30.1", "denied", "forbidden", {}),
    ("/basic/x", 401, "127.0.30.2", "denied", "unauthorized", basic("no")),
    ("/basic/x", 401, "127.0.30.3", "unrecorded", "not-held", {}),
    # nginx forgets what it was: it is recorded as it was answered
    ("/deny-as-200/x", 200, "127.0.30.4", "unrecorded", "not-held", {}),
    ("/named/x", 200, "127.0.30.5", "unrecorded", "not-held", {}),
])
def test_denial_whose_page_is_where_audit_is_off_is_recorded(
        place, path, status, source, event, reason, headers):
    answer = place.get(path, source=source, headers=headers)
    assert answer.status == status
    record, = place.daemon.wait(event, address=source)
    assert (record["reason"], record["status"], record["uri"]) == (
        reason, status, path)


def test_held_request_with_such_a_page_is_recorded_once(place):
    source = "127.0.30.6"
    assert place.get("/found/x", source=source).status == 404
    place.daemon.wait("access", address=source)
    assert len(place.daemon.records(None, address=source)) == 1


def test_where_audit_is_off_altogether_nothing_is_recorded(place):
    source = "127.0.30.7"
    assert place.get("/off-too/x", source=source).status == 403
    assert place.get("/off/page.html", source=source).status == 200
    place.get("/deny/x", source="127.0.30.8")
    place.daemon.wait("denied", address="127.0.30.8")
    assert not place.daemon.records(None, address=source)
