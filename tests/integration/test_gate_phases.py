"""The gate among nginx's phases: each case is one way of coming in.

127.0.10.1 and ::1 belong to a facility that may query and view, 127.0.10.2 to
one that may do everything, 127.0.10.3 to one that is not valid any more,
127.0.10.4 to one in a dry run; 127.0.10.9 is a stranger, and 127.0.10.8 a
proxy that is itself in nobody's network.
"""

import shutil
import socket
import subprocess

import pytest

import gate_nginx

POLICY = """
timezone UTC;
facility viewer { name "Aoba Imaging"; network 127.0.10.1 ::1; }
facility full {
    network 127.0.10.2;
    actions query view download store delete admin;
}
facility expired { network 127.0.10.3; valid 2020-01-01..2020-12-31; }
facility trial {
    network 127.0.10.4; valid 2020-01-01..2020-12-31; mode dry-run;
}
facility console { network local; services desktop; }
"""

# The same, but processes on this host may use the web.
POLICY_LOCAL = POLICY.replace("services desktop", "services web")

HTTP = """
    facility_policy policy.img;
    facility_transport plain;

    # realip in http: for 127.0.10.20 alone
    set_real_ip_from 127.0.10.20;
    real_ip_header X-Forwarded-For;

    server {
        listen 127.0.0.1:%%main%%;
        listen [::1]:%%main%%;
        listen unix:%%PREFIX%%/gate.sock;
        root html;
        facility_access on;
        error_page 418 /teapot.html;

        location / { }
        location /off/ { facility_access off; }
        location /dry/ { facility_access dry_run; }
        location = /policy-off { facility_access off; facility_policy off; }

        location /satisfy-any-allow/ {
            satisfy any; allow all; auth_basic x; auth_basic_user_file users;
        }
        location /satisfy-any-deny/ {
            satisfy any; deny all; auth_basic x; auth_basic_user_file users;
        }
        location /satisfy-all/ {
            satisfy all; allow all; auth_basic x; auth_basic_user_file users;
        }
        location /allow-all/ { allow all; }
        location /deny-all/ { deny all; }

        location /auth-request-ok/ { auth_request /check/ok; }
        location /auth-request-no/ { auth_request /check/no; }
        location /auth-request-upstream/ { auth_request /check/upstream; }
        location = /check/ok { internal; return 204; }
        location = /check/no { internal; return 403; }
        location = /check/upstream { internal; proxy_pass %%pacs%%; }

        location /mirror/ { mirror /mirrored; proxy_pass %%pacs%%; }
        location = /mirrored { internal; proxy_pass %%pacs%%/mirrored; }

        location /ssi/ { ssi on; ssi_types text/plain; }

        location = /return-200 { return 200 "content"; }
        location = /return-404-text { return 404 "content"; }
        location = /return-204 { return 204; }
        location = /return-301 { return 301 https://elsewhere.example/; }
        location = /return-403 { return 403; }
        location = /return-off { facility_access off; return 200 "open"; }
        location = /return-dry { facility_access dry_run; return 200 "dry"; }
        location = /return-page {
            error_page 403 /denied.html; return 200 "content";
        }
        location = /if-return { if ($arg_x) { return 200 "content"; } }
        location /if-proxy/ { if ($arg_x) { proxy_pass %%pacs%%; } }
        location /set/ { set $early $facility_verdict; }

        location /rewrite/ { rewrite ^/rewrite/(.*)$ /files/$1 last; }
        location /rewrite-return/ { rewrite ^ /return-200 last; }
        location /rewrite-off/ { rewrite ^ /off/page.txt last; }
        location /rewrite-download/ {
            rewrite ^ /dicom-web/studies/1.2.3 break; proxy_pass %%pacs%%;
        }
        location /limit-except/ { limit_except GET { deny all; } }

        location /try-file/ { try_files /files/page.txt =404; }
        location /try-named/ { try_files /nothing @pacs; }
        location /try-uri/ { try_files /nothing /files/page.txt; }
        location /try-off/ { try_files /nothing /off/page.txt; }
        location /try-status/ { try_files /nothing =418; }
        location @pacs { proxy_pass %%pacs%%; }
        location /off/try-named/ { facility_access off;
                                   try_files /nothing @pacs; }
        location /off/try-return/ { facility_access off;
                                    try_files /nothing /return-200; }

        location /error-static/ { error_page 403 /denied.html; }
        location /error-200/ { error_page 403 =200 /denied.html; }
        location /error-named/ { error_page 403 = @pacs; }
        location /error-proxied/ { error_page 403 = /proxied/x; }
        location /error-sorry/ { error_page 403 @sorry; }
        location /error-url/ { error_page 403 https://elsewhere.example/no; }
        location /error-return/ { error_page 403 = /return-page-text; }
        location /error-recursive/ {
            recursive_error_pages on; error_page 403 /error-recursive/x;
            proxy_pass %%pacs%%;
        }
        location /error-try/ { error_page 403 /error-try-page; }
        location = /error-try-page { try_files /nothing @pacs; }
        location = /return-page-text { return 403 "our words"; }
        location = /denied.html { }
        location @sorry { facility_access off; return 403 "sorry"; }
        location /missing-page/ { error_page 404 /files/page.txt; }
        location /off/missing-page/ {
            facility_access off; error_page 404 = /files/page.txt;
        }
        location = /teapot.html { facility_access off; }

        location /proxied/ { proxy_pass %%pacs%%; }
        location /accel/ { proxy_pass %%pacs%%; }
        location /off/accel/ { facility_access off; proxy_pass %%pacs%%; }
        location /internal/ { internal; alias html/files/; }
        location /index/ { index page.txt; }

        location /realip/ {
            set_real_ip_from 127.0.10.8; real_ip_header X-Forwarded-For;
        }
        location /realip-recursive/ {
            set_real_ip_from 127.0.10.8; set_real_ip_from 192.0.2.0/24;
            real_ip_header X-Forwarded-For; real_ip_recursive on;
        }
        location /status/ { facility_deny_status 404; }
        location /close/ { facility_deny_status 444; }
        location /tls/ { facility_transport tls; }

        location /action-view/ { facility_action view; }
        location /action-store/ { facility_action store; }
        location /action-argument/ { facility_action $arg_action; }
        location /action-mixed/ { facility_action "$arg_action"; }
        location /dicom-web/ { proxy_pass %%pacs%%; }
    }

    # realip in a server
    server {
        listen 127.0.0.1:%%proxied%%;
        root html;
        facility_access on;
        set_real_ip_from 127.0.10.8;
        real_ip_header X-Real-IP;
    }

    # PROXY protocol
    server {
        listen 127.0.0.1:%%protocol%% proxy_protocol;
        root html;
        facility_access on;
        set_real_ip_from 127.0.10.8;
        real_ip_header proxy_protocol;
    }

    # dual stack: IPv4 clients come as ::ffff:127.0.10.x
    server {
        listen [::]:%%dual%% ipv6only=off;
        root html;
        facility_access on;
    }

    # another policy in a server
    server {
        listen 127.0.0.1:%%other%%;
        listen unix:%%PREFIX%%/local.sock;
        root html;
        facility_policy local.img;
        facility_access on;
    }

    # a rate limit stands before the gate
    limit_req_zone $server_port zone=narrow:64k rate=1r/m;
    server {
        listen 127.0.0.1:%%narrow%%;
        root html;
        facility_access on;
        limit_req zone=narrow;
    }
"""

PAGE = "guarded page\n"
VIEWER, FULL, EXPIRED, TRIAL, STRANGER, PROXY, PROXY_HTTP = (
    f"127.0.10.{n}" for n in (1, 2, 3, 4, 9, 8, 20))


@pytest.fixture(scope="module")
def gate(nginx_at, upstream, folder):
    html = folder / "html"
    for name in ("files", "off", "off/accel", "dry", "satisfy-any-allow",
                 "satisfy-any-deny", "satisfy-all", "allow-all", "deny-all",
                 "auth-request-ok", "auth-request-no", "auth-request-upstream",
                 "ssi", "set", "limit-except", "index", "realip",
                 "realip-recursive", "status", "close", "tls", "action-view",
                 "action-store", "action-argument", "action-mixed",
                 "error-static", "error-200", "error-named", "if-proxy"):
        (html / name).mkdir(parents=True, exist_ok=True)
        (html / name / "page.txt").write_text(PAGE)
    (html / "page.txt").write_text(PAGE)
    (html / "policy-off").write_text(PAGE)
    (html / "denied.html").write_text("denied page\n")
    (html / "teapot.html").write_text("teapot\n")
    (html / "ssi" / "page.txt").write_text(
        'a<!--#include virtual="/files/page.txt" -->b')
    (html / "files" / "study.dcm").write_bytes(b"DICM")
    (folder / "users").write_text("yamada:{PLAIN}secret\n")
    for name, text in (("policy", POLICY), ("local", POLICY_LOCAL)):
        gate_nginx.write_policy(folder / f"{name}.conf", text,
                                folder / f"{name}.img")
    upstream.answers.update({
        "/accel/guarded": (200, [("X-Accel-Redirect", "/files/page.txt")], b""),
        "/accel/internal": (200, [("X-Accel-Redirect", "/internal/page.txt")],
                            b""),
        "/accel/off": (200, [("X-Accel-Redirect", "/off/page.txt")], b""),
        "/accel/download": (200, [("X-Accel-Redirect",
                                   "/dicom-web/studies/1.2.3")], b""),
        "/off/accel/guarded": (200, [("X-Accel-Redirect", "/files/page.txt")],
                               b""),
    })
    text = HTTP.replace("%%pacs%%", f"http://127.0.0.1:{upstream.port}")
    return nginx_at(folder, text)


def basic(name="yamada", password="secret"):
    import base64
    token = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": "Basic " + token}


def forwarded(address):
    return {"X-Forwarded-For": address}


# (what happens, path, source, extra headers, status, reason, verdict)
CASES = [
    # ---- plainly ----
    ("known_address_is_admitted", "/page.txt", VIEWER, {}, 200, "ok", "allow"),
    ("stranger_is_denied", "/page.txt", STRANGER, {}, 403,
     "unknown-network", "deny"),
    ("stranger_is_denied_what_does_not_exist", "/nothing", STRANGER, {}, 403,
     "unknown-network", "deny"),
    ("missing_file_is_404_for_the_known", "/nothing", VIEWER, {}, 404,
     "ok", "allow"),
    ("facility_out_of_its_dates_is_denied", "/page.txt", EXPIRED, {}, 403,
     "not-valid", "deny"),
    ("facility_in_dry_run_is_admitted", "/page.txt", TRIAL, {}, 200,
     "dry-run", "allow"),
    ("off_asks_nobody", "/off/page.txt", STRANGER, {}, 200, "-", "-"),
    ("policy_off_with_access_off", "/policy-off", STRANGER, {}, 200, "-", "-"),
    ("dry_run_admits_and_tells", "/dry/page.txt", STRANGER, {}, 200,
     "unknown-network", "deny_dry_run"),
    ("dry_run_of_the_admitted", "/dry/page.txt", VIEWER, {}, 200,
     "ok", "allow_dry_run"),
    ("plaintext_is_denied_unless_waived", "/tls/page.txt", VIEWER, {}, 403,
     "plaintext", "deny"),
    ("deny_status_is_settable", "/status/page.txt", STRANGER, {}, 404,
     "unknown-network", "deny"),

    # ---- other access rules ----
    ("satisfy_any_with_allow_all_does_not_undo_a_denial",
     "/satisfy-any-allow/page.txt", STRANGER, {}, 403,
     "unknown-network", "deny"),
    ("satisfy_any_with_a_password_does_not_undo_a_denial",
     "/satisfy-any-deny/page.txt", STRANGER, basic(), 403,
     "unknown-network", "deny"),
    ("satisfy_any_still_asks_the_admitted", "/satisfy-any-deny/page.txt",
     VIEWER, {}, 401, "ok", "allow"),
    ("satisfy_any_admits_with_a_password", "/satisfy-any-deny/page.txt",
     VIEWER, basic(), 200, "ok", "allow"),
    ("satisfy_all_denies_the_stranger_before_the_password",
     "/satisfy-all/page.txt", STRANGER, {}, 403, "unknown-network", "deny"),
    ("satisfy_all_asks_the_admitted_for_a_password", "/satisfy-all/page.txt",
     VIEWER, {}, 401, "ok", "allow"),
    ("allow_all_does_not_undo_a_denial", "/allow-all/page.txt", STRANGER, {},
     403, "unknown-network", "deny"),
    ("deny_all_holds_for_the_admitted", "/deny-all/page.txt", VIEWER, {}, 403,
     "ok", "allow"),

    # ---- subrequests ----
    ("auth_request_is_no_way_round", "/auth-request-ok/page.txt", STRANGER,
     {}, 403, "unknown-network", "deny"),
    ("auth_request_subrequest_is_not_asked", "/auth-request-ok/page.txt",
     VIEWER, {}, 200, "ok", "allow"),
    ("auth_request_may_still_deny", "/auth-request-no/page.txt", VIEWER, {},
     403, "ok", "allow"),
    ("auth_request_to_an_upstream", "/auth-request-upstream/page.txt", VIEWER,
     {}, 200, "ok", "allow"),
    ("ssi_subrequest_goes_with_its_request", "/ssi/page.txt", VIEWER, {}, 200,
     "ok", "allow"),
    ("ssi_of_a_stranger", "/ssi/page.txt", STRANGER, {}, 403,
     "unknown-network", "deny"),

    # ---- return, rewrite, if ----
    ("return_200_in_a_guarded_location_is_closed", "/return-200", STRANGER,
     {}, 403, "unknown-network", "deny"),
    ("return_200_for_the_admitted", "/return-200", VIEWER, {}, 200,
     "ok", "allow"),
    ("return_404_with_text_is_closed", "/return-404-text", STRANGER, {}, 403,
     "unknown-network", "deny"),
    ("return_301_needs_no_facility", "/return-301", STRANGER, {}, 301,
     "-", "-"),
    ("return_403_stays_nginx_own", "/return-403", STRANGER, {}, 403, "-", "-"),
    ("return_where_the_gate_is_off", "/return-off", STRANGER, {}, 200,
     "-", "-"),
    ("return_in_a_dry_run", "/return-dry", STRANGER, {}, 200,
     "unknown-network", "deny_dry_run"),
    ("return_closed_with_the_error_page", "/return-page", STRANGER, {}, 403,
     "unknown-network", "deny"),
    ("return_inside_if_is_closed", "/if-return?x=1", STRANGER, {}, 403,
     "unknown-network", "deny"),
    ("return_inside_if_for_the_admitted", "/if-return?x=1", VIEWER, {}, 200,
     "ok", "allow"),
    ("proxy_pass_inside_if_is_guarded", "/if-proxy/?x=1", STRANGER, {}, 403,
     "unknown-network", "deny"),
    ("proxy_pass_inside_if_for_the_admitted", "/if-proxy/?x=1", VIEWER, {},
     200, "ok", "allow"),
    ("variable_read_before_the_gate_does_not_stick", "/set/page.txt", VIEWER,
     {}, 200, "ok", "allow"),
    ("rewrite_last_of_a_stranger", "/rewrite/page.txt", STRANGER, {}, 403,
     "unknown-network", "deny"),
    ("rewrite_last_of_the_admitted", "/rewrite/page.txt", VIEWER, {}, 200,
     "ok", "allow"),
    ("rewrite_to_return_is_closed", "/rewrite-return/", STRANGER, {}, 403,
     "unknown-network", "deny"),
    ("rewrite_to_an_open_location_is_the_administrators_word",
     "/rewrite-off/", STRANGER, {}, 200, "-", "-"),
    ("rewrite_to_a_download_is_a_download", "/rewrite-download/x", VIEWER, {},
     403, "action-not-allowed", "deny"),
    ("rewrite_to_a_download_that_is_allowed", "/rewrite-download/x", FULL, {},
     200, "ok", "allow"),
    ("limit_except_keeps_the_gate", "/limit-except/page.txt", STRANGER, {},
     403, "unknown-network", "deny"),

    # ---- try_files, index ----
    ("try_files_of_a_stranger", "/try-file/", STRANGER, {}, 403,
     "unknown-network", "deny"),
    ("try_files_finds_a_file", "/try-file/", VIEWER, {}, 200, "ok", "allow"),
    ("try_files_to_a_named_location", "/try-named/", VIEWER, {}, 200,
     "ok", "allow"),
    ("try_files_to_a_named_location_of_a_stranger", "/try-named/", STRANGER,
     {}, 403, "unknown-network", "deny"),
    ("try_files_to_a_uri", "/try-uri/", VIEWER, {}, 200, "ok", "allow"),
    ("try_files_from_guarded_to_open", "/try-off/", STRANGER, {}, 403,
     "unknown-network", "deny"),
    ("try_files_from_open_to_a_guarded_named_location", "/off/try-named/",
     STRANGER, {}, 403, "unknown-network", "deny"),
    ("try_files_from_open_to_a_guarded_return", "/off/try-return/", STRANGER,
     {}, 403, "unknown-network", "deny"),
    ("try_files_status_with_error_page", "/try-status/", VIEWER, {}, 418,
     "ok", "allow"),
    ("index_redirects_inside", "/index/", VIEWER, {}, 200, "ok", "allow"),
    ("index_of_a_stranger", "/index/", STRANGER, {}, 403,
     "unknown-network", "deny"),
    ("directory_without_slash_of_a_stranger", "/files", STRANGER, {}, 403,
     "unknown-network", "deny"),
    ("directory_without_slash_of_the_admitted", "/files", VIEWER, {}, 301,
     "ok", "allow"),

    # ---- error_page ----
    ("error_page_shows_a_static_page_though_guarded", "/error-static/page.txt",
     STRANGER, {}, 403, "unknown-network", "deny"),
    ("error_page_may_change_the_status", "/error-200/page.txt", STRANGER, {},
     200, "unknown-network", "deny"),
    ("error_page_to_a_guarded_named_upstream_is_no_entrance",
     "/error-named/page.txt", STRANGER, {}, 403, "unknown-network", "deny"),
    ("error_page_to_a_guarded_proxied_uri_is_no_entrance", "/error-proxied/x",
     STRANGER, {}, 403, "unknown-network", "deny"),
    ("error_page_to_try_files_to_an_upstream_is_no_entrance", "/error-try/x",
     STRANGER, {}, 403, "unknown-network", "deny"),
    ("error_page_to_an_open_named_location", "/error-sorry/x", STRANGER, {},
     403, "unknown-network", "deny"),
    ("error_page_to_another_site", "/error-url/x", STRANGER, {}, 302,
     "unknown-network", "deny"),
    ("error_page_to_a_guarded_return", "/error-return/x", STRANGER, {}, 403,
     "unknown-network", "deny"),
    ("recursive_error_pages_make_no_loop", "/error-recursive/y", STRANGER, {},
     403, "unknown-network", "deny"),
    ("error_page_404_of_the_admitted", "/missing-page/x", VIEWER, {}, 404,
     "ok", "allow"),
    ("error_page_404_of_a_stranger", "/missing-page/x", STRANGER, {}, 403,
     "unknown-network", "deny"),
    ("error_page_from_open_to_guarded_content", "/off/missing-page/x",
     STRANGER, {}, 403, "unknown-network", "deny"),

    # ---- X-Accel-Redirect ----
    ("accel_redirect_of_a_stranger_never_starts", "/accel/guarded", STRANGER,
     {}, 403, "unknown-network", "deny"),
    ("accel_redirect_to_a_guarded_location", "/accel/guarded", VIEWER, {},
     200, "ok", "allow"),
    ("accel_redirect_to_an_internal_location", "/accel/internal", VIEWER, {},
     200, "ok", "allow"),
    ("accel_redirect_to_an_open_location", "/accel/off", VIEWER, {}, 200,
     "ok", "allow"),
    ("accel_redirect_to_a_download_is_a_download", "/accel/download", VIEWER,
     {}, 403, "action-not-allowed", "deny"),
    ("accel_redirect_to_a_download_that_is_allowed", "/accel/download", FULL,
     {}, 200, "ok", "allow"),
    ("accel_redirect_from_open_to_guarded", "/off/accel/guarded", STRANGER,
     {}, 403, "unknown-network", "deny"),

    # ---- realip ----
    ("realip_in_location_sees_the_stranger_behind_the_proxy",
     "/realip/page.txt", PROXY, forwarded(STRANGER), 403,
     "unknown-network", "deny"),
    ("realip_in_location_sees_the_client_behind_the_proxy",
     "/realip/page.txt", PROXY, forwarded(VIEWER), 200, "ok", "allow"),
    ("realip_in_location_believes_the_proxy_alone", "/realip/page.txt",
     STRANGER, forwarded(VIEWER), 403, "unknown-network", "deny"),
    ("realip_in_location_proxy_itself_is_a_stranger", "/realip/page.txt",
     PROXY, {}, 403, "unknown-network", "deny"),
    ("realip_recursive_takes_the_last_untrusted", "/realip-recursive/page.txt",
     PROXY, forwarded(f"{VIEWER}, {STRANGER}, 192.0.2.7"), 403,
     "unknown-network", "deny"),
    ("realip_in_http_sees_the_client", "/page.txt", PROXY_HTTP,
     forwarded(VIEWER), 200, "ok", "allow"),
    ("realip_in_http_sees_the_stranger", "/page.txt", PROXY_HTTP,
     forwarded(STRANGER), 403, "unknown-network", "deny"),
    ("realip_in_http_with_an_ipv6_client", "/page.txt", PROXY_HTTP,
     forwarded("::1"), 200, "ok", "allow"),
    ("realip_in_http_with_a_mapped_client", "/page.txt", PROXY_HTTP,
     forwarded("::ffff:127.0.10.1"), 200, "ok", "allow"),
    ("realip_with_garbage_keeps_the_proxy", "/page.txt", PROXY_HTTP,
     forwarded("nobody"), 403, "unknown-network", "deny"),

    # ---- actions ----
    ("action_of_the_administrator", "/action-view/page.txt", VIEWER, {}, 200,
     "ok", "allow"),
    ("action_of_the_administrator_not_allowed", "/action-store/page.txt",
     VIEWER, {}, 403, "action-not-allowed", "deny"),
    ("action_of_the_administrator_allowed_elsewhere",
     "/action-store/page.txt", FULL, {}, 200, "ok", "allow"),
    ("action_from_a_variable", "/action-argument/page.txt?action=query",
     VIEWER, {}, 200, "ok", "allow"),
    ("action_from_a_variable_not_allowed",
     "/action-argument/page.txt?action=delete", VIEWER, {}, 403,
     "action-not-allowed", "deny"),
    ("action_from_a_variable_may_be_auto",
     "/action-argument/page.txt?action=auto", VIEWER, {}, 200, "ok", "allow"),
    ("action_that_is_none_is_denied_even_to_who_may_all",
     "/action-argument/page.txt?action=everything", FULL, {}, 403,
     "action-not-allowed", "deny"),
    ("action_that_is_empty_is_denied", "/action-mixed/page.txt", FULL, {},
     403, "action-not-allowed", "deny"),
    ("download_is_denied_to_a_viewer", "/dicom-web/studies/1.2.3", VIEWER, {},
     403, "action-not-allowed", "deny"),
    ("download_is_allowed_to_who_may", "/dicom-web/studies/1.2.3", FULL, {},
     200, "ok", "allow"),
    ("metadata_is_a_view", "/dicom-web/studies/1.2.3/metadata", VIEWER, {},
     200, "ok", "allow"),
    ("search_is_a_query", "/dicom-web/studies?PatientID=1", VIEWER, {}, 200,
     "ok", "allow"),
    ("percent_encoding_hides_no_download", "/dicom-web/%73tudies/1.2.3",
     VIEWER, {}, 403, "action-not-allowed", "deny"),
]


@pytest.mark.parametrize(
    "path, source, headers, status, reason, verdict",
    [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_http1(gate, path, source, headers, status, reason, verdict):
    answer = gate.request(path, source=source, headers=headers)
    log = answer.log
    assert (answer.status, log["reason"], log["verdict"]) == (
        status, reason, verdict), (answer.text, log)
    if status == 200 and verdict.startswith("allow"):
        assert answer.text in (PAGE, "upstream", "content", "ab", "a" + PAGE
                               + "b")
    if verdict == "deny":
        assert "content" not in answer.text.replace("content=", "")
        assert PAGE not in answer.data.decode()


def test_ids_are_unique():
    assert len({case[0] for case in CASES}) == len(CASES) >= 40


# ---- Addresses and listeners ----

def test_ipv6_client_is_admitted(gate):
    answer = gate.request("/page.txt", source="::1", address="::1")
    assert (answer.status, answer.log["facility"]) == (200, "viewer")


@pytest.mark.parametrize("source, status", [(VIEWER, 200), (STRANGER, 403)])
def test_mapped_client_of_a_dual_stack_listener_is_ipv4(gate, source, status):
    answer = gate.request("/page.txt", source=source, port="dual")
    assert answer.status == status
    assert answer.log["address"] in (source, f"::ffff:{source}")


def unix_get(gate, path, name):
    return gate.raw(f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n".encode(),
                    unix=gate.prefix / name)


def test_unix_listener_is_denied_by_default(gate):
    assert b" 403 " in unix_get(gate, "/page.txt", "gate.sock").split(b"\n")[0]
    assert gate.error_lines("reason: service-not-allowed", "address: local")


def test_unix_listener_is_admitted_where_a_local_facility_has_web(gate):
    assert unix_get(gate, "/page.txt", "local.sock").endswith(PAGE.encode())


def test_server_may_have_another_policy(gate):
    mine = gate.request("/page.txt")
    other = gate.request("/page.txt", port="other")
    assert mine.status == other.status == 200
    assert mine.log["version"] != other.log["version"]


@pytest.mark.parametrize("headers, source, status", [
    ({"X-Real-IP": VIEWER}, PROXY, 200), ({"X-Real-IP": STRANGER}, PROXY, 403),
    ({"X-Real-IP": VIEWER}, STRANGER, 403), ({}, VIEWER, 200)])
def test_realip_in_server(gate, headers, source, status):
    answer = gate.request("/page.txt", port="proxied", source=source,
                          headers=headers)
    assert answer.status == status


@pytest.mark.parametrize("said, source, status", [
    (f"TCP4 {VIEWER} 127.0.0.1 4711 80", PROXY, b"200"),
    (f"TCP4 {STRANGER} 127.0.0.1 4711 80", PROXY, b"403"),
    ("TCP6 ::1 ::1 4711 80", PROXY, b"200"),
    (f"TCP4 {VIEWER} 127.0.0.1 4711 80", STRANGER, b"403"),
    ("UNKNOWN", PROXY, b"403")],
    ids=["client", "stranger", "ipv6", "untrusted_proxy", "unknown"])
def test_proxy_protocol(gate, said, source, status):
    data = f"PROXY {said}\r\nGET /page.txt HTTP/1.0\r\n\r\n".encode()
    assert gate.raw(data, source=source, port="protocol").split()[1] == status


def test_proxy_protocol_2(gate):
    head = (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + socket.inet_aton(VIEWER)
            + socket.inet_aton("127.0.0.1") + b"\x10\0\0\x50")
    data = head + b"GET /page.txt HTTP/1.0\r\n\r\n"
    assert gate.raw(data, source=PROXY, port="protocol").split()[1] == b"200"


# ---- What happens around a request ----

def test_mirror_is_not_told_of_a_denied_request(gate, upstream):
    before = len(upstream.asked("/mirrored"))
    assert gate.request("/mirror/x", source=STRANGER).status == 403
    assert gate.request("/mirror/x", source=VIEWER).status == 200
    gate_nginx.wait_for(lambda: len(upstream.asked("/mirrored")) > before)
    assert len(upstream.asked("/mirrored")) == before + 1


def test_upstream_is_not_told_of_a_denied_request(gate, upstream):
    before = len(upstream.asked("/proxied/denied"))
    gate.request("/proxied/denied", source=STRANGER)
    gate.request("/proxied/denied", source=STRANGER, method="POST", body=b"x")
    assert len(upstream.asked("/proxied/denied")) == before


def test_error_page_shows_the_administrators_page(gate):
    for path in ("/error-static/page.txt", "/error-200/page.txt",
                 "/return-page"):
        answer = gate.request(path, source=STRANGER)
        assert answer.text == "denied page\n", path
    assert gate.request("/error-return/x", source=STRANGER).text == "our words"
    assert gate.request("/error-sorry/x", source=STRANGER).text == "sorry"


def test_denial_through_an_error_page_is_logged_once(gate):
    answer = gate.request("/error-static/page.txt", source=STRANGER)
    assert len(gate.error_lines("facility: denied", answer.log["ticket"])) == 1


def test_denied_upload_keeps_the_connection_usable(gate):
    with gate_closing(gate.connect(STRANGER)) as connection:
        for _ in range(3):
            answer = gate.request("/proxied/x", method="POST",
                                  body=b"x" * 100_000, connection=connection)
            assert answer.status == 403


def test_unsafe_method_is_admin_and_denied_to_a_viewer(gate):
    answer = gate.request("/proxied/x", method="PUT", body=b"x")
    assert (answer.status, answer.log["action"]) == (403, "admin")
    answer = gate.request("/proxied/x", source=FULL, method="PUT", body=b"x")
    assert (answer.status, answer.log["action"]) == (200, "admin")


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "x-http-method",
                                  "X-METHOD-OVERRIDE"])
def test_a_header_that_overrides_the_method_is_admin(gate, name):
    # Orthanc 1.10.1 deletes the study of a GET that carries it
    headers = {name: "DELETE"}
    answer = gate.request("/proxied/x", headers=headers)
    assert (answer.status, answer.log["action"]) == (403, "admin")
    answer = gate.request("/proxied/x", headers={"X-HTTP": "DELETE"})
    assert (answer.status, answer.log["action"]) == (200, "view")


@pytest.mark.parametrize("lines, action", [
    (["image/jpeg"], "view"),
    (["image/jpeg", "application/dicom"], "download"),
    (["application/dicom", "image/jpeg"], "download"),
    (["image/jpeg", "image/png"], "download"),
])
def test_of_several_accept_lines_the_strictest_counts(gate, lines, action):
    accept = "".join(f"aCCept: {line}\r\n" for line in lines)
    data = f"GET /proxied/dicom-web/studies/1.2 HTTP/1.0\r\n{accept}\r\n"
    answer = gate.raw(data.encode())
    assert answer.split()[1] == (b"200" if action == "view" else b"403")


def test_deny_status_444_closes_without_a_word(gate):
    data = b"GET /close/page.txt HTTP/1.1\r\nHost: x\r\n\r\n"
    assert gate.raw(data, source=STRANGER) == b""
    assert gate.request("/close/page.txt", source=VIEWER).text == PAGE


def test_bad_request_and_long_uri_are_nginx_own(gate):
    assert gate.raw(b"GET / HTTP/1.1\r\n\r\n").split()[1] == b"400"
    long = b"GET /" + b"x" * 40_000 + b" HTTP/1.0\r\n\r\n"
    assert gate.raw(long).split()[1] == b"414"
    assert gate.raw(b"\x16\x03\x01\r\n\r\n").split()[1] == b"400"


def test_rate_limit_stands_before_the_gate(gate):
    statuses = [gate.request("/page.txt", port="narrow", source=STRANGER).status
                for _ in range(3)]
    assert statuses == [403, 503, 503]


def test_keep_alive_decides_every_request(gate):
    with gate_closing(gate.connect(PROXY)) as connection:
        for client, status in ((VIEWER, 200), (STRANGER, 403), (VIEWER, 200)):
            answer = gate.request("/realip/page.txt", connection=connection,
                                  headers=forwarded(client))
            assert answer.status == status


def test_pipelined_requests_are_decided_one_by_one(gate):
    one = (f"GET /realip/page.txt HTTP/1.1\r\nHost: x\r\n"
           f"X-Forwarded-For: {VIEWER}\r\n\r\n")
    two = (f"GET /realip/page.txt HTTP/1.1\r\nHost: x\r\n"
           f"X-Forwarded-For: {STRANGER}\r\nConnection: close\r\n\r\n")
    got = gate.raw((one + two).encode(), source=PROXY)
    assert b"HTTP/1.1 200" in got and b"HTTP/1.1 403" in got


def test_http10_and_head(gate):
    assert gate.raw(b"GET /page.txt HTTP/1.0\r\n\r\n").split()[1] == b"200"
    answer = gate.request("/page.txt", method="HEAD", source=STRANGER)
    assert answer.status == 403 and answer.data == b""
    assert int(answer.headers["Content-Length"]) > 200


def test_dry_run_facility_tells_what_it_would_have_been(gate):
    answer = gate.request("/page.txt", source=TRIAL)
    assert answer.log["dry_run_reason"] == "not-valid"
    assert gate.error_lines("would be denied, dry run", "reason: not-valid",
                            "facility: trial", answer.log["ticket"])


def test_dry_run_location_logs_what_it_would_have_denied(gate):
    answer = gate.request("/dry/page.txt", source=STRANGER)
    assert gate.error_lines("facility: denied, dry run",
                            "reason: unknown-network", answer.log["ticket"])


def test_action_that_is_none_has_a_line_of_its_own(gate):
    gate.request("/action-argument/page.txt?action=everything", source=FULL)
    assert gate.error_lines('"everything" from "facility_action"', "no action")


def test_variables_of_an_admitted_request(gate):
    log = gate.request("/page.txt").log
    assert log["facility"] == "viewer"
    assert log["name"] == "Aoba Imaging"
    assert log["action"] == "view"
    assert len(log["version"]) == 16


# ---- HTTP/2 without TLS: with TLS, see test_gate_certificates.py ----

@pytest.fixture(scope="module")
def gate2(nginx_at, folder, tmp_path_factory, gate):
    version, text = gate_nginx.nginx_version()
    if "http_v2" not in text or not shutil.which("curl"):
        pytest.skip("needs nginx with HTTP/2, and curl")
    prefix = tmp_path_factory.mktemp("h2")
    modern = version >= (1, 25, 1)
    listen = "listen 127.0.0.1:%%main%%{};{}".format(
        "" if modern else " http2", " http2 on;" if modern else "")
    html = folder / "html"
    return nginx_at(prefix, f"""
    facility_policy {folder}/policy.img;
    facility_transport plain;
    server {{
        {listen}
        root {html};
        facility_access on;
        location / {{ }}
        location = /return-200 {{ return 200 "content"; }}
        location /realip/ {{
            set_real_ip_from 127.0.10.8; real_ip_header X-Forwarded-For;
        }}
        location /error-static/ {{ error_page 403 /denied.html; }}
        location /try-uri/ {{ try_files /nothing /files/page.txt; }}
    }}
    """)


@pytest.mark.parametrize("path, source, client, status", [
    ("/page.txt", VIEWER, None, 200), ("/page.txt", STRANGER, None, 403),
    ("/return-200", VIEWER, None, 200), ("/return-200", STRANGER, None, 403),
    ("/realip/page.txt", PROXY, VIEWER, 200),
    ("/realip/page.txt", PROXY, STRANGER, 403),
    ("/error-static/page.txt", STRANGER, None, 403),
    ("/try-uri/", VIEWER, None, 200), ("/try-uri/", STRANGER, None, 403)])
def test_http2(gate2, path, source, client, status):
    options = ["--http2-prior-knowledge"]
    if client:
        options += ["-H", f"X-Forwarded-For: {client}"]
    answer = gate2.curl(f"http://127.0.0.1:%%main%%{path}", *options,
                        source=source)
    assert (answer.protocol, answer.status) == ("HTTP/2", status)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.log["verdict"] == ("allow" if status == 200 else "deny")


def test_http2_streams_of_one_connection(gate2):
    if not shutil.which("nghttp"):
        pytest.skip("install the Debian package nghttp2-client")
    url = gate2.fill("http://127.0.0.1:%%main%%/page.txt")
    result = subprocess.run(["nghttp", "-nv", "-m", "20", url],
                            stdout=subprocess.PIPE, text=True, check=False)
    assert result.stdout.count(":status: 403") == 20


class gate_closing:
    def __init__(self, connection):
        self.connection = connection

    def __enter__(self):
        return self.connection

    def __exit__(self, *unused):
        self.connection.close()
