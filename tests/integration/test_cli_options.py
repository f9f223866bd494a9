"""Options, help, exit status and output of `sekisho`, whatever the command."""

import os
import pty
import re
import subprocess

import pytest

from tool import BASE_ENV, POLICY, TOP, golden, sekisho  # noqa: F401

COMMANDS = ["policy check", "policy apply", "policy show", "policy explain",
            "policy diff", "classify"]


def test_version_is_that_of_the_changelog(sekisho):
    with open(os.path.join(TOP, "CHANGELOG.md"), encoding="utf-8") as file:
        version = re.search(r"^## (\S+)", file.read(), re.M).group(1)
    result = sekisho("--version")
    assert (result.returncode, result.stdout) == (0, f"sekisho {version}\n")


def test_help_lists_every_command(sekisho):
    for arguments in (["--help"], ["-h"], ["help"], ["help", "help"]):
        result = sekisho(*arguments)
        assert result.returncode == 0
        for command in COMMANDS:
            assert f"\n  {command} " in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_is_one_text_in_all_its_forms(sekisho, command):
    words = command.split()
    first = sekisho(*words, "--help")
    assert first.returncode == 0
    assert first.stdout.startswith(f"usage: sekisho {command}")
    assert max(map(len, first.stdout.splitlines())) <= 80
    assert sekisho("help", *words).stdout == first.stdout
    assert sekisho(*words, "-h").stdout == first.stdout


@pytest.mark.parametrize("command", COMMANDS[:5])
def test_help_as_it_was(sekisho, command):
    golden(f"help-{command.replace(' ', '-')}.txt",
           sekisho("help", *command.split()).stdout)


def test_help_of_the_group_lists_its_commands(sekisho):
    for arguments in (["policy", "--help"], ["help", "policy"]):
        result = sekisho(*arguments)
        assert result.returncode == 0
        for command in COMMANDS[:5]:
            assert f"\n  {command.split()[1]} " in result.stdout


def test_help_wins_over_what_else_is_wrong(sekisho):
    result = sekisho("policy", "explain", "--nonsense", "--help")
    assert result.returncode == 0
    assert result.stdout.startswith("usage: sekisho policy explain")


def test_nothing_asked_is_an_error_with_the_list(sekisho):
    result = sekisho()
    assert result.returncode == 2
    assert result.stdout == ""
    assert "policy explain" in result.stderr
    result = sekisho("policy")
    assert result.returncode == 2
    assert "  explain" in result.stderr


@pytest.mark.parametrize("arguments, message", [
    (["polcy"], 'unknown command "polcy"; did you mean "policy"?'),
    (["xyzzy"], 'unknown command "xyzzy"'),
    (["policy", "explian"], 'unknown command "explian"; did you mean "explain"?'),
    (["policy", "check", "--hepl"], 'unknown option "--hepl"; did you mean "--help"?'),
    (["policy", "explain", "::1", "--usr", "x"],
     'unknown option "--usr"; did you mean "--user"?'),
    (["policy", "explain", "::1", "--usr=x"],
     'unknown option "--usr"; did you mean "--user"?'),
    (["policy", "explain", "::1", "-x"], 'unknown option "-x"'),
    (["policy", "explain", "::1", "--user"], "--user needs a value: NAME"),
    (["policy", "explain", "::1", "--json=1"], "--json takes no value"),
    (["policy", "explain", "::1", "--json", "--json"], "--json is given twice"),
    (["policy", "explain"], "an argument is missing: ADDRESS"),
    (["policy", "explain", "::1", "::2"], 'one argument too many: "::2"'),
    (["policy", "diff", "a"], "an argument is missing: OLD NEW"),
    (["policy", "check"], "an argument is missing: FILE"),
    (["help", "policy", "check", "more"], 'one argument too many: "more"'),
    (["help", "polcy"], 'unknown command "polcy"; did you mean "policy"?'),
])
def test_what_is_wrong_with_a_line_is_told_shortly(sekisho, arguments, message):
    result = sekisho(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert message in result.stderr
    assert len(result.stderr.splitlines()) <= 3


def test_usage_names_the_way_to_help(sekisho):
    result = sekisho("policy", "check")
    assert "usage: sekisho policy check FILE" in result.stderr
    assert 'See "sekisho policy check --help".' in result.stderr


def test_a_file_whose_name_begins_with_a_dash(sekisho):
    sekisho.write("-f.conf", POLICY)
    assert sekisho("policy", "check", "-f.conf").returncode == 2
    result = sekisho("policy", "check", "--", "-f.conf")
    assert (result.returncode, result.stdout) == (
        0, "-f.conf: 5 facilities, 4 networks, no errors\n")


def test_option_values_after_an_equals_sign(sekisho):
    sekisho.write("f.conf", POLICY)
    result = sekisho("policy", "explain", "203.0.113.1", "--policy=f.conf",
                     "--at=2048-12-01T10:00", "--user=yamada")
    assert result.returncode == 0
    assert "user yamada" in result.stdout


# ---- Output that cannot be written -----------------------------------------

@pytest.fixture
def policy(sekisho):
    return sekisho.write("f.conf", POLICY)


QUERIES = [
    ["--help"], ["--version"], ["policy", "check", "f.conf"],
    ["policy", "show", "--policy", "f.conf"],
    ["policy", "show", "--policy", "f.conf", "--json"],
    ["policy", "explain", "203.0.113.1", "--policy", "f.conf"],
    ["policy", "diff", "f.conf", "f.conf", "--json"],
]


@pytest.mark.parametrize("arguments", QUERIES)
def test_a_full_disk_is_told(sekisho, policy, arguments):
    with open("/dev/full", "wb") as full:
        result = sekisho(*arguments, stdout=full)
    assert result.returncode == 2
    assert "the output could not be written: No space left" in result.stderr


@pytest.mark.parametrize("arguments", QUERIES)
def test_a_closed_pipe_is_told(sekisho, policy, arguments):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = sekisho(*arguments, stdout=writer)
    finally:
        os.close(writer)
    assert result.returncode == 2
    assert "the output could not be written: Broken pipe" in result.stderr


def test_a_closed_output_is_told_and_no_file_takes_its_place(sekisho, policy):
    command = f'exec "{sekisho.program}" policy apply f.conf --image p.img >&-'
    result = subprocess.run(["sh", "-c", command], cwd=sekisho.folder,
                            env=BASE_ENV, stderr=subprocess.PIPE, check=False)
    assert result.returncode == 2
    assert b"could not be written" in result.stderr
    assert (sekisho.folder / "p.img").read_bytes().startswith(b"SEKISHO\n")
    history = (sekisho.folder / "p.img.history").read_text()
    assert history.startswith('{"time":') and history.count("\n") == 1


# ---- Colours and characters ---------------------------------------------------

def on_terminal(sekisho, *arguments, env=None):
    """What a terminal would get."""
    primary, secondary = pty.openpty()
    try:
        process = subprocess.Popen(
            [sekisho.program, *arguments], cwd=sekisho.folder, stdin=secondary,
            stdout=secondary, stderr=subprocess.PIPE,
            env={**BASE_ENV, "TERM": "xterm", **(env or {})})
        os.close(secondary)
        secondary = None
        output = b""
        while True:
            try:
                data = os.read(primary, 65536)
            except OSError:
                break
            if not data:
                break
            output += data
        process.communicate()
        return output.decode().replace("\r\n", "\n")
    finally:
        os.close(primary)
        if secondary is not None:
            os.close(secondary)


DENIED = ["policy", "explain", "8.8.8.8", "--policy", "f.conf"]


def test_colours_on_a_terminal(sekisho, policy):
    assert "\033[31m✗ \033[0m" in on_terminal(sekisho, *DENIED)


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colours_where_they_are_not_wanted(sekisho, policy, env):
    output = on_terminal(sekisho, *DENIED, env=env)
    assert "✗" in output and "\033" not in output


def test_an_empty_no_color_says_nothing(sekisho, policy):
    assert "\033[" in on_terminal(sekisho, *DENIED, env={"NO_COLOR": ""})


def test_no_colours_in_a_file(sekisho, policy):
    assert "\033" not in sekisho(*DENIED, env={"TERM": "xterm"}).stdout


def test_ascii_marks_where_the_locale_is_not_utf8(sekisho, policy):
    output = sekisho(*DENIED, env={"LC_ALL": "C"}).stdout
    assert "  network    NO no facility's network; it comes from " in output
    assert output.isascii()


def test_names_stay_readable_in_the_c_locale(sekisho, policy):
    output = sekisho("policy", "show", "--policy", "f.conf",
                     env={"LC_ALL": "C"}).stdout
    assert "当直室" in output
