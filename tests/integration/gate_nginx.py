"""Starts an nginx with the module for the gate's tests, and asks it things.

    SEKISHO_COMMAND  the command that makes policies  [build/bin/sekisho]
    SEKISHO_NGINX    the nginx to start                [nginx in PATH]
    SEKISHO_MODULE   the module; empty: it is linked in
                     [build/lib/ngx_http_sekisho_module.so]

In a configuration %%name%% is a free port, the same for the same name, and
%%PREFIX%% the folder of this nginx.
"""

import http.client
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SEKISHO = pathlib.Path(
    os.environ.get("SEKISHO_COMMAND", ROOT / "build/bin/sekisho"))
NGINX = os.environ.get("SEKISHO_NGINX") or shutil.which(
    "nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
MODULE = os.environ.get(
    "SEKISHO_MODULE", str(ROOT / "build/lib/ngx_http_sekisho_module.so"))

LOG_FORMAT = (
    "log_format gate '$http_x_case|$status|$facility|$facility_name|"
    "$facility_verdict|$facility_reason|$facility_dry_run_reason|"
    "$facility_action|$facility_policy_version|$remote_addr|$request_id|"
    "$uri';")
LOG_FIELDS = ("case", "status", "facility", "name", "verdict", "reason",
              "dry_run_reason", "action", "version", "address", "ticket",
              "uri")

TROUBLE = re.compile(
    r"\[(alert|emerg)\]|AddressSanitizer|LeakSanitizer|runtime error:"
    r"|UndefinedBehaviorSanitizer|exited on signal")


def nginx_version():
    text = subprocess.run([NGINX, "-V"], stderr=subprocess.PIPE, text=True,
                          check=True).stderr
    version = re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", text)
    return tuple(map(int, version.groups())), text


def has(option):
    return f"--with-{option}" in nginx_version()[1]


def without_http3():
    """Why HTTP/3 cannot be tried here; None if it can."""
    if not has("http_v3_module"):
        return "this nginx was built without HTTP/3"
    version = subprocess.run(["curl", "-V"], stdout=subprocess.PIPE,
                             text=True, check=True).stdout
    if "HTTP3" not in version:
        return "this curl was built without HTTP/3"
    return None


def write_policy(path, text, image):
    """Compiles; the image is replaced by a rename, as in earnest."""
    path.write_text(text)
    result = subprocess.run(
        [SEKISHO, "policy", "apply", path, "--image", image],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False)
    assert result.returncode == 0, result.stdout


def wait_for(condition, seconds=5.0, step=0.01):
    """The condition's first true value, or its last one."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value
        time.sleep(step)


class Nginx:
    def __init__(self, prefix, http, main="", events="", start=True):
        self.prefix = pathlib.Path(prefix)
        self.ports = {}
        self.expected = []   # regular expressions of trouble that is none
        self.process = None
        (self.prefix / "html").mkdir(parents=True, exist_ok=True)
        (self.prefix / "tmp").mkdir(exist_ok=True)
        self.error_log = self.prefix / "error.log"
        self.access_log = self.prefix / "access.log"
        self.stderr = self.prefix / "stderr.log"
        self.case = 0
        self.configure(http, main, events)
        if start:
            self.start()

    # ---- Configuration and life ----

    def port(self, name):
        """Below the ports that the system gives to clients."""
        while name not in self.ports:
            number = random.randrange(15_000, 32_000)
            with socket.socket(socket.AF_INET6) as probe:
                try:
                    probe.bind(("::", number))
                except OSError:
                    continue
            if number not in self.ports.values():
                self.ports[name] = number
        return self.ports[name]

    def fill(self, text):
        text = text.replace("%%PREFIX%%", str(self.prefix))
        return re.sub(r"%%(\w+)%%", lambda m: str(self.port(m[1])), text)

    def configure(self, http, main="", events=""):
        load = f"load_module {MODULE};" if MODULE else ""
        user = "user root;" if os.geteuid() == 0 else ""
        if "user " in main or "user\t" in main:
            user = ""
        text = f"""{load}
{user}
{main}
pid nginx.pid;
error_log error.log info;
events {{ worker_connections 256; {events} }}
http {{
    client_body_temp_path tmp/body;
    proxy_temp_path tmp/proxy;
    fastcgi_temp_path tmp/fastcgi;
    uwsgi_temp_path tmp/uwsgi;
    scgi_temp_path tmp/scgi;
    keepalive_timeout 60;
    types {{ text/html html; text/plain txt; application/dicom dcm;
             application/zip zip; }}
    default_type text/plain;
    {LOG_FORMAT}
    access_log access.log gate;
{http}
}}
"""
        self.text = text
        (self.prefix / "nginx.conf").write_text(self.fill(text))

    def command(self, *arguments):
        return [NGINX, "-p", f"{self.prefix}/", "-c", "nginx.conf",
                "-e", "error.log", *arguments]

    def test(self):
        """nginx -t: (exit status, output)."""
        result = subprocess.run(self.command("-t"), stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True,
                                check=False)
        return result.returncode, result.stdout

    def start(self):
        for attempt in range(3):
            with open(self.stderr, "ab") as stderr:
                self.process = subprocess.Popen(
                    self.command("-g", "daemon off;"),
                    stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)
            wait_for(lambda: self.process.poll() is not None
                     or all(self.listens(port)
                            for name, port in self.ports.items()
                            if not name.startswith("elsewhere")), 30)
            if (self.process.poll() is None or attempt == 2
                    or "Address already in use" not in self.errors()):
                break
            # somebody else was quicker: other ports
            self.ports.clear()
            self.error_log.unlink()
            self.stderr.unlink()
            (self.prefix / "nginx.conf").write_text(self.fill(self.text))
        assert self.process.poll() is None, self.errors()
        for name, port in self.ports.items():
            assert name.startswith("elsewhere") or self.listens(port), (
                name + " does not listen:\n" + self.errors())
        # the sockets listen before anybody is there to serve them
        if "master_process off" not in self.text:
            assert wait_for(self.workers, 20), self.errors()

    @staticmethod
    def listens(port):
        for family, address in ((socket.AF_INET, "127.0.0.1"),
                                (socket.AF_INET6, "::1")):
            with socket.socket(family) as probe:
                probe.settimeout(1)
                if probe.connect_ex((address, port)) == 0:
                    return True
        return False

    def signal(self, number):
        self.process.send_signal(number)

    def workers(self):
        text = subprocess.run(["pgrep", "-P", str(self.process.pid)],
                              stdout=subprocess.PIPE, text=True,
                              check=False).stdout
        return [int(pid) for pid in text.split()]

    def reload(self):
        """Returns when the new workers alone are left."""
        before = set(self.workers())
        self.signal(signal.SIGHUP)
        assert wait_for(lambda: self.workers()
                        and not before & set(self.workers()), 20), self.errors()

    def stop(self):
        """Stops it gently, and looks for what should not be in its logs."""
        if self.process and self.process.poll() is None:
            self.signal(signal.SIGQUIT)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.signal(signal.SIGTERM)
                try:
                    self.process.wait(10)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait(10)
        trouble = [line for line in self.errors().splitlines()
                   if TROUBLE.search(line)
                   and not any(re.search(e, line) for e in self.expected)]
        assert not trouble, "\n".join(trouble)
        if self.process:
            assert self.process.returncode == 0, self.errors()[-4000:]

    # ---- Logs ----

    def errors(self):
        return "".join(
            path.read_text(errors="replace")
            for path in (self.error_log, self.stderr) if path.exists())

    def entry(self, case):
        """The access log's line of one request, as a dictionary."""
        def look():
            for line in self.access_log.read_text(
                    errors="replace").splitlines():
                fields = line.split("|")
                if fields[0] == case:
                    return dict(zip(LOG_FIELDS, fields))
            return None
        found = wait_for(look)
        assert found, f"{case} was not logged"
        return found

    def error_lines(self, *words, seconds=2.0):
        """Lines with all these words; waits for the first."""
        return wait_for(lambda: [
            line for line in self.errors().splitlines()
            if all(word in line for word in words)], seconds)

    # ---- Requests ----

    def request(self, path="/", source="127.0.10.1", port="main",
                method="GET", headers=None, body=None, tls=None,
                connection=None, address="127.0.0.1"):
        """One request with a case of its own; `tls` is an ssl.SSLContext."""
        self.case += 1
        case = f"case-{self.case}"
        own = connection is None
        if own:
            connection = self.connect(source, port, tls, address)
        try:
            connection.request(method, path, body=body,
                               headers={"X-Case": case, **(headers or {})})
            answer = connection.getresponse()
            data = answer.read()
        finally:
            if own:
                connection.close()
        return Answer(self, case, answer.status, answer.msg, data)

    def connect(self, source="127.0.10.1", port="main", tls=None,
                address="127.0.0.1"):
        number = self.ports[port]
        where = (source, 0) if source else None
        if tls:
            return http.client.HTTPSConnection(
                address, number, timeout=20, source_address=where,
                context=tls)
        return http.client.HTTPConnection(address, number, timeout=20,
                                          source_address=where)

    def raw(self, data, source="127.0.10.1", port="main", unix=None):
        """Sends bytes, returns all that comes until the end."""
        if unix:
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(str(unix))
        else:
            sock = socket.socket()
            sock.bind((source, 0))
            sock.connect(("127.0.0.1", self.ports[port]))
        with sock:
            sock.settimeout(20)
            sock.sendall(data)
            got = b""
            while True:
                try:
                    piece = sock.recv(65536)
                except ConnectionResetError:
                    break
                if not piece:
                    break
                got += piece
            return got

    def curl(self, url, *options, source="127.0.10.1"):
        """curl with a case of its own; for HTTP/2."""
        self.case += 1
        case = f"case-{self.case}"
        result = subprocess.run(
            ["curl", "-sS", "-k", "-i", "--max-time", "20", "--interface",
             source, "-H", f"X-Case: {case}", *options, self.fill(url)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        head, _, data = result.stdout.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        assert lines[0], result.stderr.decode()
        message = http.client.HTTPMessage()
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            message[name] = value
        answer = Answer(self, case, int(lines[0].split()[1]), message, data)
        answer.protocol = lines[0].split()[0]
        return answer


class Answer:
    def __init__(self, nginx, case, status, headers, data):
        self.nginx, self.case = nginx, case
        self.status, self.headers, self.data = status, headers, data

    @property
    def text(self):
        return self.data.decode()

    @property
    def log(self):
        return self.nginx.entry(self.case)

    def all(self, name):
        return self.headers.get_all(name) or []


def client_context(certificate=None, version=None):
    """A TLS client that believes any server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(*certificate)
    if version:
        context.minimum_version = context.maximum_version = version
    return context
