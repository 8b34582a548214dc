"""How a command ends when it cannot do what was asked.

CliError
├── Refused     exit 1: asked and answered, the answer is no
└── CannotTell  exit 2: wrong usage, no way to the API server, or no right to ask
"""

from __future__ import annotations

from typing import Final

from bulkhead.errors import BulkheadError, Forbidden, KubeError, NotFound, Unauthorized

__all__ = ["CannotTell", "CliError", "Refused", "from_kube"]


class CliError(BulkheadError):
    """One sentence for the user; `exit_code` for scripts."""

    exit_code: int


class Refused(CliError):
    """The answer is no."""

    exit_code = 1


class CannotTell(CliError):
    """There is no answer."""

    exit_code = 2


_CRDS_MISSING: Final = "the server does not know this kind; is Bulkhead installed in this cluster?"


def from_kube(error: KubeError) -> CannotTell:
    """What an API error means to somebody at a prompt."""
    if isinstance(error, Unauthorized):
        return CannotTell(f"{error}; log in again, or choose another --context")
    if isinstance(error, Forbidden):
        return CannotTell(f"{error}; ask an administrator for that right")
    if isinstance(error, NotFound) and error.verb == "list":
        return CannotTell(f"list {error.kind}: {_CRDS_MISSING}")
    return CannotTell(str(error))
