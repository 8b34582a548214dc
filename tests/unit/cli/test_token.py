"""`bulkhead token`: a token that the gateway accepts, or a reason; never anything else on standard output."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any

import pytest

from bulkhead import names
from bulkhead_wire.token import ISSUER, Expected, Jwks, SigningKey, audience, jwks_json, verify

from .conftest import UID, WORKSPACES, condition, workspace

if TYPE_CHECKING:
    from .conftest import ApiServer, Bulkhead

KEY = SigningKey.from_seed(b"\x07" * 32)
SECRET = f"/api/v1/namespaces/bulkhead-system/secrets/{names.signing_key(UID)}"
ASK = ("acme", "--user", "alice", "--scope", "tools:call:shell")


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def ready(api: ApiServer) -> ApiServer:
    """A Ready workspace with its key."""
    api.objects[f"{WORKSPACES}/acme"] = workspace(spec={"sessionEpoch": 4})
    api.objects[SECRET] = {"data": {"private.pem": _encoded(KEY.pem())}}
    return api


def _verified(token: str) -> Any:
    expected = Expected(issuer=ISSUER, audience=audience(UID), workspace_uid=UID, epoch=4)
    return verify(token, Jwks.parse(jwks_json([KEY])), expected, now=time.time())


@pytest.mark.usefixtures("ready")
def test_the_token_opens_this_workspace_and_only_what_was_asked(bulkhead: Bulkhead) -> None:
    """A wrong audience, epoch or scope would open nothing, or too much."""
    done = bulkhead("token", *ASK, "--scope", "session", "--ttl", "90s")

    claims = _verified(done.out.strip())

    assert (0, "") == (done.code, done.err)
    assert ("alice", "acme-corp", ("tools:call:shell", "session"), 90) == (
        claims.subject,
        claims.tenant_id,
        claims.scopes,
        claims.expires_at - claims.issued_at,
    )


@pytest.mark.usefixtures("ready")
def test_standard_output_is_the_token_and_nothing_else(bulkhead: Bulkhead) -> None:
    """Scripts write $(bulkhead token ...) into a header."""
    done = bulkhead("token", *ASK)

    assert 1 == done.out.count("\n")
    assert 2 == done.out.count(".")
    assert "PRIVATE KEY" not in done.out + done.err


@pytest.mark.usefixtures("ready")
def test_each_token_is_a_new_session_unless_one_is_continued(bulkhead: Bulkhead) -> None:
    """Equal token ids would look like a replay; a lost session id would split one conversation in two."""
    first, second = (_verified(bulkhead("token", *ASK).out.strip()) for _ in range(2))
    third = _verified(bulkhead("token", *ASK, f"--session={first.session_id}").out.strip())

    assert 3 == len({first.token_id, second.token_id, third.token_id})
    assert first.session_id != second.session_id
    assert first.session_id == third.session_id


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--ttl", "11m"), "at most 10m"),
        (("--ttl", "0s"), "more than 0s"),
        (("--ttl", "soon"), "hours, minutes and seconds"),
        (("--session", "short"), "22 characters"),
    ],
)
def test_wrong_usage_is_said_without_asking_the_cluster(
    api: ApiServer, bulkhead: Bulkhead, arguments: tuple[str, str], said: str
) -> None:
    """A script must be able to tell a typo (2) from a refusal (1)."""
    done = bulkhead("token", *ASK, *arguments)

    assert (2, "") == (done.code, done.out)
    assert said in done.err
    assert [] == api.queries


@pytest.mark.parametrize(
    "arguments",
    [("acme", "--user", "al ice", "--scope", "session"), ("acme", "--user", "alice", "--scope", "tools:*")],
    ids=["user", "wildcard"],
)
@pytest.mark.usefixtures("ready")
def test_claims_that_no_gateway_accepts_are_refused(bulkhead: Bulkhead, arguments: tuple[str, ...]) -> None:
    """A token that is refused later, far away, costs an hour of searching."""
    done = bulkhead("token", *arguments)

    assert (1, "") == (done.code, done.out)
    assert "without wildcards" in done.err


def test_an_unknown_workspace_is_refused(bulkhead: Bulkhead) -> None:
    """No token may exist for what does not exist."""
    done = bulkhead("token", *ASK)

    assert (1, "") == (done.code, done.out)
    assert "there is no workspace acme" in done.err


def test_a_workspace_that_is_being_deleted_gets_no_sessions(ready: ApiServer, bulkhead: Bulkhead) -> None:
    """Teardown revokes sessions first; a new one must not slip in behind."""
    ready.objects[f"{WORKSPACES}/acme"] = workspace(metadata={"deletionTimestamp": "2026-11-23T09:00:00Z"})

    done = bulkhead("token", *ASK)

    assert (1, "") == (done.code, done.out)
    assert "being deleted" in done.err


def test_a_missing_key_says_why_the_workspace_is_not_ready(ready: ApiServer, bulkhead: Bulkhead) -> None:
    """The key is missing because of something else, and that is what the user must hear."""
    del ready.objects[SECRET]
    ready.objects[f"{WORKSPACES}/acme"] = workspace(
        status={"conditions": [condition("Ready", "False", "UnknownClass", "there is no class gold")]}
    )

    done = bulkhead("token", *ASK)

    assert (1, "") == (done.code, done.out)
    assert "UnknownClass: there is no class gold" in done.err


def test_without_the_right_to_the_key_the_role_is_named(ready: ApiServer, bulkhead: Bulkhead) -> None:
    """Forbidden is the usual first experience; it must say which role is missing."""
    ready.failures[SECRET] = (403, "Forbidden", "no")

    done = bulkhead("token", *ASK)

    assert (2, "") == (done.code, done.out)
    assert "Role bulkhead-token-issuer in namespace bulkhead-system" in done.err


@pytest.mark.parametrize("planted", ["MC4CAQAwBQYDK2VwBCIEplanted", "not base64: planted"])
def test_a_broken_key_is_never_quoted(ready: ApiServer, bulkhead: Bulkhead, planted: str) -> None:
    """What was read from a Secret may not reach a terminal, whatever is wrong with it."""
    ready.objects[SECRET] = {"data": {"private.pem": _encoded(planted)}}

    done = bulkhead("token", *ASK)

    assert (2, "") == (done.code, done.out)
    assert "planted" not in done.err
    assert "holds no usable key" in done.err


def test_a_token_that_is_no_use_now_comes_with_a_warning(ready: ApiServer, bulkhead: Bulkhead) -> None:
    """Suspension and a missing tool are legal; silence about them is not helpful."""
    ready.objects[f"{WORKSPACES}/acme"] = workspace(spec={"lifecycle": {"suspended": True}})

    done = bulkhead("token", "acme", "--user", "alice", "--scope", "tools:call:web")

    assert 0 == done.code
    assert 1 == done.out.count("\n")
    assert [
        "bulkhead: warning: workspace acme is suspended: its gateway does not answer",
        "bulkhead: warning: workspace acme has no tool web",
    ] == done.err.splitlines()


def test_the_operators_namespace_can_be_another(ready: ApiServer, bulkhead: Bulkhead) -> None:
    """An installation may live in any namespace."""
    ready.objects[SECRET.replace("bulkhead-system", "platform")] = ready.objects.pop(SECRET)

    assert 1 == bulkhead("token", *ASK).code
    assert 0 == bulkhead("token", *ASK, "--operator-namespace", "platform").code
