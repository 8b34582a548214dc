"""Tokens made from tokens: each hop may do less, none may do more, and all end with what they came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bulkhead_sandbox.gateway.sessions import Delegation, Wanted
from bulkhead_wire import jws
from bulkhead_wire.keys import Jwks, SigningKey, decode_base64url, encode_base64url, jwks_json
from bulkhead_wire.token import Expected, Refusal, TighterLimits, TokenRefused, audience, from_wire, verify

from .conftest import KEY, KEYS, UID, Answer
from .test_sessions import body_without_id, payload_of

if TYPE_CHECKING:
    from .conftest import FakeClock, World

SHELL = "tools:call:shell"
WANTED = Wanted(actor="planner", scopes=("session",), ttl_seconds=600)
GATEWAY_KEY = SigningKey.from_seed(KEYS.signing)


async def exchange(world: World, token: str, *scopes: str, actor: str = "planner", **more: Any) -> Answer:
    body = {"actor": actor, "scopes": scopes, **more}
    return await world.ask("POST", "/v1/token/exchange", token, json=body)


async def delegated(world: World, token: str, *scopes: str, **more: Any) -> str:
    answer = await exchange(world, token, *scopes, **more)
    assert answer.status == 200, answer.body
    return str(answer.json["access_token"])


async def test_delegated_token_acts_for_the_subject_with_less(world: World) -> None:
    """An agent that calls another agent would have to hand on all it may do."""
    token = world.token("session", "delegate", SHELL)

    answer = await exchange(world, token, "session", ttl_seconds=60)

    assert answer.json["scope"] == "session"
    assert (answer.json["token_type"], answer.json["expires_in"]) == ("Bearer", 60)
    own = (await world.ask("GET", "/v1/session", answer.json["access_token"])).json
    assert (own["subject"], own["actors"], own["scopes"]) == ("alice", ["planner"], ["session"])
    refused = await world.call("shell", "shell_exec", answer.json["access_token"], argv=["id"])
    assert (refused.status, refused.slug) == (403, "insufficient-scope")


async def test_chain_names_everybody_and_ends_at_four(world: World) -> None:
    """An audit would show the last of a chain only, or a chain without an end."""
    token = world.token("session", "delegate")
    for actor in ("a", "b", "c", "d"):
        token = await delegated(world, token, "session", "delegate", actor=actor)

    assert (await world.ask("GET", "/v1/session", token)).json["actors"] == ["d", "c", "b", "a"]
    assert world.audit.records_made[-1]["act"] == ["c", "b", "a"], "who asked for the last"
    fifth = await exchange(world, token, "session", actor="e")
    assert (fifth.status, fifth.json["field"]) == (422, "actor")


@pytest.mark.parametrize("scopes", [("session", SHELL), ("tools:list",), (SHELL,)])
async def test_widened_scope_is_refused_as_any_missing_right(world: World, scopes: tuple[str, ...]) -> None:
    """A chain of agents would climb."""
    reference = await world.ask("GET", "/v1/tools", world.token("session"))

    answer = await exchange(world, world.token("session", "delegate"), *scopes)

    assert (answer.status, answer.slug) == (403, "insufficient-scope")
    assert body_without_id(answer) == body_without_id(reference)


async def test_hop_cannot_regain_what_the_last_one_gave_up(world: World) -> None:
    """Narrowing would last for one hop."""
    token = await delegated(world, world.token("session", "delegate", SHELL), "session", "delegate")

    assert (await exchange(world, token, SHELL)).slug == "insufficient-scope"


async def test_token_without_the_scope_hands_nothing_on(world: World) -> None:
    """Every token, once stolen, would breed."""
    assert (await exchange(world, world.token("session"), "session")).slug == "insufficient-scope"
    once = await delegated(world, world.token("session", "delegate"), "session")
    assert (await exchange(world, once, "session")).slug == "insufficient-scope"


async def test_it_ends_with_what_it_came_from(world: World, clock: FakeClock) -> None:
    """Ten minutes would become ten more with each exchange."""
    token = world.token("session", "delegate", ttl_seconds=100)
    clock.now += 50
    answer = await exchange(world, token, "session", ttl_seconds=600)

    assert answer.json["expires_in"] == 50
    clock.now += 81
    assert (await world.ask("GET", "/v1/session", answer.json["access_token"])).status == 401


async def test_it_is_revoked_with_what_it_came_from(world: World, clock: FakeClock) -> None:
    """Raising the epoch, or taking the key away, would leave delegates at work."""
    token = await delegated(world, world.token("session", "delegate"), "session")
    assert (await world.ask("GET", "/v1/session", token)).status == 200

    world.jwks_file.write_text(jwks_json([SigningKey.from_seed(b"\x05" * 32)]))
    clock.now += 1

    assert (await world.ask("GET", "/v1/session", token)).status == 401


async def test_limits_only_tighten(world: World) -> None:
    """A delegate would spend more than who sent it."""
    token = await delegated(
        world, world.token("session", "delegate"), "session", "delegate", limits={"rpm": 30, "tpm": 5}
    )
    token = await delegated(world, token, "session", limits={"rpm": 50, "conc": 2})

    usage = (await world.ask("GET", "/v1/usage", token)).json
    found = [usage[name]["limit"] for name in ("requests_per_minute", "tokens_per_minute", "concurrent")]
    assert found == [30, 5, 2]


async def test_bound_token_gives_bound_tokens(world: World) -> None:
    """An exchange would wash the binding off."""
    jkt = encode_base64url(bytes(32))
    answer = await exchange(world, world.token("session", "delegate"), "session", jkt=jkt)

    assert answer.json["token_type"] == "DPoP"
    assert payload_of(answer.json["access_token"])["cnf"] == {"jkt": jkt}
    assert (await world.ask("GET", "/v1/session", answer.json["access_token"])).status == 401


async def test_delegate_cannot_take_the_token_it_came_from(world: World) -> None:
    """A delegated token carries the session's: if it could be read, the delegate would be the user."""
    root = world.token("session", "delegate")
    token = await delegated(world, root, "session")

    sealed = decode_base64url(payload_of(token)["par"])

    assert root.encode() not in sealed
    assert root.split(".")[2].encode() not in sealed


async def test_issuers_own_rules_do_not_take_it(world: World) -> None:
    """Another verifier of session tokens would accept what only a gateway signed."""
    token = await delegated(world, world.token("session", "delegate"), "session")
    expected = Expected(issuer="bulkhead", audience=audience(UID), workspace_uid=UID, epoch=0)
    both = Jwks.parse(jwks_json([KEY, GATEWAY_KEY]))

    with pytest.raises(TokenRefused) as caught:
        verify(token, both, expected, now=world.clock())

    assert caught.value.reason is Refusal.HEADER


FORGED: dict[str, dict[str, Any]] = {
    "another subject": {"sub": "bob"},
    "another session": {"sid": encode_base64url(b"\x01" * 16)},
    "another role": {"role": "auditor"},
    "more scopes": {"scope": f"session {SHELL}"},
    "a later end": {"exp": 1_800_000_301},
    "a higher epoch": {"ep": 1},
    "nobody acting": {"act": None},
    "no limits": {"lim": None},
    "looser limits": {"lim": {"rpm": 11}},
    "no key": {"cnf": None},
    "no parent": {"par": None},
    "a broken parent": {"par": "AAAA"},
    "a parent in clear": {"par": encode_base64url(b"a.b.c")},
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED.keys())
async def test_gateways_key_alone_makes_nothing_more(world: World, forged: dict[str, Any]) -> None:
    """Whoever stole a gateway's key could be anybody: what it signs is held against the issuer's token."""
    expected = Expected(issuer="bulkhead", audience=audience(UID), workspace_uid=UID, epoch=0)
    issuers = Jwks.parse(jwks_json([KEY]))
    jkt = encode_base64url(bytes(32))
    delegation = Delegation(KEYS.signing, audience(UID), bytes)
    root = world.token("session", "delegate", limits=TighterLimits(rpm=10), proof_key=jkt)
    claims = from_wire(payload_of(root))
    good, _ = delegation.make(root, claims, WANTED, world.clock())
    assert delegation.verified(good, issuers, expected, world.clock()).actors == ("planner",)

    payload = {**payload_of(good), **forged}
    token = jws.signed(
        "bh-delegated+jwt", {name: value for name, value in payload.items() if value is not None}, GATEWAY_KEY
    )

    with pytest.raises(TokenRefused):
        delegation.verified(token, issuers, expected, world.clock())


async def test_token_of_another_workspaces_gateway_is_refused(world: World) -> None:
    """Gateways would trust each other."""
    other = Delegation(b"\x55" * 32, audience(UID), bytes)
    root = world.token("session", "delegate")
    token, _ = other.make(root, from_wire(payload_of(root)), WANTED, world.clock())

    assert (await world.ask("GET", "/v1/session", token)).status == 401


async def test_exchange_is_on_record(world: World) -> None:
    """Who handed a right to whom would be known to nobody."""
    token = await delegated(world, world.token("session", "delegate"), "session")

    record = world.audit.records_made[-1]

    assert (record["ev"], record["out"], record["why"]) == ("session", "allow", "delegated")
    assert record["target"] == {"jti": payload_of(token)["jti"], "actor": "planner"}
    assert record["sub"] == "alice"
