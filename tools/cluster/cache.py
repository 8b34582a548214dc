"""Finished artefacts under names made from the hash of their recipe: same recipe, same folder, no work."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import threading
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY_LENGTH = 12
KEPT = 3
# Builds run side by side and share parts: two images have one base. Other processes are kept out by a file.
_building: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


def recipe_key(*parts: str | bytes | Path) -> str:
    """12 hex digits that change when any part does; a path stands for its content, a folder for its files."""
    digest = hashlib.sha256()
    for part in parts:
        for piece in _pieces(part):
            digest.update(len(piece).to_bytes(8, "big"))  # lengths, so that ("ab", "c") is not ("a", "bc")
            digest.update(piece)
    return digest.hexdigest()[:KEY_LENGTH]


def _pieces(part: str | bytes | Path) -> list[bytes]:
    if isinstance(part, bytes):
        return [part]
    if isinstance(part, str):
        return [part.encode()]
    if part.is_file():
        return [part.read_bytes()]
    files = sorted(f for f in part.rglob("*") if f.is_file() and "__pycache__" not in f.parts)
    return [piece for f in files for piece in (str(f.relative_to(part)).encode(), f.read_bytes())]


def stored(store: Path, name: str, key: str, build: Callable[[Path], None]) -> Path:
    """The finished folder `<name>-<key>`; built aside and renamed, so a killed build leaves no half."""
    finished = store / f"{name}-{key}"
    with _building[str(finished)]:
        if finished.is_dir():
            os.utime(finished)
        else:
            _build(store, name, key, build)
    return finished


def _build(store: Path, name: str, key: str, build: Callable[[Path], None]) -> None:
    store.mkdir(parents=True, exist_ok=True)
    aside = store / f".{name}-{key}.part"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    build(aside)
    aside.rename(store / f"{name}-{key}")
    _forget_old(store, name)


def _forget_old(store: Path, name: str) -> None:
    """Keep the three used last: switching branches costs nothing, and a year does not fill a disk."""
    pattern = re.compile(re.escape(name) + f"-[0-9a-f]{{{KEY_LENGTH}}}")
    found = [entry for entry in store.iterdir() if pattern.fullmatch(entry.name)]
    for old in sorted(found, key=lambda entry: -entry.stat().st_mtime)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
