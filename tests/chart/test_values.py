"""Values: what is not known or cannot work is refused before anything reaches a cluster."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from .conftest import CHART

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Helm


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("replicas=3", "'replicas' not allowed"),
        ("settings.clusterCidrs=[]", "'clusterCidrs' not allowed"),
        ("image.pullSecrets=[]", "'pullSecrets' not allowed"),
        ("standardClass.spec.ceilings.cpu=1", "'cpu' not allowed"),
        ('standardClass.spec.allowed.images="*"', "want array"),
        ("replicaCount=0", "replicaCount"),
        ('settings.logLevel="verbose"', "logLevel"),
        ('settings.clusterCIDRs=["everywhere"]', "clusterCIDRs"),
        ('standardClass.spec.ceilings.ttl="7d"', "ttl"),
        ('image.digest="latest"', "digest"),
        ("networkPolicy.apiServer.ports=[]", "ports"),
        ("canary.replicas=0", "canary/replicas"),
        ('canary.image="mine"', "'image' not allowed"),
        ('settings.signingKeyMaxAge="30d"', "signingKeyMaxAge"),
        ('admission.controlPlaneUsers="system:admin"', "want array"),
        ('admission.breakGlassGroups=["it\'s me"]', "breakGlassGroups/0"),
        ('standardClass.spec.isolation={"level":"Hard"}', "isolation/level"),
        ('standardClass.spec.isolation={"level":"Sandboxed"}', "runtimeClassName"),
        ('standardClass.spec.isolation={"level":"UserNamespace","runtimeClassName":"gvisor"}', "isolation"),
        ('standardClass.spec.isolation.tolerations=[{"effect":"Never"}]', "tolerations/0/effect"),
        ('standardClass.spec.allowed.images=["*"]', "images/0"),
        ('standardClass.spec.allowed.images=["registry*"]', "images/0"),
        ('standardClass.spec.allowed.egressHosts=["*"]', "egressHosts/0"),
        ('standardClass.spec.allowed.egressHosts=["*.com"]', "egressHosts/0"),
    ],
)
def test_unknown_and_impossible_values_are_refused(helm: Helm, value: str, said: str) -> None:
    """A misspelt key that is ignored leaves open what its administrator believes closed."""
    assert said in helm.refusal(value)


def test_signing_keys_never_share_a_namespace_with_tenant_secrets(helm: Helm) -> None:
    """A class that may name the operator's namespace could hand out every signing key."""
    assert "signing keys" in helm.refusal('secretNamespaces=["bulkhead-system"]')


def test_kube_system_is_refused(helm: Helm) -> None:
    """Rights over Secrets in the release's namespace would be rights over the cluster's own."""
    assert "namespace of its own" in helm.refusal(namespace="kube-system")


@pytest.mark.parametrize(
    "group", ["system:authenticated", "system:masters", "system:serviceaccounts", "system:unauthenticated"]
)
def test_no_fence_is_open_to_everybody(helm: Helm, group: str) -> None:
    """Breaking the glass must be a deed: a group that somebody is in all the time makes it the rule."""
    assert "breakGlassGroups/0" in helm.refusal(f'admission.breakGlassGroups=["{group}"]')


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict) and value and path[:2] != ("standardClass", "spec"):
        for key, below in value.items():
            yield from _leaves(below, (*path, key))
    else:
        yield path


def test_every_value_is_used_by_a_template() -> None:
    """A value that nothing reads is a promise that is not kept."""
    templates = "\n".join(path.read_text() for path in (CHART / "templates").iterdir())
    used = set(re.findall(r"\.Values\.([A-Za-z.]+)", templates))
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    unused = [
        ".".join(path)
        for path in _leaves(values)
        if not any(".".join(path[:length]) in used for length in range(1, len(path) + 1))
    ]

    assert [] == unused


def _described(schema: dict[str, Any], value: Any, path: str) -> Iterator[str]:
    if "description" not in schema and path.count(".") < 2:
        yield f"{path}: no description"
    for key, below in value.items() if isinstance(value, dict) else ():
        if key in schema.get("properties", {}):
            yield from _described(schema["properties"][key], below, f"{path}.{key}")
        elif "additionalProperties" not in schema and schema.get("properties"):
            yield f"{path}.{key}: not in the schema"


def test_every_value_is_described_in_the_schema() -> None:
    """Editors and `helm show` users see the schema's text; a key without one can only be guessed."""
    schema = json.loads((CHART / "values.schema.json").read_text()) | {"description": "all"}
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    assert [] == list(_described(schema, values, ""))
    assert set(values) | {"global"} == set(schema["properties"])
