"""The token format of each release, fixed: operator and image may be one release apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.gateway_config import gateway_config
from support.gateway_state import MemoryState

from bulkhead import names
from bulkhead_sandbox.gateway.sessions import Delegation, EpochFile, KeyRing, Proofs, Sessions
from bulkhead_sandbox.logs import Log
from bulkhead_wire.keys import Jwks, SigningKey, jwks_json
from bulkhead_wire.token import (
    ISSUER,
    Expected,
    SessionClaims,
    TighterLimits,
    TokenRefused,
    audience,
    new_claims,
    sign,
    verify,
)

VECTORS = [
    json.loads(path.read_text()) for path in sorted(Path(__file__).parent.glob("vectors/session-*.json"))
]


@pytest.fixture(params=VECTORS, ids=lambda vector: vector["format"].split(".")[0])
def vector(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.param
    return found


def test_vectors_are_there() -> None:
    """An empty folder would pass every test below."""
    assert len(VECTORS) == 2


def test_keys_of_the_vector_are_read_and_written_the_same(vector: dict[str, Any]) -> None:
    """A gateway of the other release would not find the key."""
    key = SigningKey.from_seed(bytes.fromhex(vector["seed_hex"]))
    assert (key.kid, jwks_json([key])) == (vector["kid"], vector["jwks"])


def test_operator_signs_exactly_the_accepted_token(vector: dict[str, Any]) -> None:
    """A changed byte in what is issued is a new format, and needs a new vector beside this one."""
    claims = verified(vector, vector["accepted"])
    made = new_claims(
        workspace_uid=vector["claims"]["ws"],
        tenant_id=vector["claims"]["tn"],
        subject=vector["claims"]["sub"],
        scopes=tuple(vector["claims"]["scope"].split()),
        epoch=vector["claims"]["ep"],
        now=vector["now"],
        ttl_seconds=vector["claims"]["exp"] - vector["claims"]["iat"],
        session_id=bytes(range(16)),
        token_id=bytes(range(16, 32)),
        role=vector["claims"].get("role", "user"),
        actors=claims.actors,
        proof_key=vector["claims"].get("cnf", {}).get("jkt"),
        limits=TighterLimits(**vector["claims"]["lim"]) if "lim" in vector["claims"] else None,
    )
    assert made == claims
    assert sign(made, SigningKey.from_seed(bytes.fromhex(vector["seed_hex"]))) == vector["accepted"]


def verified(vector: dict[str, Any], token: str) -> SessionClaims:
    return verify(token, Jwks.parse(vector["jwks"]), Expected(**vector["expected"]), now=vector["now"])


def test_wire_refuses_each_bad_token_for_its_reason(vector: dict[str, Any]) -> None:
    """A rule lost on the way to a new release."""
    found = []
    for refused in vector["refused"]:
        with pytest.raises(TokenRefused) as caught:
            verified(vector, refused["token"])
        found.append(caught.value.reason.value)
    assert found == [refused["why"] for refused in vector["refused"]]


def test_gateway_accepts_and_refuses_the_same(vector: dict[str, Any], tmp_path: Path) -> None:
    """Operator and gateway would disagree on who may come in."""
    (tmp_path / "jwks.json").write_text(vector["jwks"])
    (tmp_path / "epoch").write_text(str(vector["expected"]["epoch"]))
    expected = vector["expected"]
    config = gateway_config(
        tmp_path,
        workspace_uid=expected["workspace_uid"],
        audience=expected["audience"],
        issuer=expected["issuer"],
    )

    def clock() -> float:
        return float(vector["now"])

    log, state = Log(bytes, clock), MemoryState()
    sessions = Sessions(
        config,
        keys=KeyRing(config.jwks_file, clock, log),
        epoch_file=EpochFile(config.epoch_file, clock, log),
        pushed=state,
        seen=state,
        delegation=Delegation(bytes(32), config.audience, bytes),
        proofs=Proofs(clock),
        clock=clock,
    )
    assert sessions.claims(vector["accepted"]).wire() == vector["claims"]
    for refused in vector["refused"]:
        with pytest.raises(TokenRefused):
            sessions.claims(refused["token"])


def test_operator_and_wire_name_the_same_audience() -> None:
    """The operator would configure gateways for tokens that nobody issues."""
    assert names.audience("some-uid") == audience("some-uid")
    assert ISSUER == "bulkhead"
