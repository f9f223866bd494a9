"""Names and arguments made to harm: the terminal, the output, the program."""

import hashlib
import json
import os
import shutil
import subprocess

import pytest

from tool import golden, sekisho  # noqa: F401

# What the language lets through and a terminal should not get; the language
# itself refuses C0 and C1 controls and the directional characters, so these
# come as arguments, which may hold anything but NUL.
EVIL = "a\033]0;owned\a\033[2Jb\u202egnp.exe\u200b\u0085\x7f"
SAFE = ("a\\x1b]0;owned\\x07\\x1b[2Jb\\u{202e}gnp.exe\\u{200b}\\u{85}\\x7f")


def harmless(text):
    assert not [c for c in text if c != "\n" and not c.isprintable()
                and c != "\u3000"], repr(text)


@pytest.mark.parametrize("arguments", [
    ["policy", "explain", EVIL],
    ["policy", "explain", "::1", "--policy", EVIL],
    ["policy", "explain", "::1", "--at", EVIL],
    ["policy", "explain", "::1", "--certificate", EVIL],
    ["policy", "explain", "::1", "--geoip", EVIL],
    ["policy", "show", EVIL, "--policy", "f.conf"],
    ["policy", "check", EVIL],
    ["policy", "diff", EVIL, "f.conf"],
    ["policy", "apply", EVIL, "--image", "p.img"],
    ["policy", "apply", "f.conf", "--image", "no/" + EVIL],
    ["policy", "explain", "::1", "--" + EVIL],
    ["policy", EVIL],
    [EVIL],
    ["help", EVIL],
])
def test_arguments_cannot_act_on_the_terminal(sekisho, arguments):
    sekisho.write("f.conf", "timezone UTC;\nfacility f { network ::1; }\n")
    result = sekisho(*arguments)
    assert result.returncode == 2
    harmless(result.stdout)
    harmless(result.stderr)
    assert "owned" in result.stderr


def test_a_user_on_the_command_line_is_shown_safely(sekisho):
    sekisho.write("f.conf", "timezone UTC;\nfacility f { network ::1; users a; }\n")
    result = sekisho("policy", "explain", "::1", "--policy", "f.conf", "--user",
                     EVIL)
    assert result.returncode == 1
    harmless(result.stdout)
    assert SAFE in result.stdout
    document = json.loads(sekisho("policy", "explain", "::1", "--policy",
                                  "f.conf", "--json", "--user", EVIL).stdout)
    assert document["user"] == EVIL


def test_bytes_that_are_no_text(sekisho):
    sekisho.write("f.conf", "timezone UTC;\nfacility f { network ::1; users a; }\n")
    result = sekisho("policy", "explain", "::1", "--policy", "f.conf", "--user",
                     b"\xff\xfe\xc0\x80\xed\xa0\x80")
    assert "\\xff\\xfe\\xc0\\x80\\xed\\xa0\\x80" in result.stdout
    result = sekisho("policy", "explain", "::1", "--policy", "f.conf", "--user",
                     b"\xff", "--json")
    assert json.loads(result.stdout)["user"] == "\ufffd"


def test_a_latin1_terminal_gets_no_bytes_of_utf8(sekisho, tmp_path):
    """U+30DB is E3 83 9B: 9B alone would begin a control sequence there."""
    sekisho.write("f.conf", "timezone UTC;\nfacility f { name ホ; network ::1; }\n")
    if shutil.which("localedef") is None:
        pytest.skip("needs localedef, of the Debian package libc-bin")
    made = subprocess.run(["localedef", "-i", "en_US", "-f", "ISO-8859-1",
                           str(tmp_path / "en_US.ISO-8859-1")],
                          capture_output=True, check=False)
    if not (tmp_path / "en_US.ISO-8859-1").exists():
        pytest.skip(f"needs the Debian package locales: {made.stderr[:80]}")
    result = sekisho("policy", "show", "--policy", "f.conf",
                     env={"LOCPATH": str(tmp_path),
                          "LC_ALL": "en_US.ISO-8859-1"})
    assert result.returncode == 0
    assert "\\u{30db}" in result.stdout
    assert "ホ" not in result.stdout


@pytest.mark.parametrize("evil", ["\033[2J\033]0;x\a", "\u009b2J\u0085\u202e",
                                  "\x7f\r\n\t\b"])
def test_an_image_made_by_hand_cannot_act_on_the_terminal(sekisho, evil):
    """Sealed as it must be, with names that no policy text could have."""
    name = "n" * 16 + "m" * 16
    sekisho.write("f.conf", f"timezone UTC;\nfacility f {{ name {name}; "
                            f"contact {name}; network ::1; users {name}; }}\n")
    sekisho("policy", "apply", "f.conf", "--image", "p.img")
    image = (sekisho.folder / "p.img").read_bytes()
    assert name.encode() in image
    image = image.replace(name.encode(), evil.encode() + b"n"
                          * (32 - len(evil.encode())))
    seal = hashlib.sha256(image[:24] + image[56:]).digest()
    sekisho.write("q.img", image[:24] + seal + image[56:])
    sekisho.write("empty.conf", "timezone UTC;\nfacility f { network ::1; }\n")
    shown = 0
    for arguments in (["show"], ["show", "f"], ["show", "--full"],
                      ["explain", "::1"], ["show", "--json"]):
        result = sekisho("policy", *arguments, "--policy", "q.img")
        harmless(result.stdout)
        harmless(result.stderr)
        shown += result.returncode == 0
        if "--json" in arguments and result.returncode == 0:
            facility = json.loads(result.stdout)["facilities"][0]
            assert facility["name"].startswith(evil)
    result = sekisho("policy", "diff", "empty.conf", "q.img")
    harmless(result.stdout)
    # either no such image is opened, or every command shows it safely
    assert shown in (0, 5)


def test_long_names_are_cut_in_the_table_and_whole_elsewhere(sekisho):
    name = "長い名前の診療所" * 10  # 240 bytes, 160 columns
    sekisho.write("f.conf", f"timezone UTC;\nfacility {'i' * 64} {{ "
                            f"name {name}; network ::1; }}\n")
    table = sekisho("policy", "show", "--policy", "f.conf").stdout
    golden("show-long-names.txt", table)
    assert name in sekisho("policy", "show", "i" * 64, "--policy", "f.conf").stdout
    explained = sekisho("policy", "explain", "::1", "--policy", "f.conf").stdout
    assert name in explained


def test_very_long_arguments(sekisho):
    long = "x" * 100000
    for arguments in (["policy", "explain", long],
                      ["policy", "explain", "::1", "--" + long],
                      ["policy", "check", long], [long],
                      ["policy", "explain", "::1", "--at", long],
                      ["policy", "explain", "::1", "--certificate",
                       "sha256:" + long]):
        result = sekisho(*arguments)
        assert result.returncode == 2
        assert result.stdout == ""


def test_a_policy_text_with_escapes_in_its_errors(sekisho):
    sekisho.write("f.conf", b"facility f { network \"\033[2J\"; }\n")
    result = sekisho("policy", "check", "f.conf")
    assert result.returncode == 2
    harmless(result.stderr)


def test_a_fifo_in_the_place_of_a_policy_does_not_hang(sekisho):
    os.mkfifo(sekisho.folder / "pipe")
    for arguments in (["policy", "check", "pipe"],
                      ["policy", "show", "--policy", "pipe"],
                      ["policy", "explain", "::1", "--certificate", "pipe"]):
        assert sekisho(*arguments).returncode == 2


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 255, 256, 257, 4096])
def test_images_of_noise(sekisho, size):
    sekisho.write("x", (b"SEKISHO\n" + bytes(range(256)) * 16)[:size])
    for arguments in (["policy", "show", "--policy", "x"],
                      ["policy", "explain", "::1", "--policy", "x"],
                      ["policy", "diff", "x", "x"]):
        result = sekisho(*arguments)
        assert result.returncode in ((2,) if size else (0, 1, 2))
