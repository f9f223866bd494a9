#!/usr/bin/env python3
"""What gate and audit cost, side by side with what else could be used.

    make bench                       everything
    tests/bench/bench.py --quick     a short look, with wider spreads
    tests/bench/bench.py --only cpu  one section: policy, trail, cpu, hold,
                                     instructions
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

from configurations import (Configuration, Gate, audits, bare, gates,
                            make_files, others)
from server import (CLIENT_CPU, ROOT, SERVER_CPU, Failed, ask, find_nginx,
                    folder, h2load)

# Of the issues: the most that a request's CPU may be, times bare nginx's, and
# the least share of bare nginx's requests per second where each is recorded.
CPU_BARS = {"gate": 1.05, "audit": 1.12, "audit-dicomweb": 1.12}
HOLD_BAR = 0.40
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
    bases = bare()
    # Against itself: what a ratio of this run can be by chance.
    rows = [Configuration("bare-again", "bare nginx, against itself")]
    gate = None
    try:
        gate = Gate(place)
        rows += gates(gate.image, gate.module)
        rows += [row for row in audits(gate) if row.key != "audit-request"]
    except Failed as reason:
        print(f"  no rows of ours: {reason}")
    try:
        rows += others(place)
        if options.row:
            rows = [row for row in rows if row.key in options.row]
        measured = measure_cpu(rows, bases, nginx, place, rounds, requests,
                               each)
    finally:
        if gate is not None:
            gate.close()
    return tell_cpu(rows, measured)


def measure_cpu(rows, bases, nginx, place, rounds, requests, each):
    """{key: pairs}; a row that cannot be measured leaves `rows`."""
    files = make_files(place)
    measured = {}
    for turn in range(rounds):
        for row in rows[:]:
            try:
                measured.setdefault(row.key, []).extend(
                    pairs(row, bases[row.base], nginx,
                          place / f"{turn}-{row.key}", files, requests, each))
            except Failed as reason:
                if turn:
                    raise
                print(f"  no row \"{row.label}\": {reason}")
                rows.remove(row)
    return measured


def tell_cpu(rows, measured):
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
    print()
    for row in answer:
        bar = CPU_BARS.get(row["key"])
        if bar:
            row["bar"] = bar
            print(f"  bar: {row['label']}: at most {bar:.2f}: "
                  + ("met" if row["ratio"] <= bar else "MISSED"))
    return answer


# ---- Requests per second where each of them waits for the disk ---------------


def section_hold(options, nginx, place):
    if not shutil.which("h2load"):
        raise Failed("h2load is missing: install the Debian package "
                     "nghttp2-client")
    requests, connections = (4_000, 64) if options.quick else (20_000, 64)
    rounds = options.rounds or (3 if options.quick else 9)
    heading("Requests per second where each is on disk before it is answered",
            f"h2load --h1 -n {requests} -c {connections} on CPU {CLIENT_CPU}, "
            f"one worker on CPU {SERVER_CPU},",
            "sekishod wherever there is room; audit_detail request, audit_fail "
            "deny: each request has its record",
            f"synced before it is served. {rounds} rounds in turn; medians, "
            "and where the middle half lies.")
    files = make_files(place)
    gate = Gate(place)
    rates = {}
    servers = []
    try:
        row = next(row for row in audits(gate) if row.key == "audit-request")
        for which in (bare()[row.base], row):
            servers.append(which.server(nginx, place, files))
            servers[-1].start()
            h2load(servers[-1].port, row.path, requests // 4, connections)
        for turn in range(rounds):
            for server in servers if turn % 2 else servers[::-1]:
                start = time.monotonic()
                h2load(server.port, row.path, requests, connections)
                rates.setdefault(server, []).append(
                    requests / (time.monotonic() - start))
    finally:
        for server in servers:
            server.stop()
        gate.close()
    ratios = [held / free for free, held in zip(*map(rates.get, servers))]
    low, ratio, high = statistics.quantiles(ratios, n=4)
    free, held = (statistics.median(rates[server]) for server in servers)
    print(f"  {'bare nginx':34}{free:10,.0f} requests/s\n"
          f"  {row.label:34}{held:10,.0f} requests/s   ratio {ratio:.3f}   "
          f"{low:.3f} to {high:.3f}\n\n"
          f"  bar: at least {HOLD_BAR:.2f} of bare nginx: "
          + ("met" if ratio >= HOLD_BAR else "MISSED"))
    return {"bare": free, "request_deny": held, "ratio": ratio,
            "quartiles": [low, high], "bar": HOLD_BAR}


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


def count_instructions(rows, nginx, place, names, few, many):
    """Of a request, by row: all, and {function: [with callees, own]}."""
    files = make_files(place)
    each, functions = {}, {}
    for row in rows:
        start, start_functions = callgrind(row, nginx, place, files, few,
                                           names)
        end, end_functions = callgrind(row, nginx, place, files, many, names)
        each[row.key] = (end - start) / (many - few)
        functions[row.key] = {
            name: [(cost[i] - start_functions.get(name, [0, 0])[i])
                   / (many - few) for i in (0, 1)]
            for name, cost in end_functions.items()}
    return each, functions


def section_instructions(options, nginx, place):
    for tool in ("valgrind", "callgrind_annotate"):
        if not shutil.which(tool):
            raise Failed(f"{tool} is missing: install the Debian package "
                         "valgrind")
    few, many = (200, 700) if options.quick else (500, 2500)
    heading("Instructions per request that gate and audit add",
            "valgrind --tool=callgrind nginx, one process, one kept-alive "
            "connection;",
            f"({many:,} requests less {few:,}) / {many - few:,}. \"added\": "
            "with the gate less without it, which",
            "malloc makes vary by some hundreds from one heap to another, and "
            "where the gate removes headers",
            "less. \"ours\": executed in our own object; the same in every "
            "run, so growth is seen there.")
    gate = Gate(place)
    try:
        wanted = [row for row in gates(gate.image, gate.module) + audits(gate)
                  if row.key not in ("loaded", "audit-request")]
        each, functions = count_instructions(
            [*bare().values(), *wanted], nginx, place,
            our_functions(gate.module), few, many)
    finally:
        gate.close()

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

    for key in ("gate", "gate-dicomweb", "audit-dicomweb"):
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


def run_program(name, options, title, *arguments):
    """Runs and shows a bench_* program; its lines."""
    program = ROOT / "build/bench" / name
    if not program.exists():
        raise Failed(f"build/bench/{name} is not built: run make bench")
    command = [str(program)] + (["--quick"] if options.quick else [])
    heading(title, " ".join([f"build/bench/{name}", *command[1:]]))
    done = subprocess.run([*command, *arguments], capture_output=True,
                          text=True, timeout=900, check=False)
    print("".join(f"  {line}\n" for line in done.stdout.splitlines()), end="")
    if done.returncode != 0:
        raise Failed(f"it ended with status {done.returncode}: "
                     + done.stderr.strip()[-300:])
    return done.stdout.splitlines()


def section_policy(options, _nginx, _place):
    return run_program("bench_policy", options,
                       "Look-ups, decisions and compilation")


# ---- The trail, without nginx ---------------------------------------------------


def section_trail(options, _nginx, _place):
    # On the disk that the tree is on: /tmp may be memory.
    place = ROOT / "build/bench/trail"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    try:
        return run_program("bench_trail", options,
                           "The trail: appending, the socket, verifying, "
                           "scanning", "--folder", str(place))
    finally:
        shutil.rmtree(place, ignore_errors=True)


SECTIONS = {"policy": section_policy, "trail": section_trail,
            "cpu": section_cpu, "hold": section_hold,
            "instructions": section_instructions}


def main():
    parser = argparse.ArgumentParser(
        description="Measures gate and audit side by side with others.")
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
            if nginx is None and name not in ("policy", "trail"):
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
