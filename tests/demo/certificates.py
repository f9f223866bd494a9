"""Certificate authorities and certificates, by the openssl command."""

import os
import subprocess


def openssl(*arguments):
    done = subprocess.run(("openssl",) + arguments, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          check=False)
    if done.returncode != 0:
        raise RuntimeError("openssl %s failed:\n%s" % (
            " ".join(arguments), done.stderr.decode(errors="replace")))
    return done.stdout


KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Certificate:
    """Files NAME.pem and NAME.key in a folder."""

    def __init__(self, folder, name):
        self.name = name
        self.pem = os.path.join(folder, name + ".pem")
        self.key = os.path.join(folder, name + ".key")

    def pin(self):
        """SHA-256 of the certificate as the policy language writes it."""
        text = openssl("x509", "-in", self.pem, "-noout", "-fingerprint",
                       "-sha256").decode()
        return "sha256:" + text.split("=")[1].strip().replace(":", "").lower()

    def bundle(self, path, password):
        """Certificate and key for a browser (PKCS #12)."""
        openssl("pkcs12", "-export", "-in", self.pem, "-inkey", self.key,
                "-name", self.name, "-out", path, "-passout",
                "pass:" + password)


def self_signed(folder, name, subject):
    made = Certificate(folder, name)
    openssl("req", "-x509", *KEY, "-keyout", made.key, "-out", made.pem,
            "-days", "30", "-subj", subject)
    return made


class Authority(Certificate):
    def __init__(self, folder, name, subject):
        super().__init__(folder, name)
        self.folder = folder
        openssl("req", "-x509", *KEY, "-keyout", self.key, "-out", self.pem,
                "-days", "30", "-subj", subject,
                "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def issue(self, name, subject, names=None):
        """A client's certificate; with `names` a server's."""
        made = Certificate(self.folder, name)
        request = os.path.join(self.folder, name + ".csr")
        extensions = os.path.join(self.folder, name + ".ext")
        openssl("req", "-new", *KEY, "-keyout", made.key, "-out", request,
                "-subj", subject)
        with open(extensions, "w", encoding="utf-8") as out:
            # Strict checking (Python from 3.13 on) wants all of these.
            out.write("basicConstraints=critical,CA:FALSE\n"
                      "keyUsage=critical,digitalSignature\n"
                      "subjectKeyIdentifier=hash\n"
                      "authorityKeyIdentifier=keyid\n")
            if names:
                out.write("extendedKeyUsage=serverAuth\n"
                          "subjectAltName=%s\n" % names)
            else:
                out.write("extendedKeyUsage=clientAuth\n")
        openssl("x509", "-req", "-in", request, "-CA", self.pem, "-CAkey",
                self.key, "-CAcreateserial", "-days", "30", "-extfile",
                extensions, "-out", made.pem)
        os.unlink(request)
        os.unlink(extensions)
        return made
