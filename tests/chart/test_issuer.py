"""The issuer: who may call it, what it may read, and that nothing of it stays when it is switched off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkhead import names

if TYPE_CHECKING:
    from .conftest import Helm, Rendered

POD_LABELS = {"app.kubernetes.io/name": "bulkhead", "app.kubernetes.io/component": names.ISSUER}


def test_backends_find_the_issuer_under_its_name(release: Rendered) -> None:
    """The operator makes the certificate for this name and no other."""
    service = release.one("Service", names.ISSUER_SERVICE)
    pod = release.one("Deployment", names.ISSUER_SERVICE)["spec"]["template"]
    (container,) = pod["spec"]["containers"]

    assert (POD_LABELS, [names.ISSUER_PORT]) == (
        service["spec"]["selector"],
        [port["port"] for port in service["spec"]["ports"]],
    )
    assert POD_LABELS.items() <= pod["metadata"]["labels"].items()
    assert names.ISSUER_PORT in [port["containerPort"] for port in container["ports"]]
    assert ["/usr/bin/python3", "-m", "bulkhead.issuer"] == container["command"]


def test_the_issuer_reads_keys_and_writes_nothing(release: Rendered) -> None:
    """The only program besides the operator that may see a signing key can do no more than that."""
    cluster = release.one("ClusterRole", names.ISSUER_SERVICE)["rules"]
    role = release.one("Role", names.ISSUER_SERVICE)["rules"]

    assert [
        (["tokenreviews"], ["create"]),
        (["subjectaccessreviews"], ["create"]),
        (["tenantworkspaces"], ["get"]),
        (["secrets"], ["get"]),
    ] == [(rule["resources"], rule["verbs"]) for rule in [*cluster, *role]]


def test_only_those_who_may_call_gateways_reach_the_issuer(helm: Helm) -> None:
    """No tenant's pod, and by choice nobody at all."""
    policy = helm().one("NetworkPolicy", names.ISSUER_SERVICE)["spec"]
    (rule,) = policy["ingress"]

    assert [{"namespaceSelector": {"matchLabels": {names.GATEWAY_CLIENT_LABEL: "true"}}}] == rule["from"]
    assert [names.ISSUER_PORT] == [port["port"] for port in rule["ports"]]
    assert "ingress" not in helm("issuer.clients=[]").one("NetworkPolicy", names.ISSUER_SERVICE)["spec"]


def test_the_ca_is_public_and_nothing_else_is(release: Rendered) -> None:
    """Callers must be able to believe the issuer; that needs one ConfigMap."""
    (rule,) = release.one("Role", names.ISSUER_CA_CONFIG_MAP)["rules"]

    assert (["configmaps"], [names.ISSUER_CA_CONFIG_MAP]) == (rule["resources"], rule["resourceNames"])


def test_without_the_issuer_nothing_of_it_is_there(helm: Helm) -> None:
    """A right without its program is a right for somebody else."""
    off = helm("issuer.enabled=false")
    (container,) = off.one("Deployment", "bulkhead-operator")["spec"]["template"]["spec"]["containers"]
    found = [each["metadata"]["name"] for each in off.manifests if "issuer" in each["metadata"]["name"]]
    rules = off.one("Role", "bulkhead-operator")["rules"]

    assert ["bulkhead-token-issuer"] == found
    assert "configmaps" not in [name for rule in rules for name in rule["resources"]]
    assert {"name": "BULKHEAD_ISSUER", "value": "false"} in container["env"]
