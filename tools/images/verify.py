"""What the images promise, checked on the archives: size, content, user, and a repeatable build."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.errors import StepFailed
from images.build import build, build_again, config_of, layer_names
from images.specs import LIMIT_BYTES, SPECS

if TYPE_CHECKING:
    from collections.abc import Collection

    from images.build import Builder, Built

FORBIDDEN = (
    "pip",
    "pip3",
    "uv",
    "gcc",
    "cc",
    "g++",
    "clang",
    "ld",
    "make",
    "apt",
    "apt-get",
    "dpkg",
    "perl",
    "go",
)
USER = "65532:65532"


def faults(built: Built, names: Collection[str], user: object) -> list[str]:
    """Everything about a finished image that breaks a promise; empty when all are kept."""
    found = []
    if built.unpacked_bytes > LIMIT_BYTES:
        found.append(f"{built.unpacked_bytes} bytes unpacked, more than {LIMIT_BYTES}")
    if user != USER:
        found.append(f"runs as {user!r}, not as {USER}")
    for folder in ("usr/bin", "usr/sbin", "usr/local/bin", "bin", "sbin"):
        found += [f"has /{folder}/{name}" for name in FORBIDDEN if f"{folder}/{name}" in names]
    found += [
        f"has /{name}"
        for name in names
        if name.endswith(("/site-packages/pip", "/dist-packages/pip", "/lib/pip"))
    ]
    return found


def verify(who: Builder) -> None:
    """Both images keep every promise and come out the same when built again."""
    bad = []
    for spec in SPECS:
        first = build(spec, who)
        bad += [f"{first.reference} {fault}" for fault in _faults_of(first)]
        second = build_again(spec, who)
        who.progress.say(f"{first.reference}: {first.image_id}, again {second.image_id}")
        if first.reference != second.reference:
            who.progress.say(
                f"{spec.name}: its sources changed in between, so nothing is said about repeatability"
            )
        elif first.image_id != second.image_id:
            bad.append(f"{first.reference} came out different: {first.image_id}, then {second.image_id}")
    if bad:
        raise StepFailed("verify images: " + "; ".join(bad))


def _faults_of(built: Built) -> list[str]:
    return faults(built, layer_names(built.archive), config_of(built.archive).get("User"))
