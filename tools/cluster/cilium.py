"""Cilium as network engine: by the chart in its Go module, or the public one where images can be had."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.cache import recipe_key, stored
from cluster.golang import module_folder
from cluster.nodeimage import cilium_image_name
from cluster.recipes import recipes
from cluster.settings import POD_CIDR

if TYPE_CHECKING:
    from cluster.lab import Lab
    from cluster.settings import Settings

CRDS = "pkg/k8s/apis/cilium.io/client/crds"
# ClusterNetworkPolicy, which its agents enforce: nobody else installs that kind, and agents wait for it.
POLICY_API = "sigs.k8s.io/network-policy-api"
POLICY_CRD = "config/crd/standard/policy.networking.k8s.io_clusternetworkpolicies.yaml"

VALUES = {
    "ipam.mode": "kubernetes",
    "routingMode": "native",
    "autoDirectNodeRoutes": "true",
    "ipv4NativeRoutingCIDR": POD_CIDR,
    "devices": "eth0",
    # There is no outside but `world`, which has routes back and so sees the pods' own addresses.
    "enableIPv4Masquerade": "false",
    "enableIPv6Masquerade": "false",
    # Else its cgroup programs would sit on the machine's own processes where hierarchies are shared.
    "kubeProxyReplacement": "false",
    "socketLB.enabled": "false",
    "envoy.enabled": "false",
    "l7Proxy": "false",
    "hubble.enabled": "false",
    "k8sClusterNetworkPolicy.enabled": "true",
    "healthChecking": "false",
    "endpointHealthChecking.enabled": "false",
}


def helm_values(*, ours: bool) -> dict[str, str]:
    """Values of the chart; its operator cannot be built from modules, and ipam.mode=kubernetes needs none."""
    if ours:
        own = {
            "image.override": cilium_image_name(),
            "image.pullPolicy": "Never",
            "operator.enabled": "false",
        }
    else:
        own = {"operator.replicas": "1"}
    return VALUES | own


def chart(settings: Settings) -> Path:
    """Folder with `cilium` (the chart) and `crds`, copied out of the Go module once."""
    version = f"v{recipes().cilium}"

    def build(aside: Path) -> None:
        source = module_folder("github.com/cilium/cilium", version, settings.logs / "go-cilium.log")
        shutil.copytree(source / "install/kubernetes/cilium", aside / "cilium", copy_function=shutil.copyfile)
        for group in ("v2", "v2alpha1"):
            shutil.copytree(source / CRDS / group, aside / "crds" / group, copy_function=shutil.copyfile)
        policy = module_folder(POLICY_API, recipes().policy_api, settings.logs / "go-cilium.log")
        shutil.copyfile(policy / POLICY_CRD, aside / "crds" / "policy.yaml")
        for folder in [aside, *aside.rglob("*")]:
            if folder.is_dir():
                folder.chmod(
                    0o755
                )  # Go's module cache is read-only; a copy that cannot be removed helps nobody

    return stored(
        settings.store, "cilium-chart", recipe_key(Path(__file__), version, recipes().policy_api), build
    )


def install(lab: Lab) -> None:
    """Cilium's agent is installed; pods get addresses as soon as it runs on their node."""
    sets = [
        word
        for key, value in helm_values(ours=lab.engine.ours).items()
        for word in ("--set", f"{key}={value}")
    ]
    command: list[str | Path] = ["upgrade", "--install", "cilium"]
    if lab.engine.ours:
        source = chart(lab.settings)
        crds = source / "crds"
        # Its operator would do this.
        lab.kubectl("apply", "--server-side", "-f", crds / "v2", "-f", crds / "v2alpha1", timeout=90)
        lab.kubectl("apply", "--server-side", "-f", crds / "policy.yaml")
        command += [source / "cilium"]
    else:
        published = (
            f"https://raw.githubusercontent.com/kubernetes-sigs/network-policy-api/{recipes().policy_api}"
        )
        lab.kubectl("apply", "--server-side", "-f", f"{published}/{POLICY_CRD}")
        command += ["cilium", "--repo", "https://helm.cilium.io", "--version", recipes().cilium]
    lab.helm(*command, "-n", "kube-system", *sets, timeout=180, log="cilium.log")


def mend(lab: Lab) -> None:
    """Cilium works again on a running cluster whose CRDs were deleted, as `kubectl delete crd --all` does."""
    present, _ = lab.try_kubectl(
        "get", "crd", "ciliumidentities.cilium.io", "ciliumendpoints.cilium.io",
        "clusternetworkpolicies.policy.networking.k8s.io",
    )  # fmt: skip
    if present:
        return
    lab.progress.say("Cilium's CRDs are gone: putting them back")
    install(lab)
    # Its agents watch the new kinds only after a restart.
    lab.kubectl("-n", "kube-system", "rollout", "restart", "ds/cilium")


def wait_ready(lab: Lab) -> None:
    """The agent runs on every node and every node is Ready."""
    limit = 120 if lab.engine.ours else 600  # its image must be pulled first
    lab.kubectl(
        "-n", "kube-system", "rollout", "status", "ds/cilium", f"--timeout={limit}s", timeout=limit + 10
    )
    lab.kubectl("wait", "node", "--all", "--for=condition=Ready", "--timeout=90s", timeout=100)
