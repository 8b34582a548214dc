"""What a real API server answered to rendered manifests, kept as files, so that unit tests know it too.

Rewritten by `pytest tests/api/test_children.py --update-golden` against a real API server.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from typing_extensions import override

from bulkhead.render.rendered import key_of

if TYPE_CHECKING:
    from bulkhead.plan.observed import Observed
    from bulkhead.render import Manifest, Rendered

__all__ = ["PlainDumper", "record", "recorded"]

ANSWERS = Path(__file__).parents[1] / "golden" / "live" / "answers.yaml"


class PlainDumper(yaml.SafeDumper):
    """Equal parts are written out each time: a manifest with anchors is hard to review."""

    @override
    def ignore_aliases(self, data: object) -> bool:
        """No anchors, ever."""
        return True


def recorded() -> list[tuple[Manifest, Manifest]]:
    """Pairs of what was sent and what was answered."""
    pairs: list[dict[str, Any]] = yaml.safe_load(ANSWERS.read_text(encoding="utf-8"))
    return [(pair["sent"], pair["answered"]) for pair in pairs]


def record(sent: Rendered, answered: Observed) -> None:
    """Write the pairs, without what differs from server to server and day to day."""
    pairs = []
    for number, manifest in enumerate(sent.manifests, start=1):
        key = key_of(manifest)
        live = answered.namespace if key.kind == "Namespace" else answered.objects[key]
        assert live is not None
        pairs.append({"sent": manifest, "answered": _steady(live, number)})
    ANSWERS.parent.mkdir(exist_ok=True)
    ANSWERS.write_text(yaml.dump(pairs, Dumper=PlainDumper, width=110), encoding="utf-8")


def _steady(live: Manifest, number: int) -> Manifest:
    noise = {"managedFields", "creationTimestamp"}
    metadata = {name: value for name, value in live["metadata"].items() if name not in noise}
    metadata |= {"uid": f"uid-{number}", "resourceVersion": str(number)}
    steady = {**live, "metadata": metadata}
    steady.pop("status", None)
    if live.get("spec", {}).get("clusterIP"):
        address = f"198.19.128.{number}"
        steady["spec"] = {**live["spec"], "clusterIP": address, "clusterIPs": [address]}
    return steady
