"""The issuer: a token for whoever may have one, and no word more for anybody else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from bulkhead import names
from bulkhead_wire.token import ISSUER, Expected, Jwks, audience, jwks_json, verify

from .conftest import ASK, BACKEND, IDENTITY, KEY, NOW, UID, encoded, known, workspace

if TYPE_CHECKING:
    from .conftest import Answer, Scene

pytestmark = pytest.mark.asyncio
SLUG = "urn:bulkhead:problem:"


def slug(answer: Answer) -> str:
    return str(answer.body["type"]).removeprefix(SLUG)


async def test_the_token_opens_this_workspace_and_only_what_was_asked(scene: Scene) -> None:
    """A wrong audience, epoch or scope would open nothing, or too much."""
    answer = await scene.ask({**ASK, "ttl": "90s"})
    expected = Expected(issuer=ISSUER, audience=audience(UID), workspace_uid=UID, epoch=4)
    claims = verify(answer.body["token"], Jwks.parse(jwks_json([KEY])), expected, now=NOW)

    assert (201, "no-store", "https://gateway", []) == (
        answer.status,
        answer.headers["Cache-Control"],
        answer.body["gateway_url"],
        answer.body["warnings"],
    )
    assert ("alice", "acme-corp", ("tools:call:shell",), 90) == (
        claims.subject,
        claims.tenant_id,
        claims.scopes,
        claims.expires_at - claims.issued_at,
    )


async def test_a_session_can_be_continued(scene: Scene) -> None:
    """A conversation outlives its first token."""
    first = await scene.ask()
    second = await scene.ask({**ASK, "session": first.body["session_id"]})

    assert first.body["session_id"] == second.body["session_id"]


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ({"authenticated": False}, "nobody"),
        (known(authenticated=False), "a review that contradicts itself"),
        (known(audiences=[]), "an authenticator without audiences"),
        (known(audiences=["https://kubernetes.default.svc"]), "a token for the API server"),
        (known(user={}), "no name"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_an_identity_that_is_not_for_the_issuer_is_none(
    scene: Scene, status: dict[str, Any], why: str
) -> None:
    """A token that the API server would accept must not be worth anything here."""
    scene.api.identities[IDENTITY] = status
    answer = await scene.ask()

    assert (401, "unauthenticated", "Bearer") == (
        answer.status,
        slug(answer),
        answer.headers["WWW-Authenticate"],
    )
    assert [("TokenReview", {"token": IDENTITY, "audiences": ["bulkhead-issuer"]})] == scene.api.reviews


@pytest.mark.parametrize("header", [None, "", "Basic eDp5", "Bearer", "Bearer ", "Bearer " + "x" * 8001])
async def test_the_api_server_is_not_asked_about_what_is_no_token(scene: Scene, header: str | None) -> None:
    """Rubbish must cost nobody but its sender."""
    headers = {} if header is None else {"Authorization": header}
    answer = await scene.ask(identity=None, headers=headers)

    assert answer.status in {400, 401}
    assert [] == scene.api.reviews


async def test_who_may_not_learns_nothing_of_what_exists(scene: Scene) -> None:
    """The same answer for a workspace that is there, one that is not, and a name that cannot be one."""
    scene.api.rights.clear()
    answers = [await scene.ask(workspace=name) for name in ("acme", "globex", "No_Name")]
    for answer in answers:
        answer.body.pop("instance")

    assert [403] * 3 == [answer.status for answer in answers]
    assert answers[0].body == answers[1].body == answers[2].body


async def test_the_right_is_asked_for_with_everything_that_is_known_of_the_caller(scene: Scene) -> None:
    """Rights are given to groups too, and authorizers may look at `extra`."""
    await scene.ask()
    [(_, spec)] = [each for each in scene.api.reviews if each[0] == "SubjectAccessReview"]

    assert (BACKEND, ["system:serviceaccounts"], "u", {"k": ["v"]}) == (
        spec["user"],
        spec["groups"],
        spec["uid"],
        spec["extra"],
    )


async def test_auditors_need_a_right_of_their_own(scene: Scene) -> None:
    """Who lets people chat must not thereby read what everybody did, nor the other way round."""
    audit = {"user": "eve", "scopes": ["audit:read"], "role": "auditor"}
    refused = await scene.ask(audit)
    scene.api.rights = {(BACKEND, "audit:acme")}
    allowed, chat = await scene.ask(audit), await scene.ask()

    assert (403, 201, 403) == (refused.status, allowed.status, chat.status)


async def test_a_right_that_is_withdrawn_ends_at_once(scene: Scene) -> None:
    """What somebody may do is never remembered."""
    first = await scene.ask()
    scene.api.rights.clear()
    second = await scene.ask()

    assert (201, 403) == (first.status, second.status)


async def test_an_identity_is_remembered_for_ten_seconds(scene: Scene) -> None:
    """A busy backend must not double the load of the API server; a withdrawn identity must end soon."""
    await scene.ask()
    scene.api.identities.clear()
    remembered = await scene.ask()
    scene.clock[0] += 10
    forgotten = await scene.ask()

    assert (201, 401) == (remembered.status, forgotten.status)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, None),
        (b"{", 400, None),
        (b"[]", 400, None),
        (b'{"user":"a","user":"b","scopes":["session"]}', 400, None),
        (b"\xff", 400, None),
        ({}, 422, "user"),
        ({"user": 7, "scopes": ["session"]}, 422, "user"),
        ({"user": "a"}, 422, "scopes"),
        ({"user": "a", "scopes": []}, 422, "scopes"),
        ({"user": "a", "scopes": "session"}, 422, "scopes"),
        ({"user": "a", "scopes": [None]}, 422, "scopes"),
        ({**ASK, "ttl": "11m"}, 422, "ttl"),
        ({**ASK, "ttl": "0s"}, 422, "ttl"),
        ({**ASK, "ttl": 60}, 422, "ttl"),
        ({**ASK, "ttl": "soon"}, 422, "ttl"),
        ({**ASK, "session": "x"}, 422, "session"),
        ({**ASK, "session": None}, 422, "session"),
        ({**ASK, "role": "root"}, 422, "role"),
        ({**ASK, "epoch": 9}, 422, "epoch"),
        ({"user": "a b", "scopes": ["session"]}, 422, "user, scopes"),
        ({"user": "a", "scopes": ["tools:call:*"]}, 422, "user, scopes"),
        ({"user": "a", "scopes": ["session", "session"]}, 422, "user, scopes"),
    ],
)
async def test_each_bad_part_is_named(scene: Scene, body: object, status: int, field: str | None) -> None:
    """Whoever sees the answer at three in the morning must see what to change."""
    answer = await scene.ask(body)

    assert (status, field) == (answer.status, answer.body.get("field"))
    assert "token" not in answer.body


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"method": "GET"}, 405),
        ({"headers": {"Content-Type": "text/plain"}}, 415),
        ({"headers": {"Content-Encoding": "gzip"}}, 415),
        ({"body": b" " * 20_000}, 413),
    ],
    ids=["method", "type", "encoding", "size"],
)
async def test_http_errors_are_problems_too(scene: Scene, sent: dict[str, Any], status: int) -> None:
    """One format of errors for every client."""
    answer = await scene.ask(**sent)

    assert (status, "application/problem+json") == (
        answer.status,
        answer.headers["Content-Type"].partition(";")[0],
    )


async def test_a_workspace_that_goes_away_takes_no_session(scene: Scene) -> None:
    """A token must not come to life after its workspace's sessions were revoked."""
    scene.api.objects["TenantWorkspace", "acme"] = workspace(deletionTimestamp="2026-12-01T00:00:00Z")
    answer = await scene.ask()

    assert (409, "not-ready") == (answer.status, slug(answer))


async def test_a_workspace_without_a_key_says_why(scene: Scene) -> None:
    """It is being made, or cannot be made: its own condition tells."""
    del scene.api.objects["Secret", names.signing_key(UID)]
    condition = {"type": "Ready", "status": "False", "reason": "UnknownClass", "message": "no class gold"}
    scene.api.objects["TenantWorkspace", "acme"]["status"]["conditions"] = [condition]
    answer = await scene.ask()

    assert answer.status == 409
    assert "UnknownClass: no class gold" in answer.body["detail"]


async def test_a_spoilt_key_is_not_quoted(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """What stands in the Secret may be half a key."""
    scene.api.objects["Secret", names.signing_key(UID)] = {"data": {"private.pem": encoded("PLANTED")}}
    answer = await scene.ask()

    assert (503, False) == (answer.status, "PLANTED" in json.dumps(answer.body) + capsys.readouterr().out)


@pytest.mark.parametrize("kind", ["TokenReview", "SubjectAccessReview", "TenantWorkspace", "Secret"])
async def test_without_the_api_server_there_is_no_token(scene: Scene, kind: str) -> None:
    """Unknown means denied."""
    scene.api.fails.add(kind)
    answer = await scene.ask()

    assert (503, "unavailable") == (answer.status, slug(answer))


async def test_unknown_tokens_reach_the_api_server_a_few_times_a_second(scene: Scene) -> None:
    """A flood of made-up tokens must not become a flood of reviews; a known caller is not held up by it."""
    await scene.ask()
    answers = [await scene.ask(identity=f"made-up-{number}") for number in range(30)]
    known_still = await scene.ask()

    assert {401: 19, 429: 11} == {
        status: sum(answer.status == status for answer in answers) for status in (401, 429)
    }
    assert (201, "1") == (known_still.status, answers[-1].headers["Retry-After"])


async def test_one_caller_is_limited_and_another_is_not(scene: Scene) -> None:
    """A backend in a loop must not take every other backend's turn."""
    scene.api.identities["other"] = known("system:serviceaccount:platform:other")
    scene.api.rights.add(("system:serviceaccount:platform:other", "acme"))
    answers = [await scene.ask() for _ in range(201)]

    assert (201, 429) == (answers[199].status, answers[200].status)
    assert (await scene.ask(identity="other")).status == 201


async def test_what_was_issued_is_counted(scene: Scene) -> None:
    """A rate of refusals is the first sign of a probing backend."""
    await scene.ask()
    await scene.ask(identity="made-up")
    text = scene.metrics.text().decode()

    assert 'bulkhead_issuer_requests_total{outcome="issued"} 1.0' in text
    assert 'bulkhead_issuer_requests_total{outcome="unauthenticated"} 1.0' in text
    assert "alice" not in text
