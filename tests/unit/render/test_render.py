"""What render promises beside the network: order, hardening, quotas, roles, secrets, rolling."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from support.builders import IMAGE, UID, context, effective, full, manifest, model, runtime, secret, tool

from bulkhead import names
from bulkhead.api.gateway import GatewayStorage
from bulkhead.api.workspace import (
    AccessRole,
    AccessRule,
    EgressRule,
    EnvVar,
    Quota,
    ResourceList,
    Resources,
    Subject,
)
from bulkhead.render import ObjectKey, SecretValue, Wave, render
from bulkhead.render.namespace import POD_SECURITY_LABELS
from bulkhead.render.rendered import key_of, wave_of
from bulkhead.render.resources import complete
from bulkhead_wire.gateway_keys import derive

if TYPE_CHECKING:
    from bulkhead.render import Manifest, Rendered


def _keys(rendered: Rendered) -> set[ObjectKey]:
    return {key_of(each) for each in rendered.manifests}


def _deployments(rendered: Rendered) -> list[Manifest]:
    return [each for each in rendered.manifests if each["kind"] == "Deployment"]


def _pod(rendered: Rendered, name: str) -> Manifest:
    spec: Manifest = manifest(rendered, "Deployment", name)["spec"]["template"]["spec"]
    return spec


def _config(rendered: Rendered, name: str) -> Manifest:
    env = {var["name"]: var.get("value") for var in _pod(rendered, name)["containers"][0]["env"]}
    config: Manifest = json.loads(env["BULKHEAD_CONFIG"])
    return config


def test_manifests_come_in_apply_order() -> None:
    """The executor writes in this order; policies after pods would leave a window."""
    waves = [wave_of(key_of(each)) for each in render(full(), context(full())).manifests]

    assert waves == sorted(waves)
    assert set(waves) == set(Wave)


def test_an_empty_workspace_is_a_gateway_and_its_fences() -> None:
    """A workspace costs what it uses: no egress, runtime or tool unless asked for."""
    assert _keys(render(effective(), context())) == {
        ObjectKey("Namespace", names.namespace("acme", UID)),
        ObjectKey("RoleBinding", "bulkhead-operator"),
        ObjectKey("ResourceQuota", "workspace"),
        ObjectKey("LimitRange", "workspace"),
        ObjectKey("ServiceAccount", "gateway"),
        ObjectKey("NetworkPolicy", "default-deny"),
        ObjectKey("NetworkPolicy", "guard"),
        ObjectKey("NetworkPolicy", "gateway"),
        ObjectKey("PersistentVolumeClaim", "gateway-data"),
        ObjectKey("Secret", "gateway-keys"),
        ObjectKey("Secret", "session-keys"),
        ObjectKey("Service", "gateway"),
        ObjectKey("Deployment", "gateway"),
    }


def test_every_object_says_whose_it_is_and_what_it_was_made_from() -> None:
    """Without the UID label an object is never pruned; without the hash drift is never told from an edit."""
    for each in render(full(), context(full())).manifests:
        metadata = each["metadata"]
        assert names.workspace_labels("acme", UID).items() <= metadata["labels"].items()
        assert len(metadata["annotations"][names.SPEC_HASH_ANNOTATION]) == 16


def test_the_namespace_owns_every_pod_security_label() -> None:
    """A label that apply does not own survives apply: enforce-version could be lowered to an old release."""
    space = render(effective(), context()).manifests[0]

    assert POD_SECURITY_LABELS.items() <= space["metadata"]["labels"].items()
    assert len(POD_SECURITY_LABELS) == 6
    assert space["metadata"]["ownerReferences"][0]["uid"] == UID
    assert space["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] is False


def test_every_pod_is_hardened() -> None:
    """RED-POD-001: one pod without one of these is a way out of the sandbox."""
    for each in _deployments(render(full(), context(full()))):
        pod = each["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "privileged": False,
                "readOnlyRootFilesystem": True,
            }
            assert container["resources"]["limits"].keys() == {"cpu", "memory", "ephemeral-storage"}
            assert container["resources"]["requests"].keys() == {"cpu", "memory", "ephemeral-storage"}


def test_our_image_runs_as_our_uid_and_a_tenants_as_its_own() -> None:
    """A tenant image may need its own uid; it must still not be root."""
    rendered = render(full(), context(full()))

    assert _pod(rendered, "gateway")["securityContext"]["runAsUser"] == names.POD_UID
    assert _pod(rendered, "tool-shell")["securityContext"]["runAsUser"] == names.POD_UID
    assert "runAsUser" not in _pod(rendered, "runtime")["securityContext"]
    assert _pod(rendered, "runtime")["securityContext"]["fsGroup"] == names.POD_UID


def test_untrusted_pods_have_no_resolver_and_know_only_their_doors() -> None:
    """ISO-DNS-001: a resolver is a tunnel; a hosts file is not."""
    rendered = render(full(), context(full()))
    hosts = {
        name: {host["hostnames"][0]: host["ip"] for host in _pod(rendered, name).get("hostAliases", [])}
        for name in ("runtime", "tool-shell", "tool-search")
    }

    assert hosts == {
        "runtime": {"gateway": "198.19.128.10", "egress": "198.19.128.11"},
        "tool-shell": {},
        "tool-search": {"egress": "198.19.128.11"},
    }
    for name in hosts:
        assert _pod(rendered, name)["dnsPolicy"] == "None"
        assert _pod(rendered, name)["dnsConfig"] == {"nameservers": ["127.0.0.1"]}
    for door in ("gateway", "egress"):
        assert _pod(rendered, door)["dnsPolicy"] == "ClusterFirst"


def test_what_lacks_an_address_is_withheld_and_named() -> None:
    """A pod with a guessed address would call somebody else."""
    spec = full()

    rendered = render(spec, context(spec, service_ips={names.GATEWAY: "198.19.128.10"}))

    assert rendered.withheld == {
        ObjectKey("Deployment", "runtime"): ("Service egress",),
        ObjectKey("Deployment", "tool-search"): ("Service egress",),
    }
    assert rendered.waiting_for == ("Service egress",)
    assert ObjectKey("Deployment", "tool-shell") in _keys(rendered)


def test_what_lacks_a_secret_is_withheld_and_its_source_named() -> None:
    """A pod that starts without its secret fails in a way that nobody can read."""
    spec = full()

    rendered = render(spec, context(spec, secret_values={"api-key": SecretValue(b"x")}))

    assert set(rendered.withheld) == {
        ObjectKey("Secret", "secret-search-key"),
        ObjectKey("Deployment", "tool-search"),
    }
    assert rendered.waiting_for == ("Secret platform-secrets/search-key:token",)


def test_without_keys_there_is_no_gateway() -> None:
    """A gateway without keys would refuse everybody, or worse."""
    rendered = render(effective(), context(jwks=""))

    assert set(rendered.withheld) == {ObjectKey("Secret", "session-keys"), ObjectKey("Deployment", "gateway")}


def test_secrets_are_data_and_only_where_they_are_asked_for() -> None:
    """SEC-002: a value in another pod's manifest, an annotation or an environment is a leak."""
    spec = full()
    rendered = render(spec, context(spec))
    text = json.dumps([each for each in rendered.manifests if each["kind"] != "Secret"])
    mounted = {
        each["metadata"]["name"]: [
            v["secret"]["secretName"] for v in each["spec"]["template"]["spec"]["volumes"] if "secret" in v
        ]
        for each in _deployments(rendered)
    }

    assert manifest(rendered, "Secret", "secret-api-key")["data"] == {
        "value": base64.b64encode(b"planted-api-key").decode()
    }
    assert "planted" not in text
    assert base64.b64encode(b"planted-api-key").decode() not in text
    assert mounted == {
        "gateway": ["session-keys", "gateway-keys", "model-key"],
        "egress": [],
        "runtime": ["secret-api-key"],
        "tool-shell": [],
        "tool-search": ["secret-search-key"],
    }


def test_without_a_seed_there_is_no_gateway() -> None:
    """It would tag, salt and sign with nothing, and the audit log would begin with a key of no one's."""
    rendered = render(effective(), context(gateway_seed=None))
    missing = f"Secret bulkhead-system/{names.signing_key(UID)}"

    assert rendered.withheld == {
        ObjectKey("Secret", "gateway-keys"): (missing,),
        ObjectKey("Deployment", "gateway"): (missing,),
    }


def test_the_gateways_own_keys_come_from_the_seed_and_are_nobody_elses() -> None:
    """With one of them another pod could forge tags or checkpoints, or share a model's cache."""
    seed = b"planted-seed-of-the-gateways-key"
    keys, (first, second) = derive(seed, UID), (render(full(), context(full())) for _ in range(2))
    other = render(replace(full(), uid="another"), context(full()))
    data = [manifest(each, "Secret", "gateway-keys")["data"] for each in (first, second, other)]

    assert {name: base64.b64decode(value) for name, value in data[0].items()} == {
        "cache-salt.key": keys.cache_salt,
        "tag.key": keys.tag,
        "gateway.key": keys.signing,
    }
    assert data[0] == data[1]
    assert set(data[0].values()) & set(data[2].values()) == set()
    assert base64.b64encode(seed).decode() not in json.dumps(first.manifests)


def test_the_models_key_is_withheld_with_the_gateway_until_it_is_there() -> None:
    """A gateway without the key would be refused by the model, call by call."""
    spec = effective(model=model())
    rendered = render(spec, context(spec, model_key=None))
    source = "Secret model-keys/default:token"

    assert rendered.withheld == {
        ObjectKey("Secret", "model-key"): (source,),
        ObjectKey("Deployment", "gateway"): (source,),
    }


def test_the_models_key_is_nowhere_but_in_its_secret() -> None:
    """SEC-002: and a class whose model needs none makes no Secret."""
    spec = effective(model=model())
    rendered = render(spec, context(spec))
    text = json.dumps([each for each in rendered.manifests if each["kind"] != "Secret"])
    without = effective(model=model(api_key=None))

    assert manifest(rendered, "Secret", "model-key")["data"] == {
        "value": base64.b64encode(b"planted-model-key").decode()
    }
    assert "planted" not in text
    assert ObjectKey("Secret", "model-key") not in _keys(render(without, context(without)))
    assert _config(render(without, context(without)), "gateway")["models"][0]["key_file"] is None


def test_another_key_of_the_model_rolls_no_gateway() -> None:
    """The gateway reads the file again; a roll would only cost time."""
    spec = effective(model=model())

    before, after = (
        _hashes(render(spec, context(spec, model_key=SecretValue(value)))) for value in (b"old", b"new")
    )

    assert before == after


def test_two_gateways_of_a_roll_share_a_node_and_its_volume() -> None:
    """A surge pod on another node would wait for the ReadWriteOnce volume for ever: the roll would hang."""
    rendered = render(effective(), context())
    deployment = manifest(rendered, "Deployment", "gateway")["spec"]
    pod = deployment["template"]["spec"]
    [term] = pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]

    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert (
        term["labelSelector"]["matchLabels"].items() <= deployment["template"]["metadata"]["labels"].items()
    )
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "gateway-data"}} in pod["volumes"]
    assert pod["securityContext"]["fsGroup"] == names.POD_UID


def test_the_gateways_volume_is_as_the_class_says() -> None:
    """An empty storageClassName would mean none at all; left out it means the cluster's default."""
    plain, chosen = (
        manifest(render(spec, context()), "PersistentVolumeClaim", "gateway-data")["spec"]
        for spec in (
            effective(),
            effective(gateway_storage=GatewayStorage(size="3Gi", storage_class_name="fast")),
        )
    )

    assert plain == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    assert (chosen["storageClassName"], chosen["resources"]["requests"]["storage"]) == ("fast", "3Gi")


def _hashes(rendered: Rendered) -> dict[str, str]:
    return {
        each["metadata"]["name"]: each["spec"]["template"]["metadata"]["annotations"][
            names.CONFIG_HASH_ANNOTATION
        ]
        for each in _deployments(rendered)
    }


def test_a_rotated_secret_rolls_the_pods_that_mount_it_and_no_other() -> None:
    """SEC-004: a pod that keeps an old value keeps a revoked credential."""
    spec = full()
    rotated = {"api-key": SecretValue(b"new"), "search-key": SecretValue(b"planted-search-key")}

    before, after = (
        _hashes(render(spec, context(spec))),
        _hashes(render(spec, context(spec, secret_values=rotated))),
    )

    assert {name for name in before if before[name] != after[name]} == {"runtime"}


def test_neither_new_keys_nor_a_raised_epoch_roll_the_gateway() -> None:
    """It reads both files again; a roll would drop sessions for a key, and revoke later than it could."""
    spec = effective()
    base = render(spec, context())
    epoch = render(replace(spec, session_epoch=1), context())
    keys = render(spec, context(jwks='{"keys":[]}'))
    data = [manifest(each, "Secret", "session-keys")["data"] for each in (base, epoch, keys)]

    assert _hashes(epoch) == _hashes(keys) == _hashes(base)
    assert [base64.b64decode(each["epoch"]) for each in data] == [b"0", b"1", b"0"]
    assert data[0]["jwks.json"] == data[1]["jwks.json"] != data[2]["jwks.json"]


def test_gateway_config_is_what_the_sandbox_image_reads() -> None:
    """The one contract between the two images; a renamed key stops every gateway."""
    rendered = render(full(), context(full()))
    space = rendered.namespace

    assert _config(rendered, "gateway") == {
        "workspace": "acme",
        "workspace_uid": UID,
        "audience": f"bulkhead:{UID}:gateway",
        "issuer": "bulkhead",
        "listen": 8080,
        "operator_listen": 9443,
        "health_listen": 8081,
        "guard_listen": 8082,
        "canary": "bulkhead-canary.bulkhead-system.svc.cluster.local:8090",
        "jwks_file": "/run/bulkhead/session-keys/jwks.json",
        "epoch_file": "/run/bulkhead/session-keys/epoch",
        "keys_folder": "/run/bulkhead/gateway-keys",
        "data_folder": "/data",
        "limits": {
            "per_user": {
                "requests_per_minute": 60,
                "tokens_per_minute": 20_000,
                "tokens_per_day": 500_000,
                "concurrent": 4,
            },
            "tenant": {
                "requests_per_minute": 600,
                "tokens_per_minute": 200_000,
                "tokens_per_day": 5_000_000,
                "concurrent": 40,
            },
        },
        "memory": {"session_ttl_seconds": 3600},
        "models": [
            {
                "name": "default",
                "url": "http://model.models.svc.cluster.local:8000/v1",
                "upstream_name": "llama-3",
                "context_tokens": 8192,
                "max_output_tokens": 1024,
                "embeddings": False,
                "cache_salt": True,
                "key_file": "/run/bulkhead/model-key/value",
            }
        ],
        "tools": [
            {"name": "shell", "url": f"http://tool-shell.{space}.svc.cluster.local:8000/mcp", "allow": []},
            {
                "name": "search",
                "url": f"http://tool-search.{space}.svc.cluster.local:9000/rpc",
                "allow": ["web_search"],
            },
        ],
    }
    assert rendered.gateway_url == f"http://gateway.{space}.svc.cluster.local:8080"


def test_egress_config_gives_each_client_its_own_port_and_rules() -> None:
    """ISO-NET-007: the port is the caller's identity."""
    config = _config(render(full(), context(full())), "egress")

    assert config["listeners"] == [
        {
            "port": 3128,
            "client": "runtime",
            "rules": [
                {"host": "api.example.com", "ports": [443, 8443]},
                {"cidr": "203.0.113.0/24", "ports": [5432]},
            ],
        },
        {"port": 3130, "client": "tool-search", "rules": [{"host": "api.search.example", "ports": [443]}]},
    ]
    assert {"198.18.0.0/15", "169.254.0.0/16"} <= set(config["denied_cidrs"])


def test_a_tenant_cannot_replace_the_platforms_variables() -> None:
    """HTTPS_PROXY of the tenant's would only break its way out; BULKHEAD_CONFIG would be its own config."""
    # The API refuses these names; render must not rely on it.
    own = tuple(
        EnvVar.model_construct(name=name, value="evil") for name in ("BULKHEAD_CONFIG", "HTTPS_PROXY")
    )
    rules = (EgressRule(host="a.example", ports=(443,)),)
    spec = effective(tools=(tool("shell", env=own, egress=rules),))

    container = _pod(render(spec, context(spec)), "tool-shell")["containers"][0]
    env = {var["name"]: var.get("value") for var in container["env"]}

    assert env["HTTPS_PROXY"] == env["https_proxy"] == "http://egress:3129"
    assert json.loads(env["BULKHEAD_CONFIG"])["listen"] == 8000


def test_a_tenants_image_is_probed_on_its_port_and_gets_no_config_of_ours() -> None:
    """Our health port does not exist in it: an HTTP probe there would keep it unready for ever."""
    pod = _pod(render(full(), context(full())), "tool-search")["containers"][0]

    assert pod["readinessProbe"]["tcpSocket"] == {"port": 9000}
    assert "livenessProbe" not in pod
    assert "BULKHEAD_CONFIG" not in {var["name"] for var in pod["env"]}
    assert "args" not in pod


@pytest.mark.parametrize(("role", "name"), [("runtime", "runtime"), ("tool-runner", "tool-shell")])
def test_our_image_runs_in_its_role(role: str, name: str) -> None:
    """The role is the first argument of the sandbox image."""
    spec = effective(runtime=runtime(image=None), tools=(tool("shell"),))
    container = _pod(render(spec, context(spec)), name)["containers"][0]

    assert container["image"] == IMAGE
    assert container["args"] == [role]
    assert container["readinessProbe"]["httpGet"]["port"] == names.HEALTH_PORT


def test_a_command_in_our_image_keeps_health_for_a_runtime_and_replaces_a_tools_server() -> None:
    """The runtime role supervises its command; the tool-runner refuses one and would never start."""
    spec = effective(
        runtime=runtime(command=("python3", "-m", "agent"), args=("--fast",)),
        tools=(tool("own", command=("/srv",), args=("-v",)),),
    )
    rendered = render(spec, context(spec))
    agent, own = (_pod(rendered, name)["containers"][0] for name in ("runtime", "tool-own"))

    assert agent["args"] == ["runtime", "python3", "-m", "agent", "--fast"]
    assert "command" not in agent
    assert agent["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert (own["command"], own["args"]) == (["/srv"], ["-v"])
    assert own["readinessProbe"]["tcpSocket"] == {"port": 8000}


def test_suspended_means_no_pods_and_everything_else() -> None:
    """Data, policies and keys must be there when the workspace comes back."""
    spec = full()
    asleep = replace(spec, lifecycle=replace(spec.lifecycle, suspended=True))
    awake, suspended = render(spec, context(spec)), render(asleep, context(asleep))

    assert {each["spec"]["replicas"] for each in _deployments(suspended)} == {0}
    assert _keys(suspended) == _keys(awake)
    assert _hashes(suspended) == _hashes(awake)


def test_the_quota_leaves_room_to_roll_the_doors() -> None:
    """A tenant that fills its quota must not keep the gateway from taking a new session epoch."""
    spec = full()

    hard = manifest(render(spec, context(spec)), "ResourceQuota", "workspace")["spec"]["hard"]

    assert {
        name: amount for name, amount in hard.items() if name.startswith(("limits", "pods", "requests"))
    } == {
        "limits.cpu": "3",
        "limits.ephemeral-storage": "4224Mi",
        "limits.memory": "4352Mi",
        "pods": "14",
        "requests.cpu": "3",
        "requests.ephemeral-storage": "4224Mi",
        "requests.memory": "4352Mi",
        "requests.storage": "5Gi",
    }


def test_an_unset_quota_is_no_bound() -> None:
    """Zero would be read as `nothing allowed`, and the workspace could never start."""
    hard = manifest(render(effective(quota=Quota()), context()), "ResourceQuota", "workspace")["spec"]["hard"]

    assert not {"pods", "limits.cpu", "requests.storage"} & hard.keys()


def test_a_request_is_never_above_its_limit() -> None:
    """The API server refuses such a pod, and the Deployment would say so only in its status."""
    small = complete(Resources(limits=ResourceList(cpu="10m", memory="32Mi")))
    large = complete(Resources(requests=ResourceList(cpu="2", memory="1Gi")))

    assert (small["requests"]["cpu"], small["requests"]["memory"]) == ("10m", "32Mi")
    assert (large["limits"]["cpu"], large["limits"]["memory"]) == ("2", "1Gi")


def test_only_the_roles_in_use_are_bound_and_subjects_are_exact() -> None:
    """Default nobody: a binding without a subject is a trap."""
    rules = tuple(
        AccessRule(kind=Subject.GROUP, name=name, role=AccessRole.VIEW)
        for name in ("b-team", "a-team", "b-team")
    )
    rendered = render(effective(access=rules), context())

    bound = {key.name for key in _keys(rendered) if key.kind == "RoleBinding"}
    assert bound == {"bulkhead-operator", "tenant-view"}
    group = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group"}
    assert manifest(rendered, "RoleBinding", "tenant-view")["subjects"] == [
        {**group, "name": "a-team"},
        {**group, "name": "b-team"},
    ]


def test_every_binding_refers_to_a_role_of_the_chart() -> None:
    """RBAC-001: a Role of ours could be widened in the namespace; to write one is to hold its rights."""
    rendered = render(full(), context(full()))

    assert not [key for key in _keys(rendered) if key.kind in {"Role", "ClusterRole", "ClusterRoleBinding"}]
    assert {
        each["metadata"]["name"]: (each["roleRef"]["kind"], each["roleRef"]["name"])
        for each in rendered.manifests
        if each["kind"] == "RoleBinding"
    } == {
        "bulkhead-operator": ("ClusterRole", "bulkhead-workspace"),
        "tenant-view": ("ClusterRole", "bulkhead-tenant-view"),
        "tenant-operate": ("ClusterRole", "bulkhead-tenant-operate"),
        "tenant-admin": ("ClusterRole", "bulkhead-tenant-admin"),
    }


def test_rendering_hides_values_in_its_own_repr() -> None:
    """A context that lands in a traceback must not carry a secret."""
    spec = effective(secrets=(secret("api-key"),))

    assert "planted" not in repr(context(spec))
