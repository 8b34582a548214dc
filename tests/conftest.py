"""What every layer of tests shares."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from kubelive import Live

# A deadline measures the machine, not the code: on a busy one it fails what is right.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")


def pytest_configure() -> None:
    """No event loop but those that tests open and close.

    pytest-asyncio asks for the current loop before its first test; on Python 3.11 that makes one which nobody
    closes, and some later test gets the blame. Once a loop was set, even to None, none is made.
    """
    asyncio.set_event_loop(None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update-golden` rewrites the golden files instead of comparing with them."""
    parser.addoption("--update-golden", action="store_true", help="rewrite golden files; review the diff")


@pytest.fixture(scope="session")
def live() -> Live:
    """The cluster of the current kubeconfig. No cluster is a failure with a hint, never a skip."""
    from kubelive import Live  # noqa: PLC0415 - unit tests must not need the Kubernetes client

    try:
        connection = Live()
        connection.call("GET", "/version", timeout_seconds=5)
    except Exception as error:  # noqa: BLE001 - whatever it is, the message says what to do
        pytest.fail(
            f"no cluster answers ({error}); run `make cluster-up` and then `make api` or `make cluster`"
        )
    return connection
