"""The first process of a house (door_house.py): its mounts, then reaping.

    unshare -m -p -n -u -f --mount-proc python3 door_init.py FOLDER TREE

Inside, /etc and PAM's modules are copies, /run, /tmp, /home, /var/lib, /var/log
and /var/cache are new and empty, the source tree is at /mnt/top.  When standard
input ends, so does everything in here: the kernel sees to it, as this is the
namespace's first process.
"""

import glob
import os
import select
import shutil
import socket
import subprocess
import sys

# Made of nothing: folder in the house -> mode.
NEW = {"/run": 0o755, "/tmp": 0o1777, "/home": 0o755, "/root": 0o700,
       "/var/lib": 0o755, "/var/log": 0o755, "/var/cache": 0o755,
       "/var/tmp": 0o1777, "/dev/shm": 0o1777}
INSIDE = {"/run/sshd": 0o755, "/run/lock": 0o1777, "/run/dbus": 0o755,
          "/var/lib/pam": 0o755, "/var/lib/xkb": 0o755,
          "/var/lib/dbus": 0o755, "/run/user": 0o755}


def run(*command):
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def modules():
    """PAM's folder of modules on this machine."""
    found = glob.glob("/usr/lib/*/security/pam_unix.so") \
        + glob.glob("/lib/*/security/pam_unix.so") \
        + glob.glob("/usr/lib/security/pam_unix.so")
    return os.path.dirname(os.path.realpath(found[0]))


def furnish(folder, top):
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "tmpfs", "-o", "mode=755", "none", folder)
    os.mkdir(f"{folder}/top")
    run("mount", "--bind", top, f"{folder}/top")
    security = modules()
    for name, source in (("etc", "/etc"), ("security", security)):
        run("cp", "-a", source, f"{folder}/{name}")
    # /mnt holds it all from here on: the tree may lie below /tmp.
    run("mount", "--rbind", folder, "/mnt")
    run("mount", "--bind", "/mnt/etc", "/etc")
    run("mount", "--bind", "/mnt/security", security)
    for path, mode in NEW.items():
        os.makedirs(path, exist_ok=True)
        run("mount", "-t", "tmpfs", "-o", f"mode={mode:o}", "none", path)
    for path, mode in INSIDE.items():
        os.makedirs(path, exist_ok=True)
        os.chmod(path, mode)
    socket.sethostname("gate")
    run("ip", "link", "set", "lo", "up") if shutil.which("ip") else loopback()


def loopback():
    """`ip link set lo up`, without iproute2: SIOCSIFFLAGS of netdevice(7)."""
    import fcntl
    import struct
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, 0x8914, struct.pack("16sH22x", b"lo", 0x1 | 0x40))


def main():
    furnish(sys.argv[1], sys.argv[2])
    os.chdir("/")   # where who enters is, too
    print("ready", flush=True)
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN | select.POLLHUP)
    while True:
        if poll.poll(200) and not os.read(sys.stdin.fileno(), 64):
            return
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass


if __name__ == "__main__":
    main()
