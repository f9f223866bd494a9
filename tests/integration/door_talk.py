"""Talks to a program over a terminal, as a person would.

    talk = Talk(["ssh", "yamada@127.0.0.1"])
    talk.expect("assword:"); talk.send("…"); talk.end()
"""

import codecs
import contextlib
import os
import pty
import re
import select
import signal
import time

# Colours and the like, which are no part of what a person reads.
CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\r")


class Unexpected(AssertionError):
    """Something else, or nothing, came; the text is what came."""


class Talk:
    def __init__(self, command, env=None, seconds=15):
        self.command = command
        self.seconds = seconds
        self.all = ""   # all that came
        self.rest = ""  # what no expect() took yet
        self.status = None
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.execvpe(command[0], command,
                           {**os.environ, "TERM": "dumb", **(env or {})})
            finally:
                os._exit(127)

    def _read(self, seconds):
        """False at the end of what it says."""
        if not select.select([self.fd], [], [], max(0, seconds))[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # EIO: nobody has the other side open
            data = b""
        text = CONTROLS.sub("", self.decoder.decode(data))
        self.all += text
        self.rest += text
        return bool(data)

    def expect(self, pattern, seconds=None):
        """Waits for it; gives the match."""
        end = time.monotonic() + (seconds or self.seconds)
        going = True
        while True:
            found = re.search(pattern, self.rest, re.S)
            if found:
                self.rest = self.rest[found.end():]
                return found
            if not going or time.monotonic() > end:
                why = "it waited" if going else "it ended"
                raise Unexpected(f"no {pattern!r} ({why}); it said:\n"
                                 f"{self.all}")
            going = self._read(min(0.2, end - time.monotonic()))

    def send(self, line):
        os.write(self.fd, f"{line}\n".encode())

    def answer(self, pattern, line, seconds=None):
        found = self.expect(pattern, seconds)
        self.send(line)
        return found

    def end(self, seconds=None):
        """Waits until it ends; its exit status."""
        end = time.monotonic() + (seconds or self.seconds)
        while self.status is None:
            if time.monotonic() > end:
                self.close()
                raise Unexpected(f"it does not end; it said:\n{self.all}")
            self._read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                while self._read(0) and select.select([self.fd], [], [],
                                                      0)[0]:
                    pass
                self.status = os.waitstatus_to_exitcode(status)
        self.close()
        return self.status

    def close(self):
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid,
                                                               0)[1])
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
