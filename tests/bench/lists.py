"""The same addresses as a policy, as `allow` lines, as `geo`, as a WAF's list.

Fixed seeds: every run measures the same lists.  The client's own prefix,
127.0.0.1, is the last of each, so it is the worst case for `allow` lines, which
nginx reads one by one; an average client costs half of what they add.
"""

import ipaddress
import random

CLIENT = "127.0.0.1/32"


def prefixes(count, seed=2026):
    """`count` distinct IPv4 prefixes of 16 to 32 bits, the client's last."""
    draw = random.Random(seed)
    found = {}
    while len(found) < count - 1:
        bits = draw.choice((16, 20, 22, 24, 24, 24, 26, 28, 29, 30, 32, 32))
        address = draw.randrange(16 << 24, 126 << 24)
        network = ipaddress.ip_network((address, bits), strict=False)
        found[str(network)] = None
    return [*found, CLIENT]


def policy(networks, facilities=100):
    """facilities.conf: the networks dealt out to facilities of equal size."""
    lines = ["timezone Asia/Tokyo;"]
    size = -(-len(networks) // facilities)
    for i in range(0, len(networks), size):
        lines.append(f"facility clinic-{i // size} {{")
        lines.append(f'    name "Clinic {i // size}";')
        lines.append("    hours mon-sun 00:00-24:00;")
        lines.append("    actions query view download;")
        for network in networks[i:i + size]:
            lines.append(f"    network {network};")
        lines.append("}")
    return "\n".join(lines) + "\n"


def allow(networks):
    return "".join(f"allow {n};\n" for n in networks) + "deny all;\n"


def geo(networks):
    return ("geo $listed {\n default 0;\n"
            + "".join(f" {n} 1;\n" for n in networks) + "}\n")


def modsecurity(list_path):
    """Rules that refuse whom the list does not name; no audit log."""
    return ("SecRuleEngine On\n"
            "SecRequestBodyAccess Off\n"
            "SecResponseBodyAccess Off\n"
            "SecAuditEngine Off\n"
            f'SecRule REMOTE_ADDR "!@ipMatchFromFile {list_path}" '
            '"id:1,phase:1,deny,status:403"\n')


def modsecurity_audit(log):
    """No rules but a record of each request, without bodies."""
    return ("SecRuleEngine On\n"
            "SecRequestBodyAccess Off\n"
            "SecResponseBodyAccess Off\n"
            "SecAuditEngine On\n"
            "SecAuditLogParts ABFHZ\n"
            "SecAuditLogType Serial\n"
            f"SecAuditLog {log}\n")
