"""A CA, a server and a bundle over the years: no client is ever left with nothing to believe."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bulkhead.certificates import KeyPair, certificates_in
from bulkhead.trust import AUTHORITY_LIFETIME, SERVER_LIFETIME, Trust, renewed

NOW = datetime(2026, 12, 1, tzinfo=UTC)
NAMES = ("issuer.ns", "issuer.ns.svc")


def at(trust: Trust | None, now: datetime, names: tuple[str, ...] = NAMES) -> Trust:
    return renewed(trust, name="test", dns_names=names, now=now)


def believes(bundle: str, server: KeyPair) -> bool:
    return any(server.is_signed_by(KeyPair(each, "")) for each in certificates_in(bundle))


FIRST = at(None, NOW)


def test_the_first_has_a_server_that_its_bundle_believes() -> None:
    """From nothing to something that serves, in one step."""
    assert (frozenset(NAMES), True) == (FIRST.server.names(), believes(FIRST.bundle, FIRST.server))


@pytest.mark.parametrize("share", [0, 0.3, 0.6])
def test_nothing_changes_while_nothing_is_due(share: float) -> None:
    """The same object: nothing is written."""
    assert at(FIRST, NOW + SERVER_LIFETIME * share) is FIRST


def test_a_server_is_renewed_under_the_same_ca() -> None:
    """Clients keep their bundle."""
    later = at(FIRST, NOW + SERVER_LIFETIME * 0.7)

    assert (FIRST.bundle, True, False) == (
        later.bundle,
        believes(FIRST.bundle, later.server),
        later.server == FIRST.server,
    )


def test_other_names_mean_another_server() -> None:
    """The cluster's domain was changed."""
    assert frozenset({"issuer.ns.svc.other"}) == at(FIRST, NOW, ("issuer.ns.svc.other",)).server.names()


def test_a_server_of_a_foreign_ca_is_replaced() -> None:
    """Somebody restored half of a backup."""
    mixed = replace(FIRST, server=at(None, NOW).server)

    assert believes(FIRST.bundle, at(mixed, NOW).server)


def test_clients_never_stop_to_believe_through_twelve_years() -> None:
    """A client that reads the bundle once a month meets only servers that it believes."""
    trust, now = FIRST, NOW
    bundle = trust.bundle
    authorities = {trust.authority.certificate}
    for day in range(0, 12 * 365, 5):
        now = NOW + timedelta(days=day)
        if day % 30 == 0:
            bundle = trust.bundle
        trust = at(trust, now)
        authorities.add(trust.authority.certificate)

        assert believes(bundle, trust.server)
        assert trust.server.ends_at > now

    assert len(authorities) == 2


def test_what_nobody_believes_any_more_leaves_the_bundle() -> None:
    """Else it would grow for ever."""
    later = at(FIRST, NOW + AUTHORITY_LIFETIME + timedelta(days=1))

    assert (1, False) == (len(certificates_in(later.bundle)), FIRST.authority.certificate in later.bundle)
