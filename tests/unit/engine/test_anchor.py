"""The anchor over whole rounds: an API server in memory, real logs, gateways that answer from them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest
from support.audit_logs import KEY, OTHER_KEY, LogMaker

from bulkhead.engine.activity import Activity
from bulkhead.engine.anchor import AuditAnchor
from bulkhead.engine.door import Reply
from bulkhead.engine.report import Reporter
from bulkhead.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from tests.unit.engine.conftest import Engine

    from bulkhead.kube.client import KubeClient
    from bulkhead_wire.keys import VerifyKey

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

UID = "u-1"


@dataclass
class Gateway:
    """One gateway's operator port: a log, and times."""

    log: LogMaker = field(default_factory=lambda: LogMaker(UID))
    kid: str = KEY.kid
    key: VerifyKey | None = KEY.public
    is_silent: bool = False
    intact: bool = True
    activity: Activity | None = None
    asked: list[str] = field(default_factory=list)

    async def gateway_key(self, uid: str) -> VerifyKey | None:
        assert uid == UID
        return self.key

    async def ask(self, uid: str, host: str, path: str, **_: Any) -> Reply | None:
        assert (UID, "gateway.bh-acme") == (uid, host[:15])
        self.asked.append(path)
        if self.is_silent:
            return None
        parts = urlsplit(path)
        if parts.path == "/internal/v1/audit/head":
            end = {
                "seq": len(self.log.lines) - 1,
                "head": self.log.head,
                "kid": self.kid,
                "intact": self.intact,
            }
            return Reply(200, json.dumps(end).encode())
        query = parse_qs(parts.query)
        first, limit = int(query.get("after_seq", ["-1"])[0]) + 1, int(query["limit"][0])
        return Reply(200, b"".join(self.log.lines[first : first + limit]))


@dataclass
class Times:
    """What the gateway says of its sessions."""

    gateway: Gateway

    async def ask(self, uid: str, cluster_ip: str) -> Activity | None:
        assert (UID, "gateway.bh-acme") == (uid, cluster_ip[:15])
        return self.gateway.activity


class Scene:
    """A Ready workspace, its gateway, and the anchor."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.gateway = Gateway()
        self.metrics = Metrics("1")
        engine.api.make_workspace("acme", uid=UID)
        self.serve("True")
        client = cast("KubeClient", engine.api)
        self.anchor = AuditAnchor(
            client,
            self.gateway,
            Times(self.gateway),
            Reporter(client, engine.echoes, engine.told.append),
            clock=engine.clock,
            cluster_domain="cluster.local",
            random=lambda: 0.5,
            metrics=self.metrics,
        )

    def serve(self, status: str) -> None:
        self.engine.api.store.edit("TenantWorkspace", None, "acme")["status"] = {
            "conditions": [
                {
                    "type": "GatewayReady",
                    "status": status,
                    "reason": "Ready",
                    "message": "",
                    "observedGeneration": 1,
                    "lastTransitionTime": "2026-12-01T12:00:00Z",
                }
            ]
        }

    def calls(self, count: int) -> None:
        for _ in range(count):
            self.gateway.log.add(ev="tool", phase="begin")
            self.gateway.log.add(ev="tool", phase="end", ref=len(self.gateway.log.lines) - 1)
            if len(self.gateway.log.lines) % 100 < 2:
                self.gateway.log.checkpoint()

    async def round(self) -> tuple[str, str] | None:
        await self.anchor.round()
        found = self.engine.api.workspace("acme")["status"]["conditions"]
        return next(((c["status"], c["reason"]) for c in found if c["type"] == "AuditIntact"), None)

    def seq(self) -> int | None:
        audit = self.engine.api.workspace("acme")["status"].get("audit")
        return None if audit is None else audit["seq"]


@pytest.fixture
async def scene(engine: Engine) -> Scene:
    return Scene(engine)


async def test_a_log_is_followed_as_it_grows(scene: Scene) -> None:
    """Each look reads only what is new, and status says where it is held."""
    first = (await scene.round(), scene.seq())
    scene.calls(3)
    second = (await scene.round(), scene.seq())

    assert (("True", "Anchored"), 0) == first
    assert (("True", "Anchored"), 6) == second
    assert "after_seq=0" in scene.gateway.asked[-1]


async def test_a_log_at_rest_costs_one_question_and_no_write(scene: Scene) -> None:
    """A thousand idle workspaces must cost nothing but that."""
    await scene.round()
    writes, asked = scene.engine.api.writes, len(scene.gateway.asked)
    await scene.round()

    assert (writes, ["/internal/v1/audit/head"]) == (
        scene.engine.api.writes,
        scene.gateway.asked[asked:],
    )


async def test_a_log_that_was_cut_is_said(scene: Scene) -> None:
    """Truncation is the attack that no chain shows by itself."""
    scene.calls(3)
    await scene.round()
    log = scene.gateway.log
    del log.lines[4:]
    log.head = json.loads(log.lines[-1])["hash"]

    assert (("False", "Regressed"), 6) == (await scene.round(), scene.seq())
    assert ["AuditBroken"] == [each.reason for each in scene.engine.told]
    assert "records 4 to 6 are gone" in scene.engine.told[0].note


async def test_a_log_that_was_cut_and_has_grown_again_is_said(scene: Scene) -> None:
    """Longer than before, and yet another one."""
    scene.calls(3)
    await scene.round()
    log = scene.gateway.log
    del log.lines[4:]
    log.head = json.loads(log.lines[-1])["hash"]
    scene.calls(9)

    assert (("False", "Forked"), 6) == (await scene.round(), scene.seq())


async def test_another_record_at_the_anchor_is_said(scene: Scene) -> None:
    """As long as before, and yet another one."""
    scene.calls(3)
    await scene.round()
    scene.gateway.log = LogMaker(UID)
    scene.calls(2)
    scene.gateway.log.add(ev="config")
    scene.gateway.log.add(ev="config")

    assert ("False", "Forked") == await scene.round()


async def test_a_log_signed_by_another_key_is_said(scene: Scene) -> None:
    """Whoever has the volume can write a log anew, but not with the key that the operator gave."""
    scene.gateway.log, scene.gateway.kid = LogMaker(UID, key=OTHER_KEY), OTHER_KEY.kid

    assert (("False", "Forked"), None) == (await scene.round(), scene.seq())


async def test_a_changed_record_is_said_by_its_number(scene: Scene) -> None:
    """Whoever looks must know where."""
    await scene.round()
    scene.calls(5)
    line = scene.gateway.log.lines[7]
    scene.gateway.log.lines[7] = line.replace(b'"allow"', b'"error"')

    assert ("False", "Broken") == await scene.round()
    assert "broken at record 7" in scene.engine.told[0].note


async def test_a_gateway_that_knows_of_a_cut_is_believed(scene: Scene) -> None:
    """It saw its file change between two writes, though the end is as before."""
    await scene.round()
    scene.gateway.intact = False

    assert ("False", "Broken") == await scene.round()


async def test_the_log_of_another_workspace_is_said(scene: Scene) -> None:
    """A volume that was swapped between tenants."""
    scene.gateway.log = LogMaker("u-2")

    assert ("False", "Broken") == await scene.round()


async def test_a_long_backlog_is_checked_over_several_looks(scene: Scene) -> None:
    """One gateway that was busy while the operator was away must not hold up the others."""
    scene.calls(6000)
    last = len(scene.gateway.log.lines) - 1
    seqs = []
    for _ in range(2):
        await scene.round()
        seqs.append(scene.seq())

    assert [9_999, last] == seqs


async def test_silence_becomes_unknown_after_three_rounds(scene: Scene) -> None:
    """Untested is never passed; a rolling update is no news."""
    await scene.round()
    scene.gateway.is_silent = True
    said = [await scene.round() for _ in range(3)]
    scene.gateway.is_silent = False

    assert [("True", "Anchored")] * 2 + [("Unknown", "Unreachable")] == said
    assert ("True", "Anchored") == await scene.round()


async def test_without_the_gateways_key_nothing_is_believed(scene: Scene) -> None:
    """A signature that cannot be checked is none."""
    scene.gateway.key = None

    assert [None, None, ("Unknown", "Unreachable")] == [await scene.round() for _ in range(3)]


async def test_sessions_without_records_are_said(scene: Scene) -> None:
    """A gateway that serves and does not write is worse than one that is down."""
    await scene.round()
    now = scene.engine.clock.now()
    scene.gateway.activity = Activity(now, now + timedelta(seconds=60))

    assert ("False", "StalledAudit") == await scene.round()


async def test_a_gateway_that_does_not_serve_is_not_asked(scene: Scene) -> None:
    """A suspended workspace has none, and that is no finding."""
    scene.serve("False")

    assert (None, []) == (await scene.round(), scene.gateway.asked)


async def test_what_the_reconcile_wrote_is_left_alone(scene: Scene) -> None:
    """Two writers of one status must not take each other's fields away."""
    await scene.round()
    types = [each["type"] for each in scene.engine.api.workspace("acme")["status"]["conditions"]]

    assert {"GatewayReady", "AuditIntact"} == set(types)


async def test_looks_are_counted_by_what_they_showed(scene: Scene) -> None:
    """Alerts go by this, not by a tenant's name."""
    await scene.round()

    assert 'bulkhead_audit_checks_total{seen="grown"} 1.0' in scene.metrics.text().decode()
