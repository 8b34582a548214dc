"""Where the cluster cannot be had, the program says why and what to do, before it changes anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cluster.current import confirm
from cluster.engine import claim
from cluster.errors import ClusterError, Leftovers, Refusal, StepFailed
from cluster.golang import require_go
from cluster.machine import local_mode_obstacle
from cluster.process import attempt, run, wait_for
from cluster.report import require_state
from cluster.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

HERE = {"platform": "linux", "uid": 0, "apt": True, "arch": "x86_64"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"platform": "darwin"}, "needs Linux, and this is darwin"),
        ({"uid": 1000}, "needs root, and this is uid 1000"),
        ({"apt": False}, "apt-get"),
        ({"arch": "aarch64"}, "x86_64 and this is aarch64"),
    ],
)
def test_the_local_mode_names_what_is_missing_and_the_way_out(change: dict[str, object], says: str) -> None:
    """The person must know what to do next."""
    obstacle = local_mode_obstacle(**{**HERE, **change})  # type: ignore[arg-type]
    assert obstacle is not None
    assert says in obstacle
    assert "CLUSTER=current" in obstacle


def test_root_on_linux_with_apt_is_enough_for_the_local_mode() -> None:
    """CI is such a machine."""
    assert local_mode_obstacle(**HERE) is None  # type: ignore[arg-type]


def test_a_missing_go_is_named_with_the_version_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half an hour of building begins with it."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Refusal, match=r"no `go` in PATH.*Go 1\.26"):
        require_go()


def test_a_foreign_cluster_is_not_used_without_a_yes() -> None:
    """CI has no terminal to ask at, and a kubeconfig may point anywhere."""
    with pytest.raises(Refusal, match="BULKHEAD_ASSUME_YES=1"):
        confirm("production", assume_yes=False, interactive=False)
    confirm("scratch", assume_yes=True, interactive=False)


@pytest.mark.parametrize("said", ["n", "", "yes, but later"])
def test_anything_but_y_means_no(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """The tests make namespaces and CRDs there."""
    monkeypatch.setattr("builtins.input", lambda _: said)
    with pytest.raises(Refusal, match="nothing was done"):
        confirm("production", assume_yes=False, interactive=True)


def test_a_cluster_of_another_cache_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two clusters would fight over one namespace and one link."""
    monkeypatch.setattr(Settings, "runtime", property(lambda _: tmp_path / "runtime"))
    claim(Settings(cache=tmp_path / "one"))
    claim(Settings(cache=tmp_path / "one"))
    with pytest.raises(Refusal, match=f"BULKHEAD_CACHE={tmp_path / 'one'}"):
        claim(Settings(cache=tmp_path / "two"))


def test_without_a_cluster_env_says_how_to_get_one(tmp_path: Path) -> None:
    """An empty answer would make the tests talk to whatever kubectl finds."""
    with pytest.raises(Refusal, match="make cluster-up"):
        require_state(Settings(cache=tmp_path))


def test_a_failed_command_is_told_with_its_log_and_its_last_words(tmp_path: Path) -> None:
    """Builders print thousands of lines; the reason is in the last."""
    log = tmp_path / "build.log"
    with pytest.raises(StepFailed, match=r"exit 3; all of it in .*build\.log\n(.*\n)*the reason"):
        run(["sh", "-c", "echo many lines; echo the reason >&2; exit 3"], timeout=10, log=log)


def test_a_command_out_of_time_is_ended_with_all_it_started(tmp_path: Path) -> None:
    """`go build` starts compilers; they must not go on after it."""
    witness = tmp_path / "witness"
    code, _, _ = attempt(["sh", "-c", f"(sleep 1; touch {witness}) & sleep 30"], timeout=0.2)
    assert code is None
    attempt(["sleep", "1.2"], timeout=5)
    assert not witness.exists()


def test_a_wait_ends_in_words_about_what_did_not_come() -> None:
    """No wait is without an end."""
    with pytest.raises(StepFailed, match="wait for the moon: not within 0 s"):
        wait_for("the moon", lambda: False, timeout=0.0, pause=0.0)


def test_each_kind_of_failure_has_an_exit_code_of_its_own() -> None:
    """Scripts tell a refusal from a failure by it."""
    assert (1, 2, 1, 3) == tuple(kind.exit_code for kind in (ClusterError, Refusal, StepFailed, Leftovers))
