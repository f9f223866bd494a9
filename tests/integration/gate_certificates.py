"""Authorities, certificates and revocation lists for the gate's tests."""

import datetime
import hashlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


class Certificate:
    """A certificate with its key, in PEM files under `folder`."""

    def __init__(self, folder, name, issuer=None, authority=False,
                 start=-DAY, end=DAY, client=True, length=None):
        self.name, self.issuer = name, issuer or self
        self.key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.timezone.utc).replace(
            microsecond=0)
        self.subject = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.subject).issuer_name(self.issuer.subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + start).not_valid_after(now + end)
            .add_extension(x509.BasicConstraints(
                authority, length if authority else None), True))
        if not authority:
            usage = (ExtendedKeyUsageOID.CLIENT_AUTH if client
                     else ExtendedKeyUsageOID.SERVER_AUTH)
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([usage]), False)
        self.certificate = builder.sign(self.issuer.key, hashes.SHA256())
        self.pem = self.certificate.public_bytes(
            serialization.Encoding.PEM)
        self.sha256 = hashlib.sha256(self.certificate.public_bytes(
            serialization.Encoding.DER)).hexdigest()
        self.cert_file = folder / f"{name}.crt"
        self.key_file = folder / f"{name}.key"
        self.cert_file.write_bytes(self.pem)
        self.key_file.write_bytes(self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))

    def files(self, *intermediates):
        """(certificate file, key file), the chain after the leaf."""
        if not intermediates:
            return str(self.cert_file), str(self.key_file)
        names = "+".join(one.name for one in intermediates)
        bundle = self.cert_file.with_name(f"{self.name}+{names}.crt")
        bundle.write_bytes(self.pem + b"".join(one.pem
                                               for one in intermediates))
        return str(bundle), str(self.key_file)

    def revocation_list(self, path, *revoked):
        now = datetime.datetime.now(datetime.timezone.utc).replace(
            microsecond=0)
        builder = (x509.CertificateRevocationListBuilder()
                   .issuer_name(self.subject)
                   .last_update(now - DAY).next_update(now + DAY))
        for one in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(one.certificate.serial_number)
                .revocation_date(now - DAY).build())
        path.write_bytes(builder.sign(self.key, hashes.SHA256()).public_bytes(
            serialization.Encoding.PEM))


def bundle(path, *certificates):
    path.write_bytes(b"".join(one.pem for one in certificates))
    return path
