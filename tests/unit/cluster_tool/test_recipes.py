"""Recipes and the cache: same recipe, same name; any change, another; no half-made artefact is ever taken."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cluster.cache import recipe_key, stored
from cluster.golang import go_version, program_name, staging_replaces
from cluster.recipes import DATA, recipes

if TYPE_CHECKING:
    from pathlib import Path


def test_equal_parts_give_the_same_key_and_their_order_matters() -> None:
    """A key must be repeatable, or nothing is ever found again."""
    assert recipe_key("a", b"b") == recipe_key("a", b"b")
    assert recipe_key("a", "b") != recipe_key("b", "a")


def test_moving_a_letter_between_parts_changes_the_key() -> None:
    """Joined without lengths, two different recipes would share an artefact."""
    assert recipe_key("ab", "c") != recipe_key("a", "bc")


@pytest.mark.parametrize("change", ["content", "name", "new"])
def test_a_folder_counts_with_names_and_content_of_its_files(tmp_path: Path, change: str) -> None:
    """A changed source must never be served from the cache."""
    file = tmp_path / "a.py"
    file.write_text("one")
    before = recipe_key(tmp_path)
    if change == "content":
        file.write_text("two")
    elif change == "name":
        file.rename(tmp_path / "b.py")
    else:
        (tmp_path / "c.py").write_text("")
    assert before != recipe_key(tmp_path)


def test_compiled_python_does_not_change_the_key_of_a_folder(tmp_path: Path) -> None:
    """Running the program must not make its own artefacts stale."""
    (tmp_path / "a.py").write_text("one")
    before = recipe_key(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/a.pyc").write_bytes(b"x")
    assert before == recipe_key(tmp_path)


def test_a_finished_artefact_is_not_built_again(tmp_path: Path) -> None:
    """The second start is fast because of this."""
    built = []

    def build(aside: Path) -> None:
        built.append(aside)
        (aside / "file").write_text("x")

    first = stored(tmp_path, "thing", "k1", build)
    assert first == stored(tmp_path, "thing", "k1", build)
    assert ["x", 1] == [(first / "file").read_text(), len(built)]


def test_a_build_that_failed_leaves_nothing_under_the_finished_name(tmp_path: Path) -> None:
    """Half a build must be made anew, not used."""

    def fail(aside: Path) -> None:
        (aside / "half").write_text("x")
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 - any will do
        stored(tmp_path, "thing", "k1", fail)
    again = stored(tmp_path, "thing", "k1", lambda aside: (aside / "whole").mkdir())
    assert ["whole"] == [entry.name for entry in again.iterdir()]


def test_only_the_artefacts_used_last_are_kept(tmp_path: Path) -> None:
    """Each change of a source makes an image of 120 MB."""

    def build(aside: Path) -> None:
        (aside / "file").write_text("x")

    keys = [f"{number:012x}" for number in range(5)]
    for age, key in enumerate(keys):
        stored(tmp_path, "image", key, build)
        os.utime(tmp_path / f"image-{key}", (age, age))
    other = stored(tmp_path, "image-base", keys[0], build)
    assert {f"image-{key}" for key in keys[2:]} | {other.name} == {entry.name for entry in tmp_path.iterdir()}


def test_every_module_is_pinned_and_every_program_has_one_home() -> None:
    """`latest` would make the hash of a recipe a lie."""
    programs = [name for module in recipes().modules for name in module.programs]
    assert sorted(set(programs)) == sorted(programs)
    assert [] == [m.name for m in recipes().modules if not m.version.startswith("v")]
    assert {"kind", "kubectl", "helm", "kubeadm", "runsc", "cilium-agent"} <= set(programs)


def test_the_pinned_versions_agree_with_each_other() -> None:
    """The version that kubeadm is told, and the one of its own module, must not drift apart."""
    pinned = recipes()
    version = {module.name: module.version for module in pinned.modules}
    assert (pinned.kubernetes, f"v{pinned.cilium}", pinned.kind) == (
        version["kubernetes"],
        version["cilium"],
        version["kind"],
    )
    kubernetes = next(module for module in pinned.modules if module.name == "kubernetes")
    assert f"gitVersion={pinned.kubernetes}" in kubernetes.ldflags
    assert kubernetes.staging == pinned.kubernetes.replace("v1.", "v0.")


def test_version_flags_patch_and_compiler_are_all_part_of_a_modules_key() -> None:
    """Whatever changes the bytes must change the name."""
    module = next(m for m in recipes().modules if m.name == "runc")
    keys = {
        module.key("go1"),
        module.key("go2"),
        replace(module, version="v0.0.1").key("go1"),
        replace(module, tags="").key("go1"),
        replace(module, cgo=False).key("go1"),
    }
    assert 5 == len(keys)


def test_each_patch_is_a_file_of_ours() -> None:
    """A patch that is not there would be noticed only half an hour into a cold build."""
    patches = [module.patch for module in recipes().modules if module.patch]
    assert [] == [patch.source for patch in patches if not (DATA / patch.source).is_file()]


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("helm.sh/helm/v4/cmd/helm", "helm"),
        ("go.etcd.io/etcd/server/v3", "server"),
        ("github.com/cilium/cilium/daemon", "daemon"),
        ("k8s.io/kubernetes/cmd/kubelet", "kubelet"),
    ],
)
def test_the_name_that_go_build_gives_a_package_is_known(package: str, name: str) -> None:
    """Programs are renamed after the build; a wrong guess loses them."""
    assert name == program_name(package)


@pytest.mark.parametrize(
    ("output", "expected"),
    [("go version go1.26.8 linux/amd64", (1, 26)), ("go version go1.9 x", (1, 9)), ("nonsense", (0, 0))],
)
def test_the_version_of_go_is_read_as_numbers(output: str, expected: tuple[int, int]) -> None:
    """As text, 1.9 would be newer than 1.26."""
    assert expected == go_version(output)


def test_only_staging_modules_are_replaced() -> None:
    """A replace of anything else would change what Kubernetes is built from."""
    go_mod = "replace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n\tgithub.com/x/y => github.com/z/y v1\n)\n"
    assert {"k8s.io/api": "k8s.io/api v0.37.2"} == staging_replaces(go_mod, "v0.37.2")


def test_what_two_builds_share_is_made_once(tmp_path: Path) -> None:
    """Both images of a fresh machine made their base at once, and the second found nothing to rename."""
    made: list[Path] = []
    both_build = threading.Barrier(2)

    def build(aside: Path) -> None:
        made.append(aside)
        with suppress(threading.BrokenBarrierError):  # one at a time: the other never comes
            both_build.wait(0.05)

    with ThreadPoolExecutor(2) as pool:
        folders = [
            done.result() for done in [pool.submit(stored, tmp_path, "base", "k1", build) for _ in range(2)]
        ]

    assert ([tmp_path / "base-k1"] * 2, 1) == (folders, len(made))
