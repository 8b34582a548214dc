"""Certificates: a TLS client with the CA trusts the server by name, and nobody else."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from bulkhead.certificates import KeyPair, new_authority, new_server
from bulkhead.errors import InvalidValue

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime.now(UTC)  # OpenSSL has a clock of its own
DAY = timedelta(days=1)
NAME = "gateway.bh-acme-12345.svc.cluster.local"
AUTHORITY = new_authority("acme", now=NOW, lifetime=90 * DAY)
SERVER = new_server(AUTHORITY, [NAME], now=NOW, lifetime=30 * DAY)


def shake_hands(server: KeyPair, authority: KeyPair, name: str, folder: Path) -> None:
    """A whole handshake in memory, as strict as OpenSSL can be; SSLError if the client does not believe."""
    pem = folder / "server.pem"
    pem.write_text(server.certificate + server.key)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(pem)
    asking = ssl.create_default_context(cadata=authority.certificate)
    asking.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        asking.wrap_bio(to_client, to_server, server_hostname=name),
        serving.wrap_bio(to_server, to_client, server_side=True),
    ]
    for end in ends * 3:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue


def test_a_client_with_the_ca_trusts_the_server_by_its_name(tmp_path: Path) -> None:
    """The control of the refusals below, with OpenSSL's strict checks."""
    shake_hands(SERVER, AUTHORITY, NAME, tmp_path)


def test_a_client_refuses_another_name(tmp_path: Path) -> None:
    """One tenant's gateway must not pass for another's."""
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(SERVER, AUTHORITY, "gateway.bh-globex-54321.svc.cluster.local", tmp_path)


def test_a_client_refuses_another_ca_of_the_same_name(tmp_path: Path) -> None:
    """Trust is in a key, not in a name."""
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(SERVER, new_authority("acme", now=NOW, lifetime=DAY), NAME, tmp_path)


def test_a_server_signs_no_other_server(tmp_path: Path) -> None:
    """A leaked gateway key must not make certificates."""
    forged = new_server(SERVER, ["evil.example"], now=NOW, lifetime=DAY)

    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(forged, AUTHORITY, "evil.example", tmp_path)


def test_a_server_never_outlives_its_ca() -> None:
    """A client would stop to believe it in the middle of its life."""
    made = new_server(AUTHORITY, [NAME], now=NOW + 80 * DAY, lifetime=30 * DAY)

    assert AUTHORITY.ends_at == made.ends_at


def test_what_was_made_can_be_read_back() -> None:
    """Both halves live in Secrets between two reconciles."""
    read = KeyPair.parsed(SERVER.certificate, SERVER.key)

    assert (frozenset({NAME}), True, False) == (
        read.names(),
        read.is_signed_by(AUTHORITY),
        read.is_signed_by(new_authority("acme", now=NOW, lifetime=DAY)),
    )


@pytest.mark.parametrize(
    ("certificate", "key"),
    [("", ""), (SERVER.certificate, AUTHORITY.key), ("x", SERVER.key), (SERVER.certificate, "x")],
)
def test_halves_that_do_not_fit_are_refused_unquoted(certificate: str, key: str) -> None:
    """A server that starts with them would refuse every client; a key must not stand in an error."""
    with pytest.raises(InvalidValue) as caught:
        KeyPair.parsed(certificate, key)

    assert "PRIVATE" not in str(caught.value)


@pytest.mark.parametrize(("days", "expected"), [(0, False), (19, False), (20, True), (40, True)])
def test_a_certificate_is_old_when_a_third_is_left(days: int, expected: bool) -> None:  # noqa: FBT001
    """Renewed earlier it is noise, later it may end before everybody has the next."""
    assert expected is SERVER.is_old(NOW + days * DAY)


def test_a_key_does_not_show() -> None:
    """Records are printed by failing tests and logs."""
    assert "PRIVATE" not in repr(SERVER)
