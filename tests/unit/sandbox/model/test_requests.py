"""The allow-list of fields: what is not known is refused by its name, and nothing multiplies an answer."""

from __future__ import annotations

from typing import Any

import pytest

from bulkhead_sandbox.gateway.model.requests import read_chat, read_embeddings
from bulkhead_sandbox.problems import Problem, Slug

USER = {"role": "user", "content": "hi"}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "look"}}


def refused(body: Any, read: Any = read_chat) -> str | None:
    """The field that is named."""
    with pytest.raises(Problem) as caught:
        read(body)
    assert Slug.INVALID_FIELD is caught.value.slug
    return caught.value.field


@pytest.mark.parametrize(
    "field",
    [
        "logprobs",
        "top_logprobs",
        "prompt_logprobs",
        "echo",
        "kv_transfer_params",
        "truncate_prompt_tokens",
        "priority",
        "extra_body",
        "cache_salt",
        "best_of_n",
        "min_tokens",
        "ignore_eos",
        "use_beam_search",
        "add_generation_prompt",
        "chat_template",
        "documents",
        "guided_regex",
        "logit_bias",
        "user",
        "metadata",
        "store",
        "service_tier",
        "functions",
        "Max_Tokens",
        "max_tokens ",
        "",
    ],
)
def test_a_field_that_is_not_known_is_refused_by_its_name(field: str) -> None:
    """Each of these changes what the server does, costs or shows."""
    assert field == refused({"model": "m", "messages": [USER], field: 1})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2),
        ("n", True),
        ("n", 1.0),
        ("n", "1"),
        ("n", 0),
        ("best_of", 16),
        ("max_tokens", 0),
        ("max_tokens", -1),
        ("max_tokens", 1e9),
        ("max_tokens", "10"),
        ("max_completion_tokens", True),
        ("max_output_tokens", 2**40),
        ("temperature", 2.1),
        ("temperature", "hot"),
        ("top_p", -0.1),
        ("stop", ["a"] * 5),
        ("stop", [""]),
        ("stop", {"a": 1}),
        ("stream", 1),
        ("seed", 0.5),
        ("tools", []),
        ("tools", [TOOL] * 129),
        ("tool_choice", "sometimes"),
        ("model", 7),
        ("model", ""),
        ("messages", []),
        ("messages", "hi"),
        ("messages", [USER] * 2049),
    ],
)
def test_a_value_out_of_its_bounds_is_refused(field: str, value: Any) -> None:
    """A server may take it for something else than we do."""
    body = {"model": "m", "messages": [USER], field: value}
    assert field == (refused(body) or "").split("[")[0]


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"role": "function", "content": "x"}, "messages[0].role"),
        ({"role": "User", "content": "x"}, "messages[0].role"),
        ({"content": "x"}, "messages[0].role"),
        ({"role": ["user"], "content": "x"}, "messages[0].role"),
        ("hi", "messages[0].role"),
        ({"role": "user"}, "messages[0].content"),
        ({"role": "user", "content": 7}, "messages[0].content"),
        ({"role": "user", "content": "x", "name": "root"}, "messages[0].name"),
        ({"role": "user", "content": "x", "prefix": True}, "messages[0].prefix"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}, None),
        ({"role": "user", "content": []}, "messages[0].content"),
        ({"role": "user", "content": "x", "tool_calls": [CALL]}, "messages[0].tool_calls"),
        ({"role": "tool", "content": "x"}, "messages[0].tool_call_id"),
        ({"role": "assistant", "tool_calls": [{**CALL, "x": 1}]}, "messages[0].tool_calls[0].x"),
        ({"role": "assistant", "tool_calls": [{"id": "c"}]}, "messages[0].tool_calls[0].type"),
    ],
)
def test_a_message_of_another_shape_is_refused(message: Any, field: str | None) -> None:
    """Roles and parts decide what the model takes for whose words."""
    found = refused({"model": "m", "messages": [message]})
    assert found is not None
    assert field is None or field == found


@pytest.mark.parametrize(
    ("tool", "field"),
    [
        ({"type": "function"}, "tools[0].function"),
        ({"type": "web_search", "function": {"name": "x"}}, "tools[0].type"),
        ({"type": "function", "function": {"name": "a b"}}, "tools[0].function.name"),
        ({"type": "function", "function": {"name": "a", "parameters": []}}, "tools[0].function.parameters"),
        ({"type": "function", "function": {"name": "a", "url": "http://x"}}, "tools[0].function.url"),
    ],
)
def test_a_tool_of_another_shape_is_refused(tool: Any, field: str) -> None:
    """Some servers run tools of their own."""
    assert field == refused({"model": "m", "messages": [USER], "tools": [tool]})


@pytest.mark.parametrize("body", [None, [], "x", 7])
def test_a_body_that_is_no_object_is_refused(body: Any) -> None:
    """JSON is more than objects."""
    assert "(top)" == refused(body)


def test_null_is_the_same_as_left_out() -> None:
    """Clients send what a library dumped, nulls and all."""
    answered = {"role": "assistant", "content": "x", "refusal": None, "audio": None, "function_call": None}
    request = read_chat(
        {"model": "m", "messages": [USER, answered], "max_tokens": None, "n": None, "logprobs": None}
    )
    assert [USER, {"role": "assistant", "content": "x"}] == request.messages
    assert (None, {}) == (request.output_tokens, request.passed)


def test_what_is_known_is_passed_on_as_it_came() -> None:
    """A client's settings must not change on the way."""
    settings = {
        "temperature": 0.25,
        "top_p": 1.0,
        "seed": -5,
        "stop": ["a", "b"],
        "tools": [{"type": "function", "function": {"name": "a", "parameters": {"x": [1]}, "strict": True}}],
        "tool_choice": {"type": "function", "function": {"name": "a"}},
        "parallel_tool_calls": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "s", "schema": {"type": "object"}},
        },
    }
    assert settings == read_chat({"model": "m", "messages": [USER], **settings}).passed


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"input": []}, "input"),
        ({"input": [""]}, "input[0]"),
        ({"input": [1, 2, 3]}, "input[0]"),
        ({"input": [[1, 2]]}, "input[0]"),
        ({"input": ["x"] * 129}, "input"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"),
        ({"truncate_prompt_tokens": 1}, "truncate_prompt_tokens"),
        ({"user": "bob"}, "user"),
    ],
)
def test_embeddings_have_an_allow_list_too(changes: dict[str, Any], field: str) -> None:
    """Token numbers cannot be counted, and cuts are silent."""
    assert field == refused({"model": "m", "input": "x", **changes}, read_embeddings)
