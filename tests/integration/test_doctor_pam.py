"""`sekisho doctor pam` over good and wrong stacks, without the doors."""

import pathlib
import shutil

import pytest

from tool import TOP, golden, sekisho  # noqa: F401 (fixture)

EXAMPLES = pathlib.Path(TOP) / "conf-examples"
DEBIAN = {
    "common-auth": """\
auth [success=1 default=ignore] pam_unix.so nullok
auth requisite pam_deny.so
auth required pam_permit.so
auth optional pam_cap.so
""",
    "common-account": """\
account [success=1 new_authtok_reqd=done default=ignore] pam_unix.so
account requisite pam_deny.so
account required pam_permit.so
""",
    "common-session": "session required pam_unix.so\n",
    "common-session-noninteractive": "session required pam_unix.so\n",
    "common-password": "password required pam_unix.so\n",
    "other": "auth required pam_deny.so\naccount required pam_deny.so\n",
}
OURS = "auth required pam_sekisho.so\n"


class Host:
    """A folder that looks like the root of a Debian host."""

    def __init__(self, tool):
        self.tool = tool
        self.root = tool.folder / "root"
        for folder in ("etc/pam.d", "etc/ssh/sshd_config.d", "lib/security"):
            (self.root / folder).mkdir(parents=True)
        (self.root / "lib/security/pam_sekisho.so").touch()
        for name, text in DEBIAN.items():
            self.service(name, text)

    def service(self, name, text):
        (self.root / "etc/pam.d" / name).write_text(text)

    def example(self, name, service=None):
        shutil.copy(EXAMPLES / "pam.d" / name,
                    self.root / "etc/pam.d" / (service or name))

    def sshd(self, text, snippet=None):
        (self.root / "etc/ssh/sshd_config").write_text(text)
        if snippet:
            shutil.copy(EXAMPLES / "sshd" / snippet,
                        self.root / "etc/ssh/sshd_config.d/sekisho.conf")

    def look(self, *arguments):
        return self.tool("doctor", "pam", "--root", self.root, *arguments)

    def auth(self, text):
        """The result for a service `door` of these auth rules."""
        self.service("door", text + "account required pam_permit.so\n")
        return self.look("--service", "door")


@pytest.fixture
def host(sekisho):  # noqa: F811
    return Host(sekisho)


DEBIAN_SSHD = "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n" \
              "KbdInteractiveAuthentication no\n"


def test_examples_are_good(host):
    for path in (EXAMPLES / "pam.d").iterdir():
        if path.name != "sshd-publickey":
            host.example(path.name)
    host.sshd(DEBIAN_SSHD, "sekisho.conf")
    result = host.look()
    assert result.returncode == 0, result.stdout
    golden("doctor_pam_examples.txt", result.stdout)


def test_key_and_code_is_good(host):
    host.example("sshd-publickey", "sshd")
    host.sshd(DEBIAN_SSHD, "sekisho-publickey.conf")
    result = host.look("--service", "sshd")
    assert result.returncode == 0, result.stdout
    golden("doctor_pam_publickey.txt", result.stdout)


def test_untouched_host_is_told_what_to_do(host):
    for name in ("sshd", "sudo"):
        host.service(name, "@include common-auth\n@include common-account\n")
    host.sshd(DEBIAN_SSHD)
    result = host.look()
    assert result.returncode == 1
    golden("doctor_pam_untouched.txt", result.stdout)


def test_sufficient_before_ours(host):
    result = host.auth("auth sufficient pam_fprintd.so\n"
                       "@include common-auth\n" + OURS)
    assert result.returncode == 1
    golden("doctor_pam_sufficient.txt", result.stdout)


def test_jump_over_ours_tells_the_included_line(host):
    host.service("common-auth", DEBIAN["common-auth"].replace(
        "success=1", "success=2").replace("auth required pam_permit.so\n", "")
        .replace("auth optional pam_cap.so\n", ""))
    result = host.auth("@include common-auth\n" + OURS
                       + "auth required pam_permit.so\n")
    assert result.returncode == 1
    golden("doctor_pam_jump.txt", result.stdout)


@pytest.mark.parametrize("control", [
    "optional", "[success=ok default=ignore]",
    "[success=ok auth_err=ignore default=bad]"])
def test_refusal_that_does_not_count(host, control):
    result = host.auth(f"@include common-auth\nauth {control} "
                       "pam_sekisho.so\n")
    assert result.returncode == 1
    assert "door:2" in result.stdout
    assert "lets people in whose code is wrong" in result.stdout
    assert 'cure: write "required"' in result.stdout


@pytest.mark.parametrize("control", [
    "required", "requisite", "[success=ok ignore=ignore default=die]",
    "[success=ok new_authtok_reqd=ok ignore=ignore default=bad]"])
def test_refusal_that_counts(host, control):
    result = host.auth(f"@include common-auth\nauth {control} "
                       "pam_sekisho.so\n")
    assert result.returncode == 0, result.stdout


def test_ours_sufficient_opens_by_a_code_alone(host):
    result = host.auth("auth sufficient pam_sekisho.so\n"
                       "@include common-auth\n")
    assert result.returncode == 1
    result = host.auth(OURS)
    assert result.returncode == 1
    assert "a code alone opens" in result.stdout


def test_done_in_a_substack_ends_only_that(host):
    host.service("inner", "auth sufficient pam_unix.so\n"
                          "auth required pam_deny.so\n")
    assert host.auth("auth substack inner\n" + OURS).returncode == 0
    result = host.auth("auth include inner\n" + OURS)
    assert result.returncode == 1
    assert "/etc/pam.d/inner:1: pam_unix.so (sufficient)" in result.stdout


def test_jump_counts_a_substack_as_one(host):
    host.service("inner", "auth required pam_unix.so\n"
                          "auth required pam_env.so\n")
    stack = "auth [success={} default=ignore] pam_localuser.so\n" \
            "auth substack inner\n" + OURS + "auth required pam_unix.so\n"
    assert host.auth(stack.format(1)).returncode == 0
    assert host.auth(stack.format(2)).returncode == 1


def test_jump_beyond_the_end_fails_and_so_opens_nothing(host):
    assert host.auth("auth required pam_unix.so\nauth [success=9 default=bad] "
                     "pam_env.so\n" + OURS).returncode == 0


def test_expired_password_must_not_pass_by_the_place(host):
    """`new_authtok_reqd=done` of Debian's common-account ends the stack."""
    host.service("door", "@include common-auth\n" + OURS
                 + "@include common-account\naccount required "
                   "pam_sekisho.so\n")
    result = host.look("--service", "door")
    assert result.returncode == 1
    golden("doctor_pam_expired.txt", result.stdout)


def test_root_is_let_pass_and_told(host):
    result = host.auth("auth sufficient pam_rootok.so\n"
                       "@include common-auth\n" + OURS)
    assert result.returncode == 0
    assert "NOTE" in result.stdout and "pam_rootok.so" in result.stdout


def test_service_without_rules_has_those_of_other(host):
    host.service("door", "account required pam_permit.so\n")
    host.service("other", OURS + "auth required pam_unix.so\n")
    result = host.look("--service", "door")
    assert result.returncode == 0, result.stdout
    assert "/etc/pam.d/other:1" in result.stdout


def test_line_in_common_auth_is_seen_in_every_service(host):
    host.service("common-auth", DEBIAN["common-auth"] + OURS)
    host.service("sudo", "@include common-auth\n")
    host.service("su", "auth sufficient pam_rootok.so\n@include common-auth\n")
    result = host.look()
    assert result.returncode == 0, result.stdout
    assert result.stdout.count("/etc/pam.d/common-auth:5") == 2


def test_module_that_is_not_installed(host):
    (host.root / "lib/security/pam_sekisho.so").unlink()
    result = host.auth("@include common-auth\n" + OURS)
    assert result.returncode == 1
    assert "pam_sekisho.so is not among PAM's modules" in result.stdout


def test_dash_hides_a_missing_module(host):
    result = host.auth("@include common-auth\n-" + OURS)
    assert result.returncode == 1
    assert 'cure: take the "-" away' in result.stdout


def test_one_prompt_comes_first(host):
    result = host.auth("@include common-auth\nauth required pam_sekisho.so "
                       "one-prompt\n")
    assert result.returncode == 1
    assert "/etc/pam.d/common-auth:1" in result.stdout


@pytest.mark.parametrize("rules, place", [
    ("auth recuired pam_unix.so\n", ":1: this control is none"),
    ("auth required\n", ":1: the rule ends"),
    ("auth [success=later] pam_unix.so\n", ":1: this control is none"),
    ("@include common-oath\n", 'is not there: "common-oath"'),
    ("auth include ../../passwd\n", "is not there:"),
    ("auth include door\n", "is not there:|too many files"),
    ("\\\n# c\nauhh required pam_unix.so\n", ":2: there is no such type|:3:"),
])
def test_broken_rules_are_told(host, rules, place):
    result = host.auth(rules + OURS)
    assert result.returncode == 1
    assert any(part in result.stdout for part in place.split("|")), \
        result.stdout


def test_continued_and_commented_lines(host):
    result = host.auth("auth [success=1 \\\n default=ignore] \\\n pam_unix.so "
                       "# why\nauth requisite pam_deny.so\n#auth x y\n" + OURS)
    assert result.returncode == 0, result.stdout
    assert "/etc/pam.d/door:6:" in result.stdout


@pytest.mark.parametrize("text, place", [
    ("UsePAM no\n", "sshd_config:1"),
    ("# UsePAM yes\n", "sshd_config"),
    ("UsePAM yes\nKbdInteractiveAuthentication no\n", "sshd_config:2"),
    ("UsePAM yes\nChallengeResponseAuthentication no\n", "sshd_config:2"),
    ("UsePAM yes\n", "sshd_config"),
    ("UsePAM yes\nAuthenticationMethods any\n", "sshd_config:2"),
    ("UsePAM yes\nAuthenticationMethods publickey keyboard-interactive\n",
     "sshd_config:2"),
    ("UsePAM yes\nAuthenticationMethods keyboard-interactive\n"
     "Match User backup\n  AuthenticationMethods publickey\n",
     "sshd_config:4"),
    ("UsePAM yes\nAuthenticationMethods keyboard-interactive\n"
     "Match Address 10.0.0.0/8\n  KbdInteractiveAuthentication no\n",
     "sshd_config:4"),
])
def test_sshd_that_comes_by_our_line(host, text, place):
    host.example("sshd")
    host.sshd(text)
    result = host.look("--service", "sshd")
    assert result.returncode == 1
    wrong = [line for line in result.stdout.splitlines() if "WRONG" in line]
    assert any(f"/etc/ssh/{place}: " in line for line in wrong), \
        result.stdout


def test_key_stack_with_the_password_settings(host):
    """The stack without a password, and sshd not asking for a key."""
    host.example("sshd-publickey", "sshd")
    host.sshd(DEBIAN_SSHD, "sekisho.conf")
    result = host.look("--service", "sshd")
    assert result.returncode == 1
    golden("doctor_pam_code_alone.txt", result.stdout)


def test_first_value_counts_and_other_service_name(host):
    host.service("gate", "@include common-auth\n" + OURS)
    host.sshd("UsePAM yes\nPAMServiceName gate\n"
              "AuthenticationMethods keyboard-interactive\n"
              "AuthenticationMethods any\nPasswordAuthentication no\n")
    result = host.look("--service", "sshd")
    assert result.returncode == 0, result.stdout
    assert result.stdout.startswith("gate\n")


def test_what_cannot_be_told_is_an_error(host):
    result = host.look("--service", "nothing")
    assert result.returncode == 2
    assert "nothing: No such file or directory" in result.stderr
    result = host.tool("doctor", "pam", "--root", host.tool.folder / "absent")
    assert result.returncode == 2
    assert "/etc/pam.d" in result.stderr


def test_names_cannot_act_on_the_terminal(host):
    host.service("door", "auth required pam_\x1b[31m.so\n" + OURS
                 + "auth sufficient pam_\x1b]0;x\x07.so\n")
    result = host.look("--service", "door")
    assert "\x1b" not in result.stdout + result.stderr
