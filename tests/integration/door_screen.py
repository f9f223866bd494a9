"""Screens of a house: X servers without a monitor, typed keys, pictures.

    screen = lightdm(house); screen.type("yamada\\n"); screen.picture()
"""

from door_house import wait_for

LIGHTDM = """\
[LightDM]
minimum-display-number=50
logind-check-graphical=false
log-directory=/var/log/lightdm
run-directory=/run/lightdm
cache-directory=/var/cache/lightdm
sessions-directory=/etc/door/sessions
greeters-directory=/usr/share/xgreeters:/usr/share/lightdm/greeters

[Seat:*]
xserver-command=/etc/door/xserver
greeter-session=lightdm-gtk-greeter
user-session=lightdm-xsession
session-wrapper=/usr/bin/env
greeter-hide-users=true
"""
GREETER = """\
[greeter]
indicators=~host;~spacer;~clock
clock-format=%H:%M
background=#24405a
theme-name=Adwaita
font-name=Sans 11
user-background=false
"""
XSERVER = """\
#!/bin/sh
# Keeps ":N" and "-auth FILE" of what lightdm asks for, and has no monitor.
display=:50
while [ $# -gt 0 ]; do
    case $1 in
    :*) display=$1 ;;
    -auth) shift; auth=$1 ;;
    esac
    shift
done
exec Xvfb "$display" -screen 0 1024x640x24 -noreset -auth "$auth" -nolisten tcp
"""
SESSION = """\
#!/bin/sh
# What a desktop would be: it stays, and can be asked whose it is.
id -un > "$HOME/session"
exec sleep 600
"""
DESKTOP = """\
[Desktop Entry]
Name=door
Exec=/etc/door/session
Type=Application
"""


class Screen:
    def __init__(self, house, display, authority=None):
        self.house = house
        self.display = display
        self.env = {"DISPLAY": display}
        if authority:
            self.env["XAUTHORITY"] = authority

    def run(self, *words, **options):
        return self.house.run(*words, env=self.env, **options)

    def type(self, text, key="Return"):
        """A person's keys: one after the other, then Return."""
        self.run("xdotool", "type", "--delay", "12", "--", text)
        self.run("xdotool", "key", key)

    def shows(self, name):
        """Whether a window of this class is there to be seen."""
        return self.run("xdotool", "search", "--onlyvisible", "--class", name,
                        check=False)[0] == 0

    def picture(self):
        """The screen as PNG."""
        self.run("import", "-silent", "-window", "root", "png:/tmp/screen.png")
        return self.house.path("/tmp/screen.png").read_bytes()

    def colours(self):
        """How many it has: one where nothing is drawn."""
        text = self.run("import", "-silent", "-window", "root",
                        "-format", "%k", "info:-")[1]
        return int(text.split()[-1])

    def settled(self, seconds=15):
        """Waits until two pictures, a moment apart, are the same and show
        something; the picture."""
        last = [b""]

        def same():
            before, last[0] = last[0], self.picture()
            return before == last[0]
        wait_for(same, seconds, "a screen that stands still")
        return last[0]


def xvfb(house, display=":60", user=None):
    """A bare X server for lockers; `user` is who may use it (and root)."""
    number = display.lstrip(":")
    house.path("/tmp/.X11-unix").mkdir(mode=0o1777, exist_ok=True)
    house.path("/tmp/.X11-unix").chmod(0o1777)
    house.spawn("Xvfb", display, "-screen", "0", "640x480x24", "-noreset",
                "-nolisten", "tcp", user=user, log=f"/var/log/xvfb{number}")
    wait_for(house.path(f"/tmp/.X11-unix/X{number}").is_socket, 15, "Xvfb")
    return Screen(house, display)


def lightdm(house):
    """Starts it with the GTK greeter; returns when that is shown."""
    house.path("/tmp/.X11-unix").mkdir(mode=0o1777, exist_ok=True)
    house.path("/tmp/.X11-unix").chmod(0o1777)
    house.write("/etc/door/lightdm.conf", LIGHTDM)
    house.write("/etc/lightdm/lightdm-gtk-greeter.conf", GREETER)
    house.write("/etc/door/xserver", XSERVER, 0o755)
    house.write("/etc/door/session", SESSION, 0o755)
    house.write("/etc/door/sessions/lightdm-xsession.desktop", DESKTOP)
    for folder in ("/var/lib/lightdm", "/var/lib/lightdm-data",
                   "/var/log/lightdm", "/var/cache/lightdm"):
        house.path(folder).mkdir(mode=0o750, exist_ok=True)
        house.run("chown", "lightdm:lightdm", folder)
    if not house.path("/etc/machine-id").exists():
        house.write("/etc/machine-id", "0123456789abcdef" * 2 + "\n")
    house.spawn("dbus-daemon", "--system", "--nofork", "--nopidfile",
                log="/var/log/dbus")
    wait_for(house.path("/run/dbus/system_bus_socket").is_socket, 10,
             "dbus-daemon")
    process = house.spawn("lightdm", "-c", "/etc/door/lightdm.conf",
                          log="/var/log/lightdm.out")
    try:
        wait_for(house.path("/tmp/.X11-unix/X50").is_socket, 20, "Xvfb")
        screen = Screen(house, ":50", "/run/lightdm/root/:50")
        wait_for(lambda: process.poll() is None
                 and screen.shows("lightdm-gtk-greeter"), 30, "the greeter")
    except AssertionError as error:
        logs = [house.read(f"/var/log/{name}") for name in (
            "lightdm.out", "lightdm/lightdm.log", "lightdm/x-50.log",
            "lightdm/seat0-greeter.log")
            if house.path(f"/var/log/{name}").exists()]
        raise AssertionError(f"{error}\n" + "\n".join(logs)) from None
    return screen
