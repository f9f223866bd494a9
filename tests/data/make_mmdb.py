#!/usr/bin/env python3
"""Writes a country database in MaxMind's DB format, for tests.

    make_mmdb.py FILE PREFIX=CODE…        203.0.113.0/24=JP 2001:db8::/32=US

Written after the format's public description (MaxMind DB File Format 2.0):
a binary search tree of 24-bit records, 16 zero bytes, the data, a marker, the
metadata.  Enough for libmaxminddb to read; one record, country.iso_code.
"""

import ipaddress
import struct
import sys

MARKER = b"\xab\xcd\xefMaxMind.com"
STRING, MAP, UINT16, UINT32, UINT64, ARRAY = 2, 7, 5, 6, 9, 11


def control(kind, size):
    assert size < 29
    if kind > 7:
        return bytes((size, kind - 7))
    return bytes((kind << 5 | size,))


def encode(value):
    if isinstance(value, str):
        data = value.encode()
        return control(STRING, len(data)) + data
    if isinstance(value, dict):
        return control(MAP, len(value)) + b"".join(
            encode(key) + encode(item) for key, item in value.items())
    if isinstance(value, list):
        return control(ARRAY, len(value)) + b"".join(map(encode, value))
    kind, number = value
    data = number.to_bytes(8, "big").lstrip(b"\0")
    return control(kind, len(data)) + data


def bits(prefix):
    """A prefix as a path in a tree for IPv6; IPv4 lies under ::/96."""
    network = ipaddress.ip_network(prefix)
    number, length = int(network.network_address), network.prefixlen
    if network.version == 4:
        length += 96
        number &= 0xffffffff
    return [number >> (127 - i) & 1 for i in range(length)]


def build(prefixes):
    """{"203.0.113.0/24": "JP"} -> the file's bytes."""
    data, offsets = b"", {}
    for code in sorted(set(prefixes.values())):
        offsets[code] = len(data)
        data += encode({"country": {"iso_code": code}})

    nodes = [[None, None]]
    # Shorter prefixes first: a longer one goes beneath.
    for prefix in sorted(prefixes, key=lambda text: len(bits(text))):
        path, node = bits(prefix), 0
        for bit in path[:-1]:
            below = nodes[node][bit]
            if not isinstance(below, int):
                nodes.append([below, below])
                nodes[node][bit] = below = len(nodes) - 1
            node = below
        nodes[node][path[-1]] = prefixes[prefix]

    def record(value):
        if value is None:
            number = len(nodes)
        elif isinstance(value, int):
            number = value
        else:
            number = len(nodes) + 16 + offsets[value]
        return number.to_bytes(3, "big")

    tree = b"".join(record(left) + record(right) for left, right in nodes)
    metadata = encode({
        "node_count": (UINT32, len(nodes)),
        "record_size": (UINT16, 24),
        "ip_version": (UINT16, 6),
        "database_type": "Test-Country",
        "languages": ["en"],
        "binary_format_major_version": (UINT16, 2),
        "binary_format_minor_version": (UINT16, 0),
        "build_epoch": (UINT64, 1790000000),
        "description": {"en": "made for a test"},
    })
    return tree + struct.pack("16x") + data + MARKER + metadata


def write(path, prefixes):
    with open(path, "wb") as out:
        out.write(build(prefixes))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    write(sys.argv[1], dict(word.split("=") for word in sys.argv[2:]))
