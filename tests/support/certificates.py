"""Certificates with dates of one's own choice, which no authority's program gives out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)


def new_key() -> ec.EllipticCurvePrivateKey:
    """A key of the kind that every authority takes."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The key as a server's file holds it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def authority() -> tuple[bytes, bytes]:
    """A private authority that lives a day: its certificate and its key, in PEM."""
    key, now = new_key(), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "platform_core_test")])
    made = (
        _begun(name, name, key.public_key(), now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM), key_pem(key)


def issued(
    issuer_pem: bytes,
    issuer_key_pem: bytes,
    host: str,
    public_key: PublicKeyTypes,
    *,
    since: datetime,
    until: datetime,
) -> bytes:
    """A certificate in PEM of an authority for one host name, from one instant to another."""
    issuer, key = x509.load_pem_x509_certificate(issuer_pem), load_pem_private_key(issuer_key_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    return (
        _begun(subject, issuer.subject, public_key, since, until)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


def public_half(key_pem_: bytes) -> PublicKeyTypes:
    """The public key of a server's file."""
    key: PrivateKeyTypes = load_pem_private_key(key_pem_, None)
    return key.public_key()


def _begun(
    subject: x509.Name, issuer: x509.Name, key: PublicKeyTypes, since: datetime, until: datetime
) -> x509.CertificateBuilder:
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
    )
