"""gVisor in the nodes and its RuntimeClass."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from cluster.settings import NODES

if TYPE_CHECKING:
    from cluster.lab import Lab

CONFIG = b'binary_name = "/usr/local/bin/runsc"\n[runsc_config]\n  platform = "systrap"\n'
RUNTIME_CLASS = {
    "apiVersion": "node.k8s.io/v1",
    "kind": "RuntimeClass",
    "metadata": {"name": "gvisor"},
    "handler": "runsc",
}

# kind's entrypoint binds /kubelet and /kubelet.slice of every v1 controller onto themselves, so that systemd
# does not delete them before kubelet runs. runsc takes those mounts for the controllers' roots. Kubelet runs
# by now: undo them.
UNDO_MOUNTS = (
    "for m in $(findmnt -rn -o TARGET -t cgroup | grep /kubelet); do umount $m; done 2>/dev/null; true"
)

# As gVisor's installation page has it; nodes that we build carry both programs already.
DOWNLOAD = """set -e
command -v runsc >/dev/null && command -v containerd-shim-runsc-v1 >/dev/null && exit 0
cd /usr/local/bin
url=https://storage.googleapis.com/gvisor/releases/release/latest/$(uname -m)
for f in runsc containerd-shim-runsc-v1; do
  curl -fsSLO "$url/$f"; curl -fsSLO "$url/$f.sha512"
  sha512sum -c "$f.sha512"; rm "$f.sha512"; chmod 755 "$f"
done
"""


def install(lab: Lab) -> None:
    """Pods of RuntimeClass `gvisor` can start on every node."""

    def prepare(node: str) -> None:
        lab.engine.exec(node, "sh", "-c", DOWNLOAD, timeout=300)
        lab.engine.exec(node, "sh", "-c", "cat > /etc/containerd/runsc.toml", stdin=CONFIG)
        lab.engine.exec(node, "sh", "-c", UNDO_MOUNTS)

    with ThreadPoolExecutor(len(NODES)) as pool:
        list(pool.map(prepare, NODES))
    lab.apply(RUNTIME_CLASS)
