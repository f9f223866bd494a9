"""The `users` rule, which waits until the name is certain."""

import base64

import pytest

import gate_nginx

POLICY = """
timezone UTC;
facility listed { network 127.0.10.1; users yamada suzuki; }
facility anybody { network 127.0.10.2; }
facility trial { network 127.0.10.4; users yamada; mode dry-run; }
"""

HTTP = """
    facility_policy policy.img;
    facility_transport plain;
    facility_access on;
    facility_user $remote_user;
    auth_basic_user_file users;
    map $http_x_user $mapped { default $http_x_user; }
    server {
        listen 127.0.0.1:%%main%%;
        root html;
        location / { auth_basic x; }
        location /no-auth/ { }
        location /off/ { auth_basic off; }
        location /off-variable/ { auth_basic $arg_realm; }
        location /no-file/ { auth_basic x; auth_basic_user_file
                             $arg_file; }
        location /unset/ { auth_basic x; facility_user off; }
        location /satisfy/ { auth_basic x; satisfy any; allow all; }
        location /satisfy-basic/ { auth_basic x; satisfy any; deny all; }
        location /braces/ { facility_user "${remote_user}"; }
        location /sent/ { facility_user $http_x_user; }
        location /request/ {
            auth_request /who; auth_request_set $who $upstream_http_x_who;
            facility_user $who;
        }
        location = /who { internal; facility_access off;
                          proxy_pass %%pacs%%/who; }
        location /try/ { auth_basic x; try_files /nothing @pacs; }
        location /try-file/ { auth_basic x; try_files /page =404; }
        location /mirror/ { auth_basic x; mirror /copy;
                            proxy_pass %%pacs%%; }
        location = /copy { internal; proxy_pass %%pacs%%/copy; }
        location @pacs { auth_basic off; proxy_pass %%pacs%%; }
        location /return { auth_basic x; return 200 "content"; }
        location /dry/ { auth_basic x; facility_access dry_run; }
        location /error/ { auth_basic x; error_page 403 /denied; }
        location = /denied { }
        location /accel/ { auth_basic x; proxy_pass %%pacs%%; }
        location /hidden/ { internal; alias html/; }
    }
"""


def basic(name, password="secret"):
    token = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": "Basic " + token}


@pytest.fixture(scope="module")
def gate(nginx_at, upstream, folder):
    for name in ("no-auth", "off", "off-variable", "no-file", "unset",
                 "satisfy", "satisfy-basic", "braces", "sent", "request",
                 "dry", "error"):
        (folder / "html" / name).mkdir(parents=True)
        (folder / "html" / name / "page").write_text("page")
    (folder / "html" / "page").write_text("page")
    (folder / "html" / "denied").write_text("denied")
    (folder / "users").write_text(
        "".join(f"{name}:{{PLAIN}}secret\n"
                for name in ("yamada", "suzuki", "tanaka")))
    gate_nginx.write_policy(folder / "policy.conf", POLICY,
                            folder / "policy.img")
    upstream.answers["/who"] = (204, [("X-Who", "yamada")], b"")
    upstream.answers["/accel/x"] = (
        200, [("X-Accel-Redirect", "/hidden/page")], b"")
    text = HTTP.replace("%%pacs%%", f"http://127.0.0.1:{upstream.port}")
    return nginx_at(folder, text)


@pytest.mark.parametrize("path, headers, status, reason", [
    ("/page", basic("yamada"), 200, "ok"),
    ("/page", basic("suzuki"), 200, "ok"),
    ("/page", basic("tanaka"), 403, "user-not-listed"),
    ("/page", {}, 401, "ok"),
    ("/page", basic("yamada", "wrong"), 401, "ok"),
    # a name that nobody has checked
    ("/no-auth/page", basic("yamada", "forged"), 403, "user-not-listed"),
    ("/no-auth/page", {}, 403, "user-not-listed"),
    ("/off/page", basic("yamada", "forged"), 403, "user-not-listed"),
    ("/off-variable/page?realm=off", basic("yamada", "forged"), 403,
     "user-not-listed"),
    ("/off-variable/page?realm=x", basic("yamada"), 200, "ok"),
    ("/braces/page", basic("yamada", "forged"), 403, "user-not-listed"),
    ("/unset/page", basic("yamada"), 403, "user-not-listed"),
    # `satisfy any`: the address may have been enough
    ("/satisfy/page", basic("yamada", "forged"), 403, "user-not-listed"),
    ("/satisfy/page", basic("yamada"), 403, "user-not-listed"),
    ("/satisfy-basic/page", basic("yamada"), 403, "user-not-listed"),
    # the administrator's own variable
    ("/sent/page", {"X-User": "yamada"}, 200, "ok"),
    ("/sent/page", {"X-User": "tanaka"}, 403, "user-not-listed"),
    ("/sent/page", {}, 403, "user-not-listed"),
    ("/request/page", {}, 200, "ok"),
    # what comes behind
    ("/try/x", basic("yamada"), 200, "ok"),
    ("/try/x", basic("tanaka"), 403, "user-not-listed"),
    ("/try-file/x", basic("yamada"), 200, "ok"),
    ("/try-file/x", basic("tanaka"), 403, "user-not-listed"),
    ("/accel/x", basic("yamada"), 200, "ok"),
    ("/accel/x", basic("tanaka"), 403, "user-not-listed"),
    ("/return", basic("yamada"), 403, "user-not-listed"),
])
def test_users(gate, path, headers, status, reason):
    answer = gate.request(path, headers=headers)
    assert (answer.status, answer.log["reason"]) == (status, reason)


@pytest.mark.parametrize("headers", [{}, basic("tanaka")])
def test_facility_without_users_asks_for_no_name(gate, headers):
    answer = gate.request("/no-auth/page", source="127.0.10.2",
                          headers=headers)
    assert answer.status == 200


def test_nothing_is_tried_or_mirrored_for_who_is_not_listed(gate, upstream):
    before = len(upstream.requests)
    assert gate.request("/try/x", headers=basic("tanaka")).status == 403
    assert gate.request("/mirror/x", headers=basic("tanaka")).status == 403
    assert len(upstream.requests) == before
    assert gate.request("/mirror/x", headers=basic("yamada")).status == 200
    assert gate_nginx.wait_for(lambda: upstream.asked("/copy"))


def test_error_page_of_who_is_not_listed(gate):
    answer = gate.request("/error/page", headers=basic("tanaka"))
    assert (answer.status, answer.text) == (403, "denied")


def test_dry_run_of_who_is_not_listed(gate):
    answer = gate.request("/dry/page", headers=basic("tanaka"))
    assert (answer.status, answer.log["verdict"], answer.log["reason"]) == (
        200, "deny_dry_run", "user-not-listed")


def test_facility_in_dry_run(gate):
    answer = gate.request("/page", source="127.0.10.4",
                          headers=basic("tanaka"))
    assert (answer.status, answer.log["reason"],
            answer.log["dry_run_reason"]) == (200, "dry-run",
                                              "user-not-listed")


def test_denial_is_logged_once(gate):
    answer = gate.request("/page", headers=basic("tanaka"))
    assert len(gate.error_lines("facility: denied", "user-not-listed",
                                answer.log["ticket"])) == 1
