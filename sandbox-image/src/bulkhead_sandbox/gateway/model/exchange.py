"""One call to a model: admitted, on record before the model hears of it, and settled whatever comes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bulkhead_sandbox.gateway.content import Kind, UnsafeOutput
from bulkhead_sandbox.gateway.limits import Usage
from bulkhead_sandbox.gateway.model.upstream import NotSent
from bulkhead_sandbox.problems import Problem, Slug

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from bulkhead_sandbox.gateway.http.calls import Call
    from bulkhead_sandbox.gateway.limits import Admission, Estimate
    from bulkhead_sandbox.gateway.model.parts import Model, Parts

__all__ = ["Asked", "ClientLeft", "Exchange", "exchange"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What goes on record of a request: sizes and a keyed digest, never its text."""

    event: str
    estimate: Estimate
    size: int
    text: bytes


class ClientLeft(Exception):
    """Nobody is there to be answered."""


class Exchange:
    """What the answer cost and how it ended; kept up to date while it comes."""

    def __init__(self, admission: Admission, given_tokens: int) -> None:
        self.admission = admission
        # Until the model has said something: the input was read, no output was made.
        self.usage: Callable[[], Usage] = lambda: Usage(given_tokens, 0, estimated=True)
        self.outcome = "allow"
        self.said = b""


@asynccontextmanager
async def exchange(parts: Parts, call: Call, model: Model, asked: Asked) -> AsyncIterator[Exchange]:
    """Problem before anything is sent where limits or the audit log hold it back."""
    claims = call.claims
    with parts.limiter.admit(claims.subject, asked.estimate, claims.limits) as admission:
        made = Exchange(admission, asked.estimate.input_tokens)
        reserved = {"reserved": admission.reserved_tokens}
        try:
            ref = await parts.audit.begin(
                asked.event,
                model=model.config.name,
                len={"in": asked.size},
                mac={"in": parts.mac(asked.text)},
                usage=reserved,
                **call.who,
            )
        except BaseException:
            admission.refund()  # nothing was sent
            raise
        why: str | None = None
        started = parts.clock()
        try:
            yield made
        except NotSent as problem:
            admission.refund()
            made.outcome, why = "error", problem.slug.slug
            raise
        except UnsafeOutput as unsafe:
            made.outcome, why = "deny", _why(unsafe.kind)
            await parts.security.report(unsafe.kind.value, why=why, severity=unsafe.kind.severity, **call.who)
            raise Problem(Slug.UNSAFE_OUTPUT) from unsafe
        except Problem as problem:
            made.outcome, why = "error", problem.slug.slug
            raise
        except (asyncio.CancelledError, ClientLeft):
            made.outcome, why = "truncated", "client-left"
            raise
        except BaseException:
            made.outcome, why = "error", Slug.INTERNAL.slug
            raise
        finally:
            usage = made.usage()
            admission.settle(usage)
            seconds = parts.clock() - started
            _learn(parts, model, asked, usage)
            parts.metrics.upstream_seconds.labels(made.outcome).observe(seconds)
            ended: dict[str, Any] = {} if why is None else {"why": why}
            await parts.audit.end(
                ref,
                made.outcome,
                usage=reserved | _counts(usage),
                len={"out": len(made.said)},
                mac={"out": parts.mac(made.said)},
                ms=round(seconds * 1000),
                **ended,
            )


def _learn(parts: Parts, model: Model, asked: Asked, usage: Usage) -> None:
    if not usage.estimated:
        model.ratio.learn(asked.size, usage.input_tokens)
    parts.metrics.tokens.labels("in").inc(usage.input_tokens)
    parts.metrics.tokens.labels("out").inc(usage.output_tokens)


def _counts(usage: Usage) -> dict[str, Any]:
    return {
        "in": usage.input_tokens,
        "out": usage.output_tokens,
        "cached": usage.cached_tokens,
        "estimated": usage.estimated,
    }


def _why(kind: Kind) -> str:
    return kind.value.replace("_", "-")
