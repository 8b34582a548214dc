"""One compliant pod, and one change a case that the fences must refuse: for pods and for every template.

`by_pod_security` says who answers first for a pod in a namespace with the label `enforce: restricted`; for a
template, and where the label is missing, our own policy must.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from support.pod_edits import (
    HARD,
    HARMLESS_VOLUMES,
    PASSES_POD_SECURITY,
    VOLUMES,
    all_as,
    app,
    hard,
    init,
    one,
    one_as,
    pod,
    privileged,
    projected,
    tolerates,
    volume,
)

if TYPE_CHECKING:
    from support.pod_edits import Edit

__all__ = ["ALLOWED", "REFUSED", "Allowed", "Refused"]


@dataclass(frozen=True, slots=True)
class Refused:
    """A change to the compliant pod and the field that the refusal names."""

    name: str
    edit: Edit
    field: str
    by_pod_security: bool = False
    level: str = "Baseline"


@dataclass(frozen=True, slots=True)
class Allowed:
    """A change to the compliant pod that must go through, so that the rules are no wider than they say."""

    name: str
    edit: Edit
    level: str = "Baseline"


_SC: Final = "containers[].securityContext"
_HOSTS: Final = "containers[].{livenessProbe,readinessProbe,startupProbe,lifecycle}.host"
_ELSEWHERE: Final = {"httpGet": {"port": 80, "host": "169.254.169.254"}}
_TERM: Final = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "x"}}}

_CAPABILITIES: Final = (
    "ALL",
    "AUDIT_CONTROL",
    "BPF",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "MKNOD",
    "NET_ADMIN",
    "NET_RAW",
    "PERFMON",
    "SETUID",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_TIME",
)
_MANAGED_SECRETS: Final = ("session-keys", "gateway-keys", "model-key", "secret-search-key")

REFUSED: Final[tuple[Refused, ...]] = (
    Refused("host network", pod(hostNetwork=True), "hostNetwork", by_pod_security=True),
    Refused("host pids", pod(hostPID=True), "hostPID", by_pod_security=True),
    Refused("host ipc", pod(hostIPC=True), "hostIPC", by_pod_security=True),
    Refused("host users", pod(hostUsers=True), "hostUsers"),
    Refused("host users against the level", pod(hostUsers=True), "hostUsers", level="UserNamespace"),
    Refused(
        "host port",
        one(ports=[{"containerPort": 80, "hostPort": 80}]),
        "containers[].ports[].hostPort",
        by_pod_security=True,
    ),
    *(
        Refused(f"{probe} of another host", one(**{probe: _ELSEWHERE}), _HOSTS, by_pod_security=True)
        for probe in ("livenessProbe", "readinessProbe", "startupProbe")
    ),
    *(
        Refused(f"{hook} to another host", one(lifecycle={hook: _ELSEWHERE}), _HOSTS, by_pod_security=True)
        for hook in ("postStart", "preStop")
    ),
    *(
        Refused(
            f"volume {kind}",
            volume({kind: source}),
            "volumes[]",
            by_pod_security=kind not in PASSES_POD_SECURITY,
        )
        for kind, source in VOLUMES.items()
    ),
    Refused(
        "projected token", projected({"serviceAccountToken": {"path": "t"}}), "volumes[].projected.sources[]"
    ),
    Refused(
        "projected trust bundle",
        projected({"clusterTrustBundle": {"name": "b", "path": "t"}}),
        "volumes[].projected.sources[]",
    ),
    Refused(
        "block device",
        lambda s: (
            volume({"persistentVolumeClaim": {"claimName": "p"}})(s),
            app(s).update(volumeDevices=[{"name": "v", "devicePath": "/dev/x"}]),
        ),
        "containers[].volumeDevices",
    ),
    Refused("privileged", privileged, f"{_SC}.privileged", by_pod_security=True),
    Refused(
        "escalation",
        one_as(allowPrivilegeEscalation=True),
        f"{_SC}.allowPrivilegeEscalation",
        by_pod_security=True,
    ),
    Refused(
        "escalation unsaid",
        lambda s: hard(s).pop("allowPrivilegeEscalation"),
        f"{_SC}.allowPrivilegeEscalation",
        by_pod_security=True,
    ),
    Refused(
        "capabilities unsaid",
        lambda s: hard(s).pop("capabilities"),
        f"{_SC}.capabilities.drop",
        by_pod_security=True,
    ),
    Refused(
        "capabilities kept",
        one_as(capabilities={"drop": ["NET_RAW"]}),
        f"{_SC}.capabilities.drop",
        by_pod_security=True,
    ),
    *(
        Refused(
            f"capability {name}",
            one_as(capabilities={"drop": ["ALL"], "add": [name]}),
            f"{_SC}.capabilities.add",
            by_pod_security=True,
        )
        for name in _CAPABILITIES
    ),
    Refused(
        "capability NET_BIND_SERVICE",
        one_as(capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}),
        f"{_SC}.capabilities.add",
    ),
    Refused(
        "perhaps root",
        lambda s: s["securityContext"].pop("runAsNonRoot"),
        f"{_SC}.runAsNonRoot",
        by_pod_security=True,
    ),
    Refused("root allowed", all_as(runAsNonRoot=False), f"{_SC}.runAsNonRoot", by_pod_security=True),
    Refused(
        "root allowed in one container",
        one_as(runAsNonRoot=False),
        f"{_SC}.runAsNonRoot",
        by_pod_security=True,
    ),
    Refused("uid 0", all_as(runAsUser=0), "securityContext.runAsUser", by_pod_security=True),
    Refused("uid 0 in one container", one_as(runAsUser=0), f"{_SC}.runAsUser", by_pod_security=True),
    # Pod Security lets it pass where the user namespace is not the host's.
    Refused("uid 0 in a user namespace", one_as(runAsUser=0), f"{_SC}.runAsUser", level="UserNamespace"),
    Refused(
        "seccomp unset",
        lambda s: s["securityContext"].pop("seccompProfile"),
        f"{_SC}.seccompProfile.type",
        by_pod_security=True,
    ),
    Refused(
        "seccomp unconfined",
        all_as(seccompProfile={"type": "Unconfined"}),
        "securityContext.seccompProfile.type",
        by_pod_security=True,
    ),
    Refused(
        "seccomp unconfined in one container",
        one_as(seccompProfile={"type": "Unconfined"}),
        f"{_SC}.seccompProfile.type",
        by_pod_security=True,
    ),
    Refused(
        "seccomp of the node's own",
        all_as(seccompProfile={"type": "Localhost", "localhostProfile": "all.json"}),
        "securityContext.seccompProfile.type",
    ),
    Refused(
        "apparmor unconfined",
        all_as(appArmorProfile={"type": "Unconfined"}),
        "securityContext.appArmorProfile.type",
        by_pod_security=True,
    ),
    Refused(
        "apparmor of the node's own in one container",
        one_as(appArmorProfile={"type": "Localhost", "localhostProfile": "x"}),
        f"{_SC}.appArmorProfile.type",
    ),
    Refused("selinux level", all_as(seLinuxOptions={"level": "s0:c1,c2"}), "securityContext.seLinuxOptions"),
    Refused(
        "selinux type in one container",
        one_as(seLinuxOptions={"type": "spc_t"}),
        f"{_SC}.seLinuxOptions",
        by_pod_security=True,
    ),
    Refused(
        "windows options", all_as(windowsOptions={"runAsUserName": "x"}), "securityContext.windowsOptions"
    ),
    Refused(
        "windows options in one container",
        one_as(windowsOptions={"runAsUserName": "x"}),
        f"{_SC}.windowsOptions",
    ),
    Refused(
        "proc unmasked",
        one_as(procMount="Unmasked"),
        f"{_SC}.procMount",
        by_pod_security=True,
        level="UserNamespace",
    ),
    Refused(
        "safe sysctl",
        all_as(sysctls=[{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]),
        "securityContext.sysctls",
    ),
    Refused(
        "unsafe sysctl",
        all_as(sysctls=[{"name": "kernel.msgmax", "value": "1"}]),
        "securityContext.sysctls",
        by_pod_security=True,
    ),
    Refused("runtime class without a sandbox", pod(runtimeClassName="fences-other"), "runtimeClassName"),
    Refused(
        "another runtime class than the level's",
        pod(runtimeClassName="fences-other"),
        "runtimeClassName",
        level="Sandboxed",
    ),
    *(
        Refused(f"image {image}", one(image=image), "containers[].image")
        for image in (
            "evil.example/x:1",
            "registry.example/agentsy/x:1",
            "agents/one:1",
            "registry.example/bulkhead/sandbox:0.1.0-x",
            "registry.example/agents",
        )
    ),
    Refused("image of an init container", init(image="evil.example/x:1"), "containers[].image"),
    Refused(
        "hard but for an init container",
        init(securityContext={**HARD, "allowPrivilegeEscalation": True}),
        f"{_SC}.allowPrivilegeEscalation",
        by_pod_security=True,
    ),
    *(
        Refused(f"account {name}", pod(serviceAccountName=name), "serviceAccountName")
        for name in ("gateway", "egress", "runtime", "tool-search")
    ),
    Refused("token mounted", pod(automountServiceAccountToken=True), "automountServiceAccountToken"),
    Refused("token unsaid", lambda s: s.pop("automountServiceAccountToken"), "automountServiceAccountToken"),
    Refused(
        "the gateway's volume",
        volume({"persistentVolumeClaim": {"claimName": "gateway-data"}}),
        "volumes[].persistentVolumeClaim.claimName",
    ),
    *(
        case
        for name in _MANAGED_SECRETS
        for case in (
            Refused(
                f"volume of {name}", volume({"secret": {"secretName": name}}), "volumes[].secret.secretName"
            ),
            Refused(
                f"projection of {name}",
                projected({"secret": {"name": name}}),
                "volumes[].projected.sources[].secret.name",
            ),
            Refused(
                f"variable of {name}",
                one(env=[{"name": "X", "valueFrom": {"secretKeyRef": {"name": name, "key": "value"}}}]),
                "containers[].env[].valueFrom.secretKeyRef.name",
            ),
            Refused(
                f"variables of {name}",
                one(envFrom=[{"secretRef": {"name": name}}]),
                "containers[].envFrom[].secretRef.name",
            ),
            Refused(f"pull by {name}", pod(imagePullSecrets=[{"name": name}]), "imagePullSecrets[].name"),
        )
    ),
    Refused("node name", pod(nodeName="node-1"), "nodeName"),
    Refused("tolerates everything", tolerates(operator="Exists"), "tolerations"),
    Refused("tolerates every NoExecute", tolerates(operator="Exists", effect="NoExecute"), "tolerations"),
    Refused(
        "tolerates the control plane",
        tolerates(key="node-role.kubernetes.io/control-plane", operator="Exists", effect="NoSchedule"),
        "tolerations",
    ),
    Refused(
        "tolerates another tenant's nodes",
        tolerates(key="tenant", value="other", effect="NoSchedule"),
        "tolerations",
    ),
    Refused(
        "stays on dead nodes for ever",
        tolerates(key="node.kubernetes.io/unreachable", operator="Exists", effect="NoExecute"),
        "tolerations",
    ),
    Refused(
        "stays on dead nodes for long",
        tolerates(
            key="node.kubernetes.io/unreachable", operator="Exists", effect="NoExecute", tolerationSeconds=301
        ),
        "tolerations",
    ),
    Refused(
        "tolerates cordons",
        tolerates(key="node.kubernetes.io/unschedulable", operator="Exists"),
        "tolerations",
    ),
    Refused("own scheduler", pod(schedulerName="mine"), "schedulerName"),
    Refused("system priority", pod(priorityClassName="system-node-critical"), "priorityClassName"),
    *(
        Refused(
            f"required {kind} to other namespaces",
            pod(
                affinity={
                    kind: {
                        "requiredDuringSchedulingIgnoredDuringExecution": [{**_TERM, "namespaceSelector": {}}]
                    }
                }
            ),
            "affinity",
        )
        for kind in ("podAffinity", "podAntiAffinity")
    ),
    *(
        Refused(
            f"preferred {kind} to other namespaces",
            pod(
                affinity={
                    kind: {
                        "preferredDuringSchedulingIgnoredDuringExecution": [
                            {"weight": 1, "podAffinityTerm": {**_TERM, "namespaces": ["kube-system"]}}
                        ]
                    }
                }
            ),
            "affinity",
        )
        for kind in ("podAffinity", "podAntiAffinity")
    ),
    Refused(
        "device claim",
        pod(resourceClaims=[{"name": "gpu", "resourceClaimTemplateName": "gpu"}]),
        "resourceClaims",
    ),
    Refused("device", one(resources={"limits": {"example.com/gpu": "1"}}), "containers[].resources"),
    Refused("the node's resolver", pod(dnsPolicy="Default"), "dnsPolicy"),
    Refused("never ends", pod(terminationGracePeriodSeconds=301), "terminationGracePeriodSeconds"),
)

ALLOWED: Final[tuple[Allowed, ...]] = (
    *(Allowed(f"volume {kind}", volume({kind: source})) for kind, source in HARMLESS_VOLUMES.items()),
    Allowed("a uid of its own", all_as(runAsUser=1000, fsGroup=1000)),
    Allowed(
        "root never, said by the container",
        lambda s: (s["securityContext"].pop("runAsNonRoot"), hard(s).update(runAsNonRoot=True)),
    ),
    Allowed(
        "seccomp said by the container",
        lambda s: (
            s["securityContext"].pop("seccompProfile"),
            hard(s).update(seccompProfile={"type": "RuntimeDefault"}),
        ),
    ),
    Allowed("its own user namespace", pod(hostUsers=False)),
    Allowed("its own user namespace, as the level wants", pod(hostUsers=False), level="UserNamespace"),
    Allowed("the level's runtime class", pod(runtimeClassName="fences-sandbox"), level="Sandboxed"),
    Allowed("the sandbox image", one(image="registry.example/bulkhead/sandbox:0.1.0")),
    Allowed("an init container", init()),
    Allowed("a sidecar", init(restartPolicy="Always")),
    Allowed("a probe of its own", one(livenessProbe={"httpGet": {"port": 80}})),
    Allowed("a Secret of its own", one(envFrom=[{"secretRef": {"name": "their-own"}}])),
    # All of its containers are the tenant's own; the guard, which is not, has ended before they start.
    Allowed("shared pids", pod(shareProcessNamespace=True)),
    Allowed("a hosts file", pod(hostAliases=[{"ip": "10.0.0.1", "hostnames": ["db"]}])),
    Allowed("a node selector", pod(nodeSelector={"kubernetes.io/arch": "amd64"})),
    Allowed(
        "apart from its own",
        pod(affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [_TERM]}}),
    ),
    Allowed(
        "leaves dead nodes sooner",
        tolerates(
            key="node.kubernetes.io/not-ready", operator="Exists", effect="NoExecute", tolerationSeconds=5
        ),
    ),
    Allowed(
        "cpu, memory and disk",
        one(resources={"limits": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"}}),
    ),
)
