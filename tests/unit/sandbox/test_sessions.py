"""Who is let in: every way in which a token can be wrong, as a caller sees it."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import pytest

from bulkhead_sandbox.gateway.state import EmbeddedState, StateFailed
from bulkhead_wire import jws
from bulkhead_wire.keys import SigningKey, encode_base64url
from bulkhead_wire.operator_token import sign_operator_token
from bulkhead_wire.token import TighterLimits, audience

from .conftest import KEY, KEYS, UID, Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import FakeClock, World

STRANGER = SigningKey.from_seed(b"\x09" * 32)
HEADER = {"alg": "EdDSA", "kid": KEY.kid, "typ": "bh-session+jwt"}


def payload_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(decoded(token.split(".")[1]))
    return found


def decoded(part: str) -> bytes:
    import base64  # noqa: PLC0415

    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def signed(header: dict[str, Any] | bytes, payload: dict[str, Any] | bytes, key: SigningKey = KEY) -> str:
    """Whatever is given, properly signed."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    head = ".".join(map(encode_base64url, parts))
    return f"{head}.{encode_base64url(key.sign(head.encode()))}"


def base(world: World) -> dict[str, Any]:
    """The claims of a good token in the epoch of these tests."""
    return payload_of(world.token("session", epoch=7))


def changed(world: World, **claims: Any) -> str:
    """A signed token of which these claims differ; None leaves one out."""
    payload = {**base(world), **claims}
    return signed(HEADER, {name: value for name, value in payload.items() if value is not None})


def with_header(world: World, **members: Any) -> str:
    """A signed token whose header differs."""
    return signed({**HEADER, **members}, base(world))


def hs256_with_the_public_key(world: World) -> str:
    """What a verifier that reads `alg` from the token accepts (CVE-2022-29217 and its family)."""
    head = ".".join(
        encode_base64url(json.dumps(part).encode()) for part in ({**HEADER, "alg": "HS256"}, base(world))
    )
    mac = hmac.digest(KEY.public.public_bytes, head.encode(), hashlib.sha256)
    return f"{head}.{encode_base64url(mac)}"


def twice(world: World, name: str) -> str:
    text = json.dumps(base(world))
    return signed(HEADER, f'{text[:-1]}, "{name}": "mallory"}}'.encode())


NOW = 1_800_000_001
BAD: dict[str, tuple[Callable[[World], str], str]] = {
    "nothing": (lambda _: "", "malformed"),
    "nonsense": (lambda _: "a.b.c", "malformed"),
    "too long": (lambda w: changed(w, x="x" * 4000), "too-long"),
    "alg none": (lambda w: with_header(w, alg="none"), "header"),
    "alg none, no signature": (lambda w: with_header(w, alg="none").rpartition(".")[0] + ".", "header"),
    "HS256 with the public key": (hs256_with_the_public_key, "header"),
    "alg ES256": (lambda w: with_header(w, alg="ES256"), "header"),
    "typ JWT": (lambda w: with_header(w, typ="JWT"), "header"),
    "typ of the operator": (lambda w: with_header(w, typ="bh-operator+jwt"), "header"),
    "crit": (lambda w: with_header(w, crit=["exp"]), "header"),
    "jku": (lambda w: with_header(w, jku="https://keys.example/jwks.json"), "header"),
    "jwk": (lambda w: with_header(w, jwk=STRANGER.jwk()), "header"),
    "x5u": (lambda w: with_header(w, x5u="https://keys.example/x5u"), "header"),
    "unknown kid": (lambda w: with_header(w, kid=STRANGER.kid), "unknown-key"),
    "another's key under our kid": (
        lambda w: signed(HEADER, base(w), STRANGER),
        "signature",
    ),
    "an operator's token": (lambda w: sign_operator_token(UID, KEY, now=w.clock()), "header"),
    "another tenant's token": (lambda w: w.token("session", workspace_uid="another-uid"), "audience"),
    "the same name recreated": (lambda w: changed(w, ws="new-uid"), "workspace"),
    "audience a list": (lambda w: changed(w, aud=[audience(UID)]), "claims"),
    "another issuer": (lambda w: changed(w, iss="bulkhead.evil"), "issuer"),
    "expired by a second": (lambda w: changed(w, iat=NOW - 331, nbf=NOW - 331, exp=NOW - 31), "expired"),
    "not valid for a second yet": (lambda w: changed(w, nbf=NOW + 31), "not-yet-valid"),
    "issued in the future": (lambda w: changed(w, iat=NOW + 31), "issued-later"),
    "longer than ten minutes": (lambda w: changed(w, exp=NOW + 601), "lifetime"),
    "lower epoch": (lambda w: changed(w, ep=6), "revoked"),
    "no sub": (lambda w: changed(w, sub=None), "claims"),
    "no exp": (lambda w: changed(w, exp=None), "claims"),
    "sub a path": (lambda w: changed(w, sub="../bob"), "claims"),
    "sub twice": (lambda w: twice(w, "sub"), "malformed"),
    "scope a wildcard": (lambda w: changed(w, scope="tools:call:*"), "scope"),
    "unknown role": (lambda w: changed(w, role="admin"), "claims"),
    "unknown confirmation": (lambda w: changed(w, cnf={"x5t#S256": "x"}), "claims"),
    "unknown limit": (lambda w: changed(w, lim={"rps": 1}), "claims"),
    "five actors": (
        lambda w: changed(
            w,
            act={
                "sub": "a",
                "act": {"sub": "b", "act": {"sub": "c", "act": {"sub": "d", "act": {"sub": "e"}}}},
            },
        ),
        "claims",
    ),
    "bound to a key, sent without proof": (
        lambda w: changed(w, cnf={"jkt": encode_base64url(bytes(32))}),
        "proof",
    ),
    "made by the gateway's key, from nothing": (
        lambda w: jws.signed(
            "bh-delegated+jwt",
            {**base(w), "iss": audience(UID), "act": {"sub": "x"}},
            SigningKey.from_seed(KEYS.signing),
        ),
        "claims",
    ),
    "a session's token under the gateway's key": (
        lambda w: jws.signed("bh-session+jwt", base(w), SigningKey.from_seed(KEYS.signing)),
        "unknown-key",
    ),
}


def body_without_id(answer: Answer) -> dict[str, Any]:
    return {name: value for name, value in answer.json.items() if name != "instance"}


@pytest.mark.parametrize(("make", "reason"), BAD.values(), ids=BAD.keys())
async def test_each_wrong_token_is_refused_with_the_one_answer(
    world: World, make: Callable[[World], str], reason: str
) -> None:
    """The difference between two refusals tells an attacker which half he has right."""
    world.epoch_file.write_text("7")
    world.clock.now += 1
    reference = await world.ask("GET", "/v1/session", "no.token.atall")

    answer = await world.ask("GET", "/v1/session", make(world))

    assert (answer.status, answer.slug) == (401, "invalid-token")
    assert body_without_id(answer) == body_without_id(reference)
    assert set(answer.headers) == set(reference.headers)
    assert world.counted("bulkhead_gw_auth_failures_total", reason=reason) >= 1
    assert (world.audit.records_made[-1]["ev"], world.audit.records_made[-1]["why"]) == ("auth", reason)


async def test_the_table_above_has_a_token_to_differ_from(world: World) -> None:
    """Were the untouched token refused as well, no line of the table would prove anything."""
    world.epoch_file.write_text("7")
    world.clock.now += 1

    assert (await world.ask("GET", "/v1/session", changed(world))).status == 200


async def test_id_that_stands_for_two_tokens_is_a_replay(world: World) -> None:
    """Whoever can have a token made with a known `jti` would act as another in the audit log."""
    first = world.token("session", token_id=b"\x07" * 16)
    second = world.token("session", token_id=b"\x07" * 16, subject="mallory")

    assert (await world.ask("GET", "/v1/session", first)).status == 200
    assert (await world.ask("GET", "/v1/session", second)).status == 401
    assert (await world.ask("GET", "/v1/session", first)).status == 200, "the first one goes on"

    assert world.counted("bulkhead_gw_security_events_total", kind="replay") == 1
    assert [(r["why"], r["sev"]) for r in world.audit.records_made if r["ev"] == "auth"] == [
        ("replay", "high")
    ]


async def test_refused_tokens_cannot_fill_the_audit_log(world: World) -> None:
    """A stranger could fill the volume, and an audit log that cannot be written stops the workspace."""
    for _ in range(100):
        await world.ask("GET", "/v1/session", "no.token.atall")
    recorded = len(world.audit.records_made)
    world.clock.now += 60
    await world.ask("GET", "/v1/session", "no.token.atall")

    assert recorded == 30
    assert world.counted("bulkhead_gw_auth_failures_total", reason="malformed") == 101
    assert world.audit.records_made[-1]["target"] == {"unrecorded": 70}


async def test_pushed_epoch_ends_sessions_at_once(world: World) -> None:
    """Revocation would wait for the kubelet, or for the cache of verified tokens."""
    token = world.token("session")
    assert (await world.ask("GET", "/v1/session", token)).status == 200

    pushed = await world.ask_operator_port("POST", "/internal/v1/epoch", json={"epoch": 1})

    assert (pushed.status, pushed.json) == (200, {"epoch": 1})
    assert (await world.ask("GET", "/v1/session", token)).status == 401
    assert (await world.ask("GET", "/v1/session", world.token("session", epoch=1))).status == 200


async def test_epoch_never_falls(world: World) -> None:
    """A late message, or a restored file, would bring revoked sessions back."""
    await world.ask_operator_port("POST", "/internal/v1/epoch", json={"epoch": 5})
    lower = await world.ask_operator_port("POST", "/internal/v1/epoch", json={"epoch": 2})

    assert lower.json == {"epoch": 5}
    assert (await world.ask("GET", "/v1/session", world.token("session", epoch=4))).status == 401


@pytest.mark.parametrize("text", ["", "x", "-1", None])
async def test_unreadable_epoch_lets_nobody_in(world: World, clock: FakeClock, text: str | None) -> None:
    """Sessions that were revoked would come back when the file is lost."""
    token = world.token("session")
    assert (await world.ask("GET", "/v1/session", token)).status == 200
    world.epoch_file.unlink()
    if text is not None:
        world.epoch_file.write_text(text)
    clock.now += 1

    assert (await world.ask("GET", "/v1/session", token)).status == 401


@pytest.mark.parametrize("role", ["auditor"])
async def test_auditor_looks_and_does_nothing(world: World, role: str) -> None:
    """Who checks the books could also spend."""
    token = world.token("session", "tools:call:shell", role=role)

    assert (await world.ask("GET", "/v1/session", token)).json["role"] == role
    assert (await world.call("shell", "shell_exec", token, argv=["id"])).slug == "insufficient-scope"


async def test_missing_scope_is_on_record(world: World) -> None:
    """Somebody who tries what his token does not allow would be seen by nobody."""
    answer = await world.call("shell", "shell_exec", world.token("session"), argv=["id"])

    assert (answer.status, answer.slug) == (403, "insufficient-scope")
    record = world.audit.records_made[-1]
    assert (record["ev"], record["out"], record["why"]) == ("auth", "deny", "insufficient-scope")
    assert (record["sub"], record["scope"]) == ("alice", "session")


async def test_tighter_limits_of_a_token_hold(world: World) -> None:
    """A token given to a cautious client would spend as much as any."""
    token = world.token("tools:list", limits=TighterLimits(rpm=1))

    assert (await world.ask("GET", "/v1/tools", token)).status == 200
    refused = await world.ask("GET", "/v1/tools", token)

    assert (refused.status, refused.slug) == (429, "rate-limited")
    assert refused.json["limit"] == "session-requests-per-minute"
    assert refused.headers["Retry-After"] == str(refused.json["retry_after"])
    labels = {"limit": "requests-per-minute", "scope": "session"}
    assert world.counted("bulkhead_gw_limit_rejections_total", **labels) == 1
    assert (await world.ask("GET", "/v1/tools", world.token("tools:list"))).status == 200, "others go on"


async def test_looser_limits_of_a_token_are_nothing(world: World) -> None:
    """An issuer's mistake would lift the workspace's limits."""
    token = world.token("session", limits=TighterLimits(rpm=10_000))

    usage = (await world.ask("GET", "/v1/usage", token)).json

    assert usage["requests_per_minute"]["limit"] == 60


async def test_token_that_cannot_be_remembered_opens_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a full disk, one id could stand for two tokens."""

    def fails(*_: object) -> bool:
        raise StateFailed("remember token: planted")

    monkeypatch.setattr(EmbeddedState, "first_use", fails)
    answer = await world.ask("GET", "/v1/session", world.token("session"))

    assert (answer.status, answer.slug) == (503, "not-ready")
    assert b"planted" not in answer.body
