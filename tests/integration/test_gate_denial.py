"""What a denied client gets to see, and what the administrator gets to read."""

import html.parser
import json
import re

import pytest

import gate_nginx

POLICY = """
timezone UTC;
facility aoba {
    name "Aoba Imaging Clinic";
    contact "IT <desk> & \\"reception\\", +81-3-0000-0000";
    network 127.0.10.1; valid 2020-01-01..2020-12-31;
}
facility silent { network 127.0.10.2; valid 2020-01-01..2020-12-31; }
facility open { network 127.0.10.3; }
"""

HTTP = """
    facility_policy policy.img;
    facility_transport plain;
    facility_access on;
    server {
        listen 127.0.0.1:%%main%%;
        root html;
        location / { }
        location /forbidden/ { deny all; }
        location /gone/ { facility_deny_status 410; }
        location /page/ { error_page 403 /sorry.html; }
        location /other-page/ { error_page 404 /sorry.html; }
        location /range/ { }
        location = /sorry.html { facility_access off; }
        location /headers/ {
            add_header Cache-Control "public, max-age=3600" always;
            expires 1h;
        }
    }
"""

KNOWN, SILENT, OPEN, STRANGER = (f"127.0.10.{n}" for n in (1, 2, 3, 9))
JAPANESE = "受付番号"


@pytest.fixture(scope="module")
def gate(nginx_at, folder):
    (folder / "html").mkdir()
    (folder / "html" / "sorry.html").write_text("sorry\n")
    gate_nginx.write_policy(folder / "policy.conf", POLICY,
                            folder / "policy.img")
    return nginx_at(folder, HTTP)


class Page(html.parser.HTMLParser):
    """Text by element; every element has to be closed."""

    VOID = {"meta"}

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.attributes = [], {}, {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.attributes.setdefault(tag, []).append(dict(attrs))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and data.strip():
            self.texts.setdefault(self.open[-1], []).append(data)


def test_page_is_html_with_the_ticket_of_the_log(gate):
    answer = gate.request("/x", source=STRANGER)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    page = Page(answer.text)
    assert page.texts["code"] == [answer.log["ticket"]]
    assert re.fullmatch("[0-9a-f]{32}", answer.log["ticket"])
    assert page.attributes["html"] == [{"lang": "en"}]
    assert page.texts["h1"] == page.texts["title"] == ["Entry is refused"]


def test_page_needs_nothing_from_elsewhere(gate):
    text = gate.request("/x", source=KNOWN).text
    assert not re.search(r"\b(src|href|url|import|script)\b", text)
    assert "color-scheme: light dark" in text
    assert 'name="viewport"' in text


def test_known_facility_is_told_whom_to_call(gate):
    answer = gate.request("/x", source=KNOWN)
    page = Page(answer.text)
    assert 'IT <desk> & "reception", +81-3-0000-0000' in "".join(
        page.texts["dd"])
    assert "<desk>" not in answer.text


def test_facility_without_contact_gets_no_empty_line(gate):
    assert gate.request("/x", source=SILENT).text.count("<dt>") == 1


@pytest.mark.parametrize("source", [KNOWN, STRANGER])
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_page_tells_no_names_reasons_or_versions(gate, source, accept):
    answer = gate.request("/x", source=source, headers={"Accept": accept})
    told = answer.text.lower() + str(answer.headers).lower()
    for word in ("aoba", "sekisho", "not-valid", "unknown-network", "facility",
                 answer.log["version"]):
        assert word not in told


def test_stranger_is_told_of_nobody(gate):
    for accept in ("text/html", "application/json"):
        answer = gate.request("/x", source=STRANGER, headers={"Accept": accept})
        assert "+81" not in answer.text and "contact" not in answer.text


@pytest.mark.parametrize("accept, json_wanted", [
    (None, False), ("*/*", False), ("text/html", False),
    ("application/json", True), ("application/dicom+json", True),
    ("APPLICATION/DICOM+JSON", True),
    ("application/json, text/html", False),
    ("text/html;q=0.5, application/json", True),
    ("application/json;q=0.4, text/html;q=0.5", False),
    ("application/json ; q=0.9 , text/html ; q=0.8", True),
    ("application/json;q=0", False), ("application/json;q=x", False),
    ("application/json;q=", False), ("application/json;q=2", False),
    ('multipart/related; type="application/json"', False),
    ('text/x;a=",application/json"', False),
    ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
    (",;,;q=1,,application/json,", True),
    ("application/json;version=1;q=0.001", True), ("", False), (";", False),
    ('"', False), ('application/json;x="\\', True),
])
def test_json_where_it_is_preferred(gate, accept, json_wanted):
    headers = {} if accept is None else {"Accept": accept}
    answer = gate.request("/x", source=KNOWN, headers=headers)
    assert answer.status == 403
    if json_wanted:
        assert answer.headers["Content-Type"] == "application/json"
        assert json.loads(answer.text) == {
            "error": "entry-refused", "message": "Entry is refused",
            "ticket": answer.log["ticket"],
            "contact": 'IT <desk> & "reception", +81-3-0000-0000'}
    else:
        assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("accept, japanese", [
    (None, False), ("ja", True), ("ja-JP", True), ("JA", True), ("en", False),
    ("en-US,en;q=0.9,ja;q=0.8", False), ("ja,en-US;q=0.9,en;q=0.8", True),
    ("en, ja", False), ("ja, en", True), ("fr, de", False), ("*", False),
    ("fr, ja;q=0.1", True), ("ja;q=0", False), ("jav", False),
    ("en;q=0.1, ja;q=0.2", True), ("", False), ("-", False),
])
def test_language_follows_accept_language(gate, accept, japanese):
    headers = {} if accept is None else {"Accept-Language": accept}
    answer = gate.request("/x", source=KNOWN, headers=headers)
    assert (JAPANESE in answer.text) == japanese
    assert answer.headers["Content-Language"] == ("ja" if japanese else "en")
    if japanese:
        assert Page(answer.text).attributes["html"] == [{"lang": "ja"}]


def test_json_in_japanese(gate):
    answer = gate.request("/x", source=KNOWN, headers={
        "Accept": "application/json", "Accept-Language": "ja"})
    assert json.loads(answer.text)["message"] == "ご利用いただけません"


def test_head_has_the_headers_of_get_and_no_body(gate):
    head = gate.request("/x", source=KNOWN, method="HEAD")
    get = gate.request("/x", source=KNOWN)
    assert head.data == b"" and head.status == get.status == 403
    assert head.headers["Content-Length"] == str(len(get.data))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS",
                                    "PROPFIND", "STRANGE"])
def test_every_method_is_denied_alike(gate, method):
    answer = gate.request("/x", source=STRANGER, method=method, body=b"x" * 9)
    assert answer.status in (403, 405) and b"ticket" not in answer.data
    assert answer.status == 403 or method == "STRANGE"


def test_chunked_body_of_a_denied_request_is_discarded(gate):
    data = (b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5\r\nhello\r\n0\r\n\r\n"
            b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert gate.raw(data, source=STRANGER).count(b"HTTP/1.1 403") == 2


def test_expect_continue_is_not_continued(gate):
    data = (b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
            b"Expect: 100-continue\r\nConnection: close\r\n\r\n")
    got = gate.raw(data, source=STRANGER)
    assert b" 100 " not in got and b"HTTP/1.1 403" in got


def test_denial_is_not_kept(gate):
    for source in (KNOWN, STRANGER):
        for path in ("/x", "/headers/x", "/page/x"):
            answer = gate.request(path, source=source)
            assert answer.all("Cache-Control") == ["no-store"], path
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert answer.headers["ETag"] is None
            assert answer.headers["Last-Modified"] is None
            assert answer.headers["Expires"] is None


def test_denial_page_cannot_be_framed_or_scripted(gate):
    answer = gate.request("/x", source=STRANGER)
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_range_and_conditions_do_not_matter(gate):
    answer = gate.request("/range/x", source=STRANGER, headers={
        "Range": "bytes=0-3", "If-None-Match": "*",
        "If-Modified-Since": "Thu, 01 Jan 2037 00:00:00 GMT"})
    assert answer.status == 403 and answer.text.endswith("</html>\n")


def test_error_page_wins(gate):
    answer = gate.request("/page/x", source=STRANGER)
    assert (answer.status, answer.text) == (403, "sorry\n")


def test_error_page_of_another_status_does_not(gate):
    assert "Ticket" in gate.request("/other-page/x", source=STRANGER).text


def test_other_403_is_not_ours(gate):
    answer = gate.request("/forbidden/x", source=OPEN)
    assert answer.status == 403 and "Ticket" not in answer.text


def test_status_without_a_name_in_nginx(gate):
    answer = gate.request("/gone/x", source=STRANGER)
    assert answer.status == 410 and "Ticket" in answer.text


def test_error_log_has_one_line_with_what_is_asked_for(gate):
    answer = gate.request("/x", source=KNOWN)
    lines = gate.error_lines("facility: denied", answer.log["ticket"])
    assert len(lines) == 1
    assert (f"[error]" in lines[0] and
            "facility: denied, reason: not-valid, facility: aoba, "
            f"ticket: {answer.log['ticket']}, action: view, "
            f"address: {KNOWN}, client: {KNOWN}, server: " in lines[0])


def test_error_log_of_a_stranger_names_no_facility(gate):
    answer = gate.request("/x", source=STRANGER)
    assert gate.error_lines("reason: unknown-network, facility: -, ticket: "
                            + answer.log["ticket"])
