#!/usr/bin/env python3
"""What a one-time code adds to a login, beside other modules; in one run.

    tests/bench/bench_pam.py [--quick] [--users N] [--json FILE]

Each figure is the median of pam_start, pam_authenticate, pam_end with the
module behind pam_permit, less that of pam_permit alone, taken in turn.  All
codes are by a counter (HOTP), so that every one of them is accepted and has
to be made durable; the stores lie on the disk of the source tree.  At the end:
whether the time tells if a user exists.  Needs root (namespaces).
"""

import argparse
import contextlib
import hashlib
import json
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import threading
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/integration"))
import door_codes  # noqa: E402
import door_house  # noqa: E402

BAR_MS = 1.5      # added to pam_permit, at most
BAR_SPREAD = 0.2  # between one user and a million
SEE_US = 50       # the timing test must be able to see this
LINKS = 8         # connections that import
TURNS = 20
WINDOW = 200      # imports under way on each
OATH_USERS = 100_000
PERMIT = "auth required pam_permit.so\naccount required pam_permit.so\n"
STACKS = {
    "bench-permit": PERMIT,
    "bench-sekisho": PERMIT + "auth required pam_sekisho.so\n",
    "bench-google": PERMIT + "auth required pam_google_authenticator.so "
                             "secret=/var/lib/sekisho/google/${USER}/secret\n",
}
WORKER = "/mnt/top/tests/bench/bench_pam.py"


# ---- In the house: one process that asks PAM again and again -----------------


def worker():
    """Lines [service, user, code, …] in, [[seconds, status], …] out."""
    import door_pam
    for line in sys.stdin:
        found = []
        for service, user, code in json.loads(line):
            begin = time.perf_counter_ns()
            pam = door_pam.Pam(service, user, lambda *_, code=code: code,
                               rhost="127.0.0.1", tty="ssh")
            status = pam.authenticate()
            pam.end(status)
            found.append((time.perf_counter_ns() - begin, status))
        print(json.dumps(found), flush=True)


class Worker:
    def __init__(self, house):
        self.process = subprocess.Popen(
            house.command("/usr/bin/python3", "-B", WORKER, "--worker"),
            env=house.env(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True)

    def ask(self, attempts):
        """[(us, PAM's status), …]"""
        self.process.stdin.write(json.dumps(attempts) + "\n")
        self.process.stdin.flush()
        return [(ns / 1000, status)
                for ns, status in json.loads(self.process.stdout.readline())]

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(10)


# ---- Users ------------------------------------------------------------------


def secret_of(user):
    return hashlib.sha1(user.encode()).digest()


class Person:
    """Somebody with a counter of his own for each module."""

    def __init__(self, name):
        self.name = name
        # For pam_google_authenticator a counter of 0 is none.
        self.counters = {"bench-google": 1}

    def code(self, service):
        counter = self.counters.get(service, 0)
        self.counters[service] = counter + 1
        return door_codes.hotp(secret_of(self.name), counter)


def import_range(house, names):
    """Pipelined: questions go out while answers come in."""
    desk = house.desk()
    sent = done = 0
    while done < len(names):
        while sent < len(names) and sent - done < WINDOW:
            name = names[sent]
            desk.send("IMPORT", user=name, device="phone", kind="hotp",
                      secret=door_codes.base32(secret_of(name)),
                      reason="bench")
            sent += 1
        packet = desk.socket.recv(65536)
        if b"yes" not in packet[16:]:
            raise RuntimeError(f"import: {packet[16:]!r}")
        done += 1
    desk.close()


def import_users(house, names):
    begin = time.monotonic()
    threads = [threading.Thread(target=import_range,
                                args=(house, names[i::LINKS]))
               for i in range(LINKS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - begin


def google_file(house, person):
    folder = f"/var/lib/sekisho/google/{person.name}"
    house.write(f"{folder}/secret", door_codes.base32(secret_of(person.name))
                + "\n\" HOTP_COUNTER 1\n\" WINDOW_SIZE 20\n", 0o400)
    house.run("chown", "-R", person.name, folder)


def oath_file(house, person, count, key):
    names = [person.name] + [f"other{i:07}" for i in range(count - 1)]
    house.write(f"/var/lib/sekisho/oath/{key}", "".join(
        f"HOTP {name} - {secret_of(name).hex()}\n" for name in names), 0o600)
    house.write(f"/etc/pam.d/bench-{key}", PERMIT + "auth required pam_oath.so "
                f"window=20 digits=6 usersfile=/var/lib/sekisho/oath/{key}\n")


# ---- Measuring ----------------------------------------------------------------


def attempts_of(worker, service, people, first, count):
    """[(us with the module, us of pam_permit alone), …], one after the other."""
    attempts = []
    for i in range(first, first + count):
        person = people[i % len(people)]
        attempts += [(service, person.name, person.code(service)),
                     ("bench-permit", person.name, "")]
    results = worker.ask(attempts)
    bad = [status for _, status in results if status != 0]
    if bad:
        raise RuntimeError(f"{service}: {len(bad)} of {count} were refused, "
                           f"as {bad[0]}")
    return [(mine[0], base[0])
            for mine, base in zip(results[0::2], results[1::2])]


def summary(pairs):
    mine = [pair[0] for pair in pairs]
    base = statistics.median(pair[1] for pair in pairs)
    low, middle, high = statistics.quantiles(mine, n=4)
    return {"us": middle, "permit_us": base, "added_us": middle - base,
            "quartiles_us": [low, high], "count": len(pairs)}


def added(rows, rounds):
    """Medians for rows {key: (worker, service, people, rounds of it)}, taken
    in turns, so that a busy moment of the machine meets all of them."""
    found = {key: [] for key in rows}
    for turn in range(TURNS):
        for key, (worker, service, people, share) in rows.items():
            count = max(1, int(rounds * share) // TURNS)
            found[key] += attempts_of(worker, service, people, turn * count,
                                      count)
    return {key: summary(pairs) for key, pairs in found.items()}


def interval(differences, rounds=2000):
    """95 % of the median, by bootstrap."""
    generator = random.Random(7)
    medians = sorted(
        statistics.median(generator.choices(differences, k=len(differences)))
        for _ in range(rounds))
    return medians[int(rounds * 0.025)], medians[int(rounds * 0.975)]


def known_or_unknown(worker, known, unknown, pairs):
    """Differences of pairs, each in a random order: a wrong code of somebody
    enrolled (another one each time, whom nothing makes wait), and of one who
    is not there.  The same between two who are not there shows what the
    measurement itself makes of nothing."""
    generator = random.Random(11)
    attempts, orders = [], []
    for i in range(pairs):
        pair = [(known[i % len(known)], "known"),
                (unknown[2 * i % len(unknown)], "unknown"),
                (unknown[(2 * i + 1) % len(unknown)], "other")]
        generator.shuffle(pair)
        orders.append([what for _, what in pair])
        attempts += [("bench-sekisho", name, "000000") for name, _ in pair]
    results = worker.ask(attempts)
    signal, noise = [], []
    for i, order in enumerate(orders):
        times = dict(zip(order, (us for us, _ in results[3 * i:3 * i + 3])))
        signal.append(times["known"] - times["unknown"])
        noise.append(times["other"] - times["unknown"])
    return {"known_us": [statistics.median(signal), *interval(signal)],
            "nothing_us": [statistics.median(noise), *interval(noise)]}


@contextlib.contextmanager
def furnished(place, name):
    """A house whose /var/lib/sekisho is on the disk, and whose sources are
    not throttled: all attempts of this come from one address."""
    disk = TOP / "build/bench-pam" / name
    shutil.rmtree(disk, ignore_errors=True)
    disk.mkdir(parents=True)
    house = door_house.House(place / name)
    try:
        house.path("/var/lib/sekisho").mkdir()
        house.run("mount", "--bind", f"/mnt/top/build/bench-pam/{name}",
                  "/var/lib/sekisho")
        house.install()
        config = house.path("/etc/sekisho/sekishod.conf")
        config.write_text(config.read_text()
                          + "otp_source_lock_at 100000;\n")
        for service, text in STACKS.items():
            house.write(f"/etc/pam.d/{service}", text)
        house.start_daemon()
        yield house
    finally:
        house.close()
        shutil.rmtree(disk, ignore_errors=True)


def there(name):
    return any(pathlib.Path("/").glob(f"{folder}/{name}") for folder in (
        "lib/*/security", "usr/lib/*/security"))


def show(label, figures):
    low, high = figures["quartiles_us"]
    print(f"  {label:46}{figures['added_us'] / 1000:9.2f} ms"
          f"   {low / 1000:.2f} to {high / 1000:.2f}", flush=True)


def rows_of_others(house, worker, person):
    """What is installed of them, for the same person."""
    rows, labels = {}, {}
    if there("pam_google_authenticator.so"):
        google_file(house, person)
        rows["google"] = (worker, "bench-google", [person], 1)
        labels["google"] = "pam_google_authenticator (a file per user)"
    if there("pam_oath.so"):
        house.path("/var/lib/sekisho/oath").mkdir()
        for count, share in ((1, 1), (OATH_USERS, 0.05)):
            key = f"oath_{count}"
            oath_file(house, person, count, key)
            # A file of its own has a counter of its own.
            rows[key] = (worker, f"bench-{key}", [Person(person.name)], share)
            labels[key] = f"pam_oath, {count:,} in its file"
    return rows, labels


def measure(options, place):
    rounds = 400 if options.quick else 2000
    users = options.users or (20_000 if options.quick else 1_000_000)
    pairs = 400 if options.quick else 3000
    figures = {"users": users}
    person = Person("yamada")
    with furnished(place, "one") as one, furnished(place, "all") as many:
        for house in (one, many):
            house.run("useradd", "-m", person.name)
        names = [f"user{i:07}" for i in range(users)]
        import_users(one, [person.name])
        seconds = import_users(many, names)
        print(f"{users:,} users imported in {seconds:.0f} s")
        for house in (one, many):
            house.last()  # all of that is in the trail's tiles
        worker, crowded = Worker(one), Worker(many)
        # Each turn another one's, as at a real door.
        crowd = [Person(name) for name in names[::max(1, users // 500)]]
        rows = {"sekisho_1": (worker, "bench-sekisho", [person], 1),
                "sekisho_all": (crowded, "bench-sekisho", crowd, 1)}
        labels = {"sekisho_1": "pam_sekisho, 1 user enrolled",
                  "sekisho_all": f"pam_sekisho, {users:,} users enrolled"}
        more, more_labels = rows_of_others(one, worker, person)
        rows.update(more)
        labels.update(more_labels)
        figures.update(added(rows, rounds))
        print(f"Added to pam_permit, {rounds:,} logins each, in turns, every "
              f"one durable\n  {'':46}{'median':>12}   middle half")
        for key, label in labels.items():
            show(label, figures[key])
        crowd_left = [name for name in names if name not in
                      {someone.name for someone in crowd}]
        figures["timing"] = known_or_unknown(
            crowded, crowd_left[:pairs],
            [f"nobody{i:06}" for i in range(2 * pairs)], pairs)
        worker.close()
        crowded.close()
    return figures


def judge(figures):
    one = figures["sekisho_1"]["added_us"]
    many = figures["sekisho_all"]["added_us"]
    spread = many / one - 1
    middle, low, high = figures["timing"]["known_us"]
    nothing = figures["timing"]["nothing_us"]
    width = (high - low) / 2
    print(f"\n  bar: at most {BAR_MS} ms: "
          f"{'met' if max(one, many) <= BAR_MS * 1000 else 'MISSED'}"
          f"\n  bar: within {BAR_SPREAD:.0%} for 1 and "
          f"{figures['users']:,} users ({spread:+.0%}): "
          f"{'met' if abs(spread) <= BAR_SPREAD else 'MISSED'}"
          "\n\nDoes the time tell whether a user exists?  Median difference of "
          "pairs, 95 % by bootstrap"
          f"\n  known less unknown      {middle:+8.1f} us   "
          f"{low:+.1f} to {high:+.1f}"
          f"\n  unknown less unknown    {nothing[0]:+8.1f} us   "
          f"{nothing[1]:+.1f} to {nothing[2]:+.1f}")
    if abs(middle) > SEE_US / 2 and not low <= 0 <= high:
        verdict = "MISSED"
    elif width > SEE_US:
        verdict = f"NOT TOLD: this machine cannot see {SEE_US} us now"
    else:
        verdict = f"met: a difference of {SEE_US} us would be seen"
    print(f"  bar: nil: {verdict}")
    figures["timing"]["verdict"] = verdict


def main():
    if sys.argv[1:] == ["--worker"]:
        worker()
        return 0
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--users", type=int, help="in the large store")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    why = door_house.missing(setpriv="util-linux")
    if why:
        print(f"bench_pam: {why}", file=sys.stderr)
        return 77
    place = TOP / "build/bench-house"
    place.mkdir(parents=True, exist_ok=True)
    try:
        figures = measure(options, place)
    except door_house.NoHouse as error:
        print(f"bench_pam: {error}", file=sys.stderr)
        return 77
    finally:
        shutil.rmtree(place, ignore_errors=True)
    judge(figures)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(figures, indent=2)
                                              + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
