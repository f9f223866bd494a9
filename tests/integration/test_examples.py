"""Every file of conf-examples/ is loaded and asked.

What has to be another one here (paths, ports, certificates, hours) is put in
by swap(), which fails when the example no longer has it.
"""

import base64
import datetime
import http.client
import http.server
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading

import pytest

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(TESTS)
sys.path[:0] = [os.path.join(TESTS, "demo"), os.path.join(TESTS, "data")]
import certificates  # noqa: E402
import make_mmdb     # noqa: E402
import stage         # noqa: E402

EXAMPLES = os.path.join(ROOT, "conf-examples")
LOG_FORMAT = ("'$request|$status|$facility|$facility_reason|"
              "$facility_action|$http_x_number'")


def swap(text, *pairs):
    for old, new in pairs:
        assert old in text, "the example has no longer: " + old
        text = text.replace(old, new)
    return text


PATIENT = "P-0042"  # whose studies all of them are


class Upstream(http.server.BaseHTTPRequestHandler):
    """Stands for the PACS: tells what arrived."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        session = "session=good" in self.headers.get("Cookie", "")
        status = 401 if self.path == "/portal/session" and not session else 200
        told = {"path": self.path,
                "authorization": self.headers.get("Authorization")}
        kind = "application/json"
        if self.path.endswith("/metadata"):
            told = [{"0020000D": {"vr": "UI",
                                  "Value": [self.path.split("/")[-2]]},
                     "00100020": {"vr": "LO", "Value": [PATIENT]}}]
            kind = "application/dicom+json"
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if session:
            self.send_header("X-User", "yamada")
        self.send_header("ETag", '"abc"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *_):
        pass


class Site:
    """Certificates, policy image and an upstream, shared by the examples."""

    def __init__(self, folder):
        self.folder = folder
        self.number = 0  # of the last request
        self.authority = certificates.Authority(folder, "server-ca", "/CN=CA")
        self.server = self.authority.issue("server", "/CN=localhost",
                                           "IP:127.0.0.1")
        self.terminal = certificates.self_signed(folder, "terminal",
                                                 "/CN=Aoba terminal 1")
        self.kita = certificates.self_signed(folder, "kita-terminal", "/CN=K")
        self.midori_ca = certificates.Authority(folder, "midori-ca", "/CN=M")
        self.home_ca = certificates.Authority(folder, "home-readers-ca",
                                              "/CN=H")
        self.reader = self.home_ca.issue("reader", "/CN=Yamada")
        with open(os.path.join(folder, "device-cas.pem"), "w",
                  encoding="utf-8") as out:
            out.write(stage.read(self.midori_ca.pem)
                      + stage.read(self.home_ca.pem))
        lines = []
        for user in ("yamada", "nobody"):
            secret = certificates.openssl("passwd", "-apr1", "word").decode()
            lines.append("%s:%s" % (user, secret))
        stage.write(os.path.join(folder, "pacs.htpasswd"), "".join(lines))
        make_mmdb.write(os.path.join(folder, "country.mmdb"), {
            "203.0.113.0/24": "JP", "198.51.100.0/25": "JP",
            "198.51.100.128/25": "US"})
        self.sekishod = stage.Sekishod(folder, self.daemon())
        self.sekishod.init()
        self.sekishod.start()
        self.upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0),
                                                        Upstream)
        self.upstream.daemon_threads = True
        threading.Thread(target=self.upstream.serve_forever,
                         daemon=True).start()

    def close(self):
        self.upstream.shutdown()
        self.upstream.server_close()
        self.sekishod.stop()
        self.sekishod.clear()

    @staticmethod
    def daemon():
        """sekishod.conf with this folder's paths."""
        return swap(
            stage.read(os.path.join(EXAMPLES, "sekishod.conf")),
            ("/var/lib/sekisho/", "@DIR@/"), ("/etc/sekisho/trail", "@DIR@/trail"),
            ("/run/sekisho/sekishod.sock", "@SOCKET@"),
            ("www-data;", "@WEB_USER@;"), ("64m", "4m"), ("8m", "1m"))

    def policy(self):
        """facilities.conf with this machine's addresses, at any hour."""
        text = stage.read(os.path.join(EXAMPLES, "facilities.conf"))
        text = swap(
            text, ("/etc/sekisho/", self.folder + "/"),
            ("sha256:5c1d0f6ad0b5ea1f7d6a2f6c9b0f7e0b"
             "3a46a5b7d8c9e0f1a2b3c4d5e6f70819", self.terminal.pin()),
            ("203.0.113.0/28", "203.0.113.0/28 127.0.12.0/28"))
        return re.sub(r"(?m)^    (hours|closed|valid|off-hours) .*\n", "",
                      text)

    def nginx(self, name, *pairs):
        """nginx with one example, ready to be asked."""
        text = stage.read(os.path.join(EXAMPLES, "nginx", name))
        text = re.sub(r"(?m)^ *listen \[::\]:443 ssl;\n", "", text)
        upstream = "127.0.0.1:%d" % self.upstream.server_address[1]
        text = text.replace("/run/sekisho/sekishod.sock", self.sekishod.socket)
        text = re.sub(r"127\.0\.0\.1:(8042|8080|8000)\b", upstream, text)
        text = swap(
            text, ("listen 443 ssl", "listen 127.0.0.1:@PORT@ ssl"),
            ("/var/lib/sekisho/policy.img", "@DIR@/policy.img"),
            ("/etc/sekisho/device-cas.pem", self.folder + "/device-cas.pem"),
            ("/var/lib/GeoIP/GeoLite2-Country.mmdb", self.folder
             + "/country.mmdb"),
            *pairs)
        text = re.sub(r"/etc/nginx/tls/[a-z.]+\.(pem|key)",
                      self.folder + r"/server.\1", text)
        left = re.search(r"(?m)^[^#\n]*(/etc/|/var/lib/)", text)
        assert not left, left.group()
        folder = os.path.join(self.folder, name)
        os.makedirs(folder)
        stage.apply_policy(folder, self.policy())
        nginx = stage.Nginx(folder, stage.gate_config(LOG_FORMAT, text), {},
                            ("127.0.0.1",))
        nginx.write_config(stage.free_port())
        os.makedirs(os.path.join(folder, "tmp"))
        tested = subprocess.run(
            [nginx.binary, "-t", "-q", "-e", nginx.error_log, "-p", folder,
             "-c", nginx.config], stderr=subprocess.STDOUT,
            stdout=subprocess.PIPE, text=True, check=False)
        assert tested.returncode == 0, tested.stdout
        assert "[warn]" not in tested.stdout, tested.stdout
        nginx.start()
        return nginx

    def ask(self, nginx, path, address="127.0.12.5", method="GET",
            certificate=None, user=None, cookie=None, proxied=None):
        """One request; `proxied` is the address that the load balancer
        tells.  Returns the status and the body."""
        context = ssl.create_default_context(cafile=self.authority.pem)
        if certificate:
            context.load_cert_chain(certificate.pem, certificate.key)
        plain = socket.create_connection(("127.0.0.1", nginx.port), 20,
                                         (address, 0))
        if proxied:
            plain.sendall(b"PROXY TCP4 %s 127.0.0.1 40000 443\r\n"
                          % proxied.encode())
        connection = http.client.HTTPSConnection("127.0.0.1", nginx.port,
                                                 timeout=20)
        connection.sock = context.wrap_socket(plain,
                                              server_hostname="127.0.0.1")
        self.number += 1
        headers = {"X-Number": str(self.number)}
        if user:
            headers["Authorization"] = "Basic " + base64.b64encode(
                ("%s:word" % user).encode()).decode()
        if cookie:
            headers["Cookie"] = cookie
        try:
            connection.request(method, path, None, headers)
            answer = connection.getresponse()
            return stage.Answer(answer.status, answer.reason, answer.headers,
                                answer.read())
        finally:
            connection.close()


    def found(self, *words):
        """Who opened it, as the trail tells: accesses alone."""
        def search():
            status, output, errors = stage.sekisho(
                "audit", "search", *words, "--json", "--config",
                self.sekishod.config)
            assert status in (0, 1), errors
            return [record for record in map(json.loads, output.splitlines())
                    if record["event"] == "access"]
        return stage.wait_for(search, 10, "a record of " + " ".join(words))

    def reason(self, nginx):
        """Facility, reason and action of the last request."""
        def last():
            for line in stage.read(nginx.access_log).splitlines():
                if line.endswith("|%d" % self.number):
                    return line
            return None
        return tuple(stage.wait_for(last, 2, "the log").split("|")[2:5])


@pytest.fixture(scope="module")
def site():
    folder = stage.scratch_folder("sekisho-examples.")
    made = None
    try:
        made = Site(folder)
        yield made
    finally:
        if made:
            made.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def orthanc(site):
    nginx = site.nginx("orthanc.conf", ("/etc/nginx/pacs.htpasswd",
                                        site.folder + "/pacs.htpasswd"))
    yield nginx
    nginx.stop()
    assert "[alert]" not in stage.read(nginx.error_log)


def test_orthanc_lets_a_listed_user_in(site, orthanc):
    answer = site.ask(orthanc, "/dicom-web/studies",
                      certificate=site.terminal, user="yamada")
    assert answer.status == 200
    assert answer.json()["path"] == "/dicom-web/studies"
    # The password is the gate's affair, and nothing may be kept.
    assert answer.json()["authorization"] is None
    assert "no-store" in answer.header("Cache-Control")
    assert not answer.header("ETag")


@pytest.mark.parametrize("path,certificate,user,status", [
    ("/dicom-web/studies", None, "yamada", 403),        # no certificate
    ("/dicom-web/studies", "reader", "yamada", 403),    # of somebody else
    ("/dicom-web/studies", "terminal", "nobody", 403),  # not in `users`
    ("/dicom-web/studies", "terminal", None, 401),      # not signed in
    ("/studies/1/archive", "terminal", "yamada", 403),  # a download
])
def test_orthanc_refuses(site, orthanc, path, certificate, user, status):
    answer = site.ask(orthanc, path, user=user, certificate=getattr(
        site, certificate) if certificate else None)
    assert answer.status == status, answer.body[:300]


def test_orthanc_access_is_on_record(site, orthanc):
    """With the name that the password made certain, before the answer."""
    study = "1.2.840.113619.2.55.4711"
    assert site.ask(orthanc, "/dicom-web/studies/%s/metadata" % study,
                    certificate=site.terminal, user="yamada").status == 200
    record, = site.found("--study", study)
    assert (record["user"], record["facility"], record["address"],
            record["action"]) == ("yamada", "aoba-clinic", "127.0.12.5",
                                  "view")
    # the PACS has told whose it is
    assert study in [one.get("study")
                     for one in site.found("--patient", PATIENT)]


def test_orthanc_status_is_for_this_host(site, orthanc):
    page = site.ask(orthanc, "/sekisho-status", address="127.0.0.1")
    assert page.status == 200
    assert b"sekisho_daemon_connections" in page.body
    assert site.ask(orthanc, "/sekisho-status").status == 403


def test_orthanc_refuses_a_stranger(site, orthanc):
    answer = site.ask(orthanc, "/dicom-web/studies", address="127.0.12.99",
                      certificate=site.terminal, user="yamada")
    assert answer.status == 403


@pytest.fixture(scope="module")
def dcm4chee(site):
    nginx = site.nginx(
        "dcm4chee.conf",
        ("/etc/nginx/pacs.htpasswd", site.folder + "/pacs.htpasswd"),
        ("set_real_ip_from 192.0.2.10", "set_real_ip_from 127.0.12.1"))
    yield nginx
    nginx.stop()
    assert "[alert]" not in stage.read(nginx.error_log)


RS = "/dcm4chee-arc/aets/DCM4CHEE/rs"


def test_dcm4chee_believes_the_load_balancer(site, dcm4chee):
    answer = site.ask(dcm4chee, RS + "/studies", address="127.0.12.1",
                      proxied="203.0.113.5", certificate=site.terminal,
                      user="yamada")
    assert answer.status == 200
    assert answer.json()["path"] == RS + "/studies"


def test_dcm4chee_believes_nobody_else(site, dcm4chee):
    """127.0.12.5 is a facility's address, but no load balancer's; what it
    tells about 203.0.113.5 is worth nothing."""
    answer = site.ask(dcm4chee, RS + "/studies", address="127.0.13.5",
                      proxied="203.0.113.5", certificate=site.terminal,
                      user="yamada")
    assert answer.status == 404


def test_dcm4chee_country_is_looked_up(site, dcm4chee):
    """home-readers: any network, but in Japan."""
    def ask(proxied):
        return site.ask(dcm4chee, RS + "/studies", address="127.0.12.1",
                        proxied=proxied, certificate=site.reader,
                        user="yamada").status
    assert ask("198.51.100.7") == 200
    assert ask("198.51.100.200") == 404
    assert site.reason(dcm4chee)[:2] == ("home-readers", "wrong-country")


def test_dcm4chee_refusal_looks_like_nothing(site, dcm4chee):
    refused = site.ask(dcm4chee, RS + "/studies/1.2.3", address="127.0.12.1",
                       proxied="203.0.113.5", certificate=site.terminal,
                       user="yamada")  # a download, and a denial
    assert refused.status == 404
    assert site.reason(dcm4chee)[1:] == ("action-not-allowed", "download")
    nowhere = site.ask(dcm4chee, "/console", address="127.0.12.1",
                       proxied="203.0.113.5", certificate=site.terminal)
    assert nowhere.status == 404


def test_dcm4chee_access_is_on_record(site, dcm4chee):
    """Of the client that the load balancer tells of, and whose study it is."""
    study = "1.2.840.113619.2.55.4712"
    assert site.ask(dcm4chee, "%s/studies/%s/metadata" % (RS, study),
                    address="127.0.12.1", proxied="203.0.113.5",
                    certificate=site.terminal, user="yamada").status == 200
    record, = site.found("--study", study)
    assert (record["user"], record["facility"], record["address"],
            record["action"]) == ("yamada", "aoba-clinic", "203.0.113.5",
                                  "view")
    assert study in [one.get("study")
                     for one in site.found("--patient", PATIENT)]


@pytest.fixture(scope="module")
def portal(site):
    nginx = site.nginx("portal.conf")
    yield nginx
    nginx.stop()
    assert "[alert]" not in stage.read(nginx.error_log)


@pytest.mark.parametrize("method,path,status,action", [
    ("GET", "/portal/worklist?day=1", 200, "query"),
    ("GET", "/portal/viewer/1", 200, "view"),
    ("GET", "/portal/patients/P1/", 200, "view"),
    ("GET", "/portal/export/1", 403, "download"),
    ("GET", "//portal/./x/../export/1", 403, "download"),
    ("GET", "/portal/%65xport/1", 403, "download"),
    ("POST", "/portal/upload", 403, "store"),
    ("DELETE", "/portal/viewer/1", 403, "delete"),
    ("GET", "/portal/admin/users", 403, "admin"),
    # `auto` knows the standard ones.
    ("GET", "/dicom-web/studies", 200, "query"),
    ("GET", "/dicom-web/studies/1.2.3", 403, "download"),
])
def test_portal_actions(site, portal, method, path, status, action):
    answer = site.ask(portal, path, method=method, cookie="session=good",
                      certificate=site.terminal)
    assert answer.status == status, answer.body[:300]
    assert site.reason(portal) == (
        "aoba-clinic", "ok" if status == 200 else "action-not-allowed", action)


def test_portal_access_is_on_record(site, portal):
    """The study of the portal's path, and of DICOMweb's."""
    studies = ["1.2.840.113619.2.55.%d" % number for number in (4713, 4714)]
    for path, study in zip(("/portal/viewer/%s/page?study=1.2",
                            "/dicom-web/studies/%s/metadata"), studies):
        assert site.ask(portal, path % study, cookie="session=good",
                        certificate=site.terminal).status == 200
        record, = site.found("--study", study)
        assert (record["user"], record["facility"], record["address"],
                record["action"]) == ("yamada", "aoba-clinic", "127.0.12.5",
                                      "view")
        assert "patient" not in record
    # DICOMweb's answer has told whose that one is
    assert studies[1] in [one.get("study")
                          for one in site.found("--patient", PATIENT)]


def test_portal_access_names_the_patient(site, portal):
    """As the portal means it: without escapes."""
    assert site.ask(portal, "/portal/patients/P%2d77/images?patient=P-1",
                    cookie="session=good",
                    certificate=site.terminal).status == 200
    record, = site.found("--patient", "P-77")
    assert (record["user"], record["patient"], record["action"]) == (
        "yamada", "P-77", "view")
    assert not record.get("study")


def test_portal_without_a_session(site, portal):
    answer = site.ask(portal, "/portal/viewer/1", certificate=site.terminal)
    assert answer.status == 302
    assert answer.header("Location") == "https://sso.example.jp/sign-in"


def test_portal_does_not_send_strangers_to_sign_in(site, portal):
    answer = site.ask(portal, "/portal/viewer/1", address="127.0.12.99")
    assert answer.status == 403
    assert not answer.header("Location")


# ---- facilities.conf --------------------------------------------------------

@pytest.fixture(scope="module")
def facilities(site):
    """The example as it is, but for the folder of its certificates."""
    path = os.path.join(site.folder, "example.conf")
    stage.write(path, swap(
        stage.read(os.path.join(EXAMPLES, "facilities.conf")),
        ("/etc/sekisho/", site.folder + "/")))
    return path


def test_facilities_pass_the_check(facilities):
    status, output, errors = stage.sekisho("policy", "check", facilities)
    assert status == 0, errors
    assert "error" not in errors


PIN = ("sha256:"
       "5c1d0f6ad0b5ea1f7d6a2f6c9b0f7e0b3a46a5b7d8c9e0f1a2b3c4d5e6f70819")
TUESDAY, SUNDAY = "2026-11-24", "2026-11-22"


def explain(facilities, *arguments):
    status, output, errors = stage.sekisho(
        "policy", "explain", *arguments, "--policy", facilities, "--json")
    assert status in (0, 1), errors
    answer = json.loads(output)
    assert (status == 0) == (answer["verdict"] == "allow")
    return answer["facility"], answer["reason"]


@pytest.mark.parametrize("when,wanted", [
    (TUESDAY + "T08:00+09:00", "ok"), (TUESDAY + "T18:59+09:00", "ok"),
    (TUESDAY + "T19:00+09:00", "closed"), (SUNDAY + "T10:00+09:00", "closed"),
    ("2026-11-28T12:59+09:00", "ok"), ("2026-11-28T13:00+09:00", "closed"),
    ("2026-11-23T10:00+09:00", "holiday"),
    ("2026-12-31T10:00+09:00", "holiday"),
    ("2026-03-31T10:00+09:00", "not-valid")])
def test_clinic_hours(facilities, when, wanted):
    assert explain(facilities, "203.0.113.5", "--certificate", PIN, "--user",
                   "yamada", "--at", when) == ("aoba-clinic", wanted)


MIDORI = ("--via", "10.8.0.1", "--certificate", "@MIDORI@", "--verified-by",
          "@CA@", "--at", "@SOON@T03:00+09:00")


@pytest.mark.parametrize("arguments,facility,wanted", [
    (("10.20.1.7",) + MIDORI, "midori-hospital", "ok"),
    (("10.20.1.7", "--factor", "none") + MIDORI, "midori-hospital",
     "factor-missing"),
    (("10.20.1.7", "--factor", "fresh") + MIDORI, "midori-hospital", "ok"),
    (("10.20.112.9", "--factor", "none") + MIDORI, "midori-emergency", "ok"),
    (("10.20.1.7", "--via", "192.0.2.1", "--certificate", "@MIDORI@"),
     "midori-hospital", "wrong-ingress"),
    (("10.20.1.7", "--via", "10.8.0.1", "--certificate", "@READER@",
      "--verified-by", "@CA@"), "midori-hospital", "device-unknown"),
    (("local", "--service", "desktop"), "reading-room", "ok"),
    (("198.51.100.33",), "kita-clinic", "dry-run"),
])
def test_other_facilities(site, facilities, arguments, facility, wanted):
    midori = os.path.join(site.folder, "midori-terminal.pem")
    if not os.path.exists(midori):
        site.midori_ca.issue("midori-terminal", "/CN=Terminal")
    # At three in the morning it is outside any facility's hours, on any day;
    # soon, because the certificates were made today.
    soon = datetime.date.today() + datetime.timedelta(days=2)
    values = {"@MIDORI@": midori, "@READER@": site.reader.pem,
              "@CA@": site.midori_ca.pem,
              "@SOON@T03:00+09:00": "%sT03:00+09:00" % soon}
    arguments = [values.get(word, word) for word in arguments]
    assert explain(facilities, *arguments) == (facility, wanted)


def test_calendar_has_the_happy_mondays(facilities):
    """Japan's holidays that move, counted here: the second Monday of January
    and October, the third of July and September."""
    for year in (2026, 2027):
        for month, week in ((1, 2), (10, 2), (7, 3), (9, 3)):
            first = datetime.date(year, month, 1)
            monday = first + datetime.timedelta(
                days=(-first.weekday()) % 7 + 7 * (week - 1))
            if monday < datetime.date(2026, 4, 1):
                continue  # before the facility's `valid`
            got = explain(facilities, "203.0.113.5", "--certificate", PIN,
                          "--user", "yamada", "--at",
                          "%sT10:00+09:00" % monday)
            assert got == ("aoba-clinic", "holiday"), monday
