"""The stand-in model as pods behind a Service, where a platform would run its model servers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kubelive.install import image_references
from kubelive.kubectl import kubectl

__all__ = ["ModelServer"]

_CODE: Final = Path(__file__).parents[1] / "model_standin"
_PORT: Final = 8000


@dataclass(frozen=True, slots=True)
class ModelServer:
    """For tests and the demo only, as it says itself."""

    namespace: str = "models"
    name: str = "stand-in"

    def ensure(self) -> None:
        """The namespace, one pod and its Service are there and Ready."""
        objects = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}},
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": self.name, "namespace": self.namespace},
                "data": {path.name: path.read_text() for path in sorted(_CODE.glob("*.py"))},
            },
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": self.name, "namespace": self.namespace},
                "spec": {"selector": {"app": self.name}, "ports": [{"port": _PORT}]},
            },
            self._pod(),
        ]
        image = self._pod()["spec"]["containers"][0]["image"]
        have = kubectl(
            "get", "pod", self.name, "-n", self.namespace, "-o", "jsonpath={.spec.containers[0].image}",
            check=False,
        ).stdout  # fmt: skip
        if have and have != image:  # a pod of an older build
            kubectl("delete", "pod", self.name, "-n", self.namespace, "--wait")
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        kubectl("apply", "-f", "-", stdin=listed)
        kubectl("wait", "-n", self.namespace, f"pod/{self.name}", "--for=condition=Ready", "--timeout=90s")

    def shared(self, name: str = "default", *, behaviour: str = "", **fields: Any) -> dict[str, Any]:
        """An entry of a class's `models`; `behaviour` such as `context` makes the stand-in misbehave."""
        upstream = "model-stand-in" + (f":{behaviour}" if behaviour else "")
        return {
            "name": name,
            "url": f"http://{self.name}.{self.namespace}.svc.cluster.local:{_PORT}/v1",
            "upstreamName": upstream,
            "pods": {
                "namespaceLabels": {"kubernetes.io/metadata.name": self.namespace},
                "podLabels": {"app": self.name},
                "port": _PORT,
            },
            "contextTokens": 8192,
            "embeddings": True,
            **fields,
        }

    def _pod(self) -> dict[str, Any]:
        container = {
            "name": "model",
            "image": image_references()["sandbox"],
            "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-m", "model_standin", f"0.0.0.0:{_PORT}"],
            "env": [{"name": "PYTHONPATH", "value": "/opt"}, {"name": "PYTHONSAFEPATH", "value": "1"}],
            "ports": [{"containerPort": _PORT}],
            "readinessProbe": {"httpGet": {"path": "/health", "port": _PORT}, "periodSeconds": 1},
            "volumeMounts": [{"name": "code", "mountPath": "/opt/model_standin"}],
        }
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name, "namespace": self.namespace, "labels": {"app": self.name}},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "volumes": [{"name": "code", "configMap": {"name": self.name}}],
                "containers": [container],
            },
        }
