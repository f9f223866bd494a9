"""Runs the command `sekisho` the way its tests need it.

Imported by test_cli_*.py and their kin.  Each functional test runs twice: the
program as it is installed, and the one made with sanitizers.
"""

import os
import re
import subprocess

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GOLDEN = os.path.join(TOP, "tests", "data", "golden")
PLAIN = os.environ.get("SEKISHO_TOOL", os.path.join(TOP, "build/bin/sekisho"))
SANITIZED = os.path.join(TOP, "build/sanitize/bin/sekisho")

BASE_ENV = {
    "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}

# A version changes with the time-zone data of the machine.
VERSION = re.compile(r"\b[0-9a-f]{16}\b")


class Tool:
    def __init__(self, program, folder):
        self.program = program
        self.folder = folder

    def __call__(self, *arguments, env=None, stdin=None, raw=False, **kwargs):
        result = subprocess.run(
            [self.program, *map(os.fspath, arguments)], cwd=self.folder,
            env={**BASE_ENV, **(env or {})}, input=stdin,
            stdout=kwargs.pop("stdout", subprocess.PIPE),
            stderr=kwargs.pop("stderr", subprocess.PIPE), check=False,
            timeout=60, **kwargs)
        if not raw:
            result.stdout = (result.stdout or b"").decode("utf-8")
            result.stderr = (result.stderr or b"").decode("utf-8")
            assert "Sanitizer" not in result.stderr, result.stderr
            assert "runtime error" not in result.stderr, result.stderr
        return result

    def write(self, name, text):
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path


@pytest.fixture(params=["plain", "sanitized"])
def sekisho(request, tmp_path):
    program = PLAIN if request.param == "plain" else SANITIZED
    if not os.access(program, os.X_OK):
        if request.param == "sanitized":
            pytest.skip("build/sanitize/bin/sekisho is not made: run make tests")
        pytest.fail(f"{program} is not made: run make")
    return Tool(program, tmp_path)


def golden(name, text):
    """Compares with tests/data/golden/NAME; SEKISHO_GOLDEN=write renews it."""
    path = os.path.join(GOLDEN, name)
    text = VERSION.sub("VERSION", text)
    if os.environ.get("SEKISHO_GOLDEN") == "write":
        os.makedirs(GOLDEN, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    with open(path, encoding="utf-8") as file:
        assert text == file.read()


PIN_A = "a1" * 32
PIN_B = "b2" * 32

# Dates far ahead, so that no test changes its mind with the years.
POLICY = f"""\
timezone Asia/Tokyo;
group radiologists {{ yamada; suzuki; }}
calendar jp {{ 2048-12-29..2049-01-03; 2049-01-11; }}

facility aoba-clinic {{
    name          "Aoba Imaging Clinic";
    contact       "IT desk, +81-3-0000-0000";
    network       203.0.113.0/28 2001:db8:10::/48;
    hours         mon-fri 08:00-19:00 sat 08:00-13:00;
    closed        jp;
    valid         2026-04-01..2059-03-31;
    users         @radiologists tanaka;
    actions       query view download;
    session       idle 15m max 8h;
}}

facility night-desk {{
    name          "当直室";
    network       198.51.100.7;
    via           10.8.0.1;
    country       JP KR;
    hours         mon-thu 22:00-06:00;
    off-hours     second-factor;
    services      web ssh;
    timezone      Europe/Berlin;
}}

facility home-readers {{
    network       any;
    device        required;
    certificate   sha256:{PIN_A};
    second-factor always;
}}

facility trial {{
    network       192.0.2.0/24;
    device        required;
    certificate   sha256:{PIN_B};
    second-factor never;
    mode          dry-run;
}}

facility reading-room {{
    network       local;
    services      desktop;
}}
"""
