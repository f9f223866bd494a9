"""Codes as RFC 4226 and RFC 6238 have them, for tests: no code of ours."""

import base64
import hashlib
import hmac
import os
import struct
import time


def hotp(secret, counter, digits=6, digest="sha1"):
    mac = hmac.new(secret, struct.pack(">Q", counter),
                   getattr(hashlib, digest)).digest()
    offset = mac[-1] & 15
    number, = struct.unpack(">I", mac[offset:offset + 4])
    return str((number & 0x7fffffff) % 10 ** digits).zfill(digits)


def totp(secret, period=30, ahead=0, digits=6, digest="sha1", now=None):
    """The code of this moment, or of the step `ahead` of it."""
    now = time.time() if now is None else now
    return hotp(secret, int(now) // period + ahead, digits, digest)


def wrong(secret, period=30):
    """A code that is none of the steps that a daemon might look at."""
    near = {totp(secret, period, ahead) for ahead in range(-15, 16)}
    return next(f"{n:06}" for n in range(len(near) + 1)
                if f"{n:06}" not in near)


def base32(secret):
    return base64.b32encode(secret).decode().rstrip("=")


def new_secret():
    return os.urandom(20)
