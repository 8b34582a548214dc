"""X.509 for the one thing it is needed for here: servers that prove who they are to clients given one CA.

P-256 and SHA-256, which every TLS client of the last decade accepts (RFC 5480, RFC 5758). A CA signs servers
and nothing else: path length 0, its key may only sign certificates (RFC 5280 4.2.1.3, 4.2.1.9).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bulkhead.errors import InvalidValue

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["KeyPair", "certificates_in", "ends_at", "new_authority", "new_server"]

_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----\n.+?\n-----END CERTIFICATE-----\n", re.DOTALL)
_BACKDATED: Final = timedelta(minutes=5)  # nodes' clocks differ


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, both PEM; the key never shows."""

    certificate: str
    key: str = field(repr=False)

    @classmethod
    def parsed(cls, certificate: str, key: str) -> Self:
        """The pair if the key belongs to the certificate; InvalidValue, without quoting either, if not."""
        made = cls(certificate, key)
        try:
            fits = made._x509().public_key() == made._private().public_key()
        except ValueError as error:
            raise InvalidValue("certificate", "unreadable", "a PEM certificate and its key") from error
        if not fits:
            raise InvalidValue("certificate", "another key's", "a PEM certificate and its key")
        return made

    @property
    def ends_at(self) -> datetime:
        """Aware UTC; nobody believes it later."""
        return self._x509().not_valid_after_utc

    @property
    def began_at(self) -> datetime:
        """Aware UTC."""
        return self._x509().not_valid_before_utc

    def names(self) -> frozenset[str]:
        """The DNS names that it proves."""
        try:
            found = self._x509().extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            return frozenset()
        return frozenset(found.value.get_values_for_type(x509.DNSName))

    def is_signed_by(self, authority: KeyPair) -> bool:
        """Whether that CA, with that very key, made it."""
        try:
            self._x509().verify_directly_issued_by(authority._x509())
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def is_old(self, now: datetime) -> bool:
        """Two thirds of its life are over: time for the next, with a third left to get it everywhere."""
        return now >= self.began_at + (self.ends_at - self.began_at) * 2 / 3

    def _x509(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate.encode())

    def _private(self) -> ec.EllipticCurvePrivateKey:
        found = serialization.load_pem_private_key(self.key.encode(), password=None)
        if not isinstance(found, ec.EllipticCurvePrivateKey):
            raise ValueError("not an elliptic curve key")  # noqa: TRY004 - a value, not a programmer's type
        return found


def certificates_in(bundle: str) -> tuple[str, ...]:
    """Each certificate of a PEM bundle, in order; what is not a certificate is passed over."""
    return tuple(_PEM.findall(bundle))


def ends_at(certificate: str) -> datetime:
    """When nobody believes it any more, aware UTC; InvalidValue if it cannot be read."""
    try:
        return x509.load_pem_x509_certificate(certificate.encode()).not_valid_after_utc
    except ValueError as error:
        raise InvalidValue("certificate", "unreadable", "a PEM certificate") from error


def new_authority(name: str, *, now: datetime, lifetime: timedelta) -> KeyPair:
    """A CA of that common name (at most 64 characters), valid from five minutes ago."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    builder = (
        _builder(subject, subject, key, now, lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    return _signed(builder, key, key)


def new_server(
    authority: KeyPair, dns_names: Sequence[str], *, now: datetime, lifetime: timedelta
) -> KeyPair:
    """A server's certificate for those names; it never outlives its CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority._x509()  # noqa: SLF001 - the other half of this module
    left = authority.ends_at - now
    builder = (
        _builder(_name("bulkhead"), issuer.subject, key, now, min(lifetime, left))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(each) for each in sorted(dns_names)]), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority._private().public_key()),  # noqa: SLF001
            critical=False,
        )
    )
    return _signed(builder, key, authority._private())  # noqa: SLF001


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    moment = now.astimezone(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - _BACKDATED)
        .not_valid_after(moment + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _signed(
    builder: x509.CertificateBuilder, own: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey
) -> KeyPair:
    certificate = builder.sign(signer, hashes.SHA256())
    key = own.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM).decode(), key.decode())
