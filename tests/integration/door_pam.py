"""Conversations with PAM as sshd has them, through libpam itself.

    door_pam.py SERVICE USER COUNT   and one line of JSON on standard input:
    {"password": …, "code": …, "rhost": …}

COUNT processes begin pam_authenticate(); each waits in its conversation until
all have been asked for the code.  Then it prints "asked", and when a line comes all
answer at the same instant; PAM's codes are printed as a JSON list.
"""

import ctypes
import ctypes.util
import json
import multiprocessing
import sys

SUCCESS, CONV_ERR = 0, 19
ECHO_OFF, ECHO_ON = 1, 2
RHOST, TTY = 4, 3


class Message(ctypes.Structure):
    _fields_ = [("style", ctypes.c_int), ("text", ctypes.c_char_p)]


class Response(ctypes.Structure):
    _fields_ = [("text", ctypes.c_void_p), ("code", ctypes.c_int)]


CONVERSE = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.POINTER(Message)),
    ctypes.POINTER(ctypes.POINTER(Response)), ctypes.c_void_p)


class Conversation(ctypes.Structure):
    _fields_ = [("converse", CONVERSE), ("data", ctypes.c_void_p)]


libc = ctypes.CDLL(None)
libc.calloc.restype = ctypes.c_void_p
libc.calloc.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
libc.strdup.restype = ctypes.c_void_p
libc.strdup.argtypes = [ctypes.c_char_p]
libpam = ctypes.CDLL("libpam.so.0")
libpam.pam_end.argtypes = [ctypes.c_void_p, ctypes.c_int]
libpam.pam_set_item.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p]
libpam.pam_start.argtypes = [ctypes.c_char_p, ctypes.c_char_p,
                             ctypes.POINTER(Conversation),
                             ctypes.POINTER(ctypes.c_void_p)]
for function in ("pam_authenticate", "pam_acct_mgmt", "pam_setcred",
                 "pam_open_session", "pam_close_session", "pam_chauthtok"):
    getattr(libpam, function).argtypes = [ctypes.c_void_p, ctypes.c_int]


class Pam:
    """One PAM transaction; `answer(style, prompt)` gives each answer."""

    def __init__(self, service, user, answer, rhost=None, tty=None):
        self.shown = []
        self.answer = answer
        self.handle = ctypes.c_void_p()
        # kept: libpam has no reference that Python would see
        self.conversation = Conversation(CONVERSE(self._converse), None)
        self.check(libpam.pam_start(
            service.encode(), user.encode() if user else None,
            ctypes.byref(self.conversation), ctypes.byref(self.handle)))
        for item, value in ((RHOST, rhost), (TTY, tty)):
            if value:
                self.check(libpam.pam_set_item(self.handle, item,
                                               value.encode()))

    @staticmethod
    def check(code):
        if code != SUCCESS:
            raise OSError(f"PAM: {code}")

    def _converse(self, count, messages, responses, _data):
        array = libc.calloc(count, ctypes.sizeof(Response))
        found = ctypes.cast(array, ctypes.POINTER(Response))
        for i in range(count):
            message = messages[i].contents
            text = (message.text or b"").decode(errors="replace")
            self.shown.append((message.style, text))
            if message.style in (ECHO_OFF, ECHO_ON):
                answer = self.answer(message.style, text)
                if answer is None:
                    return CONV_ERR
                found[i].text = libc.strdup(answer.encode())
        responses[0] = found
        return SUCCESS

    def authenticate(self):
        return libpam.pam_authenticate(self.handle, 0)

    def account(self):
        return libpam.pam_acct_mgmt(self.handle, 0)

    def end(self, status=SUCCESS):
        libpam.pam_end(self.handle, status)


def one(service, user, words, asked, go, results):
    def answer(style, _prompt):
        if style == ECHO_OFF:
            return words["password"]
        asked.release()
        go.wait()
        return words["code"]
    pam = Pam(service, user, answer, rhost=words.get("rhost", "127.0.0.1"),
              tty="ssh")
    status = pam.authenticate()
    pam.end(status)
    results.put(status)


def main():
    service, user, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    words = json.loads(sys.stdin.readline())
    context = multiprocessing.get_context("fork")
    asked, go = context.Semaphore(0), context.Event()
    results = context.Queue()
    children = [context.Process(target=one, args=(service, user, words, asked,
                                                  go, results))
                for _ in range(count)]
    for child in children:
        child.start()
    for _ in range(count):
        if not asked.acquire(timeout=120):
            raise TimeoutError("not all were asked for a code")
    print("asked", flush=True)
    sys.stdin.readline()
    go.set()
    print(json.dumps([results.get(timeout=120) for _ in range(count)]),
          flush=True)
    for child in children:
        child.join()


if __name__ == "__main__":
    main()
