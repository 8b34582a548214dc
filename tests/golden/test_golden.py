"""Whole workspaces as files: spec in, manifests out; a change of render is reviewed as a diff.

`make golden` rewrites manifests.yaml.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from support.recorded import PlainDumper

from bulkhead.api.effective import Effective, resolve
from bulkhead.api.workspace import WorkspaceSpec
from bulkhead.api.workspace_class import WorkspaceClassSpec
from bulkhead.render import RenderContext, SecretValue, render

if TYPE_CHECKING:
    from bulkhead.render import Rendered

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("*/spec.yaml"))
IMAGE = "registry.example/bulkhead/sandbox:0.1.0"


def _rendered(case: dict[str, Any]) -> Rendered:
    """The workspace of a spec.yaml: `spec` and `class` as users write them, `context` as it is found."""
    spec = resolve(
        name="acme",
        uid="7d9f3f4e-2f0b-4d53-9d0c-0c7f2a8f1b66",
        generation=1,
        created_at=datetime(2026, 11, 1, 8, tzinfo=UTC),
        spec=WorkspaceSpec.model_validate(case.get("spec", {})),
        cls_name="standard",
        cls_spec=WorkspaceClassSpec.model_validate(case.get("class", {})),
        sandbox_image=IMAGE,
    )
    assert isinstance(spec, Effective), spec
    facts = {
        "cluster_cidrs": ("198.18.0.0/15",),
        "service_ips": {"gateway": "198.19.128.10", "egress": "198.19.128.11"},
        **case.get("context", {}),
    }
    return render(
        spec,
        RenderContext(
            operator_namespace="bulkhead-system",
            operator_service_account="bulkhead-operator",
            sandbox_image=IMAGE,
            jwks='{"keys":[]}',
            gateway_seed=SecretValue(b"fake-seed-of-a-gateways-own-keys"),
            model_key=SecretValue(b"fake-model-key"),
            secret_values={s.name: SecretValue(f"fake-{s.name}".encode()) for s in spec.secrets},
            **facts,
        ),
    )


@pytest.mark.parametrize("case", CASES)
def test_manifests_are_as_recorded(case: str, request: pytest.FixtureRequest) -> None:
    """Whatever render changes shows here first, in full."""
    spec: dict[str, Any] = yaml.safe_load((HERE / case / "spec.yaml").read_text(encoding="utf-8")) or {}
    manifests = HERE / case / "manifests.yaml"

    text = yaml.dump_all(_rendered(spec).manifests, Dumper=PlainDumper, sort_keys=True, width=110)

    if request.config.getoption("--update-golden"):
        manifests.write_text(text, encoding="utf-8")
    assert manifests.read_text(encoding="utf-8") == text
