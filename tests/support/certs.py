"""Certificates of our own: an authority, and servers' certificates for this machine's loopback names."""

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support.parts import need
from support.process import run

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Authority:
    """A certificate authority in a folder.

    `ca` is its certificate (PEM), the file a client has to trust; `certificate` and `key` are a server's,
    issued by it for `names` and valid from and until so many days from now; `client_certificate` and `client_key`
    are those of a client, and with `wants_clients` its servers let in nobody without.
    """

    def __init__(
        self,
        folder: Path,
        *,
        names: tuple[str, ...] = LOOPBACK,
        days: tuple[int, int] = (-1, 1),
        wants_clients: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.wants_clients = wants_clients
        self.client_certificate = folder / "client.pem"
        self.client_key = folder / "client.key"
        self.ca = folder / "ca.pem"
        self.certificate = folder / "server.pem"
        self.key = folder / "server.key"
        authority_key = ec.generate_private_key(ec.SECP256R1())
        authority_name = _name("lading test authority")
        self.ca.write_bytes(
            _builder(authority_name, authority_key, authority_name, authority_key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(authority_key, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
        )
        usage = x509.oid.ExtendedKeyUsageOID
        for certificate_file, key_file, purpose in (
            (self.certificate, self.key, usage.SERVER_AUTH),
            (self.client_certificate, self.client_key, usage.CLIENT_AUTH),
        ):
            key = ec.generate_private_key(ec.SECP256R1())
            certificate_file.write_bytes(
                _builder(_name(names[0]), key, authority_name, authority_key, days)
                .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                .add_extension(_usage(signs_certificates=False), critical=True)
                .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
                .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
                .sign(authority_key, hashes.SHA256())
                .public_bytes(serialization.Encoding.PEM)
            )
            key_file.write_bytes(private_pem(key))

    def server_context(self) -> ssl.SSLContext:
        """What a server of this authority listens with. It speaks HTTP/1.1 only."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        context.set_alpn_protocols(["http/1.1"])
        if self.wants_clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca)
        return context

    def client_context(self) -> ssl.SSLContext:
        """What a client that trusts this authority, and no other, connects with."""
        return ssl.create_default_context(cafile=str(self.ca))


class SelfSigned(Authority):
    """A server whose certificate is made as Docker's documentation for registries says: signed by itself, for itself.

    What a client has to trust is the certificate itself. With `days` it is made without the documented command, which
    makes none that is out of date.
    """

    def __init__(self, folder: Path, *, names: tuple[str, ...] = LOOPBACK, days: tuple[int, int] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.wants_clients = False
        self.ca = self.certificate = folder / "domain.crt"
        self.key = folder / "domain.key"
        if days is not None:
            key = ec.generate_private_key(ec.SECP256R1())
            self.key.write_bytes(private_pem(key))
            self.certificate.write_bytes(
                _builder(_name(names[0]), key, _name(names[0]), key, days)
                .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
                .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
                .sign(key, hashes.SHA256())
                .public_bytes(serialization.Encoding.PEM)
            )
            return
        alternatives = ",".join(f"{'DNS' if name[0].isalpha() else 'IP'}:{name}" for name in names)
        run(
            [
                *(need("openssl"), "req", "-newkey", "rsa:2048", "-nodes", "-sha256", "-keyout", self.key),
                *("-addext", f"subjectAltName = {alternatives}", "-subj", f"/CN={names[0]}"),
                *("-x509", "-days", "365", "-out", self.certificate),
            ]
        )


def self_signed(key: ec.EllipticCurvePrivateKey, name: str) -> x509.Certificate:
    """A certificate that stands for itself, such as the one a token service signs with."""
    return (
        _builder(_name(name), key, _name(name), key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _builder(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    days: tuple[int, int] = (-1, 1),
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    begin, end = (now + datetime.timedelta(days=number) for number in days)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
