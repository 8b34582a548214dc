"""What a caller has left, in the two forms that clients read.

`RateLimit` and `RateLimit-Policy` as draft-ietf-httpapi-ratelimit-headers-11 has them (structured fields),
and `x-ratelimit-*` as OpenAI's servers send them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bulkhead_sandbox.gateway.limits.account import Account
    from bulkhead_sandbox.gateway.limits.amounts import Moment

__all__ = ["rate_headers"]

_POLICY: Final = '"requests";q={0};w=60, "tokens";q={1};w=60;qu="tokens", "day";q={2};w=86400;qu="tokens"'
_LEFT: Final = '"requests";r={0};t={1}, "tokens";r={2};t={3}, "day";r={4};t={5}'


def rate_headers(account: Account, now: Moment) -> dict[str, str]:
    """Limit, rest and time until it is whole again: of requests, tokens and the day."""
    rates = account.rates
    requests = max(0, math.floor(account.requests.level(now.seconds)))
    tokens = max(0, math.floor(account.tokens.level(now.seconds)))
    requests_wait = account.requests.seconds_until(rates.requests_per_minute, now.seconds)
    tokens_wait = account.tokens.seconds_until(rates.tokens_per_minute, now.seconds)
    day = max(0, rates.tokens_per_day - account.used_today(now))
    midnight = math.ceil(now.seconds_to_midnight)
    return {
        "RateLimit-Policy": _POLICY.format(
            rates.requests_per_minute, rates.tokens_per_minute, rates.tokens_per_day
        ),
        "RateLimit": _LEFT.format(
            requests, math.ceil(requests_wait), tokens, math.ceil(tokens_wait), day, midnight
        ),
        "x-ratelimit-limit-requests": str(rates.requests_per_minute),
        "x-ratelimit-limit-tokens": str(rates.tokens_per_minute),
        "x-ratelimit-remaining-requests": str(requests),
        "x-ratelimit-remaining-tokens": str(tokens),
        "x-ratelimit-reset-requests": f"{requests_wait:.3f}s",
        "x-ratelimit-reset-tokens": f"{tokens_wait:.3f}s",
    }
