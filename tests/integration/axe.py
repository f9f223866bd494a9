"""axe-core, for the tests of pages: finds what keeps people with disabilities
out of them.

Debian has no package of it.  It is taken from where SEKISHO_AXE says
(axe.min.js), or fetched with npm, once, into build/.  The file must be the one
whose hash stands here, wherever it came from.
"""

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile

import pytest

from tool import TOP

VERSION = "4.10.3"
SHA256 = "880970c081707360e64f34cea25ff91892f5bc95675b0776925b9709dd8a68bb"
CACHE = os.path.join(TOP, "build", f"axe-core-{VERSION}", "axe.min.js")
PATIENCE = 60  # seconds for npm


def fetch():
    """None, or why it could not be had."""
    npm = shutil.which("npm")
    if npm is None:
        return "install the Debian package npm"
    folder = os.path.dirname(CACHE)
    os.makedirs(folder, exist_ok=True)
    # several test processes may be at it at once: each in its own folder
    with tempfile.TemporaryDirectory(dir=folder) as own:
        try:
            result = subprocess.run(
                [npm, "pack", "--silent", "--ignore-scripts",
                 "--fetch-retries=1", f"--pack-destination={own}",
                 f"axe-core@{VERSION}"], cwd=own, timeout=PATIENCE,
                capture_output=True, text=True, check=False)
        except subprocess.TimeoutExpired:
            return f"npm does not answer within {PATIENCE} seconds"
        archives = [name for name in os.listdir(own) if name.endswith(".tgz")]
        if result.returncode != 0 or len(archives) != 1:
            return "npm cannot fetch it: no network?"
        with tarfile.open(os.path.join(own, archives[0])) as archive:
            data = archive.extractfile("package/axe.min.js").read()
        with open(os.path.join(own, "axe.min.js"), "wb") as file:
            file.write(data)
        os.replace(os.path.join(own, "axe.min.js"), CACHE)
    return None


@pytest.fixture(scope="session")
def axe():
    """The script's text."""
    path = os.environ.get("SEKISHO_AXE", CACHE)
    if not os.path.exists(path):
        problem = fetch() if path == CACHE else f"{path} is not there"
        if problem is not None:
            pytest.skip(f"axe-core {VERSION}: {problem}; or SEKISHO_AXE="
                        "…/axe.min.js")
    with open(path, "rb") as file:
        data = file.read()
    assert hashlib.sha256(data).hexdigest() == SHA256, (
        f"{path} is not axe-core {VERSION}")
    return data.decode()


def broken_rules(page, axe_text):
    """What axe finds on the page as it is now: [[rule, element], …]."""
    if page.run("typeof axe") == "undefined":
        page.run(axe_text + ";0")
    return page.run("axe.run().then(done => done.violations.map(rule => "
                    "[rule.id, rule.nodes[0].html]))")
