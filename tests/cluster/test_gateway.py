"""Through the gateway: real tools in real pods, by sessions of this tenant only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kubelive import Live, Ref
from kubelive.workspaces import gone, namespace_of, ready, token, tool_call, workspace

if TYPE_CHECKING:
    from support.stories import Scene, Told

    from kubelive.backend import Answer, Backend

SCOPE = ("tools:call:shell",)
CALL = {"tool": "shell_exec", "arguments": {"argv": ["true"]}}


def _gateway(live: Live, name: str) -> str:
    return str(live.get(Ref("TenantWorkspace", name))["status"]["gateway"]["url"])


def _text(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    return "\n".join(part.get("text", "") for part in answer.json["content"])


def test_shell_python_and_files_do_real_work(live: Live, backend: Backend, pair: tuple[str, str]) -> None:
    """A user writes a file with one tool, reads it with another, and computes with it."""
    name = pair[0]
    session = token(name, user="alice", scopes=SCOPE)

    def call(function: str, **arguments: object) -> str:
        return _text(tool_call(live, backend, name, "shell", function, session=session, **arguments))

    call("file_write", path="numbers.txt", content="1\n2\n39\n")

    assert "numbers.txt" in call("file_list")
    assert "39" in call("file_read", path="numbers.txt")
    assert "42" in call("python_exec", code="print(sum(int(line) for line in open('numbers.txt')))")
    assert "65532" in call("shell_exec", argv=["id", "-u"])


def test_two_tenants_share_no_files(live: Live, backend: Backend, pair: tuple[str, str]) -> None:
    """The same user name in two tenants is two users; a second session of one user starts empty, too."""
    secret = "left-only-9b1d"
    session = token(pair[0], user="alice", scopes=SCOPE)
    write = {"path": "note.txt", "content": secret}
    _text(tool_call(live, backend, pair[0], "shell", "file_write", session=session, **write))

    mine = _text(tool_call(live, backend, pair[0], "shell", "file_read", session=session, path="note.txt"))
    later = tool_call(live, backend, pair[0], "shell", "file_read", path="note.txt")
    other = tool_call(live, backend, pair[1], "shell", "file_read", path="note.txt")

    assert secret in mine
    assert secret not in later.body
    assert secret not in other.body


def test_a_token_opens_its_own_gateway_only(live: Live, backend: Backend, pair: tuple[str, str]) -> None:
    """The positive control uses the very same token at its own gateway."""
    signed = token(pair[0], user="mallory", scopes=SCOPE)

    own = backend.call(f"{_gateway(live, pair[0])}/v1/tools/shell", token=signed, body=CALL)
    foreign = backend.call(f"{_gateway(live, pair[1])}/v1/tools/shell", token=signed, body=CALL)

    assert (own.status, foreign.status) == (200, 401)
    assert foreign.json["type"] == "urn:bulkhead:problem:invalid-token"


def test_refusals_look_alike(live: Live, backend: Backend, pair: tuple[str, str]) -> None:
    """No token, garbage, a foreign token: one answer, so that nobody learns which check failed."""
    url = f"{_gateway(live, pair[1])}/v1/tools/shell"
    tokens = ("", "garbage", token(pair[0], user="mallory", scopes=SCOPE))

    def shape(answer: Answer) -> dict[str, Any]:
        return {"status": answer.status} | {k: v for k, v in answer.json.items() if k != "instance"}

    answers = [shape(backend.call(url, token=each, body=CALL)) for each in tokens]

    assert answers[0]["status"] == 401
    assert answers == [answers[0]] * 3


def test_scope_decides_which_tool_may_be_called(live: Live, backend: Backend, pair: tuple[str, str]) -> None:
    """A session for one tool calls no other, existing or not."""
    signed = token(pair[0], user="alice", scopes=("tools:call:other",))

    answer = backend.call(f"{_gateway(live, pair[0])}/v1/tools/shell", token=signed, body=CALL)

    assert answer.status == 403


def _epoch(at: Scene) -> None:
    live, backend = at.live, at.backend
    name = at.make("epoch", tools=[{"name": "shell"}])
    url = f"{_gateway(live, name)}/v1/tools/shell"
    old = token(name, user="alice", scopes=SCOPE)
    assert backend.call(url, token=old, body=CALL).status == 200

    live.merge(Ref("TenantWorkspace", name), {"spec": {"sessionEpoch": 1}})
    ready(live, name)

    assert backend.call(url, token=old, body=CALL).status == 401
    assert backend.call(url, token=token(name, user="alice", scopes=SCOPE), body=CALL).status == 200


def _again(at: Scene) -> None:
    live = at.live
    name = at.make("again", tools=[{"name": "shell"}])
    old = token(name, user="alice", scopes=SCOPE)
    namespace = namespace_of(live, name)
    live.delete(Ref("TenantWorkspace", name))
    gone(live, name, namespace)
    live.apply(workspace(name, className="cluster-tests", tools=[{"name": "shell"}]))
    ready(live, name)

    answer = at.backend.call(f"{_gateway(live, name)}/v1/tools/shell", token=old, body=CALL)

    assert answer.status == 401


def _allow(at: Scene) -> None:
    tools = [{"name": "shell", "allow": ["shell_exec"]}, {"name": "files", "allow": ["file_list"]}]
    name = at.make("allow", tools=tools)

    answers = [
        tool_call(at.live, at.backend, name, tool, "shell_exec", argv=["true"]) for tool in ("shell", "files")
    ]

    assert [answer.status for answer in answers] == [200, 404]


STORIES: Final = (_epoch, _again, _allow)


def test_raising_the_epoch_revokes_every_token(told: Told) -> None:
    """A token from before the edit is refused; a fresh one works."""
    told(_epoch)


def test_a_recreated_workspace_of_the_same_name_refuses_old_tokens(told: Told) -> None:
    """The UID is the identity, not the name."""
    told(_again)


def test_allow_list_limits_the_functions_of_a_tool(told: Told) -> None:
    """`spec.tools[].allow` is enforced by the gateway, whatever the session's scope."""
    told(_allow)
