"""What `make install` puts where, and what systemd makes of it."""

import os
import pathlib
import re
import shutil
import stat
import struct
import subprocess
import tempfile

import pytest

from tool import BASE_ENV, sekisho  # noqa: F401

ROOT = pathlib.Path(__file__).resolve().parents[2]
PREFIX = "/opt/sekisho-test"
NOT_ROOT = os.geteuid() != 0


def run(command, **options):
    return subprocess.run(command, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False, **options)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder, and what is in it: path below it -> mode."""
    folder = tmp_path_factory.mktemp("installed")
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("MAKE", "MFLAGS"))}
    done = run(["make", "install", f"DESTDIR={folder}", f"PREFIX={PREFIX}"],
               cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stdout
    return folder, {
        "/" + str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
        for path in folder.rglob("*") if path.is_file()}


def test_everything_is_there_and_nothing_else(installed):
    _, files = installed
    left = set(files)
    programs = {f"{PREFIX}/bin/sekisho", f"{PREFIX}/sbin/sekishod"}
    wanted = programs | {
        f"{PREFIX}/lib/nginx/modules/ngx_http_sekisho_module.so",
        f"{PREFIX}/lib/security/pam_sekisho.so",
        f"{PREFIX}/lib/systemd/system/sekishod.service",
        f"{PREFIX}/lib/systemd/system/sekishod.socket",
        f"{PREFIX}/lib/sysusers.d/sekisho.conf",
        f"{PREFIX}/lib/tmpfiles.d/sekisho.conf",
        *(f"{PREFIX}/share/doc/sekisho/{name}" for name in (
            "README.md", "CHANGELOG.md", "LICENSE", "docs/record.md",
            "docs/policy.md", "conf-examples/sekishod.conf",
            "conf-examples/facilities.conf",
            "conf-examples/nginx/orthanc.conf"))}
    if shutil.which("scdoc"):
        wanted |= {f"{PREFIX}/share/man/man{page[-1]}/{page}" for page in (
            "sekisho.1", "sekisho-audit.1", "sekisho-otp.1",
            "sekisho-doctor.1", "sekisho-report.1", "facilities.conf.5", "sekishod.conf.5",
            "sekishod.8", "pam_sekisho.8")}
    assert wanted <= left, wanted - left
    # documents and examples are all of theirs
    for path in left - wanted:
        below = path[len(f"{PREFIX}/share/doc/sekisho/"):]
        assert path.startswith(f"{PREFIX}/share/doc/sekisho/"), path
        assert (ROOT / below).is_file(), path
    for path, mode in files.items():
        assert mode == (0o755 if path in programs else 0o644), path


def test_nothing_is_written_outside_destdir(installed):
    """The prefix is one that is nowhere: it must have stayed so."""
    assert installed[1]
    assert not os.path.exists(PREFIX)


def test_units_start_what_was_installed(installed):
    folder, _ = installed
    text = (folder / f"{PREFIX[1:]}/lib/systemd/system/sekishod.service"
            ).read_text(encoding="utf-8")
    programs = re.findall(r"(?m)^Exec(?:Start|StartPre)=(\S+)", text)
    assert programs == [f"{PREFIX}/sbin/sekishod"] * 2
    for program in programs:
        assert os.access(f"{folder}{program}", os.X_OK)


def test_programs_run_from_where_they_are(installed):
    folder, _ = installed
    for program in ("bin/sekisho", "sbin/sekishod"):
        done = run([f"{folder}{PREFIX}/{program}", "--version"])
        assert done.returncode == 0, done.stdout


# ---- User, group, folders ------------------------------------------------------

def made_by_systemd(installed, root):
    """A root folder in which both files did their work; gid and uid by name."""
    folder, _ = installed
    for program in ("systemd-sysusers", "systemd-tmpfiles"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: Debian package systemd")
    (root / "etc").mkdir()
    for program, kind, more in (("systemd-sysusers", "sysusers", []),
                                ("systemd-tmpfiles", "tmpfiles", ["--create"])):
        done = run([program, f"--root={root}", *more,
                    f"{folder}{PREFIX}/lib/{kind}.d/sekisho.conf"])
        assert done.returncode == 0, done.stdout
    users = dict((line.split(":")[0], line.split(":")) for line in
                 (root / "etc/passwd").read_text().splitlines())
    groups = dict((line.split(":")[0], int(line.split(":")[2])) for line in
                  (root / "etc/group").read_text().splitlines())
    return users, groups


def test_sysusers_accepts_its_file(installed):
    if shutil.which("systemd-sysusers") is None:
        pytest.skip("systemd-sysusers is not installed: Debian package systemd")
    folder, _ = installed
    done = run(["systemd-sysusers", "--dry-run",
                f"{folder}{PREFIX}/lib/sysusers.d/sekisho.conf"])
    assert done.returncode == 0, done.stdout
    assert "rror" not in done.stdout and "gnoring" not in done.stdout


@pytest.mark.skipif(NOT_ROOT, reason="makes files of another user")
def test_user_group_and_folders(installed, tmp_path):
    users, groups = made_by_systemd(installed, tmp_path)
    uid, gid = int(users["sekisho"][2]), int(users["sekisho"][3])
    assert users["sekisho"][6].endswith("/nologin")
    assert gid == groups["sekisho"] and 0 not in (uid, gid)
    found = {path: ((tmp_path / path).stat().st_uid,
                    (tmp_path / path).stat().st_gid,
                    stat.S_IMODE((tmp_path / path).stat().st_mode))
             for path in ("etc/sekisho", "var/lib/sekisho",
                          "var/lib/sekisho/trail", "var/lib/sekisho/index",
                          "var/lib/sekisho/otp", "var/lib/sekisho/emergency")}
    assert found == {
        "etc/sekisho": (0, 0, 0o755),
        "var/lib/sekisho": (0, 0, 0o755),
        "var/lib/sekisho/trail": (uid, groups["sekisho-audit"], 0o2750),
        "var/lib/sekisho/index": (uid, groups["sekisho-audit"], 0o2750),
        "var/lib/sekisho/otp": (uid, gid, 0o700),
        "var/lib/sekisho/emergency": (0, 0, 0o755)}


@pytest.fixture
def open_folder():
    """A folder that other users may enter, as they may not pytest's own."""
    folder = tempfile.mkdtemp(prefix="sekisho-")
    os.chmod(folder, 0o755)
    yield pathlib.Path(folder)
    shutil.rmtree(folder)


@pytest.mark.skipif(NOT_ROOT, reason="makes files of another user")
def test_officers_may_read_what_the_daemon_writes_and_not_its_key(
        sekisho, open_folder):
    """`trail init` in the folder that tmpfiles.d makes."""
    trail, key = open_folder / "trail", open_folder / "key"
    trail.mkdir()
    os.chown(trail, 65534, 7)
    os.chmod(trail, 0o2750)
    done = sekisho("trail", "init", "--trail", trail, "--key", key,
                   "--origin", "a.example/b", "--owner", "nobody")
    assert done.returncode == 0, done.stderr
    inside = [trail, *trail.rglob("*")]
    assert len(inside) > 4
    for path in inside:
        seen = path.stat()
        assert (seen.st_uid, seen.st_gid) == (65534, 7), path
        assert seen.st_mode & 0o040 and not seen.st_mode & 0o027, path
        assert path.is_file() or seen.st_mode & stat.S_ISGID, path
    assert stat.S_IMODE(key.stat().st_mode) == 0o400


# ---- A key from LoadCredential= ---------------------------------------------------
#
# systemd gives the service's user its file by an ACL: 0440, root's (or, where
# there are no ACLs, by its owner: 0400).

USER = 65534
ACL_USER_OBJ, ACL_USER, ACL_GROUP_OBJ, ACL_GROUP, ACL_MASK, ACL_OTHER = \
    0x01, 0x02, 0x04, 0x08, 0x10, 0x20


def set_acl(path, *more):
    """user::r, group::-, mask::r, other::- and (tag, id) with r."""
    nobody = 0xffffffff
    entries = [(ACL_USER_OBJ, 4, nobody), (ACL_GROUP_OBJ, 0, nobody),
               (ACL_MASK, 4, nobody), (ACL_OTHER, 0, nobody),
               *((tag, 4, number) for tag, number in more)]
    data = struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", *entry) for entry in sorted(entries))
    try:
        os.setxattr(path, "system.posix_acl_access", data)
    except OSError as error:
        pytest.skip(f"no ACLs here: {error.strerror}")


@pytest.fixture
def credential(sekisho, open_folder):
    """A key of root's, and whether the user can sign with it."""
    program = shutil.copy(sekisho.program, open_folder / "sekisho")
    done = sekisho("trail", "init", "--trail", open_folder / "trail", "--key",
                   open_folder / "trail.key", "--origin", "a.example/b",
                   "--owner", "root")
    assert done.returncode == 0, done.stderr

    def ask():
        return subprocess.run(
            [program, "trail", "key", "--key", open_folder / "trail.key"],
            user=USER, group=USER, extra_groups=[], capture_output=True,
            text=True, check=False,
            env={**BASE_ENV, "ASAN_OPTIONS": "detect_leaks=0"})
    return open_folder / "trail.key", ask


@pytest.mark.skipif(NOT_ROOT, reason="makes files of another user")
def test_a_credential_as_systemd_gives_it_is_taken(credential):
    key, ask = credential
    set_acl(key, (ACL_USER, USER))
    assert stat.S_IMODE(key.stat().st_mode) == 0o440
    done = ask()
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("a.example/b+")


@pytest.mark.skipif(NOT_ROOT, reason="makes files of another user")
def test_a_credential_of_the_user_itself_is_taken(credential):
    key, ask = credential
    os.chown(key, USER, USER)
    assert stat.S_IMODE(key.stat().st_mode) == 0o400
    assert ask().returncode == 0


@pytest.mark.skipif(NOT_ROOT, reason="makes files of another user")
@pytest.mark.parametrize("more", [
    [(ACL_USER, USER), (ACL_USER, 12345)], [(ACL_USER, USER), (ACL_GROUP, 7)],
    [(ACL_GROUP, USER)]], ids=["another user", "a group", "its group"])
def test_a_key_that_an_acl_opens_wider_is_refused(credential, more):
    key, ask = credential
    set_acl(key, *more)
    done = ask()
    assert done.returncode == 2
    assert "can be read or changed by others" in done.stderr


@pytest.mark.skipif(NOT_ROOT, reason="makes files of another user")
@pytest.mark.parametrize("owner,group,mode", [
    (0, USER, 0o440), (0, 0, 0o444), (USER, 0, 0o440), (USER, USER, 0o440),
    (0, USER, 0o640), (USER, USER, 0o460), (12345, USER, 0o440)])
def test_a_key_with_wider_rights_is_refused(credential, owner, group, mode):
    key, ask = credential
    os.chown(key, owner, group)
    os.chmod(key, mode)
    done = ask()
    assert done.returncode == 2
    assert "can be read or changed by others" in done.stderr
