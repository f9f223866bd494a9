"""Every example of docs/policy.md and of the man pages is run.

A fenced block's first line says what it is: `nginx file=NAME` is written to
NAME; `nginx rules` stands in a facility and has no errors; each line of
`nginx wrong` stands in one and has the error behind its #, each line of
`nginx wrong-file` is a file; `console` is run, and prints what is shown.
SEKISHO_GOLDEN=write puts into the page what the commands print now.
"""

import os
import re
import shutil
import subprocess

import pytest

from tool import BASE_ENV, PLAIN, TOP, VERSION, Tool

POLICY_MD = os.path.join(TOP, "docs", "policy.md")
MAN = os.path.join(TOP, "docs", "man")
FENCE = re.compile(r"^```(\S+)([^\n]*)\n(.*?)^```$", re.M | re.S)
HEAD = "timezone Asia/Tokyo;\nfacility f {\n    network 203.0.113.0/28;\n"


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def blocks(path=POLICY_MD):
    found = [(match[1], match[2].strip(), match[3])
             for match in FENCE.finditer(read(path))]
    assert found
    return found


def normal(text):
    """What differs from run to run and from machine to machine."""
    text = re.sub(r"\b(?!1{64}|2{64})[0-9a-f]{64}\b", "FINGERPRINT", text)
    text = VERSION.sub("VERSION", text)
    text = re.sub(r'"time":"[^"]*","user":[^,]*,"uid":\d+', '"time":…', text)
    text = re.sub(r'"file":"[^"]*/', '"file":"…/', text)
    return re.sub(r"from \d{4}-\S+ to \d{4}-[^\s,]+", "from … to …", text)


@pytest.fixture
def folder(tmp_path):
    os.makedirs(tmp_path / "bin")
    os.symlink(PLAIN, tmp_path / "bin/sekisho")
    os.makedirs(tmp_path / "here")
    return tmp_path / "here"


def shell(folder, command):
    path = f"{folder.parent / 'bin'}:{BASE_ENV['PATH']}"
    result = subprocess.run(
        ["bash", "-c", command], cwd=folder, env={**BASE_ENV, "PATH": path},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, check=False, timeout=60)
    return result.returncode, result.stdout.decode()


def test_the_terminal_shows_what_the_page_shows(folder):
    page, told = read(POLICY_MD), []
    for language, tag, text in blocks():
        if language == "nginx" and tag.startswith("file="):
            (folder / tag[5:]).write_text(text, encoding="utf-8")
        if language != "console":
            continue
        commands = re.findall(r"^\$ (.*)$", text, re.M)
        assert commands
        printed = "".join(f"$ {command}\n{shell(folder, command)[1]}"
                          for command in commands)
        if os.environ.get("SEKISHO_GOLDEN") == "write":
            page = page.replace(f"```console\n{text}```",
                                f"```console\n{printed}```")
        else:
            told.append((normal(text), normal(printed)))
    if os.environ.get("SEKISHO_GOLDEN") == "write":
        with open(POLICY_MD, "w", encoding="utf-8") as file:
            file.write(page)
    for shown, printed in told:
        assert printed == shown


def test_every_block_of_the_page_is_of_a_kind_that_is_run():
    for language, tag, _ in blocks():
        assert (language, tag.split("=")[0]) in {
            ("nginx", "file"), ("nginx", "rules"), ("nginx", "wrong"),
            ("nginx", "wrong-file"), ("console", "")}, (language, tag)


def check(folder, text):
    (folder / "t.conf").write_text(text, encoding="utf-8")
    return Tool(PLAIN, folder)("policy", "check", "t.conf")


def test_rules_shown_alone_are_right(folder):
    seen = 0
    for language, tag, text in blocks():
        if (language, tag) == ("nginx", "rules"):
            seen += 1
            result = check(folder, HEAD + text + "}\n")
            assert (result.returncode, result.stderr) == (0, ""), text
    assert seen >= 4


def wrong_lines(tag):
    for language, kind, text in blocks():
        if (language, kind) == ("nginx", tag):
            for line in text.splitlines():
                code, message = re.fullmatch(r"(.*?)\s+# (.*)", line).groups()
                yield pytest.param(code, message, id=code[:40])


@pytest.mark.parametrize("code, message", wrong_lines("wrong"))
def test_a_wrong_line_is_told_as_the_page_says(folder, code, message):
    result = check(folder, f"{HEAD}    {code}\n}}\n")
    assert message in result.stderr
    kind = "error" if result.returncode else "warning"
    assert f" {kind}: " in result.stderr


@pytest.mark.parametrize("code, message", wrong_lines("wrong-file"))
def test_a_wrong_file_is_told_as_the_page_says(folder, code, message):
    assert message in check(folder, code + "\n").stderr


def test_every_reason_of_a_refusal_is_in_the_page():
    names = read(os.path.join(TOP, "lib/policy/decide_names.c"))
    reasons = set(re.findall(r'\[POLICY_[A-Z_]+\] = "([a-z-]+)"', names.split(
        "POLICY_REASON_COUNT")[1].split("};")[0]))
    assert len(reasons) > 12
    # these come from the gate and from sign-in, not from the policy
    for reason in reasons - {"ok", "policy-missing", "audit-unavailable"}:
        assert f"`{reason}`" in read(POLICY_MD), reason


# ---- man pages -----------------------------------------------------------------

def literal_blocks(name):
    return re.findall(r"^```\n(.*?)^```$", read(os.path.join(MAN, name)),
                      re.M | re.S)


def test_the_examples_of_facilities_conf_5_are_right(folder):
    for name in ("aoba-ca.pem", "terminal.pem"):
        shell(folder, "openssl req -x509 -newkey ec -pkeyopt "
                      "ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=x "
                      f"-addext basicConstraints=CA:TRUE -keyout k -out {name}")
    examples = literal_blocks("facilities.conf.5.scd")
    assert examples
    for text in examples:
        result = check(folder, text.replace("/etc/sekisho/", ""))
        assert (result.returncode, result.stderr) == (0, ""), text


def test_the_commands_of_sekisho_1_run(folder):
    (folder / "facilities.conf").write_text(
        HEAD.replace("facility f", "facility aoba-clinic")
        + "    hours mon-fri 08:00-19:00;\n}\n")
    shell(folder, "openssl req -x509 -newkey ec -pkeyopt "
                  "ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=x "
                  "-keyout k -out terminal.pem")
    commands = [line for text in literal_blocks("sekisho.1.scd")
                for line in text.splitlines()]
    assert len(commands) >= 8
    for command in commands:
        command = command.replace("/etc/sekisho/", "").replace(
            "/var/lib/sekisho/", "")
        status, output = shell(folder, command)
        assert status in (0, 1), (command, output)
        assert "usage:" not in output and "sekisho policy" not in output


def test_options_and_man_page_name_the_same(folder):
    tool = Tool(PLAIN, folder)
    page = read(os.path.join(MAN, "sekisho.1.scd"))
    for command in ("policy check", "policy apply", "policy show",
                    "policy explain", "policy diff", "classify"):
        section = re.split(r"^##? ", page.split("# COMMANDS")[1], flags=re.M)
        section = [s for s in section if s.startswith(f"{command}")]
        assert len(section) == 1, command
        named = set(re.findall(r"--[a-z-]+", section[0].replace("\\", "")))
        options = set(re.findall(r"^  (--[a-z-]+)", tool(
            "help", *command.split()).stdout, re.M))
        assert options - {"--help"} <= named, command
        for option in named - options:
            # words about another command's options are not in its section
            assert option == "--help", (command, option)


def test_every_directive_is_in_facilities_conf_5(folder):
    message = check(folder, HEAD + "xyzzy;\n}\n").stderr
    names = re.search(r"a facility has (.*)", message).group(1).split()
    assert len(names) == 19
    page = read(os.path.join(MAN, "facilities.conf.5.scd")).replace("\\", "")
    for name in names + ["group", "calendar", "facility", "include", "timezone"]:
        assert re.search(rf"^\*{name}\*", page, re.M), name


@pytest.mark.parametrize("name", ["sekisho.1", "facilities.conf.5"])
def test_man_pages_are_well_formed(folder, name):
    for program, package in (("scdoc", "scdoc"), ("mandoc", "mandoc")):
        if shutil.which(program) is None:
            pytest.skip(f"needs the Debian package {package}")
    status, output = shell(
        folder, f"scdoc < {MAN}/{name}.scd > {name} && "
                f"mandoc -T lint -W error {name} && mandoc -T utf8 {name}")
    assert status == 0, output
    assert "NAME" in re.sub(".\b", "", output)  # bold is written twice
