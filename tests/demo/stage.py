"""What the story is played on: a real Orthanc, nginx before it, sekishod that
records, a client.

Everything listens on loopback, on free ports, keeps its files in one folder,
and is stopped by its process id.  The integration tests use it as well.
"""

import errno
import http.client
import json
import os
import random
import pwd
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
SEKISHO = os.path.join(ROOT, "build", "bin", "sekisho")
SEKISHOD = os.path.join(ROOT, "build", "bin", "sekishod")
MODULE = os.path.join(ROOT, "build", "lib", "ngx_http_sekisho_module.so")
PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
TRIES = 4
SOCKET_PATH_MAX = 107


class StageError(Exception):
    """Something that should stand does not; the text says what."""


def find(program):
    path = shutil.which(program, path=os.environ.get("PATH", "")
                        + ":/usr/sbin:/sbin")
    if path is None:
        raise StageError("%s is not installed" % program)
    return path


def find_nginx():
    """The nginx that configure found."""
    try:
        with open(os.path.join(ROOT, "build", "config.mk"),
                  encoding="utf-8") as lines:
            for line in lines:
                name, _, value = line.partition("=")
                if name.strip() == "NGINX" and value.strip():
                    return value.strip()
    except FileNotFoundError:
        pass
    return find("nginx")


def free_port(addresses=("127.0.0.1",)):
    """A port that is free on all of these addresses, at this moment.

    None of those that the kernel gives to clients: a connection of somebody
    else would hold it until a server that does not reuse addresses starts.
    """
    with open("/proc/sys/net/ipv4/ip_local_port_range",
              encoding="ascii") as limits:
        first = int(limits.read().split()[0])
    for _ in range(200):
        port = random.SystemRandom().randrange(10240, max(first, 10340))
        try:
            for address in addresses:
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                with socket.socket(family) as probe:
                    probe.bind((address, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        return port
    raise StageError("no free port")


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


def fill_in(template, values):
    """@NAME@ -> values["NAME"]; a name without a value is an error."""
    for name, value in values.items():
        template = template.replace("@%s@" % name, str(value))
    rest = re.search("@[A-Z_]+@", template)
    if rest:
        raise StageError("no value for %s" % rest.group())
    return template


def scratch_folder(prefix, parent=None):
    """A new folder that other users (www-data) may enter; the caller's."""
    folder = tempfile.mkdtemp(prefix=prefix, dir=parent)
    os.chmod(folder, 0o755)
    return folder


def read(path):
    with open(path, encoding="utf-8", errors="replace") as text:
        return text.read()


def write(path, text):
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise StageError("waited %g s for %s" % (seconds, what))
        time.sleep(0.02)


class Process:
    """A child in a session of its own, so that Ctrl-C comes to us alone."""

    def __init__(self, command, log):
        # Should we be killed outright, the child is told.
        setpriv = shutil.which("setpriv")
        if setpriv:
            command = [setpriv, "--pdeathsig", "TERM", "--"] + command
        with open(log, "ab") as output:
            self.child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True)
        self.pid = self.child.pid
        self.log = log

    def alive(self):
        return self.child.poll() is None

    def stop(self, seconds=5):
        if self.alive():
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()


class Orthanc:
    """A PACS with DICOMweb, empty, on a free port; only loopback may ask."""

    def __init__(self, folder):
        self.folder = folder
        self.process = None
        self.port = None
        self.version = None

    def start(self):
        for name in ("storage", "index"):
            os.makedirs(os.path.join(self.folder, name), exist_ok=True)
        for _ in range(TRIES):
            self.port = free_port()
            # The name tells it from another one that took the port.
            name = "Sekisho %d-%d" % (os.getpid(), self.port)
            config = os.path.join(self.folder, "orthanc.json")
            write(config, json.dumps({
                "Name": name,
                "StorageDirectory": os.path.join(self.folder, "storage"),
                "IndexDirectory": os.path.join(self.folder, "index"),
                "TemporaryDirectory": self.folder,
                "HttpPort": self.port,
                "RemoteAccessAllowed": False,
                "AuthenticationEnabled": False,
                "DicomServerEnabled": False,
                "HttpDescribeErrors": True,
                "Plugins": [PLUGIN],
                "DicomWeb": {"Enable": True, "Root": "/dicom-web/",
                             "EnableWado": True, "WadoRoot": "/wado"},
            }, indent=2))
            self.process = Process([find("Orthanc"), config],
                                   os.path.join(self.folder, "orthanc.log"))
            if self._ready(name):
                return
            self.process.stop()
        raise StageError("Orthanc does not start; the end of its log:\n"
                         + read(self.process.log)[-2000:])

    def _ready(self, name):
        end = time.monotonic() + 20
        while time.monotonic() < end and self.process.alive():
            try:
                system = json.loads(self.request("GET", "/system"))
                if system["Name"] == name:
                    self.version = system["Version"]
                    return True
                return False
            except (OSError, ValueError, http.client.HTTPException):
                time.sleep(0.05)
        return False

    def request(self, method, path, body=None):
        """Behind the gate's back, for preparing; the answer's body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                timeout=20)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            data = answer.read()
            if answer.status != 200:
                raise StageError("Orthanc: %s %s: %d %s" % (
                    method, path, answer.status, data[:200]))
            return data
        finally:
            connection.close()

    def store(self, studies):
        """Stores what make_dicom made, and adds Orthanc's own ids to it."""
        for study in studies:
            for series in study["series"]:
                for instance in series["instances"]:
                    with open(instance["file"], "rb") as data:
                        answer = json.loads(self.request(
                            "POST", "/instances", data.read()))
                    instance["orthanc"] = answer["ID"]
                    series["orthanc"] = answer["ParentSeries"]
                    study["orthanc"] = answer["ParentStudy"]

    def stop(self):
        if self.process:
            self.process.stop()


class Nginx:
    """nginx in the foreground with a configuration that holds @PORT@."""

    def __init__(self, folder, template, values, addresses):
        self.folder = folder
        self.template = template
        self.values = values
        self.addresses = addresses
        self.binary = find_nginx()
        self.process = None
        self.port = None
        self.config = os.path.join(folder, "nginx.conf")
        self.error_log = os.path.join(folder, "error.log")
        self.access_log = os.path.join(folder, "access.log")

    def version(self):
        done = subprocess.run([self.binary, "-v"], stderr=subprocess.PIPE,
                              text=True, check=False)
        return done.stderr.strip().rpartition("/")[2]

    def write_config(self, port):
        self.port = port
        values = {"DIR": self.folder, "PORT": port, "MODULE": MODULE,
                  "USER": self._user()}
        values.update(self.values)
        write(self.config, fill_in(self.template, values))

    def _user(self):
        """Workers run as www-data, as they do in earnest, where they can."""
        if os.geteuid() != 0:
            return "# not root: no `user` line"
        folder = self.folder
        while folder != "/":
            if not os.stat(folder).st_mode & 0o001:
                return "user root;"
            folder = os.path.dirname(folder)
        return "user www-data;"

    def start(self):
        for name in ("body", "proxy", "fastcgi", "uwsgi", "scgi"):
            os.makedirs(os.path.join(self.folder, "tmp", name), exist_ok=True)
        output = os.path.join(self.folder, "nginx.out")
        for _ in range(TRIES):
            self.write_config(free_port(self.addresses))
            self.process = Process(
                [self.binary, "-e", self.error_log, "-p", self.folder, "-c",
                 self.config], output)
            if self._ready():
                return
            self.process.stop()
            if "Address already in use" not in read(output):
                break
        raise StageError("nginx does not start:\n" + read(output)[-2000:])

    def _ready(self):
        """Listens, and is the one that we started."""
        pidfile = os.path.join(self.folder, "nginx.pid")
        end = time.monotonic() + 10
        while time.monotonic() < end and self.process.alive():
            if os.path.exists(pidfile) \
                    and read(pidfile).strip() == str(self.process.pid):
                return True
            time.sleep(0.02)
        return False

    def workers(self):
        """Process ids of the workers."""
        pids = []
        path = "/proc/%d/task/%d/children" % (self.process.pid,
                                              self.process.pid)
        try:
            pids = [int(pid) for pid in read(path).split()]
        except FileNotFoundError:
            pass  # kernels without CONFIG_PROC_CHILDREN
        return pids

    def stop(self):
        if self.process:
            self.process.stop()


class Sekishod:
    """The recorder, with a key and an empty trail of its own."""

    def __init__(self, folder, template):
        self.folder = folder
        self.process = None
        self.config = os.path.join(folder, "sekishod.conf")
        self.key = os.path.join(folder, "trail.key")
        self.verifier_key = self.key + ".pub"
        self.trail = os.path.join(folder, "trail")
        self.log = os.path.join(folder, "sekishod.log")
        self.socket = os.path.join(folder, "sekishod.sock")
        self.short = None
        if len(self.socket) > SOCKET_PATH_MAX:
            self.short = scratch_folder("sekisho.", "/tmp")
            self.socket = os.path.join(self.short, "sekishod.sock")
        write(self.config, fill_in(template, {
            "DIR": folder, "SOCKET": self.socket, "WEB_USER": self._user()}))

    @staticmethod
    def _user():
        """Whose records it takes, as Nginx._user(); its own user's anyway."""
        if os.geteuid() == 0:
            return "www-data root"
        try:
            return pwd.getpwuid(os.geteuid()).pw_name
        except KeyError:
            return "nobody"

    def init(self):
        status, output, errors = sekisho("trail", "init", "--config",
                                         self.config)
        if status != 0:
            raise StageError("no trail can be made:\n" + output + errors)

    def start(self):
        self.process = Process([SEKISHOD, "--config", self.config], self.log)
        wait_for(self._ready, 10, "sekishod")

    def _ready(self):
        if not self.process.alive():
            raise StageError("sekishod does not start:\n"
                             + read(self.log)[-2000:])
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
            return probe.connect_ex(self.socket) == 0

    def status(self):
        """What it says of itself; asking leaves no record."""
        _, output, _ = sekisho("audit", "status", "--json", "--config",
                               self.config)
        return json.loads(output)["daemon"]

    def stop(self):
        """Ends it; it signs a last checkpoint."""
        if self.process:
            self.process.stop(20)

    def clear(self):
        if self.short:
            shutil.rmtree(self.short, ignore_errors=True)


def gate_config(log_format, text):
    """nginx.conf around what stands in http; for Nginx()."""
    return GATE_CONFIG.replace("@LOG_FORMAT@", log_format).replace(
        "@HTTP@", text)


def apply_policy(folder, text):
    """folder/facilities.conf and folder/policy.img."""
    policy = os.path.join(folder, "facilities.conf")
    write(policy, text)
    status, output, errors = sekisho("policy", "apply", policy, "--image",
                                     os.path.join(folder, "policy.img"))
    if status != 0:
        raise StageError("the policy does not apply:\n" + output + errors)


GATE_CONFIG = """
load_module @MODULE@;
@USER@
daemon off;
pid @DIR@/nginx.pid;
error_log @DIR@/error.log notice;
events { worker_connections 256; }
http {
    client_body_temp_path @DIR@/tmp/body;
    proxy_temp_path @DIR@/tmp/proxy;
    fastcgi_temp_path @DIR@/tmp/fastcgi;
    uwsgi_temp_path @DIR@/tmp/uwsgi;
    scgi_temp_path @DIR@/tmp/scgi;
    log_format gate @LOG_FORMAT@;
    access_log @DIR@/access.log gate;

@HTTP@
}
"""


class Answer:
    def __init__(self, status, reason, headers, body):
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = body

    def header(self, name):
        return self.headers.get(name, "")

    def json(self):
        return json.loads(self.body)


class Client:
    """A terminal: the address it comes from, and perhaps a certificate."""

    def __init__(self, name, address, authority, certificate=None):
        self.name = name
        self.address = address
        self.certificate = certificate
        self.context = ssl.create_default_context(cafile=authority)
        if certificate:
            self.context.load_cert_chain(certificate.pem, certificate.key)

    def request(self, port, method, path, headers=None, body=None,
                host="127.0.0.1"):
        connection = http.client.HTTPSConnection(
            host, port, timeout=20, context=self.context,
            source_address=(self.address, 0))
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.reason, answer.headers,
                          answer.read())
        finally:
            connection.close()


def sekisho(*arguments):
    """Runs build/bin/sekisho; (exit status, output, errors)."""
    done = subprocess.run((SEKISHO,) + arguments, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, check=False)
    return done.returncode, done.stdout, done.stderr
