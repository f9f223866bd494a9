#!/usr/bin/env python3
"""What the facility gate costs, side by side with what else could be used.

    make bench                       everything
    tests/bench/bench.py --quick     a short look, with wider spreads
    tests/bench/bench.py --only cpu  one section: policy, cpu, instructions
    tests/bench/bench.py --only cpu --row gate --rounds 20
    tests/bench/bench.py --json F    the figures as JSON as well
    tests/bench/bench.py --record    keep the instruction counts of this run in
                                     instructions.txt, for later ones to compare

Figures are ratios taken in one run: absolute times say more about the machine.
"""

import argparse
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time

import lists
from server import (CLIENT_CPU, MODULE, ROOT, SEKISHO, SERVER_CPU, Failed,
                    Nginx, ask, find_nginx, folder, h2load)

PREFIXES = 10_000
IMAGE = "/slice.jpg"
DICOMWEB = ("/dicom-web/studies/1.2.392.200036.9116.2.5.1.48.1221398185"
            "/series/1.2.392.200036.9116.2.5.1.48.1221398186"
            "/instances/1.2.392.200036.9116.2.5.1.48.1221398187/rendered")
CPU_BAR = 1.05
RECORD = pathlib.Path(__file__).with_name("instructions.txt")


def first_line(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True,
                              timeout=20, check=False)
    except OSError:
        return ""
    return (done.stdout + done.stderr).strip().split("\n")[0]


def machine(nginx):
    model = re.search(r"model name\s*:\s*(.*)",
                      pathlib.Path("/proc/cpuinfo").read_text())
    return {
        "cpu": model.group(1) if model else platform.machine(),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "nginx": first_line(nginx, "-v").rpartition("/")[2] if nginx else "",
        "h2load": first_line("h2load", "--version"),
        "compiler": first_line(configured("CC") or "cc", "--version"),
        "load": os.getloadavg()[0],
    }


def configured(name):
    try:
        text = (ROOT / "build/config.mk").read_text()
    except OSError:
        return None
    found = re.search(rf"^{name} = (.*)$", text, re.M)
    return found.group(1) if found else None


def heading(title, *lines):
    print(f"\n{title}")
    for line in lines:
        print(f"  {line}")
    print()


# ---- The configurations that are compared -----------------------------------


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


def gates(image, module):
    """The rows with our module."""
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
    else:
        print("  no ModSecurity row: install the Debian package "
              "libnginx-mod-http-modsecurity")
    return rows


# ---- CPU per request ----------------------------------------------------------


def pairs(row, base, nginx, place, files, requests, count):
    """(base, row) CPU nanoseconds per request, measured in turn, `count` times.

    Both workers are new: two of one configuration differ by some per cent, for
    as long as they run, by where their memory happens to lie.
    """
    servers = [configuration.server(nginx, place / str(i), files)
               for i, configuration in enumerate((base, row))]
    found = []
    try:
        for server in servers:
            server.start()
            h2load(server.port, row.path, requests)
        for turn in range(count):
            cost = [0.0, 0.0]
            for i in (0, 1) if turn % 2 else (1, 0):
                before = servers[i].cpu_ns()
                h2load(servers[i].port, row.path, requests)
                cost[i] = (servers[i].cpu_ns() - before) / requests
            found.append(cost)
    finally:
        for server in servers:
            server.stop()
    return found


def section_cpu(options, nginx, place):
    if not shutil.which("h2load"):
        raise Failed("h2load is missing: install the Debian package "
                     "nghttp2-client")
    rounds = options.rounds or (2 if options.quick else 9)
    # Short and many: what disturbs one does not disturb its neighbour.
    requests, each = 3_000, 8
    heading("CPU per request of one worker",
            f"h2load --h1 -n {requests} -c 16 on CPU {CLIENT_CPU}, the worker "
            f"on CPU {SERVER_CPU}; keep-alive, a file of 1,024 bytes;",
            f"{rounds} rounds over all rows, in each {each} pairs of bare nginx "
            "and the row, one after the",
            "other, between new workers. Ratio: the median of all pairs, "
            "where their middle half lies, and",
            "the ratio of the least disturbed run of each.",
            "CPU time is the worker's own, from /proc/PID/schedstat.")
    files = make_files(place)
    bare = {"bare": Configuration("bare", "bare nginx"),
            "bare-dicomweb": Configuration(
                "bare-dicomweb", "bare nginx, DICOMweb path", path=DICOMWEB)}
    # Against itself: what a ratio of this run can be by chance.
    rows = [Configuration("bare-again", "bare nginx, against itself")]
    try:
        rows += gates(*make_gate(place))
    except Failed as reason:
        print(f"  no rows of the gate: {reason}")
    rows += others(place)
    if options.row:
        rows = [row for row in rows if row.key in options.row]

    measured = {}
    for turn in range(rounds):
        for row in rows[:]:
            try:
                measured.setdefault(row.key, []).extend(
                    pairs(row, bare[row.base], nginx,
                          place / f"{turn}-{row.key}", files, requests, each))
            except Failed as reason:
                if turn:
                    raise
                print(f"  no row \"{row.label}\": {reason}")
                rows.remove(row)

    answer = []
    print(f"  {'':34}{'bare':>8}{'us/request':>12}{'ratio':>8}"
          f"   {'middle half':16}{'of the least':>12}")
    for row in rows:
        ratios = [mine / base for base, mine in measured[row.key]]
        low, ratio, high = statistics.quantiles(ratios, n=4)
        base, mine = (statistics.median(pair[i] for pair in measured[row.key])
                      / 1000 for i in (0, 1))
        least = [min(pair[i] for pair in measured[row.key]) / 1000
                 for i in (0, 1)]
        answer.append({"key": row.key, "label": row.label, "base_us": base,
                       "us": mine, "ratio": ratio, "quartiles": [low, high],
                       "least_us": least, "least_ratio": least[1] / least[0],
                       "pairs": measured[row.key]})
        print(f"  {row.label:34}{base:8.2f}{mine:12.2f}{ratio:8.3f}"
              f"   {low:.3f} to {high:.3f}{least[1] / least[0]:12.3f}")
    gate = [row["ratio"] for row in answer if row["key"] == "gate"]
    if gate:
        verdict = "met" if gate[0] <= CPU_BAR else "MISSED"
        print(f"\n  bar: the gate at most {CPU_BAR:.2f}: {verdict}")
    return answer


# ---- Instructions per request -------------------------------------------------


def our_functions(module):
    """Names of all functions in our module, static ones too."""
    symbols = subprocess.run(["nm", "--defined-only", str(module)],
                             capture_output=True, text=True, timeout=20,
                             check=True).stdout
    return {fields[2] for fields in map(str.split, symbols.splitlines())
            if len(fields) == 3 and fields[1] in "tT"}


def functions_of(out, names):
    """{function: [instructions with what it calls, own]}, those in `names`."""
    found = {}
    for place, inclusive in ((0, "yes"), (1, "no")):
        text = subprocess.run(
            ["callgrind_annotate", f"--inclusive={inclusive}",
             "--threshold=100", "--show-percs=no", "--auto=no", str(out)],
            capture_output=True, text=True, timeout=120, check=True).stdout
        for line in text.splitlines():
            # "1,234  lib/policy/decide.c:policy_decide [/…/module.so]": more
            # than one line where the function was called in several ways, each
            # with the whole of what it cost with its callees.
            match = re.match(r"\s*([\d,]+)\s+\S*:([\w.]+)", line)
            if not match or match.group(2) not in names:
                continue
            cost = int(match.group(1).replace(",", ""))
            costs = found.setdefault(match.group(2), [0, 0])
            costs[place] = max(cost, costs[0]) if place == 0 else (
                costs[place] + cost)
    return found


def callgrind(row, nginx, place, files, count, names):
    """Total instructions and those of our functions, for `count` requests."""
    server = row.server(nginx, place / str(count), files)
    out = server.folder / "callgrind.out"
    try:
        server.start(["valgrind", "--tool=callgrind", "-q",
                      f"--callgrind-out-file={out}"], master=False, seconds=90)
        ask(server.port, row.path, count)
    finally:
        server.stop()
    totals = re.search(r"^(?:totals|summary): (\d+)",
                       out.read_text() if out.exists() else "", re.M)
    if not totals:
        raise Failed(f"callgrind wrote nothing: {server.complaint()}")
    return int(totals.group(1)), functions_of(out, names)


def recorded():
    """{(nginx, compiler, machine, key): instructions} of instructions.txt."""
    found = {}
    if RECORD.exists():
        for line in RECORD.read_text().splitlines():
            if line and not line.startswith("#"):
                *who, count = line.split("\t")
                found[tuple(who)] = int(count)
    return found


def section_instructions(options, nginx, place):
    for tool in ("valgrind", "callgrind_annotate"):
        if not shutil.which(tool):
            raise Failed(f"{tool} is missing: install the Debian package "
                         "valgrind")
    few, many = (200, 700) if options.quick else (500, 2500)
    heading("Instructions per request that the gate adds",
            "valgrind --tool=callgrind nginx, one process, one kept-alive "
            "connection;",
            f"({many:,} requests less {few:,}) / {many - few:,}. \"added\": "
            "with the gate less without it, which",
            "malloc makes vary by some hundreds from one heap to another, and "
            "where the gate removes headers",
            "less. \"ours\": executed in our own object; the same in every "
            "run, so growth is seen there.")
    files = make_files(place)
    image, module = make_gate(place)
    wanted = [row for row in gates(image, module) if row.key != "loaded"]
    bases = [Configuration("bare", "bare nginx"),
             Configuration("bare-dicomweb", "bare nginx, DICOMweb path",
                           path=DICOMWEB)]
    names = our_functions(module)
    each, functions = {}, {}
    for row in bases + wanted:
        start, start_functions = callgrind(row, nginx, place, files, few,
                                           names)
        end, end_functions = callgrind(row, nginx, place, files, many, names)
        each[row.key] = (end - start) / (many - few)
        functions[row.key] = {
            name: [(cost[i] - start_functions.get(name, [0, 0])[i])
                   / (many - few) for i in (0, 1)]
            for name, cost in end_functions.items()}

    compiler = first_line(configured("CC") or "cc", "-dumpfullversion")
    who = (machine(nginx)["nginx"].split()[0],
           f"{configured('CC') or 'cc'} {compiler}", platform.machine())
    before = recorded()
    answer = []
    print(f"  {'':34}{'bare':>8}{'with':>8}{'added':>8}{'ours':>8}"
          "   ours against the record")
    for row in wanted:
        added = round(each[row.key] - each[row.base])
        ours = round(sum(own for _, own in functions[row.key].values()))
        old = before.get((*who, row.key))
        change = ("no record for this nginx and compiler" if old is None
                  else f"{ours - old:+d} ({(ours - old) / old:+.1%})")
        print(f"  {row.label:34}{each[row.base]:8,.0f}{each[row.key]:8,.0f}"
              f"{added:8,}{ours:8,}   {change}")
        answer.append({"key": row.key, "label": row.label, "added": added,
                       "ours": ours, "bare": round(each[row.base]),
                       "total": round(each[row.key]), "recorded": old})
        before[(*who, row.key)] = ours

    for key in ("gate", "gate-dicomweb"):
        label = next(row.label for row in wanted if row.key == key)
        print(f"\n  Our functions, {label}: instructions per request")
        print(f"  {'with what they call':>20}{'own':>8}")
        top = sorted(functions[key].items(), key=lambda f: -f[1][0])[:10]
        for name, (inclusive, own) in top:
            if inclusive >= 0.5:
                print(f"  {inclusive:20,.0f}{own:8,.0f}  {name}")
        for figure in answer:
            if figure["key"] == key:
                figure["functions"] = [
                    {"name": name, "inclusive": round(costs[0], 1),
                     "own": round(costs[1], 1)} for name, costs in top]

    if options.record:
        RECORD.write_text(
            "# Instructions per request in our own object: nginx, compiler, "
            "machine, row, count.\n"
            "# Written by tests/bench/bench.py --record; docs/performance.md "
            "tells how they are measured.\n"
            + "".join("\t".join((*key, str(count))) + "\n"
                      for key, count in sorted(before.items())))
        print(f"\n  recorded in {RECORD.relative_to(ROOT)}")
    return answer


# ---- Decisions, without nginx ---------------------------------------------------


def section_policy(options, _nginx, _place):
    program = ROOT / "build/bench/bench_policy"
    if not program.exists():
        raise Failed("build/bench/bench_policy is not built: run make bench")
    command = [str(program)] + (["--quick"] if options.quick else [])
    heading("Look-ups, decisions and compilation", " ".join(
        ["build/bench/bench_policy", *command[1:]]))
    done = subprocess.run(command, capture_output=True, text=True, timeout=900,
                          check=False)
    print("".join(f"  {line}\n" for line in done.stdout.splitlines()), end="")
    if done.returncode != 0:
        raise Failed(f"it ended with status {done.returncode}: "
                     + done.stderr.strip()[-300:])
    return done.stdout.splitlines()


SECTIONS = {"policy": section_policy, "cpu": section_cpu,
            "instructions": section_instructions}


def main():
    parser = argparse.ArgumentParser(
        description="Measures the facility gate side by side with others.")
    parser.add_argument("--quick", action="store_true",
                        help="fewer rounds and requests")
    parser.add_argument("--only", choices=SECTIONS, action="append",
                        help="this section alone; may be repeated")
    parser.add_argument("--row", action="append", metavar="KEY",
                        help="this row of the section cpu alone (keys as in "
                             "the JSON: gate, geo, …); may be repeated")
    parser.add_argument("--rounds", type=int, help="of the section cpu")
    parser.add_argument("--json", metavar="FILE", help="write the figures here")
    parser.add_argument("--record", action="store_true",
                        help="keep the instruction counts of this run")
    options = parser.parse_args()

    nginx = (os.environ.get("SEKISHO_NGINX") or configured("NGINX")
             or find_nginx())
    about = machine(nginx)
    print(f"{about['cpu']}, {about['cpus']} CPUs, Linux {about['kernel']}, "
          f"nginx {about['nginx'] or 'not found'}; load {about['load']:.2f}")
    if about["load"] > 0.5:
        print("the machine is busy: expect wide spreads")

    figures = {"machine": about, "time": int(time.time())}
    failed = False
    for name, section in SECTIONS.items():
        if options.only and name not in options.only:
            continue
        place = folder()
        try:
            if nginx is None and name != "policy":
                raise Failed("no nginx found: install the Debian package nginx")
            figures[name] = section(options, nginx, place)
        except Failed as reason:
            print(f"\n  section {name} skipped: {reason}")
            # What was asked for by name has to be there.
            failed = failed or bool(options.only)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        sys.stdout.flush()

    if options.json:
        pathlib.Path(options.json).write_text(
            json.dumps(figures, indent=2) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
