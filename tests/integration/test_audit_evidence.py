"""sekisho audit evidence: an archive that verify.sh checks without Sekisho, on
a root that has nothing but what verify.sh says it needs."""

import hashlib
import html.parser
import io
import json
import os
import random
import re
import shutil
import subprocess
import tarfile

import pytest

import report_trail
import trail_daemon
from report_trail import EVIL, at
from tool import PLAIN, BASE_ENV, sekisho  # noqa: F401

AOBA = {"facility": "aoba-clinic", "address": "203.0.113.7", "service": "web"}
NIGHT = {"facility": "night-desk", "address": "198.51.100.7", "service": "web"}
NEEDED = ("sh", "awk", "sed", "sha256sum", "xargs", "openssl", "cat", "dirname",
          "mkdir", "mktemp", "mv", "rm", "tail", "tr", "wc")


def story(folder):
    trail = report_trail.Trail(folder)
    trail.add(at("2026-11-02 08:00"), "start", source="sekishod")
    for minute in range(0, 60, 5):
        trail.add(at(f"2026-11-02 09:{minute:02}"), "heartbeat",
                  source="sekishod", counters="x:1")
        for user, place in (("yamada", AOBA), ("suzuki", NIGHT)):
            trail.access(at(f"2026-11-02 09:{minute + 1:02}"), user, minutes=1,
                         action="view", study=f"1.2.{user}.{minute}",
                         patient=f"{user}-{minute}", **place)
    # whose study it was is told later; its close names neither
    trail.access(at("2026-11-02 10:01"), "suzuki", action="view",
                 study="1.9.9", **NIGHT)
    trail.add(at("2026-11-02 10:02"), "patient-learned", study="1.9.9",
              patient="yamada-0")
    trail.access(at("2026-11-02 10:03"), "u" + EVIL, action="view",
                 patient="p" + EVIL, **NIGHT)
    trail.add(at("2026-11-02 10:05"), "heartbeat", source="sekishod",
              counters="x:1")
    return trail.write()


@pytest.fixture(scope="module")
def trail(tmp_path_factory):
    return story(tmp_path_factory.mktemp("story"))


def make(program, trail, out, *arguments, status=0):
    result = subprocess.run(
        [program, "audit", "evidence", "--trail", trail.trail, "--index",
         trail.index, "--key", trail.vkey, "-o", out, *arguments],
        env={**BASE_ENV, "TZ": "Asia/Tokyo"}, capture_output=True, text=True,
        check=False)
    assert result.returncode == status, result.stderr
    return result


def unpack(archive, folder):
    """As an auditor does: with tar."""
    subprocess.run(["tar", "-C", folder, "-xf", archive], check=True)
    with tarfile.open(archive) as file:
        return folder / os.path.commonpath(file.getnames())


@pytest.fixture(scope="module")
def made(trail, tmp_path_factory):
    """The archives that the tests of verify.sh spoil copies of."""
    folder = tmp_path_factory.mktemp("made")
    make(PLAIN, trail, folder / "some.tar", "--user", "yamada")
    make(PLAIN, trail, folder / "all.tar", "--user", "yamada", "--complete",
         "--from", "2026-11-02T09:11", "--to", "2026-11-02T09:33")
    return {name: unpack(folder / f"{name}.tar", folder)
            for name in ("some", "all")}


def verify(folder, *arguments, shell="dash"):
    return subprocess.run([shell, folder / "verify.sh", *arguments],
                          env={"PATH": "/usr/bin:/bin"}, capture_output=True,
                          text=True, check=False)


def is_verified(folder, *arguments, **options):
    result = verify(folder, *arguments, **options)
    said = result.stdout.splitlines()[:1]
    assert (result.returncode == 0) == (said == ["VERIFIED"]), result
    return result.returncode == 0


@pytest.fixture
def copy(made, tmp_path):
    def copied(name):
        target = tmp_path / name
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(made[name], target)
        return target
    return copied


def records(folder):
    return [json.loads(line)
            for line in (folder / "records").read_bytes().splitlines()]


# ---- What is in it ----------------------------------------------------------

def test_records_are_the_entries_byte_for_byte(made, trail):
    lines = (made["some"] / "records").read_text("utf-8").splitlines()
    expected = [line for line in trail.lines if '"user":"yamada"' in line]
    assert lines == expected and len(lines) == 24


def test_a_patient_has_what_was_known_only_later_and_its_close(
        sekisho, trail, tmp_path):
    make(sekisho.program, trail, tmp_path / "p.tar", "--patient", "yamada-0")
    found = records(unpack(tmp_path / "p.tar", tmp_path))
    assert sorted((entry["event"], entry.get("study") or "")
                  for entry in found) == [
        ("access", "1.2.yamada.0"), ("access", "1.9.9"), ("access-end", ""),
        ("access-end", ""), ("patient-learned", "1.9.9")]


def test_it_is_the_same_without_an_index(sekisho, trail, tmp_path):
    for name, index in (("with", trail.index), ("without", "/nowhere")):
        result = sekisho("audit", "evidence", "--trail", trail.trail,
                         "--index", index, "--key", trail.vkey, "--patient",
                         "yamada-0", "-o", tmp_path / f"{name}.tar")
        assert result.returncode == 0, result.stderr
    with_index, without = (unpack(tmp_path / f"{name}.tar", tmp_path)
                           for name in ("with", "without"))
    assert (with_index / "records").read_bytes() == \
        (without / "records").read_bytes()


def test_nothing_found_writes_nothing(sekisho, trail, tmp_path):
    result = make(sekisho.program, trail, tmp_path / "none.tar", "--user",
                  "nobody", status=1)
    assert "nothing was written" in result.stderr
    assert os.listdir(tmp_path) == []


def test_a_trail_that_was_changed_is_not_handed_out(trail, tmp_path):
    other = tmp_path / "trail"
    shutil.copytree(trail.trail, other)
    for path in (other / "tile" / "entries").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes().replace(b"yamada-5\"",
                                                       b"yamada-6\""))
    result = subprocess.run(
        [PLAIN, "audit", "evidence", "--trail", other, "--key", trail.vkey,
         "--user", "yamada", "-o", tmp_path / "x.tar"], env=BASE_ENV,
        capture_output=True, text=True, check=False)
    assert result.returncode == 2 and "tampered" in result.stderr
    assert not (tmp_path / "x.tar").exists()


def test_a_foreign_key_is_refused(trail, tmp_path):
    other = report_trail.Trail(tmp_path / "other")
    result = subprocess.run(
        [PLAIN, "audit", "evidence", "--trail", trail.trail, "--key",
         other.vkey, "--user", "yamada", "-o", tmp_path / "x.tar"],
        env=BASE_ENV, capture_output=True, text=True, check=False)
    assert result.returncode == 2 and not (tmp_path / "x.tar").exists()


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_the_page_is_whole_and_nothing_of_the_trail_acts_on_it(
        sekisho, trail, tmp_path, lang):
    make(sekisho.program, trail, tmp_path / "e.tar", "--facility",
         "night-desk", "--lang", lang)
    text = (unpack(tmp_path / "e.tar", tmp_path) / "index.html").read_text()
    page = Page()
    page.feed(text)
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "img", "iframe", "a", "link"}
    assert not [name for _, attributes in page.tags for name in attributes
                if name.startswith("on") or name in ("src", "href")]
    assert "{{" not in re.sub(re.escape("{{style}}"), "", page.text)
    assert "default-src 'none'" in text and f'<html lang="{lang}">' in text
    assert trail.vkey in page.text and "suzuki-55" in page.text


def test_words_are_in_both_languages():
    words = [dict(line.split(" = ", 1) for line in open(
        f"{trail_daemon.TOP}/tools/evidence/words.{lang}", encoding="utf-8")
        if not line.startswith("#")) for lang in ("en", "ja")]
    assert list(words[0]) == list(words[1])


# ---- verify.sh --------------------------------------------------------------

@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize("name", ["some", "all"])
def test_it_verifies(made, trail, shell, name):
    said = verify(made[name], shell=shell).stdout
    assert said.startswith("VERIFIED") and trail.vkey in said
    assert is_verified(made[name], trail.vkey, shell=shell)


def test_another_key_than_the_expected_one_is_noticed(made, tmp_path):
    other = report_trail.Trail(tmp_path / "other")
    assert not is_verified(made["some"], other.vkey)


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot takes root")
def test_it_verifies_on_a_root_that_has_nothing_else(made, trail, tmp_path):
    root = tmp_path / "root"
    (root / "tmp").mkdir(parents=True)
    for name in NEEDED:
        path = os.path.realpath(shutil.which("dash" if name == "sh" else name))
        libraries = re.findall(r"(/\S+) \(0x", subprocess.run(
            ["ldd", path], capture_output=True, text=True, check=False).stdout)
        for file in [path, *libraries]:
            target = root / file.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(os.path.realpath(file), target)
        link = root / "bin" / name
        link.parent.mkdir(exist_ok=True)
        if not link.exists():
            link.symlink_to(path)
    # the shell opens it for a command in the background
    (root / "dev").mkdir()
    (root / "dev/null").touch()
    shutil.copytree(made["all"], root / "evidence")
    result = subprocess.run(
        [shutil.which("chroot"), root, "/bin/sh", "/evidence/verify.sh",
         trail.vkey], env={"PATH": "/bin"}, capture_output=True, text=True,
        check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == "" and result.stdout.startswith("VERIFIED")


def places(size, dice, count=3):
    """First and last byte, and some between."""
    return sorted({0, size - 1, *(dice.randrange(size) for _ in range(count))})


@pytest.mark.parametrize("name", ["some", "all"])
def test_any_changed_byte_of_evidence_is_noticed(copy, name):
    """index.html is for reading, and verify.sh is what checks: the bytes of
    both are no evidence.  All others are."""
    folder = copy(name)
    dice = random.Random(5)
    files = ["keys", "checkpoint", "records"]
    files += ["tree", "leaves"] if name == "all" else []
    proofs = sorted(os.listdir(folder / "proofs"))
    files += [f"proofs/{proof}" for proof in (proofs[0], proofs[-1])]
    for file in files:
        path = folder / file
        good = path.read_bytes()
        for place in places(len(good), dice):
            for new in (good[place] ^ 1, 0, ord("\n"), ord("A")):
                if new == good[place]:
                    continue
                path.write_bytes(good[:place] + bytes([new])
                                 + good[place + 1:])
                assert not is_verified(folder), (file, place, new)
        path.write_bytes(good)
    assert is_verified(folder)


def test_every_kind_of_line_of_a_proof_counts(copy):
    folder = copy("some")
    path = folder / "proofs" / sorted(os.listdir(folder / "proofs"))[3]
    good = path.read_bytes().splitlines(keepends=True)
    for i, line in enumerate(good):
        for changed in ([], [line, line], [line[:-1] + b" \n"]):
            path.write_bytes(b"".join(good[:i] + changed + good[i + 1:]))
            assert not is_verified(folder), (line, changed)
    path.write_bytes(b"".join(good))
    assert is_verified(folder)


def without(folder, number):
    """Leaves a record out, as neatly as can be."""
    lines = (folder / "records").read_bytes().splitlines(keepends=True)
    proofs = sorted(os.listdir(folder / "proofs"))
    (folder / "records").write_bytes(b"".join(lines[:number]
                                              + lines[number + 1:]))
    (folder / "proofs" / proofs[number]).unlink()
    return int(proofs[number])


@pytest.mark.parametrize("number", [0, 3, -1])
def test_a_record_left_out_of_a_complete_one_is_noticed(copy, number):
    folder = copy("all")
    count = len(os.listdir(folder / "proofs"))
    without(folder, number % count)
    result = verify(folder)
    assert result.returncode == 1 and "its record is missing" in result.stdout


def test_a_record_passed_off_as_withheld_is_counted_as_withheld(copy):
    folder = copy("all")
    before = re.search(r"(\d+) withheld", verify(folder).stdout).group(1)
    first = int((folder / "tree").read_text().split()[1])
    index = without(folder, 2)
    lines = (folder / "leaves").read_text().splitlines(keepends=True)
    lines[index - first] = "-" + lines[index - first][1:]
    (folder / "leaves").write_text("".join(lines))
    after = re.search(r"(\d+) withheld", verify(folder).stdout).group(1)
    assert int(after) == int(before) + 1


@pytest.mark.parametrize("cut", ["first", "last", "middle"])
def test_an_entry_taken_out_of_the_range_is_noticed(copy, cut):
    folder = copy("all")
    tree = (folder / "tree").read_text()
    start, end = (int(re.search(rf"^{word} (\d+)", tree, re.M).group(1))
                  for word in ("from", "to"))
    lines = (folder / "leaves").read_text().splitlines(keepends=True)
    at_line = next(i for i, line in enumerate(lines) if line[0] == "-")
    if cut == "first":
        without(folder, 0)
        lines, start = lines[1:], start + 1
    elif cut == "last":
        without(folder, len(os.listdir(folder / "proofs")) - 1)
        lines, end = lines[:-1], end - 1
    else:
        del lines[at_line]
        end -= 1
    (folder / "leaves").write_text("".join(lines))
    (folder / "tree").write_text(re.sub(
        r"^from \d+\nto \d+\n", f"from {start}\nto {end}\n", tree))
    assert not is_verified(folder)


def test_two_records_exchanged_are_noticed(copy):
    folder = copy("some")
    lines = (folder / "records").read_bytes().splitlines(keepends=True)
    lines[4], lines[7] = lines[7], lines[4]
    (folder / "records").write_bytes(b"".join(lines))
    assert not is_verified(folder)


@pytest.mark.parametrize("file", ["keys", "checkpoint", "records", "tree",
                                  "leaves"])
def test_a_missing_or_empty_file_is_noticed(copy, file):
    folder = copy("all")
    (folder / file).write_bytes(b"")
    assert not is_verified(folder)
    (folder / file).unlink()
    assert not is_verified(folder)


@pytest.mark.parametrize("file,place", [("keys", 3), ("tree", 5),
                                        ("leaves", 4), ("checkpoint", 2)])
def test_what_a_forger_wrote_does_not_act_on_the_terminal(copy, file, place):
    folder = copy("all")
    good = (folder / file).read_bytes()
    (folder / file).write_bytes(good[:place] + b"\x1b]0;owned\x07"
                                + good[place:])
    result = verify(folder)
    assert result.returncode == 1
    assert not [c for c in result.stdout + result.stderr
                if c != "\n" and not c.isprintable()]


# ---- What --complete shows --------------------------------------------------

def test_a_range_lies_between_records_of_the_daemon_itself(made):
    found = records(made["all"])
    assert [entry["event"] for entry in (found[0], found[-1])] == \
        ["heartbeat", "heartbeat"]
    assert found[0]["time"] < "2026-11-02T00:11:00" and \
        found[-1]["time"] >= "2026-11-02T00:33:00"
    assert {entry["user"] for entry in found[1:-1]} == {"yamada"}


def test_contents_of_others_are_withheld(made):
    everything = b"".join(path.read_bytes() for path in made["all"].rglob("*")
                          if path.is_file())
    assert b"suzuki" not in everything


def test_of_a_period_alone_nothing_is_withheld(trail, tmp_path):
    make(PLAIN, trail, tmp_path / "d.tar", "--complete", "--from",
         "2026-11-02T09:11", "--to", "2026-11-02T09:33")
    folder = unpack(tmp_path / "d.tar", tmp_path)
    said = verify(folder).stdout
    assert said.startswith("VERIFIED") and " 0 withheld" in said
    found = records(folder)
    assert found[0]["time"] < "2026-11-02T00:11" < found[1]["time"]
    assert found[-2]["time"] < "2026-11-02T00:33" <= found[-1]["time"]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 64, 65, 300])
def test_trees_of_all_shapes(tmp_path, count):
    trail = report_trail.Trail(tmp_path / "t")
    for i in range(count):
        trail.add(at(f"2026-11-02 {9 + i // 60:02}:{i % 60:02}"), "access",
                  user="abc"[i % 3], action="view", study=f"1.{i}")
    trail.write()
    make(PLAIN, trail, tmp_path / "a.tar", "--user", "a", "--complete")
    assert is_verified(unpack(tmp_path / "a.tar", tmp_path), trail.vkey)


# ---- Of a running daemon ----------------------------------------------------

def test_the_reading_is_recorded_and_the_checkpoint_covers_it(tmp_path):
    with trail_daemon.running(tmp_path) as daemon:
        front = daemon.front()
        front.send({"event": "access", "outcome": 0, "user": "yamada",
                    "study": "1.2.3"})
        result = subprocess.run(
            [PLAIN, "audit", "evidence", "--config", daemon.config, "--user",
             "yamada", "--complete", "-o", tmp_path / "e.tar"], env=BASE_ENV,
            capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        folder = unpack(tmp_path / "e.tar", tmp_path)
        assert is_verified(folder)
        read = [entry for entry in daemon.entries()
                if entry["event"] == "trail-read"]
        assert read[-1]["query"] == ("audit evidence --user yamada "
                                     "--complete")
        size = int((folder / "checkpoint").read_text().splitlines()[1])
        assert size >= daemon.entries().index(read[-1]) + 1


def test_without_a_daemon_that_records_it_nothing_is_written(tmp_path):
    with trail_daemon.running(tmp_path) as daemon:
        daemon.front().send({"event": "access", "outcome": 0, "user": "a"})
    result = subprocess.run(
        [PLAIN, "audit", "evidence", "--config", daemon.config, "--user", "a",
         "-o", tmp_path / "e.tar"], env=BASE_ENV, capture_output=True,
        text=True, check=False)
    assert result.returncode == 2 and "recorded" in result.stderr
    assert not (tmp_path / "e.tar").exists()


def test_the_summary_tells_the_hash_of_verify_sh(trail, tmp_path):
    said = make(PLAIN, trail, tmp_path / "s.tar", "--user", "yamada").stdout
    with tarfile.open(tmp_path / "s.tar") as file:
        program = file.extractfile("s/verify.sh").read()
    assert hashlib.sha256(program).hexdigest() in said and trail.vkey in said


def test_the_archive_is_readable_by_its_owner_alone(trail, tmp_path):
    make(PLAIN, trail, tmp_path / "s.tar", "--user", "yamada")
    assert os.stat(tmp_path / "s.tar").st_mode & 0o777 == 0o600
    with tarfile.open(tmp_path / "s.tar") as file:
        assert {member.uid for member in file} == {0}
        assert io.BytesIO(file.extractfile("s/keys").read()).readline() == \
            trail.vkey.encode() + b"\n"
