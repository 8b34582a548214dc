"""Servers that play everything outside the cluster; standard library only."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import override
else:

    def override(method):  # noqa: ANN001, ANN201 - Python 3.11 has none in `typing`
        """Mark a method for the type checker only."""
        return method


__all__ = ["override"]
