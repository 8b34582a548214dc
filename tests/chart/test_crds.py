"""CRDs: the chart's are the generated ones, and they outlive the release."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from .conftest import CHART, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Helm, Rendered

GENERATED = sorted((ROOT / "crds").glob("*.yaml"))
KEEP = "helm.sh/resource-policy"


def test_the_charts_copies_are_the_generated_files() -> None:
    """An upgrade with an old copy would take fields away from workspaces that use them."""
    copies = sorted((CHART / "files" / "crds").glob("*.yaml"))

    assert {path.name: path.read_bytes() for path in GENERATED} == {
        path.name: path.read_bytes() for path in copies
    }
    assert 2 == len(copies)


def test_rendered_crds_are_the_generated_ones(release: Rendered) -> None:
    """Helm's way through JSON may change numbers; a changed bound changes what the API server accepts."""
    rendered = {crd["metadata"]["name"]: crd["spec"] for crd in release.all("CustomResourceDefinition")}
    generated = [yaml.safe_load(path.read_text()) for path in GENERATED]

    assert {crd["metadata"]["name"]: crd["spec"] for crd in generated} == rendered


def _dropped_by_the_server(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, below in value.items():
            if key == "priority" and below == 0:
                yield f"{path}.{key}"
            yield from _dropped_by_the_server(below, f"{path}.{key}")
    if isinstance(value, list):
        for index, below in enumerate(value):
            yield from _dropped_by_the_server(below, f"{path}[{index}]")


def test_crds_hold_nothing_that_the_server_drops(release: Rendered) -> None:
    """Then a CRD that kubectl applied conflicts with Helm's server-side apply, and GitOps tools see drift."""
    found = [
        each
        for crd in release.all("CustomResourceDefinition")
        for each in _dropped_by_the_server(crd["spec"])
    ]

    assert [] == found


def test_crds_and_with_them_tenants_outlive_the_release(release: Rendered) -> None:
    """`helm uninstall` that removes the CRDs removes every TenantWorkspace, and with it every tenant."""
    crds = release.all("CustomResourceDefinition")

    assert ["keep", "keep"] == [crd["metadata"]["annotations"][KEEP] for crd in crds]


def test_keeping_crds_is_a_choice(helm: Helm) -> None:
    """A test cluster wants them gone."""
    crds = helm("crds.keep=false").all("CustomResourceDefinition")

    assert [False, False] == [KEEP in crd["metadata"]["annotations"] for crd in crds]


def test_crds_can_be_left_to_somebody_else(helm: Helm) -> None:
    """GitOps setups apply CRDs on their own, before any release."""
    assert [] == helm("crds.enabled=false").all("CustomResourceDefinition")
