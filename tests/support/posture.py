"""What a container is, told from two sides: by a program in it, and by one that sees the whole node."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from kubelive import kubectl

if TYPE_CHECKING:
    from support.packets import Place

__all__ = ["NAMESPACES", "from_inside", "from_the_node", "watcher"]

Manifest = dict[str, Any]
NAMESPACES: Final = ("ipc", "mnt", "net", "pid", "uts")

_INSIDE: Final = r"""
import ctypes, errno, glob, json, os, socket, stat

libc = ctypes.CDLL(None, use_errno=True)
status = dict(line.rstrip("\n").split(":\t", 1) for line in open("/proc/self/status") if ":\t" in line)

def attempt(act):
    try:
        act()
        return "done"
    except OSError as error:
        return errno.errorcode[error.errno]

def called(result):
    return "done" if result == 0 else errno.errorcode[ctypes.get_errno()]

def kernel_log():
    buffer = ctypes.create_string_buffer(65536)
    size = libc.klogctl(3, buffer, len(buffer))
    return buffer.raw[:max(0, size)].decode(errors="replace")

def found(kinds):
    places = []
    for folder, folders, files in os.walk("/", followlinks=False):
        folders[:] = [name for name in folders if os.path.join(folder, name) not in ("/proc", "/sys")]
        for name in files:
            path = os.path.join(folder, name)
            try:
                mode = os.lstat(path).st_mode
            except OSError:
                continue
            if any(kind(mode) for kind in kinds):
                places.append(path)
    return sorted(places)

PR_GET_NO_NEW_PRIVS, CLONE_NEWNS, CLONE_NEWUSER = 39, 0x20000, 0x10000000
root = [line.split() for line in open("/proc/mounts") if line.split()[1] == "/"][-1]
print(json.dumps({
    "capabilities": {name: int(status[name], 16) for name in status if name.startswith("Cap")},
    "no_new_privs": libc.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
    "seccomp": int(status.get("Seccomp", -1)),
    "uid": os.getuid(),
    "gid": os.getgid(),
    "uid_map": [[int(word) for word in line.split()] for line in open("/proc/self/uid_map")],
    "root_options": root[3].split(","),
    "write_to_root": attempt(lambda: open("/written", "w").close()),
    "tokens": glob.glob("/var/run/secrets/**", recursive=True) + glob.glob("/run/secrets/**", recursive=True),
    "devices": found((stat.S_ISBLK, stat.S_ISCHR)),
    "sockets": found((stat.S_ISSOCK,)),
    "abstract_sockets": [line.split()[7] for line in open("/proc/net/unix") if " @" in line],
    "hostname": socket.gethostname(),
    "first_process": open("/proc/1/cmdline").read().split("\0")[0],
    "kernel": os.uname().release,
    "kernel_log": kernel_log(),
    "mount": called(libc.mount(b"none", b"/tmp", b"tmpfs", 0, None)),
    "unshare": called(libc.unshare(CLONE_NEWUSER | CLONE_NEWNS)),
}))
"""

_FROM_THE_NODE: Final = r"""
import json, os, re, sys

NAMESPACES = sys.argv[1:]

def status_of(process):
    lines = open(f"/proc/{process}/status").read().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)

def facts(process):
    status = status_of(process)
    return {
        "name": status["Name"],
        "uid": int(status["Uid"].split()[1]),
        "capabilities": int(status["CapEff"], 16),
        "no_new_privs": int(status["NoNewPrivs"]),
        "seccomp": int(status["Seccomp"]),
        "uid_map": [[int(word) for word in line.split()] for line in open(f"/proc/{process}/uid_map")],
        "interfaces": re.findall(r"(?m)^ *(\S+):", open(f"/proc/{process}/net/dev").read()),
        "namespaces": {kind: os.readlink(f"/proc/{process}/ns/{kind}") for kind in (*NAMESPACES, "user")},
    }

pods = {}
for process in filter(str.isdigit, os.listdir("/proc")):
    try:
        pod = re.search(r"pod([0-9a-f]{8}-[0-9a-f-]{27})", open(f"/proc/{process}/cgroup").read())
        if pod:
            pods.setdefault(pod[1], []).append(facts(process))
    except (FileNotFoundError, ProcessLookupError):
        continue
print(json.dumps({"node": facts(1), "pods": pods}))
"""


def from_inside(place: Place) -> dict[str, Any]:
    """What a program in that container finds, and what becomes of what it tries."""
    return _told(place, _INSIDE)


def from_the_node(place: Place) -> dict[str, Any]:
    """{"node": facts of its first process, "pods": {uid: facts of each of its processes}}, by a watcher."""
    return _told(place, _FROM_THE_NODE, *NAMESPACES)


def watcher(namespace: str, node: str, image: str) -> Manifest:
    """A pod that sees every process of that node: what tenants' pods must never be."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"watcher-{node}", "namespace": namespace},
        "spec": {
            "nodeName": node,
            "hostPID": True,
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "main",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sleep", "infinity"],
                    "securityContext": {"privileged": True, "runAsUser": 0},
                }
            ],
        },
    }


def _told(place: Place, script: str, *arguments: str) -> dict[str, Any]:
    """As break-glass: nobody else may enter a gateway or an egress proxy."""
    done = kubectl(
        "exec", "-n", place.namespace, place.pod, "-c", place.container,
        "--", "python3", "-c", script, *arguments,
        break_glass=True,
    )  # fmt: skip
    told: dict[str, Any] = json.loads(done.stdout)
    return told
