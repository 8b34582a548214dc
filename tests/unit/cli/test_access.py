"""How the commands find the cluster: as kubectl does, and saying what is missing."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bulkhead.cli.access import credentials
from bulkhead.cli.problems import CannotTell

from .conftest import kubeconfig

if TYPE_CHECKING:
    from bulkhead.kube.auth import Credentials

NOBODY = Path("/nonexistent")


def _find(
    given: Path | None = None, *, environ: dict[str, str] | None = None, home: Path = NOBODY
) -> Credentials:
    return credentials(str(given) if given else None, None, environ=environ or {}, home=home)


def _written(path: Path, server: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(kubeconfig(server))
    return path


def test_the_option_wins_over_the_environment_over_home(tmp_path: Path) -> None:
    """A command that talks to another cluster than the user named can delete the wrong tenant."""
    option = _written(tmp_path / "option", "http://option:1")
    environ = {"KUBECONFIG": str(_written(tmp_path / "env", "http://env:1"))}
    home = _written(tmp_path / ".kube" / "config", "http://home:1").parents[1]

    assert "http://option:1" == _find(option, environ=environ, home=home).server
    assert "http://env:1" == _find(environ=environ, home=home).server
    assert "http://home:1" == _find(home=home).server


def test_several_files_in_kubeconfig_are_merged(tmp_path: Path) -> None:
    """A list is legal there, and many people have one."""
    listed = [_written(tmp_path / name, f"https://{name}:1") for name in ("first", "second")]

    assert "https://first:1" == _find(environ={"KUBECONFIG": os.pathsep.join(map(str, listed))}).server


def test_an_exec_plugin_is_run(tmp_path: Path) -> None:
    """Managed clusters hand out credentials in no other way."""
    answer = (
        '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"fresh"}}'
    )
    path = tmp_path / "kubeconfig"
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-c", f"print('{answer}')"],
        "interactiveMode": "Never",
    }
    path.write_text(kubeconfig("https://managed:1", {"exec": plugin}))

    found = _find(path)

    assert ("https://managed:1", "fresh") == (found.server, found.token)


def test_without_the_library_the_missing_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator image has no `kubernetes` package; a traceback would not say so."""
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig("https://managed:1", {"exec": {"command": "aws"}}))
    monkeypatch.setitem(sys.modules, "kubernetes", None)

    with pytest.raises(CannotTell, match=r"install bulkhead-operator\[cli\]"):
        _find(path)


def test_no_kubeconfig_at_all_says_what_to_give() -> None:
    """Neither a file nor a pod: the three ways are named."""
    with pytest.raises(CannotTell, match="--kubeconfig, set KUBECONFIG, or run in a pod"):
        _find()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A typo in --kubeconfig must not fall back to another cluster."""
    with pytest.raises(CannotTell, match="no such file"):
        _find(tmp_path / "typo")
