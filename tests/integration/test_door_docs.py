"""docs/ssh.md and docs/desktop.md: their commands, in their order."""

import re

import pytest

import door_house
from door_house import TOP

PASSWORD = "Sesam, oeffne dich"
CODE = r"\) One-time code: $"
# What the doctor calls wrong at that point would be a wrong document.
SYSTEMCTL = "#!/bin/sh\necho \"$@\" >> /tmp/systemctl\n"


def commands(name):
    """The lines of the blocks marked `sh`."""
    text = (TOP / "docs" / name).read_text(encoding="utf-8")
    return [line for block in re.findall(r"```sh\n(.*?)```", text, re.S)
            for line in block.splitlines()]


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    door_house.need(sshd="openssh-server", ssh="openssh-client")
    house = door_house.build(tmp_path_factory.mktemp("docs") / "house")
    try:
        house.install()
        house.start_daemon()
        house.yamada = house.user("yamada", PASSWORD)
        # sshd_config of the package; reload is what the document asks for.
        house.write("/etc/ssh/sshd_config", door_house.SSHD_CONFIG.format(
            folder="/etc/ssh/sshd_config.d", port=22,
            key="/etc/ssh/ssh_host_ed25519_key"))
        for old in house.path("/etc/ssh/sshd_config.d").glob("*"):
            old.unlink()
        house.run("sh", "-c", "test -f /etc/ssh/ssh_host_ed25519_key || "
                  "ssh-keygen -q -t ed25519 -N '' "
                  "-f /etc/ssh/ssh_host_ed25519_key")
        house.write("/tmp/bin/systemctl", SYSTEMCTL, 0o755)
        yield house
    finally:
        house.close()


def follow(house, line):
    """As an administrator does: in the folder of the sources, by a shell."""
    if line.startswith("sekisho otp enroll"):
        with house.talk(*line.split()) as talk:
            talk.expect("now: $")
            secret = re.search(r"\nSecret +([A-Z2-7 ]+)\n", talk.all).group(1)
            house.yamada.take(secret.replace(" ", ""))
            talk.send(house.yamada.code())
            assert talk.end() == 0, talk.all
        return ""
    return house.run("sh", "-c", f"cd /mnt/top && {line}",
                     env={"PATH": f"/tmp/bin:{door_house.PATH}"})[1]


def login(house, code, *options):
    with house.ssh("yamada@127.0.0.1", "echo", "is-in",
                   options=options) as talk:
        talk.answer(r"\) Password: $", PASSWORD)
        talk.answer(CODE, code)
        return talk, talk.end()


def test_ssh_from_the_first_command_to_the_last(house):
    lines = commands("ssh.md")
    said = {}
    for line in lines:
        if line.startswith("sekisho audit search"):
            # Before it the document logs in, from another terminal.
            house.spawn("/usr/sbin/sshd", "-D", "-e", log="/var/log/sshd.22")
            door_house.wait_for(lambda: "Server listening" in house.read(
                "/var/log/sshd.22"), 15, "sshd")
            talk, status = login(house, house.yamada.code())
            assert status == 0 and "is-in" in talk.all
            house.last()
        said[line] = follow(house, line)
    assert house.read("/tmp/systemctl") == "reload ssh\n"
    assert "yamada" in said["sekisho audit search --user yamada --event "
                            "sign-in"]
    shown = re.search(r"```text\n(sshd\n.*?)```", (
        TOP / "docs/ssh.md").read_text(), re.S).group(1)
    assert shown in said["sekisho doctor pam --service sshd --service sudo "
                         "--service login"]


def test_emergency_code_opens_while_the_daemon_is_down(house):
    """Section 10; its use is on record once the daemon is back."""
    house.pam("sshd")
    codes = house.run("sh", "-c", "grep -oE "
                      "'[A-Za-z0-9]+(-[A-Za-z0-9]+){2,}' "
                      "/root/emergency-codes")[1].split()
    house.write("/etc/ssh/sshd_config.d/sekisho.conf", (
        door_house.EXAMPLES / "sshd/sekisho.conf").read_text())
    house.sshd("sekisho.conf", port=2200)
    house.stop_daemon()
    try:
        for code, opens in ((codes[-1], True), (codes[-1], False)):
            with house.ssh("yamada@127.0.0.1", "echo", "is-in",
                           port=2200) as talk:
                talk.answer(r"\) Password: $", PASSWORD)
                talk.answer(CODE, code)
                # Asked of everything that looks like one.
                talk.answer(r"\) Why is an emergency code used\? $",
                            "the daemon is down")
                assert (talk.end() == 0) == opens, talk.all
                assert ("is-in" in talk.all) == opens
    finally:
        house.start_daemon()
    used = house.recorded(user="yamada", note="the daemon is down",
                          seconds=15)
    assert used[0]["service"] == "sshd"


def test_desktop(house):
    said = [follow(house, line) for line in commands("desktop.md")]
    assert sum("nothing is wrong" in text for text in said) == 2
    assert any("allow" in text for text in said)
