"""Images: their names follow their content, and a finished one is held to what it promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from images.build import Built
from images.specs import LIMIT_BYTES, MAKE_ROOT, REPOSITORY, SPECS, spec
from images.verify import USER, faults

if TYPE_CHECKING:
    from pathlib import Path


def _tree(folder: Path) -> Path:
    for one in SPECS:
        for path in (one.dockerfile, MAKE_ROOT):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text("x")
        for source in one.sources:
            (folder / source).mkdir(parents=True, exist_ok=True)
            (folder / source / "a.py").write_text("x")
    return folder


@pytest.mark.parametrize(
    ("changed", "images"),
    [
        ("operator/bulkhead/a.py", {"operator"}),
        ("operator/bulkhead_wire/a.py", {"operator", "sandbox"}),
        ("sandbox-image/src/bulkhead_sandbox/a.py", {"sandbox"}),
        ("sandbox-image/Dockerfile", {"sandbox"}),
        (MAKE_ROOT, {"operator", "sandbox"}),
        ("operator/README.md", set()),
    ],
)
def test_a_change_renames_exactly_the_images_it_is_part_of(
    tmp_path: Path, changed: str, images: set[str]
) -> None:
    """Pods use IfNotPresent: an old name for new content would run the old content."""
    tree = _tree(tmp_path)
    before = {one.name: one.key("lock", "base", tree) for one in SPECS}
    (tree / changed).write_text("y")
    assert images == {one.name for one in SPECS if one.key("lock", "base", tree) != before[one.name]}


def test_locked_versions_and_base_are_part_of_the_name(tmp_path: Path) -> None:
    """A security update of a dependency must reach the nodes."""
    tree = _tree(tmp_path)
    one = spec("operator")
    assert 3 == len(
        {one.key("lock", "base", tree), one.key("lock2", "base", tree), one.key("lock", "base2", tree)}
    )


def test_every_path_that_a_dockerfile_copies_is_part_of_its_key() -> None:
    """A file that is copied and not hashed could change unseen."""
    for one in SPECS:
        lines = (REPOSITORY / one.dockerfile).read_text().splitlines()
        copied = {line.split()[1] for line in lines if line.startswith("COPY ") and "--from" not in line}
        assert {"deps", MAKE_ROOT, *one.sources} == copied


def test_both_dockerfiles_default_to_the_public_base_and_run_as_nobody() -> None:
    """They are what users build from."""
    for one in SPECS:
        text = (REPOSITORY / one.dockerfile).read_text()
        assert "ARG BASE=docker.io/library/debian:trixie-slim" in text
        assert f"USER {USER}" in text


def _built(size: int = 1) -> Built:
    return Built(REPOSITORY, "bulkhead.local/operator:1", "sha256:1", size)


@pytest.mark.parametrize(
    ("size", "names", "user", "fault"),
    [
        (LIMIT_BYTES + 1, set(), USER, "bytes unpacked"),
        (1, {"usr/bin/gcc"}, USER, "has /usr/bin/gcc"),
        (1, {"usr/bin/apt-get"}, USER, "has /usr/bin/apt-get"),
        (1, {"usr/lib/python3/dist-packages/pip"}, USER, "dist-packages/pip"),
        (1, set(), "", "runs as"),
    ],
)
def test_each_broken_promise_of_an_image_is_found(size: int, names: set[str], user: str, fault: str) -> None:
    """A check that never fails checks nothing."""
    (found,) = faults(_built(size), names, user)
    assert fault in found


def test_an_image_that_keeps_its_promises_has_no_fault() -> None:
    """The broken ones differ from this one in one thing each."""
    assert [] == faults(_built(), {"usr/bin/python3.13", "usr/bin/bash"}, USER)
