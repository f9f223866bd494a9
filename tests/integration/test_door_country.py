"""`country` rules at a real sshd: the daemon's own database of countries."""

import json
import re
import sys

import pytest

import door_house

sys.path.insert(0, str(door_house.TOP / "tests/data"))
import make_mmdb  # noqa: E402

PASSWORD = "Sesam, oeffne dich"
POLICY = """\
timezone UTC;
facility desk { network 127.0.0.0/24; services ssh; }
facility abroad { network 127.0.10.0/24; services ssh; country JP; }
"""
DATABASE = "/var/lib/GeoIP/GeoLite2-Country.mmdb"
LOG = "/var/log/sekishod.log"
CODE = r"\) [^\n]*[Cc]ode[^\n]*: $"
HERE = {"127.0.10.1/32": "JP", "127.0.10.2/32": "US"}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    door_house.need(sshd="openssh-server", ssh="openssh-client")
    house = door_house.build(tmp_path_factory.mktemp("country") / "house")
    try:
        house.install()
        house.policy(POLICY)
        house.plain = re.sub(r"(?m)^#?geoip .*\n", "",
                             house.read("/etc/sekisho/sekishod.conf"))
        house.yamada = house.user("yamada", PASSWORD)
        house.pam("sshd")
        yield house
    finally:
        house.close()


@pytest.fixture
def start(house):
    """start(prefixes): a daemon with that database, or with none."""
    def started(prefixes=None):
        house.path(LOG).unlink(missing_ok=True)
        text = house.plain
        if prefixes is not None:
            replace(house, prefixes)
            text += f"geoip {DATABASE};\n"
        house.write("/etc/sekisho/sekishod.conf", text)
        house.start_daemon()
        house.yamada.enroll()
        if not hasattr(house, "listening"):
            house.sshd("sekisho.conf")
            house.listening = True
        return house
    yield started
    if house.daemon:
        house.stop_daemon()
        house.daemon = None


def replace(house, prefixes):
    """Renamed over the old one, as geoipupdate does."""
    target = house.path(DATABASE)
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_suffix(".new")
    make_mmdb.write(new, prefixes)
    new.rename(target)


def told(house, text, times=1, seconds=10):
    door_house.wait_for(lambda: house.read(LOG).count(text) >= times, seconds,
                        f"{text} in the log")


def enters(house, address):
    with house.ssh("yamada@127.0.0.1", "echo", "is-in",
                   options=("-b", address)) as talk:
        talk.answer(r"\) Password: $", PASSWORD)
        talk.answer(CODE, house.yamada.enroll().code())
        return talk.end() == 0 and "is-in" in talk.all


def explained(house, address, *more):
    status, output = house.run(
        "sekisho", "policy", "explain", address, "--service", "ssh", "--json",
        *more, check=False)
    return json.loads(output)["reason"]


def refused(house, address):
    """Why; what comes again within a minute is only counted in the trail."""
    since = house.last()
    assert not enters(house, address)
    record, = house.recorded("denied", since=since, address=address)
    return record["reason"]


def test_explain_and_the_door_say_the_same(start):
    house = start(HERE)
    told(house, f"countries are looked up in {DATABASE}")
    for address, reason in (("127.0.10.1", "ok"), ("127.0.10.2",
                            "wrong-country"), ("127.0.10.3", "wrong-country"),
                            ("127.0.0.1", "ok")):
        assert explained(house, address, "--geoip", DATABASE) == reason
        assert enters(house, address) == (reason == "ok"), address
    record, *_ = house.recorded("denied", address="127.0.10.2")
    assert record["reason"] == "wrong-country"
    assert record["facility"] == "abroad"


def test_without_a_database_a_rule_refuses_and_the_log_tells_it_once(start):
    house = start()
    assert refused(house, "127.0.10.1") == "wrong-country"
    assert enters(house, "127.0.0.1")
    house.signal(house.daemon, 1)
    told(house, "configuration reloaded")
    assert not enters(house, "127.0.10.1")
    log = house.read(LOG)
    assert log.count("no database is configured") == 1
    assert "geoip FILE;" in log


def test_nothing_is_told_of_countries_where_no_rule_asks_for_them(start, house):
    house.write("/etc/sekisho/none.conf", door_house.POLICY)
    house.run("sekisho", "policy", "apply", "/etc/sekisho/none.conf", "--image",
              "/var/lib/sekisho/policy.img", "--unrecorded")
    try:
        start()
        told(house, "is in force for doors")
        assert "database" not in house.read(LOG)
    finally:
        house.policy(POLICY)


def test_a_new_database_is_taken_up_by_itself(start):
    house = start(HERE)
    assert refused(house, "127.0.10.2") == "wrong-country"
    replace(house, {"127.0.10.2/32": "JP"})
    told(house, "countries are looked up in", 2)
    assert enters(house, "127.0.10.2")
    assert not enters(house, "127.0.10.1")


def test_a_bad_database_is_refused_and_the_last_good_one_stays(start):
    house = start(HERE)
    house.path(DATABASE).write_text("not found\n")
    told(house, "is no usable MaxMind DB")
    assert "the database that was read before stays" in house.read(LOG)
    assert enters(house, "127.0.10.1")
    house.path(DATABASE).unlink()
    told(house, "cannot be read: No such file")
    assert enters(house, "127.0.10.1")
    # at SIGHUP, too: an administrator who asks is told again
    house.path(DATABASE).write_text("not found\n")
    told(house, "is no usable MaxMind DB", 2)
    house.signal(house.daemon, 1)
    told(house, "is no usable MaxMind DB", 3)
    assert enters(house, "127.0.10.1")


def test_a_database_that_was_bad_at_the_start_is_taken_when_it_is_good(start):
    house = start(HERE)
    house.stop_daemon()
    house.path(DATABASE).write_text("not found\n")
    house.start_daemon()
    told(house, "\"country\" rules refuse everybody until it is there")
    assert refused(house, "127.0.10.1") == "wrong-country"
    assert enters(house, "127.0.0.1")
    replace(house, HERE)
    told(house, "countries are looked up in", 2)
    assert enters(house, "127.0.10.1")


def test_the_directive_comes_and_goes_with_a_reload(start):
    house = start()
    assert refused(house, "127.0.10.1") == "wrong-country"
    replace(house, HERE)
    house.write("/etc/sekisho/sekishod.conf", house.plain
                + f"geoip {DATABASE};\n")
    house.signal(house.daemon, 1)
    told(house, "configuration reloaded")
    assert enters(house, "127.0.10.1")
    house.write("/etc/sekisho/sekishod.conf", house.plain + "geoip off;\n")
    house.signal(house.daemon, 1)
    told(house, "configuration reloaded", 2)
    assert not enters(house, "127.0.10.1")
    assert "no database is configured" in house.read(LOG)
