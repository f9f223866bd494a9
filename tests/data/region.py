#!/usr/bin/env python3
"""A made-up region: a month of records of clinics and readers that are none,
with misdeeds planted, written through a real sekishod.

    region.py FOLDER [--events 300000] [--seed 1]

FOLDER then holds the daemon's configuration (conf), key and trail, `region.mmdb`
(countries of its addresses) and `manifest.json`: what was planted, which is what
a review should find.  The same seed gives the same records.

The daemon runs with --accept-times, so that a month of the past can be written
in a minute; nothing else of it is different.
"""

import argparse
import collections
import datetime
import json
import os
import random
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests/integration"))

import make_mmdb  # noqa: E402
import trail_daemon  # noqa: E402

ZONE = datetime.timezone(datetime.timedelta(hours=9))  # Asia/Tokyo
FIRST = datetime.date(2025, 10, 1)
DAYS = 31
HOLIDAYS = {datetime.date(2025, 10, 13)}
PLANT_FROM = 12  # days: before that nobody has a habit
BATCH = 120      # records of one message
AHEAD = 40       # messages under way
FULL = 300000

ABROAD = "198.18.{}.{}"      # "US" in region.mmdb; all else is "JP"
MORAE = ("ka ki ku ke ko sa shi su se so ta chi tsu te to na ni nu ne no ha hi fu "
         "he ho ma mi mu me mo ya yu yo ra ri ru re ro wa").split()


def text_time(moment):
    """Unix seconds as the daemon reads them."""
    whole = int(moment)
    return (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
            + f".{int((moment - whole) * 1000):03}Z")


class Region:
    """Who works where and when; events collect in `events`."""

    def __init__(self, events=FULL, seed=1):
        self.random = random.Random(seed)
        self.wanted = events
        self.users_count = max(14, events * 200 // FULL)
        self.facilities_count = max(5, events * 30 // FULL)
        self.events = []     # (moment, order, source, record)
        self.planted = []
        self.order = 0
        self.taken = set()   # (user, day) with something planted
        self.learned = set()
        self.studies = collections.defaultdict(list)
        self.families = self.names(400)
        self.givens = self.names(400)
        self.patients = 0
        self.facilities = [self.facility(i) for i in range(self.facilities_count)]
        self.users = [self.user(i) for i in range(self.users_count)]

    # ---- The region ------------------------------------------------------

    def names(self, count):
        found = []
        while len(found) < count:
            name = "".join(self.random.choice(MORAE)
                           for _ in range(self.random.choice((2, 3, 3, 4))))
            if name not in found:
                found.append(name)
        return found

    def facility(self, i):
        hospital = i % 6 == 0
        return {"id": f"{'hospital' if hospital else 'clinic'}-{i + 1:02}",
                "network": f"203.0.{i + 1}.", "hospital": hospital,
                "opens": 0 if hospital else self.random.choice((8, 8.5, 9)),
                "closes": 24 if hospital else self.random.choice((17, 18, 19)),
                "saturday": self.random.random() < 0.5}

    def user(self, i):
        rng = self.random
        family, given = rng.choice(self.families), rng.choice(self.givens)
        place = self.facilities[i % len(self.facilities)]
        kind = rng.random()
        user = {"name": f"{family}.{given}{i}", "family": family, "given": given,
                "place": place, "pace": rng.lognormvariate(0, 0.4),
                "home": None, "second": None, "shift": "day",
                "desk": rng.randrange(2, 250), "roams": False,
                "desktop": rng.random() < 0.2,
                "away": rng.randrange(DAYS) if rng.random() < 0.3 else None}
        if kind < 0.15:    # reads from home in the evening, too
            user["home"] = f"126.{rng.randrange(1, 250)}.{rng.randrange(250)}."
        elif kind < 0.25:  # another place on two days of the week
            others = [f for f in self.facilities if f is not place]
            user["second"] = (rng.choice(others), rng.sample(range(5), 2))
        elif kind < 0.28:  # on the way, with a new network each day
            user["roams"] = True
            user["place"] = place
        elif place["hospital"] and kind < 0.6:
            user["shift"] = "turns"  # day, late and night by turns
        return user

    def mean(self):
        """Accesses of a user in a day, so that the events come out."""
        per_access = 2 + 0.55  # opening, close, and a study learned now and then
        return self.wanted * 0.97 / per_access / (self.users_count * 21.5)

    # ---- Events ----------------------------------------------------------

    def add(self, moment, source, **record):
        self.order += 1
        record = {name: value for name, value in record.items()
                  if value is not None}
        record.setdefault("outcome", "0")
        self.events.append((moment, self.order, source, record))

    def new_id(self):
        return f"{self.random.getrandbits(128):032x}"

    def new_study(self, place, family=None, given=None, patient=None):
        rng = self.random
        self.patients += 1
        study = {"study": f"1.2.392.200036.{place['id'][-2:]}.{self.patients}",
                 "patient": patient or f"P{self.patients:07}",
                 "name": f"{family or rng.choice(self.families)}^"
                         f"{given or rng.choice(self.givens)}".upper()}
        self.studies[place["id"]].append(study)
        return study

    def some_study(self, place):
        known = self.studies[place["id"]]
        if known and self.random.random() < 0.45:
            return known[-1 - min(int(self.random.expovariate(0.02)),
                                  len(known) - 1)]
        return self.new_study(place)

    def access(self, moment, user, place, address, study=None, action="view",
               session=None, seconds=None):
        rng = self.random
        study = study or self.some_study(place)
        who = {"user": user["name"], "facility": place["id"], "address": address,
               "service": "web", "session": session, "action": action,
               "study": study["study"]}
        opening = self.new_id()
        seconds = seconds or min(rng.lognormvariate(4, 0.8), 1500)
        self.add(moment, "nginx", event="access", id=opening, **who)
        if study["study"] not in self.learned:
            self.learned.add(study["study"])
            self.add(moment + 0.2, "nginx", event="patient-learned",
                     study=study["study"], patient=study["patient"],
                     issuer="REGION", name=study["name"])
        slices = rng.randrange(1, 300)
        self.add(moment + seconds + 900, "nginx", event="access-end",
                 open=opening, requests=slices + 3, instances=slices,
                 bytes=slices * 180000, duration_ms=int(seconds * 1000),
                 first=text_time(moment), last=text_time(moment + seconds),
                 **who)

    def sign_in(self, moment, user, place, address, session, **more):
        fields = {"event": "sign-in", "reason": "ok", "factors": "password,totp",
                  "service": "web", **more}
        self.add(moment, "nginx", user=user["name"], facility=place["id"],
                 address=address, session=session, **fields)

    def moment(self, day, hour):
        date = FIRST + datetime.timedelta(days=day)
        midnight = datetime.datetime(date.year, date.month, date.day, tzinfo=ZONE)
        return midnight.timestamp() + hour * 3600

    # ---- An ordinary day -------------------------------------------------

    def works(self, user, day):
        date = FIRST + datetime.timedelta(days=day)
        rng = self.random
        place = user["place"]
        if user["away"] is not None and user["away"] <= day < user["away"] + 7:
            return False
        if place["hospital"]:
            quiet = date.weekday() >= 5 or date in HOLIDAYS
            return rng.random() < (0.3 if quiet else 0.9)
        if date in HOLIDAYS or date.weekday() == 6:
            return False
        if date.weekday() == 5:
            return place["saturday"] and rng.random() < 0.5
        return rng.random() < 0.95

    def span(self, user, day):
        """Hours of the day between which the user works."""
        rng, place = self.random, user["place"]
        if user["shift"] == "turns":
            start = (8, 13, 17)[(day // 3 + user["desk"]) % 3]
            return start, min(start + 9, 24)
        start = (8 if place["hospital"] else place["opens"]) + rng.uniform(0, 0.7)
        end = (18 if place["hospital"] else place["closes"]) - rng.uniform(0, 1)
        date = FIRST + datetime.timedelta(days=day)
        if date.weekday() == 5:
            end = 13
        elif rng.random() < 0.08:  # something that could not wait
            end += rng.uniform(0.5, 2)
        return start, end

    def ordinary_day(self, user, day):
        rng = self.random
        place, address = user["place"], user["place"]["network"] + str(user["desk"])
        date = FIRST + datetime.timedelta(days=day)
        if user["second"] and date.weekday() in user["second"][1]:
            place = user["second"][0]
            address = place["network"] + str(user["desk"])
        if user["roams"]:
            address = f"133.{rng.randrange(250)}.{rng.randrange(250)}.7"
        start, end = self.span(user, day)
        count = max(1, int(self.mean() * user["pace"]
                           * rng.lognormvariate(-0.05, 0.3)
                           * (1.15, 1, 1, 1, 0.95, 0.5, 0.5)[date.weekday()]))
        session = self.new_id()
        self.sign_in(self.moment(day, start), user, place, address, session)
        self.reading(user, day, start, end, count, place, address, session)
        if user["home"] and rng.random() < 0.35:
            session = self.new_id()
            address = user["home"] + str(1 + day // 9)
            self.sign_in(self.moment(day, 20.5), user, place, address, session)
            self.reading(user, day, 20.6, 22.8, max(1, count // 5), place,
                         address, session)
        if user["desktop"]:
            self.desktop(user, day, start, end, place, address)
        if rng.random() < 0.05:  # a typing error
            self.sign_in(self.moment(day, start - 0.01), user, place, address,
                         None, reason="wrong-code", outcome="4")

    def reading(self, user, day, start, end, count, place, address, session):
        """In sittings, as people read."""
        rng = self.random
        while count > 0:
            sitting = min(count, rng.randrange(4, 14))
            moment = self.moment(day, rng.uniform(start, max(end - 0.5,
                                                             start + 0.1)))
            for _ in range(sitting):
                action = "download" if rng.random() < 0.02 else "view"
                if rng.random() < 0.1:
                    action = "query"
                self.access(moment, user, place, address, action=action,
                            session=session)
                moment += 20 + rng.expovariate(1 / 100)
            count -= sitting

    def desktop(self, user, day, start, end, place, address, wiped="0"):
        session = self.new_id()
        who = {"user": user["name"], "address": "local", "service": "lightdm",
               "session": session, "tty": ":0"}
        begin, finish = self.moment(day, start), self.moment(day, end)
        self.add(begin, "pam", event="session", id=session, **who)
        self.add(finish, "pam", event="sign-out", open=session,
                 duration_ms=int((finish - begin) * 1000), **who)
        if wiped is not None:
            self.add(finish + 1, "pam", event="wiped", reason="session-end",
                     files=41, bytes=900000, failures=0 if wiped == "0" else 3,
                     **{**who, "outcome": wiped})

    def strangers(self, day):
        """The internet knocks at every door, and clinics come after closing."""
        rng = self.random
        for _ in range(max(3, 20 * self.users_count // 200)):
            self.add(self.moment(day, rng.uniform(0, 24)), "nginx",
                     event="denied", reason="unknown-network", outcome="4",
                     address=f"45.{rng.randrange(250)}.{rng.randrange(250)}.9",
                     service="web", count=rng.randrange(1, 90))
        for place in self.facilities:
            if not place["hospital"] and rng.random() < 0.15:
                self.add(self.moment(day, place["closes"] + 0.1), "nginx",
                         event="denied", reason="closed", outcome="4",
                         facility=place["id"], service="web",
                         address=place["network"] + "40",
                         count=rng.randrange(1, 25))

    # ---- Misdeeds --------------------------------------------------------

    def victim(self, wanted=lambda user: True):
        """A user and a working day that nothing else was planted on."""
        rng = self.random
        for _ in range(10000):
            user = rng.choice(self.users)
            day = rng.randrange(PLANT_FROM, DAYS - 1)
            date = FIRST + datetime.timedelta(days=day)
            if date.weekday() < 5 and date not in HOLIDAYS and \
                    (user["name"], day) not in self.taken and \
                    user["shift"] == "day" and not user["roams"] and \
                    not user["second"] and user["away"] is None and wanted(user):
                self.taken.add((user["name"], day))
                return user, day
        raise RuntimeError("too few users for so many misdeeds")

    def plant(self, rule, day, user=None, **more):
        date = FIRST + datetime.timedelta(days=day)
        self.planted.append({"rule": rule, "day": date.isoformat(),
                             "user": user["name"] if user else None, **more})

    @staticmethod
    def desk(user):
        return user["place"]["network"] + str(user["desk"])

    def plant_off_hours(self):
        user, day = self.victim(lambda u: not u["place"]["hospital"])
        for i in range(12):
            self.access(self.moment(day, 2.5) + i * 150, user, user["place"],
                        self.desk(user), session=self.new_id())
        self.plant("off-hours", day, user)

    def plant_new_country(self):
        user, day = self.victim()
        address = ABROAD.format(self.random.randrange(250), 7)
        for i in range(4):
            self.access(self.moment(day, 11) + i * 200, user, user["place"],
                        address, session=self.new_id())
        self.plant("new-country", day, user, address=address)

    def plant_new_address(self):
        user, day = self.victim()
        address = f"150.{self.random.randrange(250)}.{self.random.randrange(250)}.3"
        for i in range(3):
            self.access(self.moment(day, 6) + i * 100 + 3600 * 6, user,
                        user["place"], address, session=self.new_id(),
                        seconds=50)
        self.plant("new-address", day, user, address=address)

    def plant_volume(self):
        user, day = self.victim(lambda u: not u["place"]["hospital"])
        count = int(self.mean() * user["pace"] * 5) + 60
        start, end = user["place"]["opens"], user["place"]["closes"] - 0.5
        for i in range(count):
            self.access(self.moment(day, start + (end - start) * i / count),
                        user, user["place"], self.desk(user), seconds=20,
                        session="5" * 32)
        self.plant("volume", day, user)

    def plant_many_patients(self):
        user, day = self.victim()
        for i in range(60):
            self.access(self.moment(day, 14.1) + i * 7, user, user["place"],
                        self.desk(user), self.new_study(user["place"]),
                        seconds=5, session="6" * 32)
        self.plant("many-patients", day, user)

    def plant_two_places(self):
        user, day = self.victim()
        other = self.random.choice([f for f in self.facilities
                                    if f is not user["place"]])
        for i in range(4):
            moment = self.moment(day, 10.5) + i * 300
            self.access(moment, user, user["place"], self.desk(user),
                        seconds=280, session="7" * 32)
            self.access(moment + 60, user, other, other["network"] + "77",
                        seconds=200, session="8" * 32)
        self.plant("two-places", day, user)

    def plant_own_name(self):
        user, day = self.victim()
        # the number behind the name is no letter
        study = self.new_study(user["place"], user["family"], user["given"])
        self.access(self.moment(day, 12.2), user, user["place"],
                    self.desk(user), study, session=self.new_id())
        self.plant("own-name", day, user, patient=study["patient"])

    def plant_denials(self):
        user, day = self.victim()
        for i in range(30):
            self.add(self.moment(day, 13) + i * 9, "nginx", event="denied",
                     reason="device-missing", outcome="4", user=user["name"],
                     facility=user["place"]["id"], address=self.desk(user),
                     service="web")
        self.plant("denials", day, user)

    def plant_scan(self):
        day = self.random.randrange(PLANT_FROM, DAYS - 1)
        address = f"45.{self.random.randrange(250)}.7.66"
        for i in range(8):
            self.add(self.moment(day, 4) + i * 60, "nginx", event="denied",
                     reason="unknown-network", outcome="4", address=address,
                     service="web", count=700)
        self.plant("denials", day, address=address)

    def plant_code_used_twice(self):
        user, day = self.victim()
        address = self.desk(user)
        self.add(self.moment(day, 9.5), "pam", event="code-alert",
                 reason="code-used-twice", outcome="8", user=user["name"],
                 address=address, service="web", device="phone")
        self.plant("code-used-twice", day, user)

    def plant_emergency(self):
        user, day = self.victim()
        self.add(self.moment(day, 3.2), "pam", event="emergency-on",
                 reason="emergency-code", user=user["name"], address="local",
                 service="sshd", factors="emergency", note="no phone")
        self.plant("emergency", day, user)

    def plant_not_wiped(self):
        for wiped in ("4", None):
            user, day = self.victim()
            self.desktop(user, day, 10, 15, user["place"], self.desk(user), wiped)
            self.plant("not-wiped", day, user)

    def plant_gap(self):
        day = self.random.randrange(PLANT_FROM, DAYS - 1)
        self.order += 1
        self.events.append((self.moment(day, 15.3), self.order, "gap", None))
        self.plant("gap", day)

    # ---- All of it -------------------------------------------------------

    def make(self):
        for day in range(DAYS):
            self.strangers(day)
            for user in self.users:
                if self.works(user, day):
                    self.ordinary_day(user, day)
            # a reader who stands in for somebody, once a week somewhere
            if day % 7 == 3 and self.users_count >= 100:
                user, place = self.random.choice(self.users), \
                    self.random.choice(self.facilities)
                if (user["name"], day) not in self.taken:
                    self.reading(user, day, 10, 11, 6, place,
                                 place["network"] + "200", self.new_id())
        for _ in range(3 if self.wanted >= 100000 else 1):
            for name in sorted(dir(self)):
                if name.startswith("plant_"):
                    getattr(self, name)()
        self.events.sort(key=lambda event: event[:2])
        return self

    def manifest(self, written):
        return {"seed": None, "events": written, "users": self.users_count,
                "facilities": self.facilities_count, "zone": "Asia/Tokyo",
                "from": FIRST.isoformat(),
                "to": (FIRST + datetime.timedelta(days=DAYS - 1)).isoformat(),
                "planted": sorted(self.planted,
                                  key=lambda p: (p["rule"], p["day"],
                                                 p["user"] or ""))}


def write(region, daemon):
    """Sends all events; returns how many records that were."""
    fronts = {"nginx": daemon.front(front=b"region-nginx-001"),
              "pam": daemon.front(front=b"region-pam-00001", source=b"pam")}
    waiting = {name: [] for name in fronts}
    under_way = collections.Counter()
    written = 0

    def send(name):
        nonlocal written
        if waiting[name]:
            written += len(waiting[name])
            fronts[name].post(*waiting[name])
            waiting[name].clear()
            under_way[name] += 1
        if under_way[name] >= AHEAD:
            fronts[name].wait()
            under_way[name] = 0

    last = text_time(region.moment(DAYS, 0) - 1)
    end = region.moment(DAYS, 0)
    for moment, _, source, record in region.events:
        if source == "gap":
            send("nginx")
            fronts["nginx"].number += 5  # records that nobody will ever see
            continue
        if source == "pam":
            send("nginx")
        record["time"] = last if moment >= end else text_time(moment)
        waiting[source].append(record)
        if len(waiting[source]) >= BATCH or source == "pam":
            send(source)
    for name, front in fronts.items():
        send(name)
        if front.number:
            front.wait()
    fronts["nginx"].checkpoint()
    for front in fronts.values():
        front.close()
    return written


def make_countries(folder):
    """region.mmdb: 198.18.0.0/15 is abroad, all else at home."""
    home = {f"{i}.0.0.0/8": "JP" for i in range(1, 224)}
    make_mmdb.write(os.path.join(folder, "region.mmdb"),
                    {**home, "198.18.0.0/15": "US"})


def make(folder, events=FULL, seed=1):
    """The daemon (stopped) and the manifest."""
    os.makedirs(folder, exist_ok=True)
    region = Region(events, seed).make()
    daemon = trail_daemon.Daemon(folder, "index off;\njournal 64m;\nreserve 2m;")
    start = text_time(region.moment(0, 0))
    daemon.start(arguments=["--accept-times", start[:19] + "Z"])
    begun = time.monotonic()
    written = write(region, daemon)
    seconds = time.monotonic() - begun
    assert daemon.stop() == 0, daemon.messages()
    daemon.configure(f"index {folder}/audit.db;")
    make_countries(folder)
    manifest = {**region.manifest(written), "seed": seed,
                "written_seconds": round(seconds, 1)}
    with open(os.path.join(folder, "manifest.json"), "w",
              encoding="utf-8") as file:
        json.dump(manifest, file, indent=1)
    return daemon, manifest


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder")
    parser.add_argument("--events", type=int, default=FULL)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    _, manifest = make(os.path.abspath(arguments.folder), arguments.events,
                       arguments.seed)
    print(f"{manifest['events']} records of {manifest['users']} users and "
          f"{manifest['facilities']} facilities in "
          f"{manifest['written_seconds']} s, {len(manifest['planted'])} misdeeds")


if __name__ == "__main__":
    main()
