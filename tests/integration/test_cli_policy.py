"""`sekisho policy check`, `apply` and `show`."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import threading

import pytest

import trail_daemon
from tool import PIN_A, POLICY, VERSION, golden, sekisho  # noqa: F401

NOT_ROOT = os.geteuid() != 0
SMALL = "timezone UTC;\nfacility one { network 203.0.113.0/28; }\n"
OTHER = "timezone UTC;\nfacility one { network 203.0.113.0/27; }\n"


def version_of(sekisho, path):
    return json.loads(sekisho("policy", "show", "--json", "--policy",
                              path).stdout)["version"]


# ---- check ---------------------------------------------------------------------

def test_check_of_a_good_policy_is_one_line(sekisho):
    sekisho.write("f.conf", POLICY)
    result = sekisho("policy", "check", "f.conf")
    assert result.returncode == 0
    assert result.stdout == "f.conf: 5 facilities, 4 networks, no errors\n"
    assert result.stderr == ""


def test_check_counts_in_the_singular(sekisho):
    sekisho.write("f.conf", SMALL)
    assert (sekisho("policy", "check", "f.conf").stdout
            == "f.conf: 1 facility, 1 network, no errors\n")


def test_check_with_warnings_is_no_failure(sekisho):
    sekisho.write("f.conf", "timezone UTC;\nfacility old {\n"
                            "    network 203.0.113.0/28;\n"
                            "    valid   2020-04-01..2021-03-31;\n}\n")
    result = sekisho("policy", "check", "f.conf")
    assert result.returncode == 0
    assert result.stdout == ("f.conf: 1 facility, 1 network, no errors, "
                             "1 warning\n")
    assert result.stderr.startswith("f.conf:4:13: warning: ")


def test_check_tells_all_errors_in_one_go(sekisho):
    sekisho.write("f.conf", "timezone Asia/Tokio;\nfacility one {\n"
                            "    netwrok 203.0.113.0/28;\n"
                            "    hours   mon-fri 08:00-08:00;\n}\n")
    result = sekisho("policy", "check", "f.conf")
    assert result.returncode == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert [line.split(" ")[0] for line in lines[:-1]] == [
        "f.conf:1:10:", "f.conf:2:1:", "f.conf:3:5:", "f.conf:4:21:"]
    assert lines[-1] == "f.conf: 4 errors"


def test_check_finds_what_only_compiling_finds(sekisho):
    sekisho.write("f.conf", SMALL + "facility two { network 203.0.113.0/28; }\n")
    result = sekisho("policy", "check", "f.conf")
    assert result.returncode == 2
    assert "203.0.113.0/28" in result.stderr and "one" in result.stderr
    assert result.stderr.endswith("f.conf: 1 error\n")


@pytest.mark.parametrize("name", ["missing.conf", "."])
def test_check_of_what_cannot_be_read(sekisho, name):
    result = sekisho("policy", "check", name)
    assert result.returncode == 2
    assert result.stderr.endswith(f"{name}: 1 error\n")


def test_check_changes_nothing(sekisho):
    sekisho.write("f.conf", POLICY)
    sekisho("policy", "check", "f.conf")
    assert os.listdir(sekisho.folder) == ["f.conf"]


# ---- apply -------------------------------------------------------------------------

def apply(sekisho, text, *options, **kwargs):
    sekisho.write("f.conf", text)
    return sekisho("policy", "apply", "f.conf", "--image", "p.img", *options,
                   **kwargs)


def history(sekisho):
    text = (sekisho.folder / "p.img.history").read_text(encoding="utf-8")
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_the_first_apply(sekisho):
    result = apply(sekisho, SMALL)
    assert result.returncode == 0, result.stderr
    version = VERSION.search(result.stdout).group(0)
    assert result.stdout == (f"policy {version} is in force (was: none), "
                             "1 facility: p.img\n")
    assert version_of(sekisho, "p.img") == version
    mode = stat.S_IMODE(os.stat(sekisho.folder / "p.img").st_mode)
    assert mode == 0o644


def test_an_apply_tells_who_gains_and_who_loses(sekisho):
    apply(sekisho, POLICY)
    old = version_of(sekisho, "p.img")
    result = apply(sekisho, POLICY.replace("mon-fri 08:00-19:00",
                                           "mon-fri 08:00-18:00"))
    assert result.returncode == 0
    assert result.stdout.startswith(
        "- ‘aoba-clinic’ is no longer open mon-fri 18:00-19:00\n")
    assert f"(was: {old})" in result.stdout


def test_a_long_difference_is_cut_short(sekisho):
    apply(sekisho, SMALL)
    many = "".join(f"facility f{i} {{ network 10.0.{i}.0/24; }}\n"
                   for i in range(40))
    result = apply(sekisho, SMALL + many)
    lines = result.stdout.splitlines()
    assert len(lines) == 22
    assert lines[20].startswith("and 60 more;")


def test_an_unchanged_policy_is_not_written_again(sekisho):
    apply(sekisho, SMALL)
    before = os.stat(sekisho.folder / "p.img")
    result = apply(sekisho, "# a comment\n" + SMALL, "--note", "again")
    assert result.returncode == 0
    assert re.fullmatch(r"unchanged: policy [0-9a-f]{16} is in force already\n",
                        result.stdout)
    after = os.stat(sekisho.folder / "p.img")
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino,
                                                   after.st_mtime_ns)
    assert len(history(sekisho)) == 1


def test_a_policy_with_errors_changes_nothing(sekisho):
    apply(sekisho, SMALL)
    before = (sekisho.folder / "p.img").read_bytes()
    result = apply(sekisho, "facility one { network 203.0.113.0/99; }\n")
    assert result.returncode == 2
    assert "f.conf has errors: nothing was changed" in result.stderr
    assert (sekisho.folder / "p.img").read_bytes() == before
    assert len(history(sekisho)) == 1
    assert sorted(os.listdir(sekisho.folder)) == ["f.conf", "p.img",
                                                  "p.img.history"]


def test_the_mode_of_the_image_is_kept(sekisho):
    apply(sekisho, SMALL)
    os.chmod(sekisho.folder / "p.img", 0o640)
    assert apply(sekisho, OTHER).returncode == 0
    assert stat.S_IMODE(os.stat(sekisho.folder / "p.img").st_mode) == 0o640


@pytest.mark.skipif(NOT_ROOT, reason="needs root to give a file to a group")
def test_the_group_of_the_image_is_kept(sekisho):
    apply(sekisho, SMALL)
    os.chown(sekisho.folder / "p.img", -1, 12345)
    os.chmod(sekisho.folder / "p.img", 0o640)
    assert apply(sekisho, OTHER).returncode == 0
    state = os.stat(sekisho.folder / "p.img")
    assert (state.st_gid, stat.S_IMODE(state.st_mode)) == (12345, 0o640)
    assert sorted(os.listdir(sekisho.folder)) == ["f.conf", "p.img",
                                                  "p.img.history"]


def test_the_umask_does_not_close_a_new_image(sekisho):
    result = apply(sekisho, SMALL, preexec_fn=lambda: os.umask(0o077))
    assert result.returncode == 0
    assert stat.S_IMODE(os.stat(sekisho.folder / "p.img").st_mode) == 0o644


def test_a_damaged_image_is_told_and_replaced(sekisho):
    apply(sekisho, SMALL)
    image = bytearray((sekisho.folder / "p.img").read_bytes())
    image[-1] ^= 1
    sekisho.write("p.img", bytes(image))
    result = apply(sekisho, SMALL)
    assert result.returncode == 0
    assert "p.img is replaced, it cannot be used" in result.stderr
    assert "(was: none)" in result.stdout
    assert version_of(sekisho, "p.img")


def test_an_image_that_is_a_link_is_refused(sekisho):
    sekisho.write("other", b"precious")
    os.symlink("other", sekisho.folder / "p.img")
    result = apply(sekisho, SMALL)
    assert result.returncode == 2
    assert "p.img is no regular file: name the file itself" in result.stderr
    assert (sekisho.folder / "other").read_bytes() == b"precious"


def test_a_history_that_is_a_link_is_refused(sekisho):
    sekisho.write("other", b"precious")
    os.symlink("other", sekisho.folder / "p.img.history")
    assert apply(sekisho, SMALL).returncode == 2
    assert (sekisho.folder / "other").read_bytes() == b"precious"
    assert not (sekisho.folder / "p.img").exists()


def test_an_image_without_a_name_is_refused(sekisho):
    sekisho.write("f.conf", SMALL)
    result = sekisho("policy", "apply", "f.conf", "--image", "")
    assert result.returncode == 2
    assert "--image is empty: name a file" in result.stderr
    assert os.listdir(sekisho.folder) == ["f.conf"]


def test_a_missing_folder_names_the_cure(sekisho):
    sekisho.write("f.conf", SMALL)
    result = sekisho("policy", "apply", "f.conf", "--image", "no/p.img")
    assert result.returncode == 2
    assert "its folder does not exist: make it" in result.stderr


@pytest.mark.parametrize("note", ["", "two\nlines", "bell\a", "x" * 501])
def test_a_note_is_one_line_of_text(sekisho, note):
    result = apply(sekisho, SMALL, "--note", note)
    assert result.returncode == 2
    assert "--note is one line" in result.stderr
    assert not (sekisho.folder / "p.img").exists()


def test_each_change_is_a_line_of_the_history(sekisho):
    apply(sekisho, SMALL, "--note", "開始 \"first\"")
    first = version_of(sekisho, "p.img")
    result = apply(sekisho, OTHER)
    second = version_of(sekisho, "p.img")
    lines = history(sekisho)
    assert "note" not in result.stdout
    assert [(line["old"], line["new"], line["note"]) for line in lines] == [
        (None, first, "開始 \"first\""), (first, second, None)]
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line["time"])
        assert line["file"] == str(sekisho.folder / "f.conf")
        assert line["uid"] == os.getuid()
    mode = os.stat(sekisho.folder / "p.img.history").st_mode
    assert stat.S_IMODE(mode) == 0o640


@pytest.mark.skipif(NOT_ROOT, reason="sudo runs it as root")
def test_the_history_names_who_used_sudo(sekisho):
    apply(sekisho, SMALL, env={"SUDO_USER": "tanaka"})
    assert history(sekisho)[0]["user"] == "tanaka"


def test_a_torn_line_of_the_history_takes_no_other_with_it(sekisho):
    sekisho.write("p.img.history", '{"time":"2026-1')
    apply(sekisho, SMALL)
    lines = (sekisho.folder / "p.img.history").read_text().splitlines()
    assert lines[0] == '{"time":"2026-1'
    assert json.loads(lines[1])["old"] is None


def test_applies_at_one_time_leave_a_chain_of_versions(sekisho):
    texts = [f"timezone UTC;\nfacility one {{ network 10.{i}.0.0/16; }}\n"
             for i in range(8)]
    for i, text in enumerate(texts):
        sekisho.write(f"{i}.conf", text)
    threads = [threading.Thread(target=sekisho, args=(
        "policy", "apply", f"{i}.conf", "--image", "p.img")) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = history(sekisho)
    assert len(lines) == 8
    assert [line["old"] for line in lines] == [None] + [
        line["new"] for line in lines[:-1]]
    assert version_of(sekisho, "p.img") == lines[-1]["new"]


def test_an_apply_on_a_full_disk_leaves_the_old_image(sekisho):
    """A bound on file size stands for the disk: the image does not fit."""
    apply(sekisho, SMALL)
    before = (sekisho.folder / "p.img").read_bytes()
    sekisho.write("f.conf", SMALL + "".join(
        f"facility f{i} {{ network 10.0.{i}.0/24; }}\n" for i in range(200)))
    command = ("ulimit -f 16; trap '' XFSZ; "
               f'exec "{sekisho.program}" policy apply f.conf --image p.img')
    result = subprocess.run(["bash", "-c", command], cwd=sekisho.folder,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            check=False)
    assert result.returncode == 2, result.stderr
    assert b"p.img: File too large" in result.stderr
    assert (sekisho.folder / "p.img").read_bytes() == before
    assert sorted(os.listdir(sekisho.folder)) == ["f.conf", "p.img",
                                                  "p.img.history"]


# ---- apply, under a trail -------------------------------------------------------

@pytest.fixture
def trail(sekisho):
    (sekisho.folder / "t").mkdir()
    with trail_daemon.running(
            sekisho.folder / "t",
            f"policy {sekisho.folder}/p.img;\n") as daemon:
        yield daemon


def changes(daemon):
    daemon.front().checkpoint()
    return daemon.entries("policy-changed")


def test_a_change_is_recorded_with_all_that_the_history_has(sekisho, trail):
    for text in (SMALL, OTHER):
        result = apply(sekisho, text, "--config", trail.config, "--note",
                       "ticket 4711", env={"SUDO_USER": "tanaka"})
        assert result.returncode == 0, result.stderr
        assert result.stderr == ""
    records, lines = changes(trail), history(sekisho)
    assert len(records) == len(lines) == 2
    for record, line in zip(records, lines):
        assert record["outcome"] == 0 and record["source"] == "sekisho"
        assert record["policy"] == line["new"]
        assert record.get("old") == line["old"]
        assert record["file"] == line["file"]
        assert record["note"] == line["note"] == "ticket 4711"
        assert record["uri"] == f"file://{sekisho.folder}/p.img"
        assert record["peer"].startswith(f"{os.geteuid()}:")
        assert record["user"]
    assert records[1]["policy"] == version_of(sekisho, "p.img")


def no_login_uid():
    """The kernel's own word on who logged in goes before SUDO_USER."""
    try:
        with open("/proc/self/loginuid", encoding="utf-8") as file:
            return int(file.read()) == 0xffffffff
    except OSError:
        return True


@pytest.mark.skipif(NOT_ROOT or not no_login_uid(),
                    reason="sudo runs it as root")
def test_the_record_names_who_used_sudo(sekisho, trail):
    apply(sekisho, SMALL, "--config", trail.config,
          env={"SUDO_USER": "tanaka"})
    assert changes(trail)[0]["user"] == "tanaka"


def test_what_changes_nothing_is_not_recorded(sekisho, trail):
    for _ in range(2):
        apply(sekisho, SMALL, "--config", trail.config)
    assert apply(sekisho, "facility", "--config",
                 trail.config).returncode == 2
    assert len(changes(trail)) == 1


def test_the_record_is_on_disk_before_the_image_is_replaced(sekisho, trail):
    """The daemon is stopped in the middle of it: the old image is in place."""
    apply(sekisho, SMALL, "--config", trail.config)
    before = (sekisho.folder / "p.img").read_bytes()
    sekisho.write("f.conf", OTHER)
    trail.process.send_signal(signal.SIGSTOP)
    try:
        with subprocess.Popen(
                [sekisho.program, "policy", "apply", "f.conf", "--image",
                 "p.img", "--config", trail.config], cwd=sekisho.folder,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE) as waiting:
            with pytest.raises(subprocess.TimeoutExpired):
                waiting.wait(0.5)
            assert (sekisho.folder / "p.img").read_bytes() == before
            trail.process.send_signal(signal.SIGCONT)
            assert waiting.wait(30) == 0
    finally:
        trail.process.send_signal(signal.SIGCONT)
    assert (sekisho.folder / "p.img").read_bytes() != before
    assert len(changes(trail)) == 2


def test_without_its_daemon_nothing_is_changed(sekisho, trail):
    apply(sekisho, SMALL, "--config", trail.config)
    before = (sekisho.folder / "p.img").read_bytes()
    trail.stop()
    result = apply(sekisho, OTHER, "--config", trail.config)
    assert result.returncode == 2 and "in force" not in result.stdout
    assert "no sekishod answers" in result.stderr
    assert "--unrecorded" in result.stderr
    assert (sekisho.folder / "p.img").read_bytes() == before
    assert len(history(sekisho)) == 1

    result = apply(sekisho, OTHER, "--config", trail.config, "--unrecorded")
    assert result.returncode == 0
    assert "warning: this change is not recorded" in result.stderr
    assert len(history(sekisho)) == 2


def test_unrecorded_records_all_the_same_if_it_can_be(sekisho, trail):
    result = apply(sekisho, SMALL, "--config", trail.config, "--unrecorded")
    assert result.returncode == 0 and result.stderr == ""
    assert len(changes(trail)) == 1


@pytest.mark.parametrize("text", [None, "trail x;\n", "orijin a;\n"])
def test_a_configuration_that_cannot_be_used_is_no_way_around(sekisho, text):
    if text is not None:
        sekisho.write("d.conf", text)
    result = apply(sekisho, SMALL, "--config", "d.conf")
    assert result.returncode == 2
    assert "d.conf: cannot be used" in result.stderr
    assert not (sekisho.folder / "p.img").exists()
    assert apply(sekisho, SMALL, "--config", "d.conf",
                 "--unrecorded").returncode == 0


def test_a_daemon_that_is_none_is_told(sekisho):
    result = apply(sekisho, SMALL, "--socket", f"{sekisho.folder}/nobody")
    assert result.returncode == 2
    assert f"{sekisho.folder}/nobody: no sekishod answers" in result.stderr
    assert not (sekisho.folder / "p.img").exists()


@pytest.mark.skipif(os.path.exists("/etc/sekisho/sekishod.conf"),
                    reason="this host has a trail of its own")
def test_where_there_is_no_trail_it_says_so(sekisho):
    result = apply(sekisho, SMALL)
    assert result.returncode == 0
    assert result.stderr == ("not recorded: there is no "
                             "/etc/sekisho/sekishod.conf\n")


@pytest.mark.skipif(NOT_ROOT, reason="mounts an /etc of its own")
@pytest.mark.parametrize("broken", [False, True])
def test_the_trail_of_the_host_is_found(sekisho, trail, broken):
    etc = sekisho.folder / "etc"
    (etc / "sekisho").mkdir(parents=True)
    for name in ("passwd", "group"):
        shutil.copy(f"/etc/{name}", etc)
    if broken:
        (etc / "sekisho/sekishod.conf").write_text("trail x;\n")
    else:
        shutil.copy(trail.config, etc / "sekisho/sekishod.conf")
    sekisho.write("f.conf", SMALL)
    result = subprocess.run(
        ["unshare", "-m", "sh", "-c", 'mount --bind "$1" /etc && shift && '
         'exec "$@"', "sh", etc, sekisho.program, "policy", "apply", "f.conf",
         "--image", "p.img"], cwd=sekisho.folder, text=True,
        capture_output=True, check=False)
    if "unshare failed" in result.stderr or "mount:" in result.stderr:
        pytest.skip("no mount namespace here")
    if broken:
        assert result.returncode == 2, result.stderr
        assert not (sekisho.folder / "p.img").exists()
    else:
        assert result.returncode == 0, result.stderr
        assert len(changes(trail)) == 1


def test_a_change_that_fails_is_recorded_as_failed(sekisho, trail):
    apply(sekisho, SMALL, "--config", trail.config)
    sekisho.write("f.conf", SMALL + "".join(
        f"facility f{i} {{ network 10.0.{i}.0/24; }}\n" for i in range(200)))
    command = ("ulimit -f 16; trap '' XFSZ; "
               f'exec "{sekisho.program}" policy apply f.conf --image p.img '
               f'--config "{trail.config}"')
    result = subprocess.run(["bash", "-c", command], cwd=sekisho.folder,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            check=False)
    assert result.returncode == 2, result.stderr
    first, wanted, failed = changes(trail)
    assert (wanted["outcome"], failed["outcome"]) == (0, 8)
    assert failed["reason"] == "not-applied"
    assert failed["policy"] == wanted["policy"]
    assert failed["old"] == first["policy"] == version_of(sekisho, "p.img")
    # what was meant and did not come about does not count as in force
    assert status(sekisho, trail).returncode == 0


# ---- live = recorded (audit status) ----------------------------------------------

def status(sekisho, daemon, *options):
    return sekisho("audit", "status", "--config", daemon.config, *options)


def test_status_tells_that_the_policy_in_force_is_the_recorded_one(sekisho,
                                                                   trail):
    apply(sekisho, SMALL, "--config", trail.config)
    result = status(sekisho, trail)
    assert result.returncode == 0
    assert re.search(r"^policy +[0-9a-f]{16} in force, as recorded in entry "
                     r"#\d+$", result.stdout, re.M)
    told = json.loads(status(sekisho, trail, "--json").stdout)
    assert (told["policy"] == told["recorded_policy"]
            == version_of(sekisho, "p.img"))
    changed = sekisho("audit", "show", str(told["recorded_policy_index"]),
                      "--json", "--config", trail.config)
    assert json.loads(changed.stdout)["event"] == "policy-changed"


def test_status_finds_a_change_without_a_record(sekisho, trail):
    apply(sekisho, SMALL, "--config", trail.config)
    recorded = version_of(sekisho, "p.img")
    trail.stop()
    apply(sekisho, OTHER, "--config", trail.config, "--unrecorded")
    trail.start()
    result = status(sekisho, trail)
    assert result.returncode == 1
    assert f"of the trail says {recorded}" in result.stdout
    os.unlink(sekisho.folder / "p.img")
    result = status(sekisho, trail)
    assert result.returncode == 1 and "none in force" in result.stdout


def test_status_passes_over_another_image(sekisho, trail):
    apply(sekisho, SMALL, "--config", trail.config)
    sekisho.write("f.conf", OTHER)
    assert sekisho("policy", "apply", "f.conf", "--image", "q.img", "--config",
                   trail.config).returncode == 0
    assert status(sekisho, trail).returncode == 0


def test_status_looks_back_as_far_as_it_takes(sekisho, trail):
    apply(sekisho, SMALL, "--config", trail.config)
    front = trail.front()
    record = {"event": "unrecorded", "outcome": "0",
              "note": '"event":"policy-changed"'}
    for _ in range(30):
        front.send(*[record] * 100)
    result = status(sekisho, trail)
    assert result.returncode == 0 and "as recorded" in result.stdout


def test_status_where_nothing_was_recorded_yet(sekisho, trail):
    apply(sekisho, SMALL)
    result = status(sekisho, trail)
    assert result.returncode == 0
    assert "in force, of no change recorded" in result.stdout


# ---- show -------------------------------------------------------------------------

def test_show_as_a_table(sekisho):
    apply(sekisho, POLICY)
    result = sekisho("policy", "show", "--image", "p.img")
    assert result.returncode == 0
    golden("show-table.txt", result.stdout)


def test_show_of_one_facility(sekisho):
    sekisho.write("f.conf", POLICY)
    for name in ("aoba-clinic", "night-desk", "home-readers"):
        result = sekisho("policy", "show", name, "--policy", "f.conf")
        assert result.returncode == 0
        golden(f"show-{name}.txt", result.stdout)


def test_show_as_json(sekisho):
    sekisho.write("f.conf", POLICY)
    result = sekisho("policy", "show", "--json", "--policy", "f.conf")
    assert result.returncode == 0
    document = json.loads(result.stdout)
    assert VERSION.fullmatch(document["version"])
    assert [f["id"] for f in document["facilities"]] == [
        "aoba-clinic", "night-desk", "home-readers", "trial", "reading-room"]
    assert document["facilities"][0] == {
        "id": "aoba-clinic", "name": "Aoba Imaging Clinic",
        "contact": "IT desk, +81-3-0000-0000", "timezone": "Asia/Tokyo",
        "networks": ["203.0.113.0/28", "2001:db8:10::/48"], "via": [],
        "countries": [], "device": "none", "certificates": [],
        "authorities": [],
        "hours": "mon-fri 08:00-19:00 sat 08:00-13:00",
        "closed": [{"first": "2048-12-29", "last": "2049-01-03"},
                   {"first": "2049-01-11", "last": "2049-01-11"}],
        "valid": {"from": "2026-04-01", "to": "2059-03-31"},
        "users": ["suzuki", "tanaka", "yamada"],
        "services": ["web", "ssh", "desktop"],
        "actions": ["query", "view", "download"],
        "second_factor": "always", "off_hours": "deny",
        "session": {"idle_seconds": 900, "max_seconds": 28800},
        "mode": "enforce"}
    one = sekisho("policy", "show", "night-desk", "--json", "--policy", "f.conf")
    assert json.loads(one.stdout) == document["facilities"][1]
    readers = document["facilities"][2]
    assert readers["networks"] == ["any"]
    assert readers["certificates"] == [f"sha256:{PIN_A}"]
    assert readers["hours"] is None and readers["users"] is None
    assert readers["valid"] == {"from": None, "to": None}


def test_show_of_an_unknown_facility_names_the_nearest(sekisho):
    sekisho.write("f.conf", POLICY)
    result = sekisho("policy", "show", "aoba-clinik", "--policy", "f.conf")
    assert result.returncode == 2
    assert 'no facility "aoba-clinik"; did you mean "aoba-clinic"?' in result.stderr
    result = sekisho("policy", "show", "xyzzy", "--policy", "f.conf")
    assert result.returncode == 2
    assert 'no facility "xyzzy"; "sekisho policy show" lists them' in result.stderr


def test_show_where_no_policy_was_applied(sekisho):
    if os.path.exists("/var/lib/sekisho/policy.img"):
        pytest.skip("this machine has a policy")
    result = sekisho("policy", "show")
    assert result.returncode == 2
    assert 'no policy was applied yet: run "sekisho policy apply"' in result.stderr


def test_show_of_what_is_neither_image_nor_text(sekisho):
    sekisho.write("x", b"\x00\x01\x02" * 100)
    result = sekisho("policy", "show", "--policy", "x")
    assert result.returncode == 2
    assert "x is no policy image, and has errors as a policy text" in result.stderr


def test_show_of_a_cut_image(sekisho):
    apply(sekisho, SMALL)
    image = (sekisho.folder / "p.img").read_bytes()
    sekisho.write("p.img", image[:-64])
    result = sekisho("policy", "show", "--policy", "p.img")
    assert result.returncode == 2
    assert result.stderr.startswith("sekisho policy show: p.img: ")


def test_show_takes_one_source(sekisho):
    result = sekisho("policy", "show", "--policy", "a", "--image", "b")
    assert result.returncode == 2
    assert "--policy and --image are the same: give one" in result.stderr


# ---- show -> check -> apply: the same policy -----------------------------------

ROUND_TRIPS = {
    "the example": POLICY,
    "whole days": "timezone UTC;\nfacility f { network 10.0.0.0/8; "
                  "hours daily 00:00-24:00; }",
    "over midnight": "timezone UTC;\nfacility f { network 10.0.0.0/8; "
                     "hours fri-mon 22:00-06:00 tue,thu 00:30-24:00; }",
    "more than a day from one day": "timezone UTC;\nfacility f { "
                                    "network 10.0.0.0/8; "
                                    "hours mon 00:00-24:00 mon 22:00-05:00; }",
    "a day and almost another": "timezone UTC;\nfacility f { "
                                "network 10.0.0.0/8; "
                                "hours sun 00:00-24:00 sun 23:59-23:58; }",
    "twice a day": "timezone UTC;\nfacility f { network 10.0.0.0/8; hours "
                   "mon-fri 08:00-12:00 13:00-17:00 sat 08:00-12:00; }",
    "open ends": "timezone UTC;\nfacility f { network 10.0.0.0/8; "
                 "valid ..2059-01-01; }\n"
                 "facility g { network 11.0.0.0/8; valid 2026-01-01..; }",
    "quotes": "timezone UTC;\nfacility f { name \"a \\\"b\\\" \\\\ 'c' {;} # \"; "
              "contact '{}'; network 10.0.0.0/8; "
              "users \"any\" 'CORP\\\\tanaka' \"a b\" 山田; }",
    "all the rest": "timezone UTC;\nfacility f { network 10.0.0.0/8 ::1; "
                    "via 10.1.1.1 ::2; country JP DE; device optional; "
                    f"certificate sha256:{PIN_A}; off-hours second-factor; "
                    "hours mon 01:00-02:00; session max 90s; services ssh; "
                    "actions query view download store delete admin; "
                    "second-factor never; mode dry-run; "
                    "closed 2048-01-01 2048-01-03..2048-02-01; }",
}


@pytest.mark.parametrize("text", ROUND_TRIPS.values(), ids=ROUND_TRIPS.keys())
def test_what_show_prints_is_the_same_policy(sekisho, text):
    result = apply(sekisho, text)
    assert result.returncode == 0, result.stderr
    version = version_of(sekisho, "p.img")
    sekisho.write("again.conf", sekisho("policy", "show", "--full", "--image",
                                        "p.img").stdout)
    result = sekisho("policy", "check", "again.conf")
    assert result.returncode == 0, result.stderr
    assert version_of(sekisho, "again.conf") == version


def test_the_facilities_one_by_one_make_the_same_policy(sekisho):
    apply(sekisho, POLICY)
    document = json.loads(sekisho("policy", "show", "--json", "--image",
                                  "p.img").stdout)
    again = "".join(sekisho("policy", "show", f["id"], "--image", "p.img").stdout
                    for f in document["facilities"])
    sekisho.write("again.conf", again)
    assert version_of(sekisho, "again.conf") == document["version"]


def test_authorities_survive_the_round_trip(sekisho):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key",
                    "-out", "ca.pem", "-subj", "/CN=Test CA", "-days", "3650"],
                   cwd=sekisho.folder, check=True, capture_output=True)
    result = apply(sekisho, "timezone UTC;\nfacility f { network any; device "
                            "required; device-ca ca.pem; }\n")
    assert result.returncode == 0, result.stderr
    sekisho.write("again.conf", sekisho("policy", "show", "f", "--image",
                                        "p.img").stdout)
    result = sekisho("policy", "check", "again.conf")
    assert result.returncode == 0, result.stderr
    assert version_of(sekisho, "again.conf") == version_of(sekisho, "p.img")
