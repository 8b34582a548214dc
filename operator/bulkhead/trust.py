"""A CA, the server it vouches for, and what clients are given to believe it: one step at a time.

Clients are given a bundle and may read it rarely. So a new CA stands in the bundle for as long as the
server's certificate of that day lives, before it signs anything: when both are old, the server's goes first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from bulkhead.certificates import KeyPair, certificates_in, ends_at, new_authority, new_server

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

__all__ = ["AUTHORITY_LIFETIME", "SERVER_LIFETIME", "Trust", "renewed"]

AUTHORITY_LIFETIME: Final = timedelta(days=3650)
SERVER_LIFETIME: Final = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Trust:
    """What one server and its clients hold."""

    authority: KeyPair  # signs the server's next certificate
    bundle: str  # PEM certificates, newest first: what clients believe
    server: KeyPair


def renewed(trust: Trust | None, *, name: str, dns_names: Iterable[str], now: datetime) -> Trust:
    """The same object if nothing is due; `name`: the CA's common name, at most 64 characters."""
    wanted = frozenset(dns_names)
    if trust is None or trust.authority.ends_at <= now:
        authority = new_authority(name, now=now, lifetime=AUTHORITY_LIFETIME)
        bundle = authority.certificate + _living(trust.bundle if trust else "", now)
        return Trust(authority, bundle, _server(authority, wanted, now))
    found = trust
    if found.server.is_old(now) or found.server.names() != wanted or not _is_believed(found):
        found = replace(found, server=_server(found.authority, wanted, now))
    if found.authority.is_old(now):
        authority = new_authority(name, now=now, lifetime=AUTHORITY_LIFETIME)
        found = Trust(authority, authority.certificate + _living(found.bundle, now), found.server)
    return found


def _server(authority: KeyPair, dns_names: frozenset[str], now: datetime) -> KeyPair:
    return new_server(authority, sorted(dns_names), now=now, lifetime=SERVER_LIFETIME)


def _is_believed(trust: Trust) -> bool:
    """Whether a client with the bundle accepts the server's certificate."""
    return any(trust.server.is_signed_by(KeyPair(each, "")) for each in certificates_in(trust.bundle))


def _living(bundle: str, now: datetime) -> str:
    return "".join(each for each in certificates_in(bundle) if ends_at(each) > now)
