"""The configurations that are compared, and what they need around them."""

import pathlib
import shutil
import subprocess
import sys

import lists
from server import MODULE, ROOT, SEKISHO, Failed, Nginx

sys.path.insert(0, str(ROOT / "tests/integration"))
from trail_daemon import Daemon  # noqa: E402

PREFIXES = 10_000
IMAGE = "/slice.jpg"
DICOMWEB = ("/dicom-web/studies/1.2.392.200036.9116.2.5.1.48.1221398185"
            "/series/1.2.392.200036.9116.2.5.1.48.1221398186"
            "/instances/1.2.392.200036.9116.2.5.1.48.1221398187/rendered")


class Configuration:
    """A row: its text in three places, and against what it is compared."""

    def __init__(self, key, label, head="", http="", location="", path=IMAGE,
                 base="bare"):
        self.key, self.label, self.base = key, label, base
        self.head, self.http, self.location = head, http, location
        self.path = path

    def server(self, nginx, place, files):
        return Nginx(nginx, place / self.key, files, self.head, self.http,
                     self.location)


def make_files(place):
    """One file of a kilobyte under both of the paths that are asked for."""
    files = place / "files"
    for path in (IMAGE, DICOMWEB):
        target = files / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(bytes(range(256)) * 4)
    return files


def make_gate(place):
    """(image of the policy of 10,000 prefixes, module): copies, which nobody
    builds anew while they are measured."""
    for needed in (SEKISHO, MODULE):
        if not needed.exists():
            raise Failed(f"{needed.relative_to(ROOT)} is not built: run make")
    module = pathlib.Path(shutil.copy2(MODULE, place))
    text, image = place / "facilities.conf", place / "policy.img"
    text.write_text(lists.policy(lists.prefixes(PREFIXES)))
    done = subprocess.run([SEKISHO, "policy", "apply", text, "--image", image],
                          capture_output=True, text=True, timeout=60,
                          check=False)
    if done.returncode != 0:
        raise Failed("sekisho policy apply: " + done.stderr.strip()[:200])
    image.chmod(0o644)
    return image, module


class Gate:
    """Policy and module for the rows that have them, and a sekishod."""

    def __init__(self, place):
        self.image, self.module = make_gate(place)
        (place / "sekishod").mkdir()
        try:
            self.daemon = Daemon(place / "sekishod").start()
        except (RuntimeError, TimeoutError, AssertionError) as reason:
            raise Failed(f"sekishod: {reason}") from None

    def close(self):
        if self.daemon.stop() != 0:
            raise Failed("sekishod: " + self.daemon.messages()[-300:])


def audits(gate):
    """The rows with gate and audit.  `study`: but for the first request all
    are repeated views, which are counted in memory; `request`: each waits for
    the disk."""
    load = f"load_module {gate.module};"
    on = "facility_access on; facility_transport plain; audit on;"
    http = (f"facility_policy {gate.image}; audit_zone sekisho:1m; "
            f"audit_trail unix:{gate.daemon.socket};")
    return [
        Configuration("audit", "gate and audit, study", load, http, on),
        Configuration("audit-dicomweb", "gate and audit, DICOMweb path", load,
                      http, on, DICOMWEB, "bare-dicomweb"),
        Configuration("audit-request", "gate and audit, request, deny", load,
                      http, on + " audit_detail request;", DICOMWEB,
                      "bare-dicomweb"),
    ]


def bare():
    return {"bare": Configuration("bare", "bare nginx"),
            "bare-dicomweb": Configuration(
                "bare-dicomweb", "bare nginx, DICOMweb path", path=DICOMWEB)}


def gates(image, module):
    """The rows with the gate alone."""
    load = f"load_module {module};"
    on = "facility_access on; facility_transport plain;"
    http = f"facility_policy {image};"
    return [
        Configuration("loaded", "module loaded, gate off", load),
        Configuration("gate", "gate, facility_action auto", load, http, on),
        Configuration("gate-fixed", "gate, facility_action view", load, http,
                      on + " facility_action view;"),
        # `block` is what the gate brings along where nothing is said.
        Configuration("gate-no-residue", "gate, facility_residue off", load,
                      http, on + " facility_residue off;"),
        Configuration("gate-dicomweb", "gate, auto, DICOMweb path", load, http,
                      on, DICOMWEB, "bare-dicomweb"),
    ]


def others(place):
    """The rows without it; what needs a missing package only prints so."""
    networks = lists.prefixes(PREFIXES)
    for count in (1_000, PREFIXES):
        (place / f"allow-{count}").write_text(
            lists.allow(networks[-count:]))
    (place / "geo").write_text(lists.geo(networks))
    rows = [
        Configuration("log", "access_log to a file",
                      http=f"access_log {place}/access.log combined;"),
        Configuration("geo", "geo, 10,000 prefixes", http=f"include {place}/geo;",
                      location="if ($listed = 0) { return 403; }"),
        Configuration("allow-1000", "1,000 allow lines",
                      location=f"include {place}/allow-1000;"),
        Configuration("allow-10000", "10,000 allow lines",
                      location=f"include {place}/allow-10000;"),
    ]
    module = pathlib.Path("/usr/lib/nginx/modules/ngx_http_modsecurity_module.so")
    if module.exists():
        (place / "list").write_text("\n".join(networks) + "\n")
        (place / "modsecurity.conf").write_text(
            lists.modsecurity(place / "list"))
        rows.append(Configuration(
            "modsecurity", "ModSecurity 3, 10,000 prefixes",
            f"load_module {module};",
            location="modsecurity on; modsecurity_rules_file "
                     f"{place}/modsecurity.conf;"))
        rules = place / "modsecurity-audit.conf"
        rules.write_text(lists.modsecurity_audit(place / "modsecurity.log"))
        rows.append(Configuration(
            "modsecurity-audit", "ModSecurity 3, its audit log",
            f"load_module {module};",
            location=f"modsecurity on; modsecurity_rules_file {rules};"))
    else:
        print("  no ModSecurity rows: install the Debian package "
              "libnginx-mod-http-modsecurity")
    return rows
