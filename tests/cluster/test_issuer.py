"""The issuer: a backend's pod gets tokens with its own Kubernetes identity, and only what it may."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from kubelive import Live, Ref, kubectl, wait_until
from kubelive.backend import can_connect
from kubelive.install import OPERATOR_NAMESPACE, image_references
from kubelive.workspaces import namespace_of, pod_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kubelive.backend import Backend

HOST = f"bulkhead-issuer.{OPERATOR_NAMESPACE}.svc.cluster.local"
SPACE = "token-clients"
ASK = {"user": "alice", "scopes": ["tools:call:shell", "tools:list"], "ttl": "2m"}

_CALL = """
import json, ssl, sys, urllib.error, urllib.request
ask = json.load(sys.stdin)
identity = open(f"/identity/{ask['identity']}").read().strip()
request = urllib.request.Request(ask["url"], method="POST", data=json.dumps(ask["body"]).encode(),
    headers={"Authorization": f"Bearer {identity}", "Content-Type": "application/json"})
context = ssl.create_default_context(cadata=ask["ca"])
try:
    with urllib.request.urlopen(request, timeout=10, context=context) as done:
        status, body = done.status, done.read()
except urllib.error.HTTPError as error:
    status, body = error.code, error.read()
print(json.dumps({"status": status, "body": json.loads(body)}))
"""


@dataclass(frozen=True)
class Client:
    """A pod with two identities: one for the issuer, one for the API server."""

    account: str
    ca: str

    def ask(self, workspace: str, body: dict[str, Any] = ASK, *, identity: str = "issuer") -> tuple[int, Any]:
        """Status and body of the issuer's answer."""
        url = f"https://{HOST}:8443/v1/workspaces/{workspace}/token"
        sent = json.dumps({"url": url, "body": body, "identity": identity, "ca": self.ca})
        done = kubectl("exec", "-i", "-n", SPACE, self.account, "--", "python3", "-c", _CALL, stdin=sent)
        answer = json.loads(done.stdout)
        return answer["status"], answer["body"]


def _pod(account: str) -> dict[str, Any]:
    projected = [
        {"serviceAccountToken": {"audience": "bulkhead-issuer", "expirationSeconds": 600, "path": "issuer"}},
        {"serviceAccountToken": {"expirationSeconds": 600, "path": "api-server"}},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": account, "namespace": SPACE},
        "spec": {
            "serviceAccountName": account,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"fsGroup": 65532},
            "volumes": [{"name": "identity", "projected": {"sources": projected}}],
            "containers": [
                {
                    "name": "main",
                    "image": image_references()["sandbox"],
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sleep", "infinity"],
                    "volumeMounts": [{"name": "identity", "mountPath": "/identity", "readOnly": True}],
                }
            ],
        },
    }


@pytest.fixture(scope="module")
def clients(live: Live, bulkhead: None) -> Iterator[tuple[Client, Client]]:
    """A backend that may make tokens for every workspace, and one that may do nothing."""
    live.apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": SPACE, "labels": {"bulkhead.dev/gateway-client": "true"}},
        }
    )
    for account in ("backend", "stranger"):
        live.apply(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": SPACE}}
        )
        live.apply(_pod(account))
    live.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "token-clients"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "bulkhead-issue-tokens",
            },
            "subjects": [{"kind": "ServiceAccount", "name": "backend", "namespace": SPACE}],
        }
    )
    kubectl("wait", "-n", SPACE, "pod", "--all", "--for=condition=Ready", "--timeout=90s")
    ca = wait_until(
        "the issuer's CA",
        lambda: live.get(Ref("ConfigMap", "bulkhead-issuer-ca", OPERATOR_NAMESPACE))["data"]["ca.crt"],
        timeout_seconds=60,
    )

    yield Client("backend", ca), Client("stranger", ca)

    live.delete(Ref("ClusterRoleBinding", "token-clients"))
    live.delete(Ref("Namespace", SPACE))


def test_a_backend_gets_a_token_that_the_gateway_accepts(
    live: Live, backend: Backend, clients: tuple[Client, Client], pair: tuple[str, str]
) -> None:
    """The whole way: Kubernetes identity, right, signed session, tool call; and only in that workspace."""
    status, body = clients[0].ask(pair[0])
    urls = [str(live.get(Ref("TenantWorkspace", name))["status"]["gateway"]["url"]) for name in pair]
    answers = [backend.call(f"{url}/v1/tools", token=body["token"], method="GET") for url in urls]

    assert (201, urls[0]) == (status, body["gateway_url"])
    assert [200, 401] == [answer.status for answer in answers]


def test_the_rest_is_refused(clients: tuple[Client, Client], pair: tuple[str, str]) -> None:
    """No right, a token made for the API server, a workspace that is not there, a wildcard."""
    backend, stranger = clients

    assert 403 == stranger.ask(pair[0])[0]
    assert 403 == stranger.ask("no-such-workspace")[0], "the same as for one that is there"
    assert 401 == backend.ask(pair[0], identity="api-server")[0]
    assert 404 == backend.ask("no-such-workspace")[0]
    assert (422, "user, scopes") == (
        (refused := backend.ask(pair[0], {**ASK, "scopes": ["tools:call:*"]}))[0],
        refused[1]["field"],
    )


def test_a_withdrawn_right_ends_at_once(
    live: Live, clients: tuple[Client, Client], pair: tuple[str, str]
) -> None:
    """Nothing of what a backend may do is remembered."""
    before = clients[0].ask(pair[0])[0]
    binding = live.get(Ref("ClusterRoleBinding", "token-clients"))
    live.delete(Ref("ClusterRoleBinding", "token-clients"))
    # The API server's own authorizer follows its informers.
    wait_until("refused", lambda: clients[0].ask(pair[0])[0] == 403, timeout_seconds=10)
    for field in ("uid", "resourceVersion", "creationTimestamp", "managedFields"):
        binding["metadata"].pop(field, None)
    live.apply(binding)

    assert 201 == before


def test_no_pod_of_a_tenant_reaches_the_issuer(
    live: Live, clients: tuple[Client, Client], make: Callable[..., str]
) -> None:
    """Its code must not even knock; the control is the backend that got tokens above."""
    address = live.get(Ref("Service", "bulkhead-issuer", OPERATOR_NAMESPACE))["spec"]["clusterIP"]
    namespace = namespace_of(live, make("knock", runtime={}))
    runtime = pod_of(live, namespace, "runtime")["metadata"]["name"]
    gateway = pod_of(live, namespace, "gateway")["metadata"]["name"]

    assert can_connect(SPACE, "backend", address, 8443), "positive control"
    assert not can_connect(namespace, runtime, address, 8443)
    assert not can_connect(namespace, gateway, address, 8443)
