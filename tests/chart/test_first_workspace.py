"""The class that comes with the chart, and the first workspace that its notes suggest, work as they stand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from bulkhead import names
from bulkhead.api.effective import Effective, resolve
from bulkhead.api.workspace import WorkspaceSpec
from bulkhead.api.workspace_class import WorkspaceClassSpec

from .conftest import ROOT

if TYPE_CHECKING:
    from .conftest import Helm, Rendered

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def _resolve(workspace: dict[str, Any], standard: dict[str, Any]) -> object:
    return resolve(
        name=workspace["metadata"]["name"],
        uid="5f0c3f5e-0000-4000-8000-000000000001",
        generation=1,
        created_at=NOW,
        spec=WorkspaceSpec.model_validate(workspace["spec"]),
        cls_name="standard",
        cls_spec=WorkspaceClassSpec.model_validate(standard["spec"]),
        sandbox_image="bulkhead/sandbox:0.1.0",
    )


def test_the_standard_class_is_the_default_one(release: Rendered) -> None:
    """A workspace without className would be stalled."""
    annotations = release.one("WorkspaceClass", "standard")["metadata"]["annotations"]

    assert "true" == annotations[names.DEFAULT_CLASS_ANNOTATION]
    assert "keep" == annotations["helm.sh/resource-policy"]


def test_the_standard_class_says_only_what_the_model_knows(release: Rendered) -> None:
    """The API server would prune an unknown key, and a ceiling with it."""
    spec = release.one("WorkspaceClass", "standard")["spec"]

    understood = WorkspaceClassSpec.model_validate(spec).model_dump(
        mode="json", by_alias=True, exclude_unset=True
    )

    assert spec == understood


def test_the_standard_class_opens_nothing(release: Rendered) -> None:
    """Isolation is what a fresh installation gives; every opening is an administrator's choice."""
    spec = release.one("WorkspaceClass", "standard")["spec"]

    assert {"images": [], "egressHosts": [], "egressCIDRs": [], "secretNamespaces": []} == spec["allowed"]
    assert [{"namespaceLabels": {names.GATEWAY_CLIENT_LABEL: "true"}}] == spec["gateway"]["clients"]


def test_the_standard_class_can_be_sandboxed(helm: Helm) -> None:
    """The way that values.yaml shows must lead to a class that the model takes."""
    release = helm('standardClass.spec.isolation={"level":"Sandboxed","runtimeClassName":"gvisor"}')
    spec = WorkspaceClassSpec.model_validate(release.one("WorkspaceClass", "standard")["spec"])

    assert ("Sandboxed", "gvisor") == (str(spec.isolation.level), spec.isolation.runtime_class_name)


def test_the_class_is_left_out_on_request(helm: Helm) -> None:
    """A platform with classes of its own wants no second default."""
    assert [] == helm("standardClass.create=false").all("WorkspaceClass")
    annotations = helm("standardClass.default=false").one("WorkspaceClass", "standard")["metadata"][
        "annotations"
    ]
    assert names.DEFAULT_CLASS_ANNOTATION not in annotations


def test_the_workspace_in_the_notes_works(helm: Helm, release: Rendered) -> None:
    """The first thing that a new user pastes must become Ready under the class that came with it."""
    text = helm.notes().split("<<EOF\n", 1)[1].split("\n  EOF", 1)[0]
    workspace = yaml.safe_load(text)

    assert isinstance(_resolve(workspace, release.one("WorkspaceClass", "standard")), Effective)
    assert (names.API_VERSION, names.WORKSPACE_KIND) == (workspace["apiVersion"], workspace["kind"])


def test_the_minimal_example_works_under_the_standard_class(release: Rendered) -> None:
    """examples/minimal.yaml is what the README and the demo begin with."""
    workspace = yaml.safe_load((ROOT / "examples" / "minimal.yaml").read_text())

    assert isinstance(_resolve(workspace, release.one("WorkspaceClass", "standard")), Effective)


@pytest.mark.parametrize(
    ("value", "warning"),
    [
        ("replicaCount=1", "one replica"),
        ("canary.replicas=1", "one canary"),
        ("networkPolicy.enabled=false", "any pod may reach"),
        ("crds.keep=false", "deletes every TenantWorkspace"),
    ],
)
def test_notes_warn_of_what_was_given_up(helm: Helm, value: str, warning: str) -> None:
    """A choice that weakens the installation is said once more, when it has been made."""
    assert warning in helm.notes(value)
    assert "WARNING" not in helm.notes()
