"""Made-up trails with times of their own, for the tests of reports.

A daemon sets the clock of a record right; here it must not, so lib/trail is
driven directly (tests/data/trail_make.c).
"""

import json
import os
import random
import subprocess
from datetime import datetime, timedelta, timezone

from trail_daemon import SEKISHO, TOP

DRIVER = os.environ.get("SEKISHO_TRAIL_MAKE",
                        f"{TOP}/build/obj/tests/data/trail_make")
ORIGIN = "report.example/trail"
FRONT = "00" * 16
BATCH = 1000

# Every field of a record that a client or a person can fill with anything.
EVIL = "</script><script>window.owned=1</script><img src=x onerror=owned=1>" \
    "\"'`&<!--]]>{{style}}\u2028\u202egnp.exe"


def at(text):
    """"2026-11-02 09:15" in Tokyo -> a moment."""
    return datetime.fromisoformat(text + "+09:00")


class Trail:
    def __init__(self, folder):
        self.folder = str(folder)
        self.trail = f"{self.folder}/trail"
        self.index = f"{self.folder}/audit.db"
        self.key = f"{self.folder}/key"
        self.lines = []
        os.makedirs(self.folder, exist_ok=True)
        if not os.access(DRIVER, os.X_OK):
            raise RuntimeError(f"{DRIVER} is not made: run make tests")
        self.vkey = self._run("key", ORIGIN, self.key)[0]
        self._run("create", self.trail, self.key)

    def _run(self, *arguments, stdin=""):
        result = subprocess.run([DRIVER, *arguments], input=stdin, text=True,
                                capture_output=True, check=False)
        assert result.returncode == 0, result.stderr
        return result.stdout.splitlines()

    def add(self, moment, event, outcome=0, **fields):
        """A record; the id of what it is, for `open`."""
        number = len(self.lines) + 1
        name = f"{number:032x}"
        moment = moment.astimezone(timezone.utc)
        record = {"id": name, "time": moment.strftime("%Y-%m-%dT%H:%M:%S.")
                  + f"{moment.microsecond // 1000:03}Z", "host": "gate1",
                  "source": "nginx", "number": number, "front": FRONT,
                  "event": event, "outcome": outcome}
        record.update(fields)
        self.lines.append(json.dumps(record, ensure_ascii=False,
                                     separators=(",", ":")))
        return name

    def access(self, moment, user, minutes=5, images=20, **fields):
        """An opening, and what closes it."""
        opened = self.add(moment, "access", user=user, **fields)
        self.add(moment + timedelta(minutes=minutes), "access-end", user=user,
                 **{key: value for key, value in fields.items()
                    if key in ("facility", "address", "action")}, open=opened,
                 requests=images + 5, instances=images, bytes=images * 524288)
        return opened

    def write(self):
        """Seals all of it and makes the index."""
        commands = []
        for begin in range(0, len(self.lines), BATCH):
            commands += ["add " + line
                         for line in self.lines[begin:begin + BATCH]]
            commands.append("append")
        answers = self._run("write", self.trail, self.key,
                            stdin="\n".join([*commands, "checkpoint", ""]))
        assert not [a for a in answers if a.startswith("error")], answers
        result = subprocess.run(
            [SEKISHO, "audit", "index", "--trail", self.trail, "--index",
             self.index], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        return self


FACILITIES = ["aoba-clinic", "sakura-hospital", "minato-imaging",
              "kita-ward", "home-readers"]
USERS = ["yamada", "suzuki", "tanaka", "sato", "ito", "watanabe", "nakamura",
         "kobayashi", "kato", "yoshida", "yamamoto", "sasaki", "matsumoto",
         "inoue", "kimura", "hayashi", "shimizu", "mori", "abe", "ikeda"]
REASONS = ["unknown-network", "closed", "device-missing", "user-not-listed",
           "wrong-country"]
PURPOSES = ["TREAT", "second reading", "HPAYMT", None]
AGENT = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Viewer/3.2"


def busy(folder, count, seed=1, first="2026-11-01 00:00", days=30):
    """A trail of `count` accesses and what else a month brings."""
    dice = random.Random(seed)
    trail = Trail(folder)
    begin = at(first)
    moments = []
    while len(moments) < count:
        day = dice.randrange(days)
        weekday = (begin + timedelta(days=day)).weekday()
        if weekday >= 5 and dice.random() < 0.8:
            continue
        hour = min(23.9, max(0.0, dice.gauss(13, 3.5)))
        moments.append(begin + timedelta(days=day, hours=hour,
                                         milliseconds=dice.randrange(1000)))
    for i, moment in enumerate(sorted(moments)):
        user = USERS[int(len(USERS) * dice.random() ** 2)]
        facility = FACILITIES[USERS.index(user) % len(FACILITIES)]
        address = f"203.0.113.{USERS.index(user) + 1}"
        session = f"{user}-{moment:%d}"
        patient = 10000 + dice.randrange(max(20, count // 6))
        if dice.random() < 0.03:
            trail.add(moment, "denied", 8, reason=dice.choice(REASONS),
                      address=f"198.51.100.{dice.randrange(250)}",
                      count=dice.randrange(1, 40), uri="/studies?limit=100")
        if dice.random() < 0.02:
            trail.add(moment, "sign-in", 4, user=user, reason="wrong-code",
                      address=address, service="web")
        if i < len(USERS) - 3:
            trail.add(moment, "sign-in", user=USERS[i], service="web",
                      factors="password,totp", address=address)
        if i % 500 == 499:
            trail.add(moment, "heartbeat", counters=f"{FRONT}:1")
        fields = {"facility": facility, "address": address, "service": "web",
                  "session": session, "patient": str(patient),
                  "action": dice.choice(["view"] * 12 + ["download", "query"]),
                  "study": f"1.2.392.200036.9116.2.{patient}."
                           f"{dice.randrange(3)}",
                  "agent": AGENT}
        purpose = dice.choice(PURPOSES)
        if purpose:
            fields["purpose"] = purpose
        trail.access(moment, user, minutes=dice.randrange(1, 40),
                     images=dice.randrange(1, 300), **fields)
    trail.add(moments[0] + timedelta(hours=1), "emergency-on", user="mori",
              note="network outage, patient in shock room", facility="kita-ward")
    return trail
