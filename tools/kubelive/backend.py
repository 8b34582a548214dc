"""A platform's backend: a pod in a namespace whose pods may call gateways."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from kubelive.install import image_references
from kubelive.kubectl import kubectl

__all__ = ["Answer", "Backend", "can_connect"]

_CALL = """
import json, sys, urllib.error, urllib.request
ask = json.load(sys.stdin)
request = urllib.request.Request(ask["url"], method=ask["method"], headers=ask["headers"],
                                 data=None if ask["body"] is None else json.dumps(ask["body"]).encode())
try:
    with urllib.request.urlopen(request, timeout=60) as answer:
        status, body = answer.status, answer.read()
except urllib.error.HTTPError as error:
    status, body = error.code, error.read()
print(json.dumps({"status": status, "body": body.decode()}))
"""

_CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])).close()
    print("open")
except OSError as error:
    print("closed:", type(error).__name__)
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the gateway said."""

    status: int
    body: str

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def can_connect(
    namespace: str,
    pod: str,
    host: str,
    port: int,
    *,
    timeout_seconds: float = 2,
    container: str | None = None,
) -> bool:
    """Whether a TCP connection from inside that pod is accepted; a real packet, never a guess.

    As break-glass: nobody else may enter a gateway or an egress proxy.
    """
    done = kubectl(
        "exec", "-n", namespace, pod, *(["-c", container] if container else []),
        "--", "python3", "-c", _CONNECT, host, str(port), str(timeout_seconds),
        break_glass=True,
    )  # fmt: skip
    return done.stdout.strip() == "open"


@dataclass(frozen=True, slots=True)
class Backend:
    """The client pod; the token travels on standard input, never in argv."""

    namespace: str = "platform"
    pod: str = "backend"

    def ensure(self) -> None:
        """The namespace (labelled as a gateway client) and its pod exist and the pod is Ready."""
        labels = {"bulkhead.dev/gateway-client": "true"}
        container = {
            "name": "backend",
            "image": image_references()["sandbox"],
            "imagePullPolicy": "IfNotPresent",
            "command": ["sleep", "infinity"],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "runAsNonRoot": True,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        }
        objects: list[dict[str, Any]] = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace, "labels": labels}},
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": self.pod, "namespace": self.namespace},
                "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
            },
        ]
        have = kubectl(
            "get",
            "pod",
            self.pod,
            "-n",
            self.namespace,
            "-o",
            "jsonpath={.spec.containers[0].image}",
            check=False,
        ).stdout
        if have and have != container["image"]:  # a pod of an older build
            kubectl("delete", "pod", self.pod, "-n", self.namespace, "--wait")
        kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        kubectl("wait", "-n", self.namespace, f"pod/{self.pod}", "--for=condition=Ready", "--timeout=90s")

    def call(self, url: str, *, token: str = "", method: str = "POST", body: object = None) -> Answer:
        """One HTTP call from inside the pod."""
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        ask = json.dumps({"url": url, "method": method, "headers": headers, "body": body})
        done = kubectl("exec", "-i", "-n", self.namespace, self.pod, "--", "python3", "-c", _CALL, stdin=ask)
        return Answer(**json.loads(done.stdout))
