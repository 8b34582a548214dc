"""Debian packages: whoever asks, dpkg is asked once at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cluster import machine
from cluster.progress import Progress
from cluster.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest


def test_builds_side_by_side_install_a_package_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two image builds on a fresh machine met at dpkg's lock, and one of them failed."""
    installed: list[str] = []
    asked: list[Sequence[str]] = []
    both_ask = threading.Barrier(2)

    def attempt(command: Sequence[str], **_: Any) -> tuple[int, str, str]:
        if command[0] == "dpkg-query":
            answer = "".join(f"{name} install ok installed\n" for name in installed)
            with suppress(threading.BrokenBarrierError):  # one at a time: the other never comes
                both_ask.wait(0.05)
            return 0, answer, ""
        asked.append(command)
        installed.append("buildah")
        return 0, "", ""

    monkeypatch.setattr(machine, "attempt", attempt)
    monkeypatch.setattr(machine, "POLICY", tmp_path / "policy-rc.d")
    settings = Settings(cache=tmp_path)
    with ThreadPoolExecutor(2) as pool:
        for done in [
            pool.submit(machine.install_packages, ["buildah"], settings, Progress()) for _ in range(2)
        ]:
            done.result()

    assert 1 == len(asked)
