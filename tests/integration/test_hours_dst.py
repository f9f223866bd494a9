"""Hours, holidays and validity against Python's zoneinfo.

Both changes of the clocks of each of ten years, in zones that have every
oddity there is, and random moments: `explain --json --at` must agree with a
calculation that shares nothing with the program but the system's zone data.
"""

import concurrent.futures
import datetime as dt
import json
import os
import random
import subprocess
import zoneinfo

import pytest

from tool import BASE_ENV, PLAIN

YEARS = range(2026, 2037)
ZONES = ["Asia/Tokyo", "Europe/Berlin", "America/New_York",
         "Australia/Lord_Howe", "America/St_Johns", "Asia/Kathmandu",
         "Africa/Casablanca", "Antarctica/Troll"]
UTC = dt.timezone.utc
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

# Each is a facility in each zone: hours as written, the same as (days, start,
# minutes), closed days, valid days.
HOURS = [
    # office hours
    ("mon-fri 08:00-19:00 sat 08:00-13:00",
     [(range(5), 480, 660), ([5], 480, 300)], [], None),
    # over midnight, with nights that do not take place
    ("daily 22:00-06:00", [(range(7), 1320, 480)],
     [("2027-03-27", "2027-03-28"), ("2029-10-28", "2029-10-28"),
      ("2031-11-01", "2031-11-02"), ("2034-03-12", "2034-03-12")],
     ("2026-06-15", "2036-06-15")),
    # in the hours that clocks skip or show twice
    ("daily 00:15-00:45 01:15-01:45 02:15-02:45 03:00-03:01",
     [(range(7), 15, 30), (range(7), 75, 30), (range(7), 135, 30),
      (range(7), 180, 1)], [], None),
    # the day of the change, whole, and the week's end over midnight
    ("sun 00:00-24:00 sat,sun 23:30-02:30",
     [([6], 0, 1440), ([5, 6], 1410, 180)],
     [("2028-03-25", "2028-03-26"), ("2033-04-03", "2033-04-03")], None),
]


def date(text):
    return dt.date.fromisoformat(text)


def closed_on(closed, day):
    return any(date(first) <= day <= date(last) for first, last in closed)


def expected(zone, rule, moment):
    """The reason, worked out on the wall clock."""
    _, windows, closed, valid = HOURS[rule]
    wall = dt.datetime.fromtimestamp(moment, zone).replace(tzinfo=None)
    if valid and not date(valid[0]) <= wall.date() <= date(valid[1]):
        return "not-valid"
    holiday = closed_on(closed, wall.date())
    for back in (0, 1):
        day = wall.date() - dt.timedelta(days=back)
        midnight = dt.datetime.combine(day, dt.time())
        for days, start, minutes in windows:
            begin = midnight + dt.timedelta(minutes=start)
            if (day.weekday() in days
                    and begin <= wall < begin + dt.timedelta(minutes=minutes)):
                if not closed_on(closed, day):
                    return "ok"
                holiday = True
    return "holiday" if holiday else "closed"


def changes(zone, year):
    """Moments of the year from which another offset holds."""
    def offset(at):
        return dt.datetime.fromtimestamp(at, zone).utcoffset()

    found = []
    at = int(dt.datetime(year, 1, 1, tzinfo=UTC).timestamp())
    end = int(dt.datetime(year + 1, 1, 1, tzinfo=UTC).timestamp())
    while at < end:
        low, high = at, at + 86400
        if offset(low) != offset(high):
            while high - low > 1:
                middle = (low + high) // 2
                if offset(middle) == offset(low):
                    low = middle
                else:
                    high = middle
            found.append(high)
        at += 86400
    return found


def policy():
    text = ""
    for i, zone in enumerate(ZONES):
        for j, (hours, _, closed, valid) in enumerate(HOURS):
            days = " ".join(f"{a}..{b}" for a, b in closed)
            text += (f"facility z{i}-h{j} {{\n    timezone {zone};\n"
                     f"    network 10.0.{i}.{j};\n    hours {hours};\n"
                     + (f"    closed {days};\n" if closed else "")
                     + (f"    valid {valid[0]}..{valid[1]};\n" if valid else "")
                     + "}\n")
    return text


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dst")
    (folder / "f.conf").write_text(policy())
    subprocess.run([PLAIN, "policy", "apply", "f.conf", "--image", "p.img"],
                   cwd=folder, env=BASE_ENV, check=True, capture_output=True)
    return folder / "p.img"


def explain(image, zone, rule, at):
    result = subprocess.run(
        [PLAIN, "policy", "explain", f"10.0.{zone}.{rule}", "--at", at,
         "--json", "--policy", image],
        env=BASE_ENV, capture_output=True, check=False)
    assert result.stderr == b"", result.stderr
    document = json.loads(result.stdout)
    assert document["facility"] == f"z{zone}-h{rule}"
    assert result.returncode == (0 if document["verdict"] == "allow" else 1)
    return document


def ask(image, questions):
    """All of (zone, rule, moment), and what disagrees."""
    def one(question):
        index, rule, moment = question
        zone = zoneinfo.ZoneInfo(ZONES[index])
        document = explain(image, index, rule, f"@{moment}")
        wall = dt.datetime.fromtimestamp(moment, zone)
        want = (expected(zone, rule, moment), wall.isoformat())
        got = (document["reason"], document["at"].replace("Z", "+00:00"))
        return None if got == want else (ZONES[index], HOURS[rule][0], want, got)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        return [answer for answer in pool.map(one, questions) if answer]


def test_the_zones_change_as_often_as_they_do():
    """Else the tests below would prove little."""
    counts = {name: sum(len(changes(zoneinfo.ZoneInfo(name), year))
                        for year in YEARS) for name in ZONES}
    assert counts["Asia/Tokyo"] == counts["Asia/Kathmandu"] == 0
    for name in ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe",
                 "America/St_Johns", "Antarctica/Troll"):
        assert counts[name] == 2 * len(YEARS)
    # how often is up to Morocco's government, and to the age of tzdata
    assert counts["Africa/Casablanca"] >= 1


@pytest.mark.parametrize("index", range(len(ZONES)), ids=ZONES)
def test_around_every_change_of_the_clocks(image, index):
    zone = zoneinfo.ZoneInfo(ZONES[index])
    chance = random.Random(index)
    questions = []
    for year in YEARS:
        moments = changes(zone, year) or [
            int(dt.datetime(year, month, 28, chance.randrange(24),
                            tzinfo=UTC).timestamp()) for month in (3, 10)]
        for moment in moments:
            for shift in (-1, 0, chance.randrange(-7200, 7200),
                          chance.choice((-3600, -1800, -60, 60, 1800, 3600)),
                          chance.randrange(-86400, 86400)):
                questions.append((index, chance.randrange(len(HOURS)),
                                  moment + shift))
    assert len(questions) >= 100
    assert ask(image, questions) == []


def test_random_moments(image):
    chance = random.Random(1)
    first = int(dt.datetime(YEARS[0], 1, 1, tzinfo=UTC).timestamp())
    last = int(dt.datetime(YEARS[-1], 12, 31, tzinfo=UTC).timestamp())
    questions = [(chance.randrange(len(ZONES)), chance.randrange(len(HOURS)),
                  chance.randrange(first, last)) for _ in range(700)]
    reasons = {expected(zoneinfo.ZoneInfo(ZONES[i]), j, at)
               for i, j, at in questions}
    assert reasons >= {"ok", "closed", "not-valid"}
    assert ask(image, questions) == []


def test_the_edges_of_windows_holidays_and_validity(image):
    questions = []
    for index, name in enumerate(ZONES):
        zone = zoneinfo.ZoneInfo(name)
        walls = [(0, "2030-06-03 08:00"), (0, "2030-06-03 19:00"),
                 (0, "2030-06-01 13:00"), (1, "2030-06-03 22:00"),
                 (1, "2030-06-04 06:00"), (1, "2026-06-15 00:00"),
                 (1, "2036-06-16 00:00"), (1, "2027-03-27 06:00"),
                 (1, "2027-03-27 22:00"), (1, "2027-03-29 06:00"),
                 (2, "2030-06-03 03:01"), (3, "2030-06-03 00:00"),
                 (3, "2030-06-03 02:30"), (3, "2028-03-27 02:30"),
                 (3, "2028-03-26 23:30")]
        for rule, wall in walls:
            moment = int(dt.datetime.fromisoformat(wall).replace(
                tzinfo=zone).timestamp())
            questions += [(index, rule, moment + shift) for shift in (-1, 0)]
    assert ask(image, questions) == []


@pytest.mark.parametrize("index", range(len(ZONES)), ids=ZONES)
def test_a_wall_clock_time_is_taken_as_python_takes_it(image, index):
    """Twice shown: the first; skipped: counted on with the offset before."""
    zone = zoneinfo.ZoneInfo(ZONES[index])
    chance = random.Random(100 + index)
    for year in (2027, 2031, 2035):
        for change in changes(zone, year) or [1900000000 + chance.randrange(10**7)]:
            for shift in (-3600, -900, 0, 900, 3600):
                before = dt.datetime.fromtimestamp(change - 1, zone).utcoffset()
                wall = (dt.datetime.fromtimestamp(change, UTC) + before
                        + dt.timedelta(seconds=shift)).replace(tzinfo=None)
                document = explain(image, index, 0, wall.isoformat())
                want = wall.replace(tzinfo=zone, fold=0).timestamp()
                assert document["unix"] == want, (wall, ZONES[index])


def test_the_next_opening_is_the_first_minute_that_is_open(image):
    chance = random.Random(7)
    asked = 0
    while asked < 60:
        index, rule = chance.randrange(len(ZONES)), chance.randrange(len(HOURS))
        zone = zoneinfo.ZoneInfo(ZONES[index])
        year = chance.choice(YEARS[1:-1])
        moment = (chance.choice(changes(zone, year) or [1900000000])
                  + chance.randrange(-86400, 86400)) // 60 * 60
        if expected(zone, rule, moment) == "ok":
            continue
        asked += 1
        document = explain(image, index, rule, f"@{moment}")
        minute = moment + 60
        while expected(zone, rule, minute) != "ok":
            minute += 60
        opens = dt.datetime.fromisoformat(document["opens"].replace("Z", "+00:00"))
        assert opens.timestamp() == minute, (ZONES[index], HOURS[rule][0], moment)
