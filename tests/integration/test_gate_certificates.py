"""Device certificates: pinned or by an authority, resumed, over HTTP/2."""

import datetime
import shutil
import ssl
import subprocess
import time

import pytest

import gate_nginx
from gate_certificates import DAY, Certificate, bundle

POLICY = """
timezone UTC;
facility pinned {
    network 127.0.10.1; device required;
    certificate sha256:%(pin)s sha256:%(expired)s sha256:%(soon)s;
}
facility clinic {
    network 127.0.10.2; device required; device-ca %(ca)s;
}
facility other {
    network 127.0.10.3; device required; device-ca %(other)s;
}
facility optional {
    network 127.0.10.4; device optional; device-ca %(ca)s;
}
facility none { network 127.0.10.5; }
facility home {
    network any; device required; certificate sha256:%(home)s;
    contact homedesk;
}
facility middle {
    network 127.0.10.6; device required; device-ca %(middle)s;
}
"""

SSL = """
    ssl_certificate %%PREFIX%%/server.crt;
    ssl_certificate_key %%PREFIX%%/server.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_tickets on;
    ssl_session_cache shared:SSL:1m;
"""

HTTP = """
    facility_policy policy.img;
    facility_access on;
    """ + SSL + """
    root html;

    # by name: both authorities, "optional"; the intermediate is ours, too
    server { listen 127.0.0.1:%%main%% ssl; ssl_verify_depth 3;
             ssl_verify_client optional; ssl_client_certificate all.crt; }
    # any certificate, verified or not
    server { listen 127.0.0.1:%%pins%% ssl;
             ssl_verify_client optional_no_ca; ssl_verify_depth 3;
             ssl_client_certificate all.crt; }
    server { listen 127.0.0.1:%%bare%% ssl;
             ssl_verify_client optional_no_ca; }
    # nobody is asked for a certificate
    server { listen 127.0.0.1:%%silent%% ssl; }
    # only the roots are known here, the client has to send the rest
    server { listen 127.0.0.1:%%roots%% ssl; ssl_verify_depth 3;
             ssl_verify_client optional; ssl_client_certificate ca.crt; }
    # the same session cache, another authority
    server { listen 127.0.0.1:%%others%% ssl;
             ssl_verify_client optional_no_ca;
             ssl_client_certificate other.crt; }
    # revocation
    server { listen 127.0.0.1:%%revoked%% ssl; ssl_verify_depth 3;
             ssl_verify_client optional_no_ca; ssl_client_certificate ca.crt;
             ssl_crl crl.pem; error_page 495 =200 /x; }
    # two names, two authorities, one port
    server { listen 127.0.0.1:%%names%% ssl; server_name clinic.test;
             ssl_verify_client optional; ssl_client_certificate ca.crt; }
    server { listen 127.0.0.1:%%names%% ssl; server_name other.test;
             ssl_verify_client optional; ssl_client_certificate other.crt; }
    server { listen 127.0.0.1:%%shallow%% ssl; ssl_verify_depth 0;
             ssl_verify_client optional_no_ca;
             ssl_client_certificate all.crt; }
    server { listen 127.0.0.1:%%plain%%; }
"""

PINNED, CLINIC, OTHER, OPTIONAL, NONE, MIDDLE, ELSEWHERE = (
    f"127.0.10.{n}" for n in (1, 2, 3, 4, 5, 6, 77))
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


class Pki:
    def __init__(self, folder):
        make = lambda name, **options: Certificate(folder, name, **options)
        self.ca = make("ca", authority=True)
        self.other = make("other", authority=True)
        self.middle = make("middle", issuer=self.ca, authority=True)
        self.leaf = make("leaf", issuer=self.ca)
        self.deep = make("deep", issuer=self.middle)
        self.gone = make("gone", issuer=self.ca)
        self.foreign = make("foreign", issuer=self.other)
        self.server_only = make("server-only", issuer=self.ca, client=False)
        self.old = make("old", issuer=self.ca, start=-2 * DAY, end=-DAY)
        self.pin = make("pin")
        self.stranger = make("stranger")
        self.home = make("home")
        self.expired = make("expired", start=-2 * DAY, end=-DAY)
        self.soon = make("soon",
                         end=datetime.timedelta(seconds=7))
        # the name of a known authority, the key of another
        self.false_ca = make("false", authority=True)
        self.false_ca.subject = self.ca.subject
        self.forged = make("forged", issuer=self.false_ca)
        self.server = make("server")
        bundle(folder / "all.crt", self.ca, self.other, self.middle)
        self.ca.revocation_list(folder / "crl.pem", self.gone)

    def policy(self):
        return POLICY % {
            "pin": self.pin.sha256, "home": self.home.sha256,
            "expired": self.expired.sha256, "soon": self.soon.sha256,
            "ca": self.ca.cert_file, "other": self.other.cert_file,
            "middle": self.middle.cert_file}


@pytest.fixture(scope="module")
def pki(folder):
    return Pki(folder)


@pytest.fixture(scope="module")
def gate(nginx_at, folder, pki):
    (folder / "html").mkdir()
    (folder / "html" / "x").write_text("x")
    gate_nginx.write_policy(folder / "policy.conf", pki.policy(),
                            folder / "policy.img")
    nginx = nginx_at(folder, HTTP)
    # nginx's own, of a handshake with a forged signature: no request was read
    nginx.expected.append("stale global SSL error.*while waiting for request")
    return nginx


def ask(gate, source, files=None, port="main", version=None, **options):
    tls = gate_nginx.client_context(files, version)
    return gate.request("/x", source=source, port=port, tls=tls, **options)


# ---- Full handshakes ----

@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name, source, port, status, reason", [
    ("pin", PINNED, "pins", 200, "ok"),
    ("pin", PINNED, "bare", 200, "ok"),
    ("stranger", PINNED, "pins", 403, "device-unknown"),
    (None, PINNED, "pins", 403, "device-missing"),
    (None, PINNED, "silent", 403, "device-missing"),
    ("pin", PINNED, "silent", 403, "device-missing"),
    # a verified chain to anybody is no pin
    ("leaf", PINNED, "main", 403, "device-unknown"),
    ("leaf", CLINIC, "main", 200, "ok"),
    ("leaf", CLINIC, "pins", 200, "ok"),
    ("deep", CLINIC, "main", 200, "ok"),
    ("deep", MIDDLE, "main", 200, "ok"),
    ("leaf", MIDDLE, "main", 403, "device-unknown"),
    # without the authority nothing is verified
    ("leaf", CLINIC, "bare", 403, "device-unknown"),
    ("foreign", CLINIC, "main", 403, "device-unknown"),
    ("foreign", OTHER, "main", 200, "ok"),
    ("leaf", OTHER, "main", 403, "device-unknown"),
    ("leaf", OTHER, "others", 403, "device-unknown"),
    (None, CLINIC, "main", 403, "device-missing"),
    ("pin", CLINIC, "pins", 403, "device-unknown"),
    ("leaf", OPTIONAL, "main", 200, "ok"),
    (None, OPTIONAL, "main", 200, "ok"),
    ("foreign", OPTIONAL, "main", 403, "device-unknown"),
    (None, NONE, "main", 200, "ok"),
    ("home", ELSEWHERE, "pins", 200, "ok"),
    (None, ELSEWHERE, "main", 403, "unknown-network"),
    ("stranger", ELSEWHERE, "pins", 403, "device-unknown"),
])
def test_device(gate, pki, version, name, source, port, status, reason):
    files = getattr(pki, name).files() if name else None
    answer = ask(gate, source, files, port, version)
    assert (answer.status, answer.log["reason"]) == (status, reason)


@pytest.mark.parametrize("name, port", [
    ("old", "main"), ("old", "pins"), ("expired", "pins"),
    ("server_only", "main"), ("stranger", "main"), ("gone", "revoked"),
    ("forged", "pins"), ("deep", "shallow")])
def test_what_nginx_itself_refuses(gate, pki, name, port):
    source = PINNED if name == "expired" else CLINIC
    answer = ask(gate, source, getattr(pki, name).files(), port)
    assert answer.status in (400, 403)


def test_revoked_certificate_is_no_verified_one(gate, pki):
    """Even where error_page takes nginx's own refusal back."""
    answer = ask(gate, CLINIC, pki.gone.files(), "revoked")
    assert answer.status == 403
    assert ask(gate, CLINIC, pki.leaf.files(), "revoked").status == 200


def test_chain_that_the_client_sends(gate, pki):
    sent = pki.deep.files(pki.middle)
    assert ask(gate, CLINIC, sent, "roots").status == 200
    assert ask(gate, MIDDLE, sent, "roots").status == 200
    assert ask(gate, CLINIC, pki.deep.files(), "roots").status == 400


def test_device_needs_tls(gate):
    answer = gate.request("/x", source=PINNED, port="plain")
    assert (answer.status, answer.log["reason"]) == (403, "plaintext")


@pytest.mark.parametrize("name", [None, "stranger"])
def test_stranger_is_not_told_whom_the_home_readers_call(gate, pki, name):
    files = getattr(pki, name).files() if name else None
    answer = ask(gate, ELSEWHERE, files, "pins")
    assert answer.log["facility"] == "-"
    assert "homedesk" not in answer.text


def test_home_reader_is_told_whom_to_call(gate, pki):
    tls = gate_nginx.client_context(pki.home.files())
    answer = gate.request("/x", source=ELSEWHERE, port="pins", tls=tls,
                          method="DELETE")
    assert (answer.status, answer.log["reason"]) == (403, "action-not-allowed")
    assert "homedesk" in answer.text


# ---- One connection, many requests ----

def test_certificate_that_expires_while_the_connection_lasts(gate, pki):
    tls = gate_nginx.client_context(pki.soon.files())
    connection = gate.connect(PINNED, "pins", tls)
    first = gate.request("/x", connection=connection)
    end = pki.soon.certificate.not_valid_after
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    left = (end - now).total_seconds()
    assert left > 0, "this machine is too slow for seven seconds"
    assert first.status == 200
    time.sleep(left + 1.2)
    last = gate.request("/x", connection=connection)
    connection.close()
    assert (last.status, last.log["reason"]) == (403, "device-unknown")


def test_keep_alive_asks_for_the_certificate_once(gate, pki):
    tls = gate_nginx.client_context(pki.leaf.files())
    connection = gate.connect(CLINIC, "main", tls)
    for _ in range(20):
        assert gate.request("/x", connection=connection).status == 200
    connection.close()


def test_certificate_is_looked_at_anew_under_a_new_policy(gate, pki, folder):
    tls = gate_nginx.client_context(pki.pin.files())
    connection = gate.connect(PINNED, "pins", tls)
    assert gate.request("/x", connection=connection).status == 200
    text = pki.policy()
    gate_nginx.write_policy(folder / "policy.conf", text.replace(
        pki.pin.sha256, pki.stranger.sha256), folder / "policy.img")
    assert gate_nginx.wait_for(lambda: gate.request(
        "/x", connection=connection).status == 403, 5)
    gate_nginx.write_policy(folder / "policy.conf", text,
                            folder / "policy.img")
    assert gate_nginx.wait_for(lambda: gate.request(
        "/x", connection=connection).status == 200, 5)
    connection.close()


# ---- Resumption ----

def resumed(gate, source, files, first, then, version, name=None,
            then_name=None):
    """Status of a request in a session that `first` began and `then`
    resumed, and whether it was."""
    tls = gate_nginx.client_context(files, version)
    request = "GET /x HTTP/1.1\r\nHost: {}\r\nX-Case: {}\r\n" \
              "Connection: close\r\n\r\n"
    session = None
    import socket
    for port, host in ((first, name), (then, then_name or name)):
        gate.case += 1
        case = f"case-{gate.case}"
        with socket.socket() as sock:
            sock.bind((source, 0))
            sock.connect(("127.0.0.1", gate.ports[port]))
            with tls.wrap_socket(sock, server_hostname=host or "x",
                                 session=session) as wrapped:
                wrapped.sendall(request.format(host or "x", case).encode())
                got = b""
                while piece := wrapped.recv(65536):
                    got += piece
                session = wrapped.session
                reused = wrapped.session_reused
    return int(got.split()[1]), reused, case


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name, source, port, status", [
    ("leaf", CLINIC, "main", 200), ("deep", CLINIC, "main", 200),
    ("deep", MIDDLE, "main", 200), ("leaf", OTHER, "main", 403),
    ("foreign", OTHER, "main", 200), ("foreign", CLINIC, "main", 403),
    ("pin", PINNED, "pins", 200), ("pin", PINNED, "bare", 200),
    ("stranger", PINNED, "pins", 403), (None, NONE, "main", 200),
    (None, CLINIC, "main", 403), ("leaf", CLINIC, "revoked", 200)])
def test_resumption_changes_nothing(gate, pki, version, name, source, port,
                                    status):
    files = getattr(pki, name).files() if name else None
    got, reused, _ = resumed(gate, source, files, port, port, version)
    assert reused and got == status


@pytest.mark.parametrize("version", VERSIONS)
def test_resumed_session_without_its_intermediate_is_not_verified(
        gate, pki, version):
    """A session keeps the certificate and not what came with it: servers
    should know their intermediates (docs/directives.md)."""
    files = pki.deep.files(pki.middle)
    status, reused, case = resumed(gate, CLINIC, files, "roots", "roots",
                                   version)
    assert reused and status == 403
    assert gate.entry(case)["reason"] == "device-unknown"


@pytest.mark.parametrize("version", VERSIONS)
def test_session_of_one_name_is_no_entrance_under_another(gate, pki, version):
    """CVE-2025-23419: a session begun with one authority, used with another.
    Whether nginx resumes it or not, "other" does not know this authority."""
    files = pki.leaf.files()
    try:
        status, _, _ = resumed(gate, OTHER, files, "names", "names", version,
                               "clinic.test", "other.test")
        assert status in (400, 403, 421)
    except ssl.SSLError as error:
        assert "ACCESS_DENIED" in str(error)
    # and its own name goes on
    status, reused, _ = resumed(gate, CLINIC, files, "names", "names",
                                version, "clinic.test")
    assert reused and status == 200


@pytest.mark.parametrize("version", VERSIONS)
def test_session_begun_at_a_server_that_verified_nothing(gate, pki, version):
    files = pki.leaf.files()
    status, _, _ = resumed(gate, CLINIC, files, "bare", "main", version)
    assert status in (200, 400, 403)
    status, reused, _ = resumed(gate, CLINIC, files, "main", "bare", version)
    assert status == 403 or not reused


# ---- HTTP/2, HTTP/3 ----

@pytest.fixture(scope="module")
def modern(nginx_at, folder, pki, gate, tmp_path_factory):
    version, text = gate_nginx.nginx_version()
    if "http_v2" not in text or not shutil.which("curl"):
        pytest.skip("needs nginx with HTTP/2, and curl")
    new = version >= (1, 25, 1)
    quic = "listen 127.0.0.1:%%main%% quic;" if "http_v3" in text else ""
    return nginx_at(tmp_path_factory.mktemp("modern"), f"""
    facility_policy {folder}/policy.img;
    facility_access on;
    {SSL.replace("%%PREFIX%%", str(folder))}
    root {folder}/html;
    server {{ listen 127.0.0.1:%%main%% ssl{"" if new else " http2"};
              {"http2 on;" if new else ""} {quic}
              ssl_verify_client optional_no_ca;
              ssl_client_certificate {folder}/all.crt; ssl_verify_depth 3; }}
    """)


CURL_CASES = [("pin", PINNED, 200), ("stranger", PINNED, 403),
              (None, PINNED, 403), ("leaf", CLINIC, 200),
              ("foreign", CLINIC, 403), ("deep", MIDDLE, 200),
              (None, NONE, 200), (None, ELSEWHERE, 403)]


def curl(nginx, pki, name, source, *options):
    if name:
        cert, key = getattr(pki, name).files()
        options += ("--cert", cert, "--key", key)
    return nginx.curl("https://127.0.0.1:%%main%%/x", *options, source=source)


@pytest.mark.parametrize("name, source, status", CURL_CASES)
def test_http2(modern, pki, name, source, status):
    answer = curl(modern, pki, name, source, "--http2")
    assert (answer.protocol, answer.status) == ("HTTP/2", status)


@pytest.mark.parametrize("name, source, status", CURL_CASES)
def test_http3(modern, pki, name, source, status):
    if missing := gate_nginx.without_http3():
        pytest.skip(missing)
    answer = curl(modern, pki, name, source, "--http3-only")
    assert (answer.protocol, answer.status) == ("HTTP/3", status)


def test_http2_streams_share_one_look_at_the_certificate(modern, pki):
    if not shutil.which("nghttp"):
        pytest.skip("install the Debian package nghttp2-client")
    cert, key = pki.pin.files()
    # nghttp cannot bind: its address is 127.0.0.1, which is nobody's, so the
    # home facility's pin is what admits it
    cert, key = pki.home.files()
    result = subprocess.run(
        ["nghttp", "-nv", "--no-verify-peer", "-m", "30", f"--cert={cert}",
         f"--key={key}", modern.fill("https://127.0.0.1:%%main%%/x")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    assert result.stdout.count(":status: 200") == 30, result.stderr
