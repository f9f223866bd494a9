#!/usr/bin/env python3
"""Runs the suites that `make check`, `make fault` and `make fuzz` built.

Every suite yields (passed, failed, skipped); the last line is the sum, in one
plain line: "N passed, N failed".
"""

import argparse
import concurrent.futures
import glob
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}


# Programs and pytest files at a time; the latter wait for most of their time.
# The tests take free ports and folders of their own.
AT_ONCE = 2
FILES_AT_ONCE = 3

HANGS = -1   # exit status of what had to be ended


# Files that have an nginx, or what comes in at the daemon's socket.
SANITIZED = ("gate or audit_study or audit_age or audit_hold or audit_denied "
             "or audit_http3 or audit_protocol")


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add(self, passed, failed, skipped=0):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped


def run(command, **kwargs):
    env = dict(os.environ, **kwargs.pop("env", {}))
    try:
        return subprocess.run(
            command, cwd=TOP, env=env, text=True, errors="replace",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
            stdin=subprocess.DEVNULL, **kwargs)
    except subprocess.TimeoutExpired as error:
        output = (error.stdout or b"").decode(errors="replace")
        return subprocess.CompletedProcess(command, HANGS,
                                           f"{output}\n{error}\n")


def say(suite, passed, failed, skipped, seconds, note=""):
    print(f"{suite + ':':<34}{passed:>5} ok {failed:>3} not ok "
          f"{skipped:>3} skipped  {seconds:6.1f} s  {note}".rstrip(),
          flush=True)


def suite(tally, name, function):
    start = time.monotonic()
    passed, failed, skipped, note = function()
    tally.add(passed, failed, skipped)
    say(name, passed, failed, skipped, time.monotonic() - start, note)


def each(function, items):
    """The results, in order, of so many at a time."""
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(function, items))


def unit_program(program):
    """(passed, failed) of one cmocka program, read through TAP."""
    result = run([program], env={"CMOCKA_MESSAGE_OUTPUT": "tap",
                                 **SANITIZER_ENV}, timeout=300)
    ok = len(re.findall(r"^ok \d", result.stdout, re.M))
    bad = len(re.findall(r"^not ok \d", result.stdout, re.M))
    if result.returncode != 0 and bad == 0:
        bad = 1  # it died before it could say so
    if bad or not ok:
        bad = bad or 1
        print(f"--- {program} exit {result.returncode}\n"
              f"{result.stdout[-6000:]}")
    return ok, bad


def unit(flavour):
    programs = []
    for path in sorted(glob.glob(f"{TOP}/build/{flavour}/tests/unit/test_*")):
        source = os.path.join(TOP, "tests/unit", os.path.basename(path) + ".c")
        # without a source it is left from an older build
        if (os.access(path, os.X_OK) and not path.endswith((".o", ".d"))
                and os.path.exists(source)):
            programs.append(path)
    results = each(unit_program, programs)
    return (sum(ok for ok, _ in results),
            sum(bad for _, bad in results) + (not programs), 0,
            f"{len(programs)} programs")


def corpus(source):
    """A fuzz target over its committed corpus: whether all is well."""
    name = os.path.basename(source)[:-2]
    folder = f"{TOP}/tests/fuzz/corpus/{name}"
    files = os.listdir(folder) if os.path.isdir(folder) else []
    result = run([f"build/fuzz/{name}", "-runs=0", "-timeout=30", folder],
                 env=SANITIZER_ENV, timeout=300) if files else None
    if result is not None and result.returncode == 0:
        return True
    print(f"--- {name}: {len(files)} files in its corpus\n"
          f"{result.stdout[-6000:] if result else ''}")
    return False


def corpora():
    results = each(corpus, sorted(glob.glob(f"{TOP}/tests/fuzz/fuzz_*.c")))
    return results.count(True), results.count(False), 0, ""


def pytest(name, arguments, env=None, timeout=3600):
    """One pytest run, read through its JUnit file."""
    note = f"{FILES_AT_ONCE} at a time"
    parallel = ["-n", str(FILES_AT_ONCE), "--dist", "loadfile"]
    if importlib.util.find_spec("xdist") is None:
        note, parallel = "one at a time: no python3-pytest-xdist", []
    report = f"{TOP}/build/{name}.xml"
    if os.path.exists(report):
        os.unlink(report)
    result = run([sys.executable, "-m", "pytest", "-q", "--tb=short",
                  "-p", "no:cacheprovider", f"--junitxml={report}",
                  *parallel, *arguments],
                 env={**SANITIZER_ENV, **(env or {})}, timeout=timeout)
    try:
        root = ElementTree.parse(report).getroot()
    except (OSError, ElementTree.ParseError):
        print(result.stdout[-6000:])
        return 0, 1, 0, "pytest died"
    total = failed = skipped = 0
    reasons = {}
    for case in root.iter("testcase"):
        total += 1
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None:
            skipped += 1
            reason = case.find("skipped").get("message", "")
            reasons[reason] = reasons.get(reason, 0) + 1
    if failed or total == 0 or result.returncode not in (0, 1):
        print(result.stdout[-12000:])
        failed = failed or 1
    for reason, count in sorted(reasons.items()):
        print(f"    skipped {count}: {reason[:160]}")
    return total - failed - skipped, failed, skipped, note


def integration():
    return pytest("integration", ["tests/integration"])


def sanitized_nginx():
    return run(["nice", "tests/sanitized-nginx.sh"], timeout=1800)


def sanitized(result):
    """Gate and audit again, in an nginx and a daemon made with sanitizers, as
    the making of that nginx went."""
    if result.returncode != 0:
        last = (result.stdout.strip().splitlines() or ["no output"])[-1]
        if result.returncode == 77:
            return 0, 0, 1, last
        print(result.stdout[-6000:])
        return 0, 1, 0, "did not build"
    return pytest("sanitized", ["tests/integration", "-k", SANITIZED],
                  env={"SEKISHO_NGINX": f"{TOP}/build/sanitize-nginx/nginx",
                       "SEKISHO_DAEMON": f"{TOP}/build/sanitize/bin/sekishod",
                       "SEKISHO_MODULE": "",
                       "SEKISHO_SANITIZED": "1"})


def checks():
    """Style, warnings of the other compiler, linters, man pages."""
    passed = failed = skipped = 0
    lines = [("lint", ["make", "lint"],
              ["clang-format", "cppcheck", "shellcheck"]),
             ("clang warnings", ["make", "clang-warnings"], ["clang"])]
    lines += [(f"mandoc {os.path.basename(page)}",
               ["mandoc", "-T", "lint", "-W", "error", page], ["mandoc"])
              for page in sorted(glob.glob(f"{TOP}/build/man/*"))]
    for name, command, tools in lines:
        absent = [tool for tool in tools if shutil.which(tool) is None]
        if absent:
            print(f"    skipped {name}: {' '.join(absent)} not installed")
            skipped += 1
            continue
        result = run(["nice", *command], timeout=600)
        if result.returncode == 0:
            passed += 1
        else:
            failed += 1
            print(f"--- {name}: {' '.join(command)}")
            print(result.stdout[-6000:])
    return passed, failed, skipped, ""


def check(tally):
    suite(tally, "unit tests", lambda: unit("obj"))
    suite(tally, "unit tests, sanitizers", lambda: unit("sanitize"))
    suite(tally, "fuzz corpora", corpora)
    # pytest mostly waits: what computes is done beside it
    with concurrent.futures.ThreadPoolExecutor(1) as beside:
        linters = beside.submit(checks)
        nginx = beside.submit(sanitized_nginx)
        suite(tally, "integration", integration)
        suite(tally, "style and linters", linters.result)
        suite(tally, "faults and load, short",
              lambda: pytest("fault", ["tests/fault"]))
        suite(tally, "gate and audit, sanitizers",
              lambda: sanitized(nginx.result()))


def fault(tally):
    """Hours."""
    for name, arguments in (("policies under load",
                             ["tests/integration", "-k", "test_load"]),
                            ("faults and load", ["tests/fault"])):
        suite(tally, name, lambda a=arguments: pytest(
            "fault", a, env={"SEKISHO_LONG": "1"}, timeout=6 * 3600))


def fuzz(tally, seconds):
    """Each target for some time; findings are kept in build/findings."""
    os.makedirs(f"{TOP}/build/findings", exist_ok=True)
    for source in sorted(glob.glob(f"{TOP}/tests/fuzz/fuzz_*.c")):
        name = os.path.basename(source)[:-2]
        work = f"{TOP}/build/fuzz-work/{name}"
        os.makedirs(work, exist_ok=True)
        command = [f"build/fuzz/{name}", f"-max_total_time={seconds}",
                   "-timeout=10",
                   f"-artifact_prefix={TOP}/build/findings/{name}-",
                   "-print_final_stats=1", work,
                   f"{TOP}/tests/fuzz/corpus/{name}"]
        dictionary = source[:-2] + ".dict"
        if os.path.exists(dictionary):
            command.insert(1, f"-dict={dictionary}")

        def one(command=command):
            result = run(command, env=SANITIZER_ENV, timeout=seconds + 300)
            runs = re.search(r"number_of_executed_units: (\d+)", result.stdout)
            if result.returncode != 0:
                print(result.stdout[-6000:])
            note = f"{runs.group(1)} runs" if runs else ""
            return ((1, 0, 0, note) if result.returncode == 0
                    else (0, 1, 0, note))
        suite(tally, name, one)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["check", "fault", "fuzz"])
    parser.add_argument("--seconds", type=int, default=600)
    arguments = parser.parse_args()
    tally = Tally()
    if arguments.what == "check":
        check(tally)
    elif arguments.what == "fault":
        fault(tally)
    else:
        fuzz(tally, arguments.seconds)
    line = f"{tally.passed} passed, {tally.failed} failed"
    if tally.skipped:
        line += f", {tally.skipped} skipped"
    print(line)
    sys.exit(1 if tally.failed or not tally.passed else 0)


if __name__ == "__main__":
    main()
