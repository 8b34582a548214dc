"""A real API server with the CRDs; no controller is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bulkhead.api.crd import CRD_NAMES
from kubelive import Live, Ref, kubectl, wait_until
from kubelive.fences import fences_down

if TYPE_CHECKING:
    from collections.abc import Iterator

CRDS = Path(__file__).parents[2] / "crds"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything below this folder needs an API server."""
    for item in items:
        if "tests/api/" in item.nodeid:
            item.add_marker(pytest.mark.api)


@pytest.fixture(scope="module")
def unfenced() -> Iterator[None]:
    """The fences are down, so that anybody may break what is then to be seen and mended."""
    with fences_down():
        yield


@pytest.fixture(scope="session")
def crds(live: Live) -> Iterator[tuple[dict[str, Any], ...]]:
    """Both CRDs as the server has them; made by plain `kubectl apply` and removed if none was there."""
    refs = [Ref("CustomResourceDefinition", name) for name in CRD_NAMES]
    missing = [ref for ref in refs if live.find(ref) is None]
    if missing:
        kubectl("apply", "-f", str(CRDS))

    def established() -> bool:
        conditions = [
            each for ref in refs for each in live.get(ref).get("status", {}).get("conditions") or ()
        ]
        return sum(each["type"] == "Established" and each["status"] == "True" for each in conditions) == len(
            refs
        )

    wait_until("CRDs established", established, timeout_seconds=20)
    yield tuple(live.get(ref) for ref in refs)
    for ref in missing:
        live.delete(ref)
