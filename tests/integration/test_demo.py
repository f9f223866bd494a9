"""`make demo` as a newcomer runs it."""

import os
import re
import shutil
import signal
import subprocess
import time

import pytest

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEMO = os.path.join(TESTS, "demo", "demo.sh")
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
pytestmark = pytest.mark.skipif(
    not shutil.which("Orthanc", path=PATH),
    reason="needs the Debian package orthanc (./configure --install-deps)")


def environment(**more):
    env = {name: value for name, value in os.environ.items()
           if name not in ("STAY", "KEEP")}
    env.update(more)
    return env


def test_story_comes_out_and_is_kept(tmp_path):
    """All steps pass, KEEP=DIR keeps, and nothing is left behind."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    kept = tmp_path / "kept"
    done = subprocess.run(
        [DEMO], env=environment(TMPDIR=str(scratch), KEEP=str(kept)),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.search(r"All \d+ steps came out as they should", done.stdout)
    for reason in ("unknown-network", "closed", "device-missing",
                   "device-unknown", "wrong-ingress", "action-not-allowed",
                   "dry-run", "audit-unavailable"):
        assert re.search(r"\bwhy +%s:" % reason, done.stdout), reason
    assert "\033" not in done.stdout, "colours only on a terminal"

    names = {path.name for path in kept.iterdir()}
    assert names >= {"facilities.conf", "policy.img", "nginx.conf",
                     "error.log", "access.log", "transcript.txt",
                     "sekishod.conf", "sekishod.log", "trail", "trail.key.pub",
                     "kept-checkpoint", "proof"}
    assert not [name for name in names if name.endswith((".key", ".p12"))]
    transcript = (kept / "transcript.txt").read_text()
    assert transcript.strip() in done.stdout
    assert list(scratch.iterdir()) == [], "it cleans up behind itself"
    check_kept_trail(done.stdout, kept)


def check_kept_trail(output, kept):
    """What it tells to type for the kept trail is typed."""
    told = output[output.index("Kept in"):].replace("\\\n", " ")
    verify, read = [line.strip() for line in told.splitlines()
                    if line.startswith("    ")]
    env = environment(TZ="UTC")
    done = subprocess.run(["sh", "-c", verify], env=env, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("OK ")
    assert "has grown from the checkpoint kept elsewhere" in done.stdout
    done = subprocess.run(["sh", "-c", read + " -n 1000"], env=env, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False)
    assert done.returncode == 0, done.stdout
    for expression in (r" start +ok ", r" recording-on +ok ",
                       r" access +ok .* aoba-clinic +127.0.10.1 +view ",
                       r" access +ok .* midori-hospital .* download ",
                       r" access +ok +Dr. Yamada +home-readers +127.0.10.77 ",
                       r" access-end +ok .* requests 2, instances 1, bytes ",
                       r" denied .*127.0.10.99 .*reason unknown-network",
                       r" denied .*reason audit-unavailable",
                       r" policy-changed +ok .* note Aoba may download",
                       r" trail-read .* audit search --event denied",
                       r" stop +ok "):
        assert re.search(expression, done.stdout), (expression, done.stdout)
    # who asked where: the trail has what the access log has
    asked = {line.split()[1] for line in
             (kept / "access.log").read_text().splitlines()
             if "/sekisho-status" not in line}
    for address in asked:
        assert address in done.stdout, address


def test_stay_stays_until_told_and_cleans_up(tmp_path):
    demo = subprocess.Popen(
        [DEMO], env=environment(TMPDIR=str(tmp_path), STAY="1"),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True)
    try:
        url = None
        for line in demo.stdout:
            found = re.search(r"https://127\.0\.0\.1:\d+/app/\S+", line)
            if found:
                url = found.group()
            if "error.log" in line and url:
                break
        assert url, "it tells the address to open"
        page = subprocess.run(
            ["curl", "-sk", "-o", os.devnull, "-w", "%{http_code}", url],
            stdout=subprocess.PIPE, text=True, check=False)
        assert page.stdout == "403", "no certificate, no page"
        folder = next(tmp_path.iterdir())
        page = subprocess.run(
            ["curl", "-s", "--cacert", str(folder / "gate-ca.pem"),
             "--cert", str(folder / "your-desk.pem"),
             "--key", str(folder / "your-desk.key"), url],
            stdout=subprocess.PIPE, text=True, check=False)
        assert "Orthanc" in page.stdout
        demo.send_signal(signal.SIGINT)
        demo.stdout.read()
        assert demo.wait(20) == 0
    finally:
        if demo.poll() is None:
            demo.kill()
            demo.wait()
    assert list(tmp_path.iterdir()) == []
    refused = subprocess.run(["curl", "-sk", url], check=False)
    assert refused.returncode == 7, "nginx is gone"


def test_interrupted_while_setting_up_leaves_nothing(tmp_path):
    demo = subprocess.Popen(
        [DEMO], env=environment(TMPDIR=str(tmp_path)),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)
    end = time.monotonic() + 10
    while not list(tmp_path.glob("*/orthanc/orthanc.log")):
        assert time.monotonic() < end and demo.poll() is None
        time.sleep(0.01)
    demo.terminate()
    assert demo.wait(20) == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_wrong_answer_fails(tmp_path):
    """A step that expects something else than the gate's answer ends it."""
    program = (
        "import sys; sys.path.insert(0, %r)\n"
        "import demo, story\n"
        "def step(play):\n"
        "    'A stranger is let in'\n"
        "    play.ask(play.stranger, 'GET', '/studies', 'ok')\n"
        "story.STORY = (step,)\n"
        "sys.exit(demo.main())\n" % os.path.dirname(DEMO))
    done = subprocess.run(
        ["python3", "-B", "-c", program],
        env=environment(TMPDIR=str(tmp_path)), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=60, check=False)
    assert done.returncode == 1
    assert "WRONG in step 1: expected status 200, got 403" in done.stdout
    assert list(tmp_path.iterdir()) == []
