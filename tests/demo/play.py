"""The stage with everybody on it, and the one way in which a step asks.

A step says what it expects; any other answer ends the demonstration.
"""

import datetime
import os
import re
import sys

import certificates
import stage

sys.path.insert(0, os.path.join(stage.ROOT, "tests", "data"))
import make_dicom  # pylint: disable=wrong-import-position

FOLDER = os.path.dirname(os.path.abspath(__file__))
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MAIN_LINE = "127.0.0.1"
VPN_LINE = "127.0.20.1"

# What a reason means, in the words of this story.
MEANING = {
    "ok": "everything that the policy asks for is there",
    "dry-run": "would be refused, but this facility is only watched so far",
    "unknown-network": "no facility has this address",
    "closed": "outside this facility's hours",
    "device-missing": "this facility's terminals must show a certificate",
    "device-unknown": "the certificate is not one of this facility's",
    "wrong-ingress": "this facility must arrive on its VPN line",
    "action-not-allowed": "this facility may not do that",
    "audit-unavailable": "what cannot be recorded is not shown",
}


class Wrong(Exception):
    """The gate answered otherwise than the story says."""


def now_in_tokyo():
    return datetime.datetime.now(
        datetime.timezone(datetime.timedelta(hours=9)))


def other_days():
    """Hours on two days, neither of them today, yesterday or tomorrow."""
    today = now_in_tokyo().weekday()
    return " ".join("%s 09:00-17:00" % DAYS[(today + ahead) % 7]
                    for ahead in (2, 3))


class Play:
    def __init__(self, folder, screen):
        self.folder = folder
        self.sources = FOLDER
        self.screen = screen
        self.number = 0
        self.asked = 0
        self.orthanc = None
        self.nginx = None
        self.sekishod = None
        self.studies = None
        self.values = {"DIR": folder}
        self.policy = os.path.join(folder, "facilities.conf")
        self.image = os.path.join(folder, "policy.img")

    # ---- Setting up ---------------------------------------------------------

    def set_up(self):
        self._certificates()
        self.studies = make_dicom.make(os.path.join(self.folder, "dicom"))
        self.orthanc = stage.Orthanc(os.path.join(self.folder, "orthanc"))
        self.orthanc.start()
        self.orthanc.store(self.studies)
        self._sekishod()
        self._policy()
        self._nginx()

    def _certificates(self):
        gate = certificates.Authority(self.folder, "gate-ca",
                                      "/CN=Demonstration gate CA")
        gate.issue("gate", "/CN=localhost",
                   "IP:127.0.0.1,IP:127.0.20.1,IP:::1,DNS:localhost")
        aoba = certificates.self_signed(self.folder, "aoba-terminal-1",
                                        "/CN=Aoba terminal 1")
        desk = certificates.self_signed(self.folder, "your-desk",
                                        "/CN=Sekisho demonstration, your desk")
        midori_ca = certificates.Authority(self.folder, "midori-ca",
                                           "/O=Midori General Hospital/CN=CA")
        midori = midori_ca.issue("midori-terminal-7",
                                 "/O=Midori General Hospital/CN=Terminal 7")
        home_ca = certificates.Authority(self.folder, "home-ca",
                                         "/O=Home readers/CN=CA")
        home = home_ca.issue("home-yamada", "/O=Home readers/CN=Dr. Yamada")
        with open(os.path.join(self.folder, "devices.pem"), "w",
                  encoding="utf-8") as out:
            for authority in (midori_ca, home_ca):
                out.write(stage.read(authority.pem))
        desk.bundle(os.path.join(self.folder, "your-desk.p12"), "demo")
        self.values["AOBA_PIN"] = aoba.pin()
        self.values["DESK_PIN"] = desk.pin()

        def client(name, address, certificate=None):
            return stage.Client(name, address, gate.pem, certificate)
        self.aoba = client("Aoba Imaging Clinic", "127.0.10.1", aoba)
        self.aoba_bare = client("Aoba Imaging Clinic", "127.0.10.1")
        self.aoba_with_midori = client("Aoba Imaging Clinic", "127.0.10.1",
                                       midori)
        self.midori = client("Midori General Hospital", "127.0.10.2", midori)
        self.sakura = client("Sakura Clinic", "127.0.10.3")
        self.kawa = client("Kawa Laboratory", "127.0.10.4")
        self.home = client("Dr. Yamada, at a hotel", "127.0.10.77", home)
        self.desk = client("Your desk", "127.0.0.1")
        self.stranger = client("Somebody", "127.0.10.99")

    def _sekishod(self):
        self.sekishod = stage.Sekishod(self.folder, stage.read(os.path.join(
            FOLDER, "sekishod.conf")))
        self.sekishod.init()
        self.sekishod.start()

    def _policy(self):
        self.values["OTHER_DAYS"] = other_days()
        stage.write(self.policy, stage.fill_in(stage.read(os.path.join(
            FOLDER, "facilities.conf")), self.values))
        status, output, errors = self.apply("the demonstration begins")
        if status != 0:
            raise stage.StageError("the policy does not apply:\n"
                                   + output + errors)

    def _nginx(self):
        addresses = [MAIN_LINE, VPN_LINE]
        listen_ipv6 = "# no IPv6 here"
        if stage.has_ipv6():
            addresses.append("::1")
            listen_ipv6 = "listen [::1]:@PORT@ ssl;"
        template = stage.read(os.path.join(FOLDER, "nginx.conf"))
        template = template.replace("@LISTEN_IPV6@", listen_ipv6)
        self.nginx = stage.Nginx(self.folder, template, {
            "ORTHANC": self.orthanc.port, "SOCKET": self.sekishod.socket},
            addresses)
        self.nginx.start()
        self.wait_for_recorder()

    def close(self):
        # nginx before its recorder: it has something to say at its end.
        for part in (self.nginx, self.sekishod, self.orthanc):
            if part:
                part.stop()
        if self.sekishod:
            self.sekishod.clear()

    # ---- What the steps use -------------------------------------------------

    def apply(self, note, path=None):
        return stage.sekisho("policy", "apply", path or self.policy, "--image",
                             self.image, "--config", self.sekishod.config,
                             "--note", note)

    def wait_for_recorder(self):
        """Until every worker has its connection to sekishod."""
        def connected():
            page = self.desk.request(self.nginx.port, "GET",
                                     "/sekisho-status").body.decode()
            found = dict(re.findall(
                r'sekisho_daemon_connections\{state="(\w+)"\} (\d+)', page))
            return int(found["up"]) > 0 and int(found["down"]) == 0
        stage.wait_for(connected, 5, "nginx to find sekishod")

    def wait_for_rest(self):
        """Until the accesses so far are closed, and told with their totals."""
        stage.wait_for(
            lambda: self.sekishod.status()["open_accesses"] == 0, 15,
            "the accesses to be closed")

    def tokyo(self):
        now = now_in_tokyo()
        return "%s %s" % (DAYS[now.weekday()], now.strftime("%H:%M"))

    def study(self, modality):
        return next(study for study in self.studies
                    if study["modality"] == modality)

    def check(self, condition, text):
        if not condition:
            raise Wrong(text)

    def log_line(self, path, needle, pattern=None):
        """The line with `needle` that nginx writes within two seconds."""
        def look():
            for line in stage.read(path).splitlines():
                if needle in line and (pattern is None
                                       or re.search(pattern, line)):
                    return line
            return None
        try:
            return stage.wait_for(look, 2, "")
        except stage.StageError:
            raise Wrong("%s has no line with \"%s\"" % (
                os.path.basename(path), needle)) from None

    def fact(self, line, name):
        """The value of name=… in an access log line."""
        found = re.search(r"\b%s=(\S*)" % name, line)
        return found.group(1) if found else ""

    def ask(self, client, method, path, reason, accept=None, show=None,
            line=MAIN_LINE, status=None, quiet=False):
        """Asks, prints what was asked, what came back and why, and checks."""
        screen = self.screen
        self.asked += 1
        # The request finds its line in the log by this.
        token = "%d.%d" % (self.number, self.asked)
        headers = {"X-Demo-Step": token}
        if accept:
            headers["Accept"] = accept
        status = status or (200 if reason in ("ok", "dry-run") else 403)

        where = "from %s" % client.address
        if line == VPN_LINE:
            where += " over the VPN"
        certificate = client.certificate
        where += ", certificate %s" % certificate.name if certificate \
            else ", no certificate"
        if not quiet:
            screen.field("who", "%s, %s" % (client.name, where))
        screen.field("asked", "%s %s" % (method, shorten(path)))

        answer = client.request(self.nginx.port, method, path, headers,
                                host=line)
        text = "%d %s" % (answer.status, answer.reason)
        if answer.status == status and show:
            text += ", " + show(answer)
        screen.field("came", text, "green" if answer.status == 200 else "red",
                     "bold")
        self.check(answer.status == status, "expected status %d, got %d: %s"
                   % (status, answer.status, answer.body[:300]))

        log = self.log_line(self.nginx.access_log, "step=" + token)
        why = self.fact(log, "reason")
        facts = ["%s %s" % (label, self.fact(log, name))
                 for label, name in (("facility", "facility"),
                                     ("action", "action"))
                 if self.fact(log, name) not in ("", "-")]
        screen.field("why", "%s: %s (%s)" % (
            why, MEANING.get(why, "?"), ", ".join(facts)))
        self.check(why == reason, "expected reason %s, got %s" % (reason, why))
        if status == 403:
            self._check_denial(answer, log, why)
        elif status == 503:
            # nginx's own page; the trail has the ticket, too
            self.screen.field("ticket", "%s, in error.log:"
                              % self.fact(log, "ticket"))
            self.show_log(self.fact(log, "ticket"), re.escape(reason))
        return answer

    def _check_denial(self, answer, access, reason):
        """The caller's ticket leads to one line in the error log."""
        ticket = self.fact(access, "ticket")
        self.check(ticket in answer.body.decode(errors="replace"),
                   "the page does not tell the ticket %s" % ticket)
        self.screen.field("ticket", "%s, on the page and in error.log:"
                          % ticket)
        self.show_log(ticket, re.escape(reason))

    def show_log(self, needle, pattern):
        """The gate's line in the error log, without what nginx adds."""
        line = self.log_line(self.nginx.error_log, needle, pattern)
        self.screen.field("", re.sub(r"^.*?((?:facility|audit): .*?), client: .*$",
                                     r"\1", line), "dim")


def shorten(path):
    """UIDs of 40 digits, and Orthanc's ids, with their middle left out."""
    path = re.sub(r"2\.25\.\d{20,}(\d{4})", r"…\1", path)
    return re.sub(r"\b([0-9a-f]{8})(-[0-9a-f]{8}){3}-([0-9a-f]{8})\b",
                  r"\1-…-\3", path)


def studies_found(answer):
    names = [study["00100010"]["Value"][0]["Alphabetic"]
             for study in answer.json()]
    return "%d stud%s: %s" % (len(names), "y" if len(names) == 1 else "ies",
                              ", ".join(sorted(names)))
