"""The node image, made by kind's own `build node-image` out of a release tarball that we put together."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.archive import add_bytes, archive, closure, make_image, tree
from cluster.cache import recipe_key
from cluster.engine import in_namespace
from cluster.errors import StepFailed
from cluster.golang import module_folder
from cluster.process import run
from cluster.recipes import DATA, recipes
from cluster.rootfs import kind_source, node_base

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster.archive import Image
    from cluster.engine import Engine
    from cluster.progress import Progress
    from cluster.settings import Settings

TOOLBOX = "localhost/toolbox:1"
XTABLES = "/usr/lib/x86_64-linux-gnu/xtables"
CA_FILE = "/etc/ssl/certs/ca-certificates.crt"
NODE_PROGRAMS = (
    "containerd",
    "ctr",
    "containerd-shim-runc-v2",
    "crictl",
    "runsc",
    "containerd-shim-runsc-v1",
)
CNI_PROGRAMS = ("host-local", "loopback", "ptp", "portmap", "bridge", "bandwidth")
COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")


def node_image_key(programs: Mapping[str, Path]) -> str:
    """Hash of what the node image is made from: the programs' recipes and the code that arranges them."""
    here = Path(__file__).parent
    sources = [here / name for name in ("nodeimage.py", "rootfs.py", "archive.py", "data/runc-nocap")]
    return recipe_key(*sources, *sorted({path.parent.name for path in programs.values()}))


def cilium_image_name() -> str:
    """Name of the Cilium image that the nodes carry."""
    return f"localhost/cilium:{recipes().cilium}"


def build_node_image(
    name: str, programs: Mapping[str, Path], engine: Engine, settings: Settings, progress: Progress
) -> None:
    """The engine has an image of this name: kind's base, Kubernetes, every image that a cluster pulls."""
    root = node_base(settings, progress)
    work = settings.run / "node-image"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    log = settings.logs / "node-image.log"
    log.unlink(missing_ok=True)
    try:
        with progress.step("base image for kind"):
            _import_base(root, programs, engine, work, log)
        with progress.step("Kubernetes release tarball"):
            tarball = _release(root, programs, settings, work)
        with progress.step(f"kind build node-image (log {log})"):
            build: list[str | Path] = [programs["kind"], "build", "node-image", "--type", "file", tarball]
            build += ["--base-image", "localhost/kind-base:local", "--image", name]
            env = {**engine.environment, "TMPDIR": str(work)}  # kind unpacks the tarball there
            run(in_namespace(engine, build), timeout=600, env=env, log=log)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _import_base(root: Path, programs: Mapping[str, Path], engine: Engine, work: Path, log: Path) -> None:
    copy = work / "base"
    run(["cp", "-a", root, copy], timeout=300)
    for folder, names in (
        ("usr/local/bin", NODE_PROGRAMS),
        ("usr/local/sbin", ("runc",)),
        ("opt/cni/bin", CNI_PROGRAMS),
    ):
        for name in names:
            shutil.copy(programs[name], copy / folder / name)
    shutil.copy(DATA / "runc-nocap", copy / "usr/local/sbin/runc-nocap")
    (copy / "etc/containerd/cri-base.json").write_text(json.dumps(_base_runtime_spec(programs["ctr"])))
    changes = ["ENV container=docker", 'ENTRYPOINT ["/usr/local/bin/entrypoint","/sbin/init"]']
    with subprocess.Popen(["tar", "-C", copy, "-c", "."], stdout=subprocess.PIPE) as packed:
        flags = [word for change in changes for word in ("--change", change)]
        command = [engine.docker, "import", *flags, "-", "localhost/kind-base:raw"]
        run(command, timeout=300, env=engine.environment, stdin=packed.stdout, log=log)
    shutil.rmtree(copy)
    # `docker import --change` knows no STOPSIGNAL; a build of two lines adds it.
    dockerfile = b"FROM localhost/kind-base:raw\nSTOPSIGNAL SIGRTMIN+3\n"
    command = [engine.docker, "build", "-q", "-t", "localhost/kind-base:local", "-"]
    run(command, timeout=120, env={**engine.environment, "DOCKER_BUILDKIT": "0"}, stdin=dockerfile, log=log)


def _base_runtime_spec(ctr: Path) -> dict[str, object]:
    """What kind's Dockerfile makes of `ctr oci spec`: its hook added, resource limits taken out."""
    spec: dict[str, object] = json.loads(run([ctr, "oci", "spec"], timeout=30))
    spec["hooks"] = {"createContainer": [{"path": "/kind/bin/mount-product-files.sh"}]}
    process = spec["process"]
    if isinstance(process, dict):
        process.pop("rlimits", None)
    return spec


def _constant(name: str, file: Path) -> str:
    found = re.search(rf'const {name} = "([^"]+)"', file.read_text())
    if not found:
        raise StepFailed(f"read kind's {file.name}: no constant {name}; look at nodeimage.py")
    return found[1]


def _busybox_links() -> dict[str, str]:
    names = run(["busybox", "--list"], timeout=10).split()
    return {f"/bin/{name}": "busybox" for name in names if name != "busybox"}


def _release(root: Path, programs: Mapping[str, Path], settings: Settings, work: Path) -> Path:
    """kubernetes-server-linux-amd64.tar.gz in the layout that kind reads.

    kind pulls what no archive in it names, so kube-proxy.tar carries every other image as well.
    """
    version = recipes().kubernetes
    listed = run(
        [programs["kubeadm"], "config", "images", "list", "--kubernetes-version", version], timeout=60
    ).split()

    def named(part: str) -> str:
        return next(image for image in listed if part in image)

    ca = {CA_FILE: root / CA_FILE.lstrip("/")}
    images = {
        name: [make_image([named(f"/{name}:")], {f"/usr/local/bin/{name}": programs[name], **ca})]
        for name in COMPONENTS
    }
    images["kube-proxy"] = [
        _proxy_image(named("/kube-proxy:"), root, programs, ca),
        make_image([named("/etcd")], {"/usr/local/bin/etcd": programs["etcd"]}),
        make_image([named("/coredns")], {"/coredns": programs["coredns"], **ca}, entrypoint=["/coredns"]),
        *_kind_images(named("/pause"), root, programs, kind_source(settings)),
        _cilium_image(programs, settings),
    ]
    target = work / "kubernetes-server-linux-amd64.tar.gz"
    with (
        target.open("wb") as sink,
        subprocess.Popen(["pigz", "-1", "-c"], stdin=subprocess.PIPE, stdout=sink) as packer,
    ):
        with tarfile.open(fileobj=packer.stdin, mode="w|") as tar:
            add_bytes(tar, "kubernetes/version", version.encode())
            for name in ("kubeadm", "kubelet", "kubectl"):
                add_bytes(tar, f"kubernetes/server/bin/{name}", programs[name].read_bytes(), 0o755)
            for name, bundle in images.items():
                add_bytes(tar, f"kubernetes/server/bin/{name}.tar", archive(bundle))
        if packer.stdin:
            packer.stdin.close()
    return target


def _proxy_image(name: str, root: Path, programs: Mapping[str, Path], ca: Mapping[str, Path]) -> Image:
    needed = [f"/usr/sbin/{p}" for p in ("xtables-nft-multi", "xtables-legacy-multi", "nft", "conntrack")]
    # This plug-in brings libm; without it kube-proxy's iptables mode fails.
    needed += ["/usr/bin/kmod", f"{XTABLES}/libxt_statistic.so"]
    files = {**closure(needed, root), **tree(root / XTABLES.lstrip("/"), XTABLES), **ca}
    files["/usr/local/bin/kube-proxy"] = programs["kube-proxy"]
    links = {
        f"/usr/sbin/{p}{s}": "xtables-nft-multi"
        for p in ("iptables", "ip6tables")
        for s in ("", "-save", "-restore")
    }
    return make_image([name], files, links | {"/usr/sbin/modprobe": "../bin/kmod"})


def _kind_images(pause: str, root: Path, programs: Mapping[str, Path], kind: Path) -> list[Image]:
    """The images that kind adds on its own account, and a toolbox for tests."""
    build = kind / "pkg/build/nodeimage"
    config = (kind / "images/base/files/etc/containerd/config.toml").read_text()
    sandbox = re.search(r'sandbox_image = "([^"]+)"', config)
    # kindnet's program is not built here; its name points at the pause image, so kind pulls nothing.
    pauses = {pause, _constant("kindnetdImage", build / "const_cni.go"), *([sandbox[1]] if sandbox else [])}
    busybox = {"/bin/busybox": Path("/bin/busybox")}
    links = _busybox_links()
    # curl, because the static busybox's wget dies as soon as it must resolve a name.
    curl = closure(["/usr/bin/curl"], root)
    provisioner = {"/usr/local/bin/local-path-provisioner": programs["local-path-provisioner"]}
    return [
        make_image(
            sorted(pauses),
            {"/pause": Path("/usr/bin/catatonit")},
            entrypoint=["/pause", "-P"],
            user="65535:65535",
        ),
        make_image(
            [_constant("storageProvisionerImage", build / "const_storage.go")],
            provisioner,
            entrypoint=list(provisioner),
        ),
        make_image(
            [_constant("storageHelperImage", build / "const_storage.go")], busybox, links, cmd=["/bin/sh"]
        ),
        make_image(
            [TOOLBOX],
            {**busybox, **curl},
            {k: v for k, v in links.items() if k != "/bin/curl"},
            cmd=["/bin/sh"],
        ),
    ]


def _cilium_image(programs: Mapping[str, Path], settings: Settings) -> Image:
    """The agent, with the clang and llc that compile its BPF programs at run time."""
    pinned = recipes()
    source = module_folder("github.com/cilium/cilium", f"v{pinned.cilium}", settings.logs / "go-cilium.log")
    llvm = f"/usr/lib/llvm-{pinned.llvm}"
    needed = [f"{llvm}/bin/clang", f"{llvm}/bin/llc", "/bin/bash", "/usr/bin/nsenter", "/usr/bin/mount"]
    needed += [f"/usr/sbin/{p}" for p in ("ip", "tc", "ipset", "xtables-nft-multi", "xtables-legacy-multi")]
    needed += [f"{XTABLES}/libxt_statistic.so"]
    files = closure([p for p in needed if Path(p).exists()], Path("/"))
    includes = f"{llvm}/lib/clang/{pinned.llvm}/include"
    files |= (
        tree(Path(XTABLES), XTABLES)
        | tree(Path(includes), includes)
        | tree(source / "bpf", "/var/lib/cilium/bpf")
    )
    files |= {
        f"/usr/bin/{name}": programs[name]
        for name in ("cilium-agent", "cilium-dbg", "cilium-mount", "cilium-sysctlfix")
    }
    files |= {
        "/opt/cni/bin/cilium-cni": programs["cilium-cni"],
        "/cni/loopback": programs["loopback"],
        "/install-plugin.sh": source / "plugins/cilium-cni/install-plugin.sh",
        "/cni-uninstall.sh": source / "plugins/cilium-cni/cni-uninstall.sh",
        "/init-container.sh": source / "images/cilium/init-container.sh",
        "/bin/busybox": Path("/bin/busybox"),
        CA_FILE: Path(CA_FILE),
    }
    links = _busybox_links() | {"/usr/bin/clang": f"{llvm}/bin/clang", "/usr/bin/llc": f"{llvm}/bin/llc"}
    for program in ("iptables", "ip6tables"):
        for suffix in ("", "-save", "-restore"):
            links[f"/usr/sbin/{program}{suffix}"] = links[f"/usr/sbin/{program}-nft{suffix}"] = (
                "xtables-nft-multi"
            )
            links[f"/usr/sbin/{program}-legacy{suffix}"] = "xtables-legacy-multi"
    real = {Path(f).name for f in files if f.startswith(("/usr/bin/", "/usr/sbin/", "/bin/"))}
    return make_image(
        [cilium_image_name()], files, {k: v for k, v in links.items() if Path(k).name not in real}
    )
