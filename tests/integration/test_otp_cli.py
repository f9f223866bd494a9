"""sekisho otp: enrolling, listing, unlocking; imports that nobody notices."""

import base64
import os
import pathlib
import pwd
import re
import shutil
import stat
import subprocess
import struct
import time
import zlib

import pytest

import door_codes
import otp_place
from door_talk import Talk
from trail_daemon import SEKISHO


@pytest.fixture(name="place", scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    with otp_place.place(folder, "otp_issuer \"Aoba\";\n") as it:
        yield it


def talk(place, *words):
    """The command at a terminal."""
    return Talk([SEKISHO, "otp", *words, "--config", place.config],
                {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "dumb"}, 20)


def secret_in(text):
    found = re.search(r"Secret\s+((?:[A-Z2-7]{1,4} ?)+)", text).group(1)
    text = found.replace(" ", "")
    return base64.b32decode(text + "=" * (-len(text) % 8))


# ---- Enrolling -------------------------------------------------------------

def test_enrolling_at_a_terminal(place):
    with talk(place, "enroll", "yamada") as terminal:
        terminal.expect("█|▀|▄")
        secret = secret_in(terminal.expect(r"Secret[^\r\n]*\r?\n").group())
        terminal.answer("shows now", door_codes.wrong(secret))
        terminal.expect("wrong-code")
        terminal.answer("shows now", door_codes.totp(secret))
        terminal.expect("Recovery codes")
        assert terminal.end() == 0
        codes = re.findall(r"\b\w{4}-\w{4}-\w{4}-\w{4}\b", terminal.all)
    assert len(set(codes)) == 10
    assert place.verify("yamada", codes[3])["factor"] == "recovery"
    assert place.verify("yamada", door_codes.totp(secret, ahead=1))[
        "verdict"] == "yes"
    record = place.records("enrollment", user="yamada", action="confirm")[-1]
    assert record["outcome"] == 0 and record["by"]


def test_secrets_go_to_no_pipe(place):
    status, output, errors = place.otp("enroll", "piped")
    assert status == 2 and output == "" and "no terminal" in errors
    assert place.state("piped") == "none"


def test_a_qr_code_as_a_picture(place, tmp_path):
    path = tmp_path / "code.png"
    status, _, errors = place.otp("enroll", "picture", "--qr", "png",
                                  "--output", path, "--no-confirm", "--reason",
                                  "at the desk")
    assert status == 0, errors
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, rest = [], data[8:]
    while rest:
        size, = struct.unpack(">I", rest[:4])
        kind, body = rest[4:8], rest[8:8 + size]
        assert struct.unpack(">I", rest[8 + size:12 + size])[0] == \
            zlib.crc32(kind + body)
        chunks.append((kind, body))
        rest = rest[12 + size:]
    width, height = struct.unpack(">II", chunks[0][1][:8])
    rows = zlib.decompress(chunks[1][1])
    assert width == height and len(rows) == height * ((width + 7) // 8 + 1)
    assert place.state("picture") == "enrolled"
    record, = place.records("enrollment", user="picture")
    assert (record["action"], record["note"]) == ("enroll", "at the desk")


def test_a_picture_is_what_a_phone_reads(place, tmp_path):
    if shutil.which("zbarimg") is None:
        pytest.skip("install the Debian package zbar-tools")
    path = tmp_path / "code.png"
    place.otp("enroll", "camera", "--qr", "png", "--output", path,
              "--no-confirm", "--reason", "x")
    read = subprocess.run(["zbarimg", "--raw", "-q", path], check=True,
                          capture_output=True, text=True).stdout
    assert read.startswith("otpauth://totp/Aoba:camera?secret=")


def test_a_qr_code_as_svg_and_nothing_over_a_file(place, tmp_path):
    path = tmp_path / "code.svg"
    words = ("enroll", "drawing", "--qr", "svg", "--output", path,
             "--no-confirm", "--reason", "x")
    assert place.otp(*words)[0] == 0
    assert path.read_text().startswith("<svg ")
    status, _, errors = place.otp(*words)
    assert status == 2 and "File exists" in errors


@pytest.mark.parametrize("words, told", [
    (("enroll", "x", "--qr", "gif"), "--qr is terminal"),
    (("enroll", "x", "--qr", "png"), "needs a file"),
    (("enroll", "x", "--no-confirm"), "go together"),
    (("enroll", "x", "--digits", "9", "--force"), "does not take such"),
    (("enroll", "x", "--algorithm", "MD5", "--force"), "does not take such"),
    (("enroll", "x", "--period", "5", "--force"), "does not take such"),
    (("remove", "x"), "--reason is missing"),
    (("unlock", "x"), "--reason is missing"),
    (("import", "/dev/null"), "--from is"),
    (("export",), "--to is")])
def test_what_is_wrong_is_told(place, words, told):
    status, _, errors = place.otp(*words)
    assert status == 2 and told in errors, errors


def test_no_code_and_no_secret_is_an_argument(place):
    for command in ("enroll", "verify", "recovery", "import", "export"):
        text = place.tool("otp", command, "--help")
        assert not re.search(r"--(code|secret|password)\b", text)


# ---- Support ---------------------------------------------------------------

def test_verify_list_and_unlock(place):
    secret = place.enroll("suzuki")
    status, output, _ = place.otp("verify", "suzuki",
                                  stdin=door_codes.totp(secret) + "\n")
    assert (status, output) == (0, "right (totp); it is used up now\n")
    status, _, errors = place.otp("verify", "suzuki",
                                  stdin=door_codes.totp(secret) + "\n")
    assert status == 1 and "code-used-twice" in errors
    listed = place.otp("list", "suzuki")[1]
    assert re.search(r"^suzuki +phone +totp SHA1/6/30s +20\d\d-.*enrolled",
                     listed, re.M)
    assert door_codes.base32(secret) not in listed
    line = place.otp("list", "suzuki", "--json")[1]
    assert '"user":"suzuki"' in line and "secret" not in line
    status, output, errors = place.otp("unlock", "suzuki", "--reason", "called")
    assert (status, output) == (0, "unlocked\n"), errors


def test_remove_one_device_then_all(place):
    place.enroll("tanaka", device="phone")
    place.enroll("tanaka", device="card")
    assert place.otp("remove", "tanaka", "--device", "card", "--reason",
                     "lost")[0] == 0
    assert place.state("tanaka") == "enrolled"
    assert place.otp("remove", "tanaka", "--reason", "left")[0] == 0
    assert place.state("tanaka") == "none"
    assert place.otp("remove", "tanaka", "--reason", "again")[0] == 1


def test_new_recovery_codes_void_the_old_ones(place, tmp_path):
    place.enroll("sato")
    first, second = tmp_path / "first", tmp_path / "second"
    assert place.otp("recovery", "sato", "--output", first)[0] == 0
    assert place.otp("recovery", "sato", "--output", second)[0] == 0
    old, new = first.read_text().split()[0], second.read_text().split()[0]
    assert place.verify("sato", old)["verdict"] == "no"
    assert place.verify("sato", new)["verdict"] == "yes"


def test_users_serve_themselves_and_nobody_else(place):
    if os.geteuid() != 0:
        pytest.skip("takes root, to be somebody else")
    folder = pathlib.Path(place.folder)
    while str(folder) not in ("/", "/tmp"):
        os.chmod(folder, 0o711)
        folder = folder.parent
    user = pwd.getpwnam("games")
    # setpriv still starts what lies below /root
    enter = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}",
             "--clear-groups"]
    words = ["--socket", place.socket]
    with Talk([*enter, SEKISHO, "otp", "enroll", *words],
              {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "dumb"}, 20) \
            as terminal:
        secret = secret_in(terminal.expect(r"Secret[^\r\n]*\r?\n").group())
        terminal.answer("shows now", door_codes.totp(secret))
        assert terminal.end() == 0, terminal.all
    done = subprocess.run([*enter, SEKISHO, "otp", "list", *words],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "root's to ask" in done.stderr


# ---- Keys ------------------------------------------------------------------

def test_a_new_key_seals_everything_anew(tmp_path):
    with otp_place.place(tmp_path) as place:
        secrets = [place.enroll(f"user-{index}") for index in range(30)]
        before = pathlib.Path(place.otp_key).read_text()
        assert place.otp("key")[0] == 0
        after = pathlib.Path(place.otp_key).read_text()
        assert after.startswith(before) and len(after.splitlines()) == 2
        place.reload()
        otp_wait(lambda: "configuration reloaded" in place.messages())
        assert place.otp("rekey")[0] == 0
        # without the old key all of them still open
        place.stop()
        pathlib.Path(place.otp_key).write_text(after[len(before):])
        place.start()
        for index in (0, 29):
            assert place.verify(f"user-{index}",
                                door_codes.totp(secrets[index]))[
                                    "verdict"] == "yes"
        assert place.records("enrollment", action="rekey")
        assert place.records("enrollment", action="key")[-1]["key"] == "2"


def otp_wait(condition):

    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


# ---- Imports and exports ---------------------------------------------------

def take(place, source, path, *words):
    return place.otp("import", path, "--from", source, *words)


def test_a_file_of_google_authenticator_itself(place, tmp_path):
    program = shutil.which("google-authenticator")
    if program is None:
        pytest.skip("install the Debian package libpam-google-authenticator")
    path = tmp_path / ".google_authenticator"
    subprocess.run([program, "-t", "-d", "-f", "-r", "3", "-R", "30", "-w", "3",
                    "-q", "-s", path], check=True, stdout=subprocess.DEVNULL,
                   stdin=subprocess.DEVNULL)
    status, output, errors = take(place, "google-authenticator", path,
                                  "--user", "googler")
    assert (status, output) == (0, "1 imported, 0 left out, 0 failed\n"), errors
    assert "5 emergency scratch codes were not taken" in errors
    text = path.read_text().splitlines()[0]
    secret = base64.b32decode(text + "=" * (-len(text) % 8))
    assert place.verify("googler", door_codes.totp(secret))["verdict"] == "yes"
    assert take(place, "google-authenticator", path, "--user",
                "googler")[0] == 1


def test_a_counting_file_of_google_authenticator(place, tmp_path):
    secret = door_codes.new_secret()
    path = tmp_path / "ga"
    path.write_text(f"{door_codes.base32(secret)}\n\" HOTP_COUNTER 5\n"
                    "\" RATE_LIMIT 3 30\n12345678\n")
    # the owner of the file is the user, if nobody else is named
    assert take(place, "google-authenticator", path)[0] == 0
    owner = pwd.getpwuid(path.stat().st_uid).pw_name
    assert place.verify(owner, door_codes.hotp(secret, 4))["verdict"] == "no"
    assert place.verify(owner, door_codes.hotp(secret, 5))["factor"] == "hotp"


USERSFILE = """\
# made by hand
HOTP/T30/6\tkei\t-\t{0}
HOTP/T60/8\tai\t+\t{0}
HOTP/E/6\tjun\t-\t{0}\t3\t{1}\t2026-01-02T03:04:05L
HOTP\tnew\t-\t{0}
HOTP/T30/6\tshort\t-\t00ff
MOTP\tother\t-\t{0}
"""


def test_a_usersfile_of_pam_oath(place, tmp_path):
    secret = door_codes.new_secret()
    path = tmp_path / "users.oath"
    path.write_text(USERSFILE.format(secret.hex(),
                                     door_codes.hotp(secret, 3)))
    status, output, errors = take(place, "usersfile", path)
    assert (status, output) == (1, "4 imported, 2 left out, 0 failed\n"), errors
    assert f"{path}:6: short:" in errors and f"{path}:7:" in errors
    if shutil.which("oathtool"):
        code = subprocess.run(
            ["oathtool", "--totp", "-d", "8", "-s", "60", secret.hex()],
            capture_output=True, text=True, check=True).stdout.strip()
        assert place.verify("ai", code)["verdict"] == "yes"
    assert place.verify("kei", door_codes.totp(secret))["verdict"] == "yes"
    # the counter in the file is that of the code used last
    assert place.verify("jun", door_codes.hotp(secret, 3))["verdict"] == "no"
    assert place.verify("jun", door_codes.hotp(secret, 4))["verdict"] == "yes"
    assert place.verify("new", door_codes.hotp(secret, 0))["verdict"] == "yes"


# RFC 6030, figure 6.
ENCRYPTED = """<?xml version="1.0" encoding="UTF-8"?>
<KeyContainer Version="1.0" xmlns="urn:ietf:params:xml:ns:keyprov:pskc"
 xmlns:ds="http://www.w3.org/2000/09/xmldsig#"
 xmlns:xenc="http://www.w3.org/2001/04/xmlenc#">
<EncryptionKey><ds:KeyName>Pre-shared-key</ds:KeyName></EncryptionKey>
<MACMethod Algorithm="http://www.w3.org/2000/09/xmldsig#hmac-sha1"><MACKey>
<xenc:EncryptionMethod
 Algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"/>
<xenc:CipherData><xenc:CipherValue>
ESIzRFVmd4iZABEiM0RVZgKn6WjLaTC1sbeBMSvIhRejN9vJa2BOlSaMrR7I5wSX
</xenc:CipherValue></xenc:CipherData></MACKey></MACMethod>
<KeyPackage><DeviceInfo><Manufacturer>Manufacturer</Manufacturer>
<SerialNo>987654321</SerialNo></DeviceInfo>
<Key Id="12345678" Algorithm="urn:ietf:params:xml:ns:keyprov:pskc:hotp">
<Issuer>Issuer</Issuer>
<AlgorithmParameters><ResponseFormat Length="8" Encoding="DECIMAL"/>
</AlgorithmParameters>
<Data><Secret><EncryptedValue><xenc:EncryptionMethod
 Algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"/>
<xenc:CipherData><xenc:CipherValue>
AAECAwQFBgcICQoLDA0OD+cIHItlB3Wra1DUpxVvOx2lef1VmNPCMl8jwZqIUqGv
</xenc:CipherValue></xenc:CipherData></EncryptedValue>
<ValueMAC>{mac}</ValueMAC></Secret>
<Counter><PlainValue>0</PlainValue></Counter></Data>
</Key></KeyPackage></KeyContainer>
"""
MAC = "Su+NvtQfmvfJzF6bmQiJqoLRExc="


def test_pskc_under_a_key_as_in_the_rfc(place, tmp_path):
    path, key = tmp_path / "keys.xml", tmp_path / "key"
    path.write_text(ENCRYPTED.format(mac=MAC))
    key.write_text("12345678901234567890123456789012\n")
    status, _, errors = take(place, "pskc", path, "--user", "rfc")
    assert status == 1 and "--key-file" in errors
    status, output, errors = take(place, "pskc", path, "--user", "rfc",
                                  "--key-file", key)
    assert (status, output) == (0, "1 imported, 0 left out, 0 failed\n"), errors
    code = door_codes.hotp(b"12345678901234567890", 0, digits=8)
    assert place.verify("rfc", code)["verdict"] == "yes"
    assert "987654321" in place.otp("list", "rfc")[1]


def test_pskc_that_was_changed_or_has_another_key(place, tmp_path):
    path, key = tmp_path / "keys.xml", tmp_path / "key"
    key.write_text("12345678901234567890123456789012\n")
    for mac in (MAC.replace("S", "T"), ""):
        path.write_text(ENCRYPTED.format(mac=mac))
        status, _, errors = take(place, "pskc", path, "--user", "changed",
                                 "--key-file", key)
        assert status == 1 and "MAC" in errors, errors
    path.write_text(ENCRYPTED.format(mac=MAC))
    key.write_text("12345678901234567890123456789013\n")
    status, _, errors = take(place, "pskc", path, "--user", "changed",
                             "--key-file", key)
    assert status == 1 and "MAC" in errors
    assert place.state("changed") == "none"


def test_hostile_xml_is_refused(place, tmp_path):
    path = tmp_path / "keys.xml"
    path.write_text('<?xml version="1.0"?><!DOCTYPE k [<!ENTITY a SYSTEM '
                    '"file:///etc/passwd">]><KeyContainer>&a;</KeyContainer>')
    status, _, errors = take(place, "pskc", path)
    assert status == 2 and "document type" in errors
    path.write_text("no xml")
    assert take(place, "pskc", path)[0] == 2
    path.write_text("<other/>")
    assert take(place, "pskc", path)[0] == 2


@pytest.mark.parametrize("form, source", [("usersfile", "usersfile"),
                                          ("pskc", "pskc")])
def test_what_is_exported_can_be_imported(tmp_path, form, source):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    file = tmp_path / "devices"
    with otp_place.place(tmp_path / "a") as first, \
            otp_place.place(tmp_path / "b") as second:
        totp = first.enroll("one", digits=8, period=60)
        hotp = first.enroll("two", kind="hotp", counter=11)
        long = first.enroll("three", os.urandom(32), digest="SHA256")
        status, _, errors = first.otp("export", "--to", form, "--output", file)
        # a usersfile knows no other digest than SHA-1
        assert status == (1 if form == "usersfile" else 0), errors
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert take(second, source, file)[0] == 0
        assert second.verify("one", door_codes.totp(totp, 60, digits=8))[
            "verdict"] == "yes"
        assert second.verify("two", door_codes.hotp(hotp, 11))[
            "verdict"] == "yes"
        if form == "pskc":
            assert second.verify("three", door_codes.totp(
                long, digest="sha256"))["verdict"] == "yes"
        assert first.records("enrollment", action="export")


def test_export_as_uris(place):
    place.enroll("uri user")
    status, output, _ = place.otp("export", "uri user", "--to", "uri",
                                  "--force")
    assert status == 0 and output.startswith(
        "otpauth://totp/Aoba:uri%20user?secret=")
    assert place.otp("export", "--to", "uri")[0] == 2
