#!/usr/bin/env python3
"""Makes the corpus of fuzz_policy_image: policies, small, of every kind.

To be run after each change of the image's layout:
    make && tests/fuzz/make_policy_images.py
"""

import os
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CORPUS = os.path.join(TOP, "tests/fuzz/corpus/fuzz_policy_image")
AUTHORITY = """\
-----BEGIN CERTIFICATE-----
MIIBdjCCARugAwIBAgIUeBfX67q5+VzoAvqBpGEBJuI8s/swCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEZnV6ejAgFw0yNjExMjQwODAxMzFaGA8yMTI2MTAzMTA4MDEz
MVowDzENMAsGA1UEAwwEZnV6ejBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABEHN
R97sbVatOPpo8SABTKkaSRV6c52M51qnBq04ObOqBkV3ljhqFBR02nwmlk+8k9iv
cOEwyEkcDtOyEPp6hGyjUzBRMB0GA1UdDgQWBBTueLUMjUanvm9m6ZcPAiCBlV9p
QzAfBgNVHSMEGDAWgBTueLUMjUanvm9m6ZcPAiCBlV9pQzAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0kAMEYCIQCdelTOGHUKb0VLlly9r3gBDRwI+483iFlk
04n0hVBSAwIhAJUMYsHvLsosULklwjznT+FIIhcFB5RkX5yHWEzCIpzg
-----END CERTIFICATE-----
"""


def pin(digit):
    return "sha256:" + digit * 64


POLICIES = {
    "nobody": "timezone UTC;",
    "one": "facility a { network 203.0.113.0/28; }",
    "rules": f"""
        timezone Australia/Lord_Howe;
        facility a {{
            name "A"; contact "b"; network 203.0.113.0/28 2001:db8:10::/48;
            via 10.8.0.1 2001:db8::1; country JP KR; device required;
            certificate {pin("1")} {pin("2")}; device-ca authority.pem;
            hours mon-fri 08:00-19:00 22:00-06:00 sun 20:00-04:00;
            closed 2026-11-23 2026-12-29..2027-01-03; valid 2026-04-01..;
            users abe ito kato; services web ssh;
            actions query view download; off-hours second-factor;
            session idle 15m max 8h; mode dry-run;
        }}
        facility b {{ network 203.0.113.0/28; timezone UTC; users ito; }}""",
    "candidates": f"""
        facility open {{ network 10.0.0.0/8; }}
        facility a {{ network 10.0.0.0/8 ::1; device required;
                      certificate {pin("1")}; }}
        facility b {{ network 10.0.0.0/8 ::1; device required;
                      device-ca authority.pem; mode dry-run; }}
        facility any {{ network any; device required;
                        certificate {pin("3")}; }}
        facility away {{ network any; device required; certificate {pin("4")};
                         services web; mode dry-run; }}
        facility desk {{ network local; }}
        facility seat {{ network local; services web desktop; device required;
                         certificate {pin("5")}; }}""",
    # lines of IPv4 that hold their prefixes, and one that cannot
    "crowded4": "facility a { network 10.0.0.0/8 "
                + " ".join(f"10.0.{i}.0/24" for i in range(1, 41, 2))
                + "; }\nfacility b { network 192.0.2.1 192.0.2.128/25 "
                  "128.0.0.0/1 10.0.3.7; }",
    # networks, and hosts within one /64
    "crowded6": "facility a { network 2001:db8::/32 "
                + " ".join(f"2001:db8:{i:x}::/48" for i in range(1, 25, 2))
                + "; }\nfacility b { network 2001:db8:3:4::/64 "
                  "2001:db8:3:6::7; }\nfacility c { network 2001:db8:3:4::1 "
                  "2001:db8:3:4::8/125 2001:db8:3:5::7; }",
    # branches that tell in one step what all below them have in common
    "branches": "facility a { network 10.0.0.0/8 2001:db8::/32; }\n"
                "facility b { network "
                + " ".join(f"10.1.2.{i} 2001:db8:1:2{i:02x}::/64"
                           for i in range(1, 41, 2)) + "; }",
    "wide6": "facility a { network ::/1 8000::/3 fe80::/10 ffff::/16 "
             "2001:db8::1; }\nfacility b { network 2001:db8:: "
             "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff; }",
}


def main():
    os.makedirs(CORPUS, exist_ok=True)
    for old in os.listdir(CORPUS):
        os.unlink(os.path.join(CORPUS, old))
    with tempfile.TemporaryDirectory() as work:
        with open(os.path.join(work, "authority.pem"), "w") as file:
            file.write(AUTHORITY)
        for name, text in POLICIES.items():
            source = os.path.join(work, name + ".conf")
            image = os.path.join(work, name + ".img")
            with open(source, "w") as file:
                file.write(text + "\n")
            result = subprocess.run(
                [os.path.join(TOP, "build/bin/sekisho"), "policy", "apply",
                 source, "--image", image], text=True, check=False,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if result.returncode != 0:
                sys.exit(result.stdout)
            with open(image, "rb") as made, \
                    open(os.path.join(CORPUS, name), "wb") as kept:
                kept.write(made.read())
            print(name, os.path.getsize(image), "bytes")


if __name__ == "__main__":
    main()
