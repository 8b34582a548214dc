"""The API client against a real HTTP server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bulkhead import errors
from bulkhead.kube.auth import Credentials
from bulkhead.kube.client import KubeClient

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.kube.conftest import ScriptedServer

    from bulkhead.kube.answers import Call

POLICY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"namespace": "bh-a", "name": "default-deny"},
}
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bh-a"}}


def refusal(reason: str, message: str = "", **details: Any) -> dict[str, Any]:
    """A Status as the API server writes it."""
    return {"kind": "Status", "reason": reason, "message": message, "details": details}


async def test_apply_is_a_forced_server_side_apply_under_our_name(
    client: KubeClient, server: ScriptedServer
) -> None:
    """Any other manager name would leave our own fields behind as somebody else's."""
    await client.apply(POLICY)

    [request] = server.seen
    assert request.method == "PATCH"
    assert request.path == "/apis/networking.k8s.io/v1/namespaces/bh-a/networkpolicies/default-deny"
    assert request.query == {"fieldManager": "bulkhead", "force": "true"}
    assert request.headers["Content-Type"] == "application/apply-patch+yaml"
    assert request.body == POLICY


async def test_status_is_applied_to_the_subresource_by_its_own_manager(
    client: KubeClient, server: ScriptedServer
) -> None:
    """Written to the main resource, a status would be dropped without a word."""
    manifest = {
        "apiVersion": "bulkhead.dev/v1alpha1",
        "kind": "TenantWorkspace",
        "metadata": {"name": "acme"},
        "status": {"phase": "Ready"},
    }
    await client.apply_status(manifest, manager="bulkhead-status")

    [request] = server.seen
    assert request.path == "/apis/bulkhead.dev/v1alpha1/tenantworkspaces/acme/status"
    assert request.query["fieldManager"] == "bulkhead-status"


async def test_delete_names_the_uid_that_was_seen(client: KubeClient, server: ScriptedServer) -> None:
    """Without the precondition, a namesake made meanwhile would be deleted."""
    await client.delete("Namespace", "bh-a", uid="u-1", resource_version="7")

    [request] = server.seen
    assert request.body == {
        "preconditions": {"uid": "u-1", "resourceVersion": "7"},
        "propagationPolicy": "Background",
    }


async def test_deleting_what_is_gone_is_success(client: KubeClient, server: ScriptedServer) -> None:
    """Teardown must be repeatable after a crash at any line."""
    server.reply(404, refusal("NotFound"))

    deleted = await client.delete("Namespace", "bh-a", uid="u-1")

    assert deleted is False


async def test_list_follows_pages_and_fills_in_the_kind(client: KubeClient, server: ScriptedServer) -> None:
    """Objects of page two would look deleted; items of lists carry no kind of their own."""
    server.reply(200, {"metadata": {"continue": "t"}, "items": [{"metadata": {"name": "a"}}]})
    server.reply(200, {"metadata": {}, "items": [{"metadata": {"name": "b"}}]})

    found = await client.list("RoleBinding", "bh-a", label_selector="x=y")

    assert [item["metadata"]["name"] for item in found] == ["a", "b"]
    assert {(item["apiVersion"], item["kind"]) for item in found} == {
        ("rbac.authorization.k8s.io/v1", "RoleBinding")
    }
    assert [request.query for request in server.seen] == [
        {"limit": "500", "labelSelector": "x=y"},
        {"limit": "500", "labelSelector": "x=y", "continue": "t"},
    ]


async def test_list_starts_over_without_pages_when_the_token_expired(
    client: KubeClient, server: ScriptedServer
) -> None:
    """A slow reader of a big list must not fail for ever."""
    server.reply(200, {"metadata": {"continue": "t"}, "items": [{"metadata": {"name": "a"}}]})
    server.reply(410, refusal("Expired"))
    server.reply(200, {"items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]})

    found = await client.list("RoleBinding")

    assert [item["metadata"]["name"] for item in found] == ["a", "b"]


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (404, refusal("NotFound"), errors.NotFound),
        (409, refusal("AlreadyExists"), errors.AlreadyExists),
        (409, refusal("Conflict"), errors.Conflict),
        (403, refusal("Forbidden"), errors.Forbidden),
        (
            403,
            refusal("Forbidden", causes=[{"reason": "NamespaceTerminating"}]),
            errors.NamespaceTerminating,
        ),
        (403, refusal("Forbidden", "pods is forbidden: exceeded quota: workspace"), errors.QuotaExceeded),
        (422, refusal("Invalid"), errors.Invalid),
        (400, refusal("BadRequest"), errors.Invalid),
        (401, refusal("Unauthorized"), errors.Unauthorized),
        (410, refusal("Expired"), errors.Gone),
        (429, refusal("TooManyRequests"), errors.TooManyRequests),
        (500, refusal("InternalError"), errors.Unavailable),
        (504, refusal("Timeout"), errors.Unavailable),
        (415, refusal("UnsupportedMediaType"), errors.Invalid),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)
async def test_each_refusal_has_its_class(
    client: KubeClient, server: ScriptedServer, status: int, body: dict[str, Any], expected: type
) -> None:
    """Callers decide by class; a wrong class is a wrong decision."""
    for _ in range(3):
        server.reply(status, body)

    with pytest.raises(errors.KubeError) as caught:
        await client.get("RoleBinding", "r", "bh-a")

    assert type(caught.value) is expected
    assert str(caught.value).startswith(f"get RoleBinding bh-a/r: {status} ")


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_idempotent_calls_are_repeated(client: KubeClient, server: ScriptedServer, status: int) -> None:
    """One hiccup of the API server must not fail a reconcile."""
    server.reply(status)
    server.reply(status, Retry_After="0")
    server.reply(200, {"metadata": {"name": "r"}})

    assert await client.apply(POLICY) == {"metadata": {"name": "r"}}


async def test_a_create_that_may_have_happened_is_not_repeated(
    client: KubeClient, server: ScriptedServer
) -> None:
    """A repeated POST could report AlreadyExists for our own object."""
    server.reply(500)

    with pytest.raises(errors.Unavailable):
        await client.create(NAMESPACE)

    assert len(server.seen) == 1


async def test_a_create_that_was_turned_away_is_repeated(client: KubeClient, server: ScriptedServer) -> None:
    """429 says that nothing happened."""
    server.reply(429, Retry_After="0")
    server.reply(201, NAMESPACE)

    assert await client.create(NAMESPACE) == NAMESPACE


async def test_no_server_is_unavailable(unused_tcp_port: int) -> None:
    """A dead API server must be told apart from a refusal."""
    credentials = Credentials(server=f"http://127.0.0.1:{unused_tcp_port}")
    async with KubeClient(credentials, random=lambda: 0.0, timeout_seconds=5) as client:
        with pytest.raises(errors.Unavailable) as caught:
            await client.create(NAMESPACE)

    assert caught.value.reason == "NoConnection"


async def test_refused_secrets_do_not_quote_the_value(client: KubeClient, server: ScriptedServer) -> None:
    """SEC-001: the API server quotes what it cannot read; errors end up in logs and conditions."""
    planted = "cGxhbnRlZA=="
    server.reply(422, refusal("Invalid", f'data: Invalid value: "{planted}"'))
    manifest = {"kind": "Secret", "metadata": {"namespace": "bh-a", "name": "s"}, "data": {"value": planted}}

    with pytest.raises(errors.Invalid) as caught:
        await client.apply(manifest)

    assert planted not in str(caught.value) + repr(caught.value) + caught.value.message


async def test_finalizers_are_written_only_over_what_was_read(
    client: KubeClient, server: ScriptedServer
) -> None:
    """An unguarded write would drop the finalizer that somebody added a moment ago."""
    server.reply(409, refusal("Conflict"))

    with pytest.raises(errors.Conflict):
        await client.set_finalizers("TenantWorkspace", "acme", ["f"], resource_version="3")

    assert server.seen[0].body == {"metadata": {"finalizers": ["f"], "resourceVersion": "3"}}


async def test_a_rotated_token_is_tried_before_a_401_is_believed(
    server: ScriptedServer, tmp_path: Path
) -> None:
    """Projected tokens rotate in place; the old one stops working without notice."""
    token = tmp_path / "token"
    token.write_text("old\n")
    credentials = Credentials(server=server.url, token_file=token)
    async with KubeClient(credentials, random=lambda: 0.0) as client:
        await client.get("Namespace", "a")
        token.write_text("new\n")
        server.reply(401)
        await client.get("Namespace", "a")

    assert [request.headers["Authorization"] for request in server.seen] == [
        "Bearer old",
        "Bearer old",
        "Bearer new",
    ]


async def test_every_attempt_is_observed(server: ScriptedServer) -> None:
    """Metrics would hide retries."""
    observed: list[tuple[str, str, int | None]] = []

    def observer(call: Call, status: int | None, _seconds: float) -> None:
        observed.append((call.verb, call.kind, status))

    server.reply(503, Retry_After="0")
    async with KubeClient(Credentials(server=server.url), random=lambda: 0.0, observer=observer) as client:
        await client.get("Namespace", "a")

    assert observed == [("get", "Namespace", 503), ("get", "Namespace", 200)]


def test_credentials_never_show_their_secrets() -> None:
    """A traceback or a debug line prints reprs."""
    credentials = Credentials(server="https://a", token="planted-token", client_key=b"planted-key")

    assert "planted" not in repr(credentials)
