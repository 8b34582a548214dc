"""The smoke check that ends `up`: what tests build on works; each denial stands beside something allowed."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster.errors import StepFailed
from cluster.nodeimage import TOOLBOX
from cluster.settings import WORLD_ALLOWED, WORLD_ZONE

if TYPE_CHECKING:
    from cluster.lab import Lab

NAMESPACE = "bulkhead-smoke"
PUBLIC_TOOLBOX = "docker.io/library/busybox:1.37"
READY_SECONDS = 60
CHECK_SECONDS = 20.0


@dataclass(frozen=True)
class Check:
    """A command in a pod; `fails`: the network must refuse it; `prints`: what its output must hold."""

    what: str
    pod: str
    command: str
    fails: bool = False
    prints: str = ""


def checks(addresses: dict[str, str]) -> list[Check]:
    """All checks; `addresses` has the pod addresses of `open` and `locked`."""

    def fetch(host: str, port: int = 8080) -> str:
        url = f"http://{host}:{port}/"
        # Debian's static busybox dies in wget, so our toolbox has curl; the public one's wget works.
        return f"if command -v curl >/dev/null; then curl -sS -m 2 {url}; else wget -q -T 2 -O - {url}; fi"

    return [
        Check("cluster DNS answers", "client", "nslookup kubernetes.default.svc.cluster.local"),
        Check("a pod reaches a pod", "client", fetch(addresses["open"])),
        Check("NetworkPolicy is enforced", "client", fetch(addresses["locked"]), fails=True),
        Check("NetworkPolicy is enforced for gVisor", "sandboxed", fetch(addresses["locked"]), fails=True),
        Check("gVisor runs the sandboxed pod", "sandboxed", "dmesg", prints="gVisor"),
        Check("a user namespace has own ids", "userns", "awk '$1==0 && $2==0 {exit 1}' /proc/self/uid_map"),
        Check("the world is reached from runc", "client", fetch(WORLD_ALLOWED)),
        Check("the world is reached from gVisor", "sandboxed", fetch(WORLD_ALLOWED)),
        Check("DNS knows the world", "client", f"nslookup allowed.{WORLD_ZONE}", prints=WORLD_ALLOWED),
    ]  # fmt: skip


def pods(image: str) -> list[dict[str, Any]]:
    """Servers with and without a denying policy, and a client of each runtime."""
    serve = "mkdir -p /tmp/www; hostname > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www"

    def pod(name: str, command: str, **spec: Any) -> dict[str, Any]:
        container: dict[str, Any] = {"name": "main", "image": image, "command": ["sh", "-c", command]}
        if "httpd" in command:
            container["readinessProbe"] = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": name}},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 0, **spec},
        }

    return [
        pod("open", serve),
        pod("locked", serve),
        pod("client", "exec sleep 600"),
        pod("sandboxed", "exec sleep 600", runtimeClassName="gvisor"),
        pod("userns", "exec sleep 600", hostUsers=False),
    ]


POLICY: dict[str, Any] = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "locked", "namespace": NAMESPACE},
    "spec": {"podSelector": {"matchLabels": {"app": "locked"}}, "policyTypes": ["Ingress"]},
}


def smoke(lab: Lab) -> None:
    """Every check holds; StepFailed names each that does not."""
    image = TOOLBOX if lab.engine.ours else PUBLIC_TOOLBOX
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    lab.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=60s", timeout=70)
    with lab.progress.step("smoke check"):
        lab.apply(namespace, POLICY, *pods(image))
        try:
            wait = ["wait", "pod", "--all", "--for=condition=Ready", f"--timeout={READY_SECONDS}s"]
            lab.kubectl("-n", NAMESPACE, *wait, timeout=READY_SECONDS + 10)
            # CoreDNS may still be starting where the nodes have only just become Ready.
            lab.kubectl(
                "-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=60s", timeout=70
            )
        except StepFailed as error:
            _, listed = lab.try_kubectl("get", "pods", "-A", "-o", "wide")
            raise StepFailed(f"{error}\n{listed}") from error
        template = "{range .items[*]}{.metadata.name}={.status.podIP} {end}"
        listed = lab.kubectl("-n", NAMESPACE, "get", "pods", "-o", f"jsonpath={template}")
        addresses = dict(entry.split("=") for entry in listed.split())
        with ThreadPoolExecutor(4) as pool:
            failed = [text for text in pool.map(lambda check: _try(lab, check), checks(addresses)) if text]
        lab.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    if failed:
        raise StepFailed("smoke check: " + "; ".join(failed))


def _try(lab: Lab, check: Check) -> str:
    """Empty when the check came to hold in time, else what was seen instead."""
    deadline = time.monotonic() + CHECK_SECONDS
    while True:
        worked, output = lab.try_kubectl(
            "-n", NAMESPACE, "exec", check.pod, "--", "sh", "-c", check.command, timeout=15
        )
        if worked is not check.fails and check.prints in output:
            return ""
        if time.monotonic() > deadline:
            seen = "it was let through" if check.fails else " ".join(output.split())[-200:]
            return f"{check.what}: no ({seen})"
        time.sleep(0.5)
