from __future__ import annotations

import os
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from bulkhead_sandbox.serve import listening
from bulkhead_wire.keys import SigningKey, jwks_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import FakeClock, World

SHELL = "tools:call:shell"


async def test_tool_call_reaches_the_tool_and_comes_back(world: World) -> None:
    """The main job: a signed session calls a tool through the gateway."""
    answer = await world.call("shell", "shell_exec", argv=["echo", "hello"])
    assert answer.status == 200
    assert answer.json["structured"]["stdout"] == "hello\n"
    assert answer.json["structured"]["exit_code"] == 0
    assert (answer.json["is_error"], answer.json["truncated"]) == (False, False)
    assert answer.json["content"][0]["type"] == "text"


async def test_long_output_says_that_it_was_cut(world: World) -> None:
    """A model would take half an answer for the whole."""
    answer = await world.call("shell", "python_exec", code="print('x' * 100_000)")
    assert answer.json["truncated"] is True
    assert len(answer.json["structured"]["stdout"]) == 64 * 1024


async def test_session_may_look_at_itself(world: World) -> None:
    """A client could not tell what its token is good for."""
    answer = await world.ask("GET", "/v1/session", world.token("session", SHELL))
    assert answer.json == {
        "workspace": "acme",
        "tenant_id": "acme",
        "subject": "alice",
        "session_id": "AAAAAAAAAAAAAAAAAAAAAA",
        "role": "user",
        "actors": [],
        "scopes": ["session", SHELL],
        "expires_at": "2027-01-15T08:05:00.000Z",
    }


async def test_tools_are_listed_with_the_functions_that_may_be_used(world: World) -> None:
    """A model would be offered what it is then refused."""
    answer = await world.ask("GET", "/v1/tools", world.token("tools:list"))
    functions = {tool["name"]: [f["name"] for f in tool["functions"]] for tool in answer.json["tools"]}
    assert functions == {
        "shell": ["shell_exec", "python_exec", "file_read", "file_write", "file_list", "file_delete"],
        "files": ["file_read", "file_write"],
    }
    assert answer.json["tools"][0]["functions"][0]["input_schema"]["required"] == ["argv"]


ELSEWHERE = ("Host", "Forwarded", "X-Forwarded-Host", "X-Original-URL", "X-Sandbox-ID", "X-Sandbox-Namespace")


@pytest.mark.parametrize("header", ELSEWHERE)
async def test_agent_sandbox_755_no_header_says_where_a_call_goes(world: World, header: str) -> None:
    """Its router forwarded to any name that a header gave: the way into everything that it could reach."""
    seen: list[str] = []

    async def catch_all(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response()

    elsewhere = web.Application()
    elsewhere.router.add_route("*", "/{path:.*}", catch_all)
    async with listening((elsewhere, 0), host="127.0.0.1", drain_seconds=0) as (port,):
        place = f"127.0.0.1:{port}"
        answer = await world.ask(
            "POST",
            "/v1/tools/shell",
            world.token(SHELL),
            headers={header: f"host={place}" if header == "Forwarded" else place},
            json={"tool": "shell_exec", "arguments": {"argv": ["echo", "here"]}},
        )
    assert answer.json["structured"]["stdout"] == "here\n"
    assert seen == []


BAD_AUTHORIZATION: dict[str, list[str]] = {
    "none": [],
    "empty": [""],
    "basic": ["Basic {token}"],
    "no scheme": ["{token}"],
    "two headers": ["Bearer {token}", "Bearer {token}"],
    "two tokens": ["Bearer {token} {token}"],
    "no token": ["Bearer "],
    "token with a space before": ["Bearer  {token}"],
    "cut token": ["Bearer {token}x"],
}


@pytest.mark.parametrize("values", BAD_AUTHORIZATION.values(), ids=BAD_AUTHORIZATION.keys())
async def test_without_one_good_token_nothing_is_answered(world: World, values: list[str]) -> None:
    """The door would be open, or two readers of the headers would see two users."""
    token = world.token("session")
    headers = [("Authorization", value.format(token=token)) for value in values]
    async with world.http.get(f"{world.url}/v1/session", headers=headers) as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"] == 'Bearer, DPoP algs="EdDSA ES256"'


BAD_TOKENS: dict[str, Callable[[World], str]] = {
    "another key": lambda world: world.token("session", key=SigningKey.from_seed(b"\x09" * 32)),
    "another workspace": lambda world: world.token("session", workspace_uid="another"),
    "expired": lambda world: world.token("session", now=world.clock() - 400),
    "not yet": lambda world: world.token("session", now=world.clock() + 400),
    "nonsense": lambda _world: "a.b.c",
}


async def test_all_bad_tokens_get_the_same_answer(world: World) -> None:
    """The difference between two refusals tells an attacker which half he has right."""
    bodies = set()
    for make in BAD_TOKENS.values():
        answer = await world.ask("GET", "/v1/session", make(world))
        assert answer.status == 401
        bodies.add(str({k: v for k, v in answer.json.items() if k != "instance"}))
    assert len(bodies) == 1
    reasons = {
        sample.labels["reason"]
        for metric in world.metrics.registry.collect()
        for sample in metric.samples
        if sample.name == "bulkhead_gw_auth_failures_total"
    }
    assert reasons == {"unknown-key", "audience", "expired", "not-yet-valid", "malformed"}


@pytest.mark.parametrize("tool", ["shell", "no-such-tool", "x" * 300])
async def test_scope_is_asked_before_existence(world: World, tool: str) -> None:
    """A caller could find out which tools a workspace has by trying names."""
    answer = await world.call(tool, "shell_exec", world.token("session", "tools:call:other"), argv=["id"])
    assert (answer.status, answer.slug) == (403, "insufficient-scope")


@pytest.mark.parametrize("path", ["/v1/session", "/v1/tools"])
async def test_each_scope_opens_its_own_path_only(world: World, path: str) -> None:
    """A token for tool calls would list, or look."""
    assert (await world.ask("GET", path, world.token(SHELL))).slug == "insufficient-scope"


async def test_unknown_and_not_allowed_functions_look_the_same(world: World) -> None:
    """The allow-list could be read by trying."""
    answers = [
        await world.call("files", "shell_exec", argv=["id"]),
        await world.call("files", "no_such_function"),
        await world.call("gone", "shell_exec", argv=["id"]),
        await world.call("shell", "not a name"),
    ]
    assert {(answer.status, answer.slug, answer.json["detail"]) for answer in answers} == {
        (404, "not-found", answers[0].json["detail"])
    }


async def test_function_the_server_does_not_know_is_the_callers_mistake(world: World) -> None:
    """A typing error would look like an outage."""
    answer = await world.call("shell", "no_such_function")
    assert (answer.status, answer.slug) == (422, "invalid-field")


BAD_BODIES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "malformed"),
    "not json": (b"{", "malformed"),
    "key twice": (b'{"tool": "shell_exec", "tool": "file_read"}', "malformed"),
    "too deep": (b'{"tool": "x", "arguments": {"a": ' + b"[" * 40 + b"]" * 40 + b"}}", "malformed"),
    "not utf-8": (b'{"tool": "\xff"}', "malformed"),
    "list": (b"[]", "invalid-field"),
    "no tool": (b"{}", "invalid-field"),
    "unknown field": (b'{"tool": "shell_exec", "shell": true}', "invalid-field"),
    "timeout 0": (b'{"tool": "shell_exec", "timeout_seconds": 0}', "invalid-field"),
    "timeout 301": (b'{"tool": "shell_exec", "timeout_seconds": 301}', "invalid-field"),
    "timeout true": (b'{"tool": "shell_exec", "timeout_seconds": true}', "invalid-field"),
    "arguments a list": (b'{"tool": "shell_exec", "arguments": []}', "invalid-field"),
    "larger than 1 MiB": (b'{"tool": "' + b"x" * 1024 * 1024 + b'"}', "body-too-large"),
}


@pytest.mark.parametrize(("body", "slug"), BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_body_that_is_no_call_is_refused(world: World, body: bytes, slug: str) -> None:
    """A body with two readings would be checked as one thing and done as another."""
    headers = {"Content-Type": "application/json"}
    answer = await world.ask(
        "POST", "/v1/tools/shell", world.token(SHELL), data=BytesIO(body), headers=headers
    )
    assert answer.slug == slug


async def test_problem_names_the_field(world: World) -> None:
    """The caller would have to guess."""
    body = {"tool": "shell_exec", "timeout_seconds": 301}
    answer = await world.ask("POST", "/v1/tools/shell", world.token(SHELL), json=body)
    assert (answer.json["field"], answer.json["detail"]) == ("timeout_seconds", "It must be 1 to 300.")


@pytest.mark.parametrize("headers", [{"Content-Type": "text/plain"}, {"Content-Encoding": "gzip"}])
async def test_body_in_another_form_is_refused(world: World, headers: dict[str, str]) -> None:
    """A compressed body passes a limit on bytes and becomes a thousand times as large."""
    headers = {"Content-Type": "application/json", **headers}
    answer = await world.ask("POST", "/v1/tools/shell", world.token(SHELL), data=b"{}", headers=headers)
    assert (answer.status, answer.slug) == (415, "unsupported-media-type")


@pytest.mark.parametrize(
    ("method", "path", "slug"),
    [("GET", "/", "not-found"), ("GET", "/internal/v1/activity", "not-found"), ("DELETE", "/v1/tools", "")],
)
async def test_nothing_else_is_served_to_clients(world: World, method: str, path: str, slug: str) -> None:
    """The operator's questions would be answered to tenants."""
    answer = await world.ask(method, path, world.token("session"))
    assert answer.slug == (slug or "method-not-allowed")


async def test_every_answer_has_an_id_and_is_not_stored(world: World) -> None:
    """A cache between us and the caller would keep one user's answer for another."""
    for answer in (await world.ask("GET", "/v1/session"), await world.call("shell", "file_list")):
        assert answer.headers["Cache-Control"] == "no-store"
        assert len(answer.headers["X-Request-Id"]) == 36


async def test_key_set_is_reloaded_when_its_file_changes(world: World, clock: FakeClock) -> None:
    """Rotation would need a restart, and a withdrawn key would work on."""
    old, new = world.token("session"), SigningKey.from_seed(b"\x05" * 32)
    assert (await world.ask("GET", "/v1/session", old)).status == 200
    _replace(world, jwks_json([new]))
    clock.now += 1
    assert (await world.ask("GET", "/v1/session", old)).status == 401, "remembered as verified"
    assert (await world.ask("GET", "/v1/session", world.token("session", key=new))).status == 200


@pytest.mark.parametrize("text", ["", "{", '{"keys": []}', None])
async def test_unreadable_key_set_trusts_nobody(world: World, clock: FakeClock, text: str | None) -> None:
    """Teardown removes the keys first: old ones kept in memory would let sessions in until the pod ends."""
    token = world.token("session")
    assert (await world.ask("GET", "/v1/session", token)).status == 200
    _replace(world, text)
    clock.now += 1
    assert (await world.ask("GET", "/v1/session", token)).status == 401


def _replace(world: World, text: str | None) -> None:
    """As kubelet does it: another file takes the name."""
    world.jwks_file.unlink()
    if text is not None:
        draft = world.jwks_file.with_name("draft")
        draft.write_text(text)
        os.replace(draft, world.jwks_file)  # noqa: PTH105 - the call whose effect is meant


async def test_verified_token_dies_on_time(world: World, clock: FakeClock) -> None:
    """A remembered verification must not outlive the token."""
    token = world.token("session", ttl_seconds=20)
    assert (await world.ask("GET", "/v1/session", token)).status == 200
    clock.now += 51
    assert (await world.ask("GET", "/v1/session", token)).status == 401


async def test_activity_is_told_to_the_operator_alone(world: World, clock: FakeClock) -> None:
    """An idle deadline would end a workspace in use, or never end one."""
    started = {"started_at": "2027-01-15T08:00:00.000Z", "last_session_at": None}
    assert await _activity(world) == started
    clock.now += 10
    await world.ask("GET", "/v1/session", "refused")
    assert await _activity(world) == started, "a refused caller must not keep a workspace alive"
    await world.ask("GET", "/v1/session", world.token("session"))
    clock.now += 10
    assert await _activity(world) == {**started, "last_session_at": "2027-01-15T08:00:10.000Z"}


async def _activity(world: World) -> Any:
    return (await world.ask_operator_port("GET", "/internal/v1/activity")).json


async def test_log_holds_no_token_argument_or_output(world: World) -> None:
    """Secrets pass through here all day; one line of them is a breach."""
    token = world.token(SHELL)
    answer = await world.call("shell", "shell_exec", token, argv=["echo", "planted-secret"])
    assert "planted-secret" in answer.json["structured"]["stdout"]
    await world.call("shell", "planted-secret", "planted-secret")
    log = str(world.lines)
    assert "gateway.answered" in log
    assert not [word for word in ("planted-secret", "alice", token, token[-40:]) if word in log]
