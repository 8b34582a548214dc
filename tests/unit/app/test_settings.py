"""Settings from the environment and a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bulkhead.app.settings import from_environment
from bulkhead.errors import InvalidValue

if TYPE_CHECKING:
    from pathlib import Path

NEEDED = {"BULKHEAD_SANDBOX_IMAGE": "bulkhead/sandbox:1"}


def test_lists_and_maps_travel_as_json() -> None:
    """As the chart writes them."""
    found = from_environment(
        NEEDED | {"BULKHEAD_CLUSTER_CIDRS": '["198.18.0.0/15"]', "BULKHEAD_DNS_POD_LABELS": '{"a":"b"}'}
    )

    assert (found.cluster_cidrs, found.dns_pod_labels) == (("198.18.0.0/15",), {"a": "b"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BULKHEAD_WORKERZ", "8"),
        ("BULKHEAD_WORKERS", "many"),
        ("BULKHEAD_HEALTH_PORT", "70000"),
        ("BULKHEAD_CLUSTER_CIDRS", "10.0.0.0/8"),
        ("BULKHEAD_LOG_LEVEL", "loud"),
        ("BULKHEAD_SANDBOX_IMAGE", ""),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    """A misspelt setting that is ignored is a setting that is not in force."""
    with pytest.raises(InvalidValue, match=name):
        from_environment(NEEDED | {name: value})


def test_a_missing_setting_is_named() -> None:
    """There is no image that could be guessed."""
    with pytest.raises(InvalidValue, match="BULKHEAD_SANDBOX_IMAGE"):
        from_environment({})


def test_variables_of_the_projects_other_programs_are_let_be() -> None:
    """`make` exports them; an operator started by hand sees them."""
    assert from_environment(NEEDED | {"BULKHEAD_CACHE": "/c", "PATH": "/bin"}).workers == 8


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """A file is mounted from a ConfigMap; one variable must be able to correct it."""
    file = tmp_path / "settings.yaml"
    file.write_text("workers: 3\nlog_level: debug\n")
    found = from_environment(NEEDED | {"BULKHEAD_SETTINGS_FILE": str(file), "BULKHEAD_WORKERS": "5"})

    assert (found.workers, found.log_level) == (5, "debug")


@pytest.mark.parametrize("content", ["[1]", "a: [", "workerz: 1"])
def test_a_wrong_file_is_refused(tmp_path: Path, content: str) -> None:
    """Half of a file must not count."""
    file = tmp_path / "settings.yaml"
    file.write_text(content)

    with pytest.raises(InvalidValue):
        from_environment(NEEDED | {"BULKHEAD_SETTINGS_FILE": str(file)})
