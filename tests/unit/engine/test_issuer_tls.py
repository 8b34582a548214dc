"""The issuer's certificate: there at once, renewed in time, never half made."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

import pytest

from bulkhead import names
from bulkhead.certificates import KeyPair, certificates_in
from bulkhead.engine.issuer_tls import IssuerTls
from bulkhead.errors import Conflict, Unavailable

if TYPE_CHECKING:
    from tests.unit.engine.conftest import Engine

    from bulkhead.kube.client import KubeClient

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

NAMESPACE = "bulkhead-system"


class Scene:
    """A keeper with a clock of its own: certificates live for years."""

    def __init__(self, engine: Engine) -> None:
        self.api = engine.api
        self.now = datetime(2026, 12, 1, tzinfo=UTC)
        self.keeper = IssuerTls(
            cast("KubeClient", engine.api), NAMESPACE, cluster_domain="cluster.local", now=lambda: self.now
        )

    def secret(self, name: str, key: str) -> str:
        data = self.api.store.objects["Secret", NAMESPACE, name]["data"]
        return base64.b64decode(data[key]).decode()

    def server(self) -> KeyPair:
        return KeyPair.parsed(
            self.secret(names.ISSUER_TLS_SECRET, "tls.crt"), self.secret(names.ISSUER_TLS_SECRET, "tls.key")
        )

    def bundle(self) -> str:
        found: str = self.api.store.objects["ConfigMap", NAMESPACE, names.ISSUER_CA_CONFIG_MAP]["data"][
            "ca.crt"
        ]
        return found


@pytest.fixture
def scene(engine: Engine) -> Scene:
    return Scene(engine)


async def test_callers_can_believe_the_issuer_from_the_first_step(scene: Scene) -> None:
    """The certificate is for the Service's names, and the ConfigMap's CA made it."""
    await scene.keeper.ensure()
    server = scene.server()

    assert "bulkhead-issuer.bulkhead-system.svc" in server.names()
    assert server.is_signed_by(KeyPair(scene.bundle(), ""))


async def test_nothing_is_written_while_nothing_is_due(scene: Scene) -> None:
    """A no-op makes no write."""
    await scene.keeper.ensure()
    before = scene.api.writes
    await scene.keeper.ensure()

    assert before == scene.api.writes


async def test_the_ca_key_stays_out_of_what_the_issuer_reads(scene: Scene) -> None:
    """A broken issuer must not be able to make certificates."""
    await scene.keeper.ensure()
    data = scene.api.store.objects["Secret", NAMESPACE, names.ISSUER_TLS_SECRET]["data"]

    assert {"tls.crt", "tls.key"} == set(data)
    assert scene.secret(names.ISSUER_CA_SECRET, "tls.key") != scene.server().key
    assert "PRIVATE" not in scene.bundle()


async def test_an_old_certificate_is_renewed_under_the_same_ca(scene: Scene) -> None:
    """Callers that read the CA once need not read it again."""
    await scene.keeper.ensure()
    first, bundle = scene.server(), scene.bundle()
    scene.now += timedelta(days=61)
    await scene.keeper.ensure()

    assert first != scene.server()
    assert bundle == scene.bundle()


@pytest.mark.parametrize("lost", [names.ISSUER_TLS_SECRET, names.ISSUER_CA_SECRET])
async def test_what_was_deleted_or_spoilt_comes_back(scene: Scene, lost: str) -> None:
    """Whatever is lost, callers with the published CA believe the issuer afterwards."""
    await scene.keeper.ensure()
    scene.api.store.objects["Secret", NAMESPACE, lost]["data"] = {"tls.crt": "eA=="}
    await scene.keeper.ensure()

    assert any(scene.server().is_signed_by(KeyPair(each, "")) for each in certificates_in(scene.bundle()))


async def test_a_published_ca_that_somebody_edited_is_put_back(scene: Scene) -> None:
    """Callers would believe whoever wrote it."""
    await scene.keeper.ensure()
    where = ("ConfigMap", NAMESPACE, names.ISSUER_CA_CONFIG_MAP)
    before = scene.bundle()
    scene.api.store.objects[where]["data"]["ca.crt"] = "somebody else's"
    await scene.keeper.ensure()

    assert before == scene.bundle()


async def test_a_failed_write_is_made_up_for(scene: Scene) -> None:
    """The process may end between any two writes."""
    scene.api.refuse("create", "ConfigMap", Unavailable, times=1)
    with pytest.raises(Unavailable):
        await scene.keeper.ensure()
    await scene.keeper.ensure()

    assert scene.server().is_signed_by(KeyPair(scene.bundle(), ""))


async def test_two_leaders_for_a_moment_do_not_overwrite_each_other(scene: Scene) -> None:
    """The later one is refused and looks again; a CA that is in use is never replaced by a fresh one."""
    await scene.keeper.ensure()
    scene.now += timedelta(days=61)
    scene.api.refuse("replace", "Secret", Conflict, times=1)
    with pytest.raises(Conflict):
        await scene.keeper.ensure()
