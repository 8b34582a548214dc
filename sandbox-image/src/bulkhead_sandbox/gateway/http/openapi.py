"""The gateway's own description (OpenAPI 3.1): each route, what it takes and what it gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bulkhead_sandbox.gateway.http.conversations import OpenBody
from bulkhead_sandbox.gateway.http.own import ExchangeBody
from bulkhead_sandbox.gateway.tools import ToolCall
from bulkhead_sandbox.problems import CONTENT_TYPE
from bulkhead_sandbox.shape import json_schema
from bulkhead_wire.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DOCUMENT", "PATH"]

PATH: Final = "/v1/openapi.json"

_Json = dict[str, Any]
_TEXT: Final[_Json] = {"type": "string"}
_INTEGER: Final[_Json] = {"type": "integer"}
_BOOLEAN: Final[_Json] = {"type": "boolean"}
_TIME: Final[_Json] = {"type": "string", "format": "date-time"}


def _object(required: Mapping[str, _Json], optional: Mapping[str, _Json] | None = None) -> _Json:
    """An object that has these members, and others perhaps."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
    }


def _closed(required: Mapping[str, _Json], optional: Mapping[str, _Json] | None = None) -> _Json:
    return {**_object(required, optional), "additionalProperties": False}


def _list(items: _Json, **bounds: int) -> _Json:
    return {"type": "array", "items": items, **bounds}


def _or_null(schema: _Json) -> _Json:
    return {"anyOf": [schema, {"type": "null"}]}


def _number(least: float, most: float) -> _Json:
    return {"type": ["number", "null"], "minimum": least, "maximum": most}


_CONTENT: Final[_Json] = {
    "anyOf": [
        _TEXT,
        _list(_closed({"type": {"const": "text"}, "text": _TEXT}), minItems=1, maxItems=256),
    ]
}
_NAME: Final[_Json] = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}
_TOOL_CALL: Final = _closed(
    {"id": _NAME, "type": {"const": "function"}, "function": _closed({"name": _NAME, "arguments": _TEXT})}
)
_MESSAGE: Final[_Json] = {
    "anyOf": [
        _closed({"role": {"enum": ["system", "developer", "user"]}, "content": _CONTENT}, {"name": _NAME}),
        _closed(
            {"role": {"const": "assistant"}},
            {
                "name": _NAME,
                "content": _or_null(_CONTENT),
                "tool_calls": _or_null(_list(_TOOL_CALL, maxItems=64)),
            },
        ),
        _closed({"role": {"const": "tool"}, "content": _CONTENT, "tool_call_id": _NAME}),
    ]
}
_OUTPUT: Final[_Json] = {"type": ["integer", "null"], "minimum": 1, "maximum": 2**31}
_CHAT: Final = _closed(
    {
        "model": {"type": "string", "minLength": 1, "maxLength": 253},
        "messages": _list(_MESSAGE, minItems=1, maxItems=2048),
    },
    {
        **dict.fromkeys(("max_tokens", "max_completion_tokens", "max_output_tokens"), _OUTPUT),
        "temperature": _number(0, 2),
        "top_p": _number(0, 1),
        "presence_penalty": _number(-2, 2),
        "frequency_penalty": _number(-2, 2),
        "seed": {"type": ["integer", "null"]},
        "stop": {},
        "tools": {},
        "tool_choice": {},
        "parallel_tool_calls": {"type": ["boolean", "null"]},
        "response_format": {},
        "stream": {"type": ["boolean", "null"]},
        "stream_options": _or_null(_closed({}, {"include_usage": {"type": ["boolean", "null"]}})),
        "n": {"enum": [1, None]},
        "best_of": {"enum": [1, None]},
    },
)
_EMBEDDINGS: Final = _closed(
    {
        "model": {"type": "string", "minLength": 1, "maxLength": 253},
        "input": {
            "anyOf": [
                {"type": "string", "minLength": 1},
                _list({"type": "string", "minLength": 1}, minItems=1, maxItems=128),
            ]
        },
    },
    {
        "encoding_format": {"enum": ["float", "base64", None]},
        "dimensions": {"type": ["integer", "null"], "minimum": 1, "maximum": 16384},
    },
)
_USAGE: Final = _object(
    {"prompt_tokens": _INTEGER, "total_tokens": _INTEGER}, {"completion_tokens": _INTEGER}
)
_TOOL: Final = _object({"name": _TEXT, "available": _BOOLEAN, "functions": _list({"type": "object"})})
_MODELS: Final = _object({"object": _TEXT, "data": _list({"type": "object"})})
_CONVERSATION: Final = _object(
    {"session_id": _TEXT, "created_at": _TIME, "expires_at": _TIME, "labels": {"type": "object"}}
)
_BUCKET: Final = _object({"limit": _INTEGER, "left": _INTEGER, "owed": _INTEGER})
_PROBLEM: Final = _object(
    {"type": _TEXT, "title": _TEXT, "status": _INTEGER, "detail": _TEXT, "instance": _TEXT},
    {"field": _TEXT, "limit": _TEXT, "retry_after": _INTEGER, "error": {"type": "object"}},
)
_CHECKPOINT: Final = _object(
    {"origin": _TEXT, "seq": _INTEGER, "head": _TEXT, "time": _TIME, "kid": _TEXT, "sig": _TEXT}
)


def _operation(
    scope: str | None,
    summary: str,
    answer: _Json | None,
    *,
    body: _Json | None = None,
    status: str = "200",
    more: _Json | None = None,
) -> _Json:
    """One operation; `scope` None: without a token."""
    good: _Json = {"description": summary}
    if answer is not None:
        good["content"] = {"application/json": {"schema": answer}}
    made: _Json = {
        "summary": summary,
        "responses": {
            status: good,
            "default": {
                "description": "A problem (RFC 9457).",
                "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            },
        },
        **(more or {}),
    }
    if scope is not None:
        made["security"] = [{"session": [scope]}]
    if body is not None:
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return made


def _parameter(name: str, place: str, schema: _Json) -> _Json:
    return {"name": name, "in": place, "required": place == "path", "schema": schema}


_SESSION_HEADER: Final = {"parameters": [_parameter("X-Bulkhead-Session", "header", _TEXT)]}
_SID: Final = {"parameters": [_parameter("sid", "path", _TEXT)]}
_NDJSON: Final[_Json] = {
    "description": "Records as they are in the log, one a line.",
    "content": {"application/x-ndjson": {"schema": _TEXT}},
}

_PATHS: Final[_Json] = {
    "/v1/session": {
        "get": _operation(
            "session",
            "What the token says.",
            _object(
                {
                    "workspace": _TEXT,
                    "tenant_id": _TEXT,
                    "subject": _TEXT,
                    "session_id": _TEXT,
                    "role": {"enum": ["user", "auditor"]},
                    "actors": _list(_TEXT),
                    "scopes": _list(_TEXT),
                    "expires_at": _TIME,
                }
            ),
        )
    },
    "/v1/usage": {
        "get": _operation(
            "session",
            "What the caller has spent and has left.",
            _object(
                {
                    "requests_per_minute": _BUCKET,
                    "tokens_per_minute": _BUCKET,
                    "tokens_per_day": _object(
                        {"limit": _INTEGER, "used": _INTEGER, "resets_in_seconds": _INTEGER}
                    ),
                    "concurrent": _object({"limit": _INTEGER, "used": _INTEGER}),
                }
            ),
        )
    },
    "/v1/token/exchange": {
        "post": _operation(
            "delegate",
            "A narrower token for somebody who acts for the subject.",
            _object(
                {
                    "access_token": _TEXT,
                    "issued_token_type": _TEXT,
                    "token_type": {"enum": ["Bearer", "DPoP"]},
                    "expires_in": _INTEGER,
                    "scope": _TEXT,
                }
            ),
            body=json_schema(ExchangeBody),
        )
    },
    "/v1/sessions": {
        "post": _operation(
            "session",
            "Opens a conversation that is remembered; once a token.",
            _CONVERSATION,
            body=json_schema(OpenBody),
            status="201",
        ),
        "delete": _operation("session", "Erases all of the caller's conversations.", None, status="204"),
    },
    "/v1/sessions/{sid}": {
        "get": _operation("session", "One of the caller's conversations.", _CONVERSATION, more=_SID),
        "delete": _operation("session", "Erases it.", None, status="204", more=_SID),
    },
    "/v1/models": {"get": _operation("chat", "The models that may be used.", _MODELS)},
    "/v1/chat/completions": {
        "post": _operation(
            "chat",
            "The model's answer; with `stream`, as server-sent events.",
            _object(
                {
                    "id": _TEXT,
                    "object": _TEXT,
                    "created": _INTEGER,
                    "model": _TEXT,
                    "choices": _list({}),
                    "usage": _USAGE,
                }
            ),
            body=_CHAT,
            more=_SESSION_HEADER,
        )
    },
    "/v1/embeddings": {
        "post": _operation(
            "embed",
            "A vector for each text.",
            _object({"object": _TEXT, "model": _TEXT, "data": _list({}), "usage": _USAGE}),
            body=_EMBEDDINGS,
        )
    },
    "/v1/tools": {
        "get": _operation(
            "tools:list",
            "The tools, with the functions that may be used.",
            _object({"tools": _list(_TOOL)}),
        )
    },
    "/v1/tools/{name}": {
        "post": _operation(
            "tools:call:{name}",
            "The result of one function.",
            _object({"content": _list({}), "structured": {}, "is_error": _BOOLEAN, "truncated": _BOOLEAN}),
            body=json_schema(ToolCall),
            more={"parameters": [_parameter("name", "path", _TEXT)]},
        )
    },
    "/v1/audit/records": {
        "get": {
            **_operation(
                "audit:read",
                "The audit log from one record on; for auditors.",
                None,
                more={
                    "parameters": [
                        _parameter("after_seq", "query", {"type": "integer", "minimum": 0}),
                        _parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 500}),
                    ]
                },
            )
        }
    },
    "/v1/audit/checkpoint": {
        "get": _operation("audit:read", "The newest signed head; for auditors.", _CHECKPOINT)
    },
    PATH: {"get": _operation(None, "This document.", {"type": "object"})},
}
_PATHS["/v1/audit/records"]["get"]["responses"]["200"] = _NDJSON
_CHAT_CONTENT: Final = _PATHS["/v1/chat/completions"]["post"]["responses"]["200"]["content"]
_CHAT_CONTENT["text/event-stream"] = {"schema": _TEXT}

DOCUMENT: Final[_Json] = {
    "openapi": "3.1.0",
    "info": {
        "title": "Bulkhead gateway",
        "version": VERSION,
        "description": "One workspace's door: each call carries a token, each failure is a problem.",
    },
    "paths": _PATHS,
    "components": {
        "schemas": {"Problem": _PROBLEM},
        "securitySchemes": {
            "session": {"type": "http", "scheme": "bearer", "bearerFormat": "bh-session+jwt"},
        },
    },
}
