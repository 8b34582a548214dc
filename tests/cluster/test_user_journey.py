"""What a platform engineer types: plain kubectl and the two commands of the CLI."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kubelive import Live, Ref, kubectl, wait_until
from kubelive.workspaces import namespace_of, ready

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ("acme", "globex")


def _bulkhead(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bulkhead.cli", *arguments], capture_output=True, text=True, check=False
    )


def test_crds_and_examples_work_with_plain_kubectl(live: Live) -> None:
    """Client-side apply, wait and explain, as the README says."""
    try:
        kubectl("apply", "-f", str(ROOT / "crds"))
        kubectl("apply", "-f", str(ROOT / "examples"))

        for name in EXAMPLES:
            kubectl("wait", "--for=condition=Ready", f"tws/{name}", "--timeout=120s", timeout_seconds=150)
        explained = kubectl("explain", "tws.spec.lifecycle").stdout
        listed = kubectl("get", "tws").stdout
    finally:
        for name in EXAMPLES:
            live.delete(Ref("TenantWorkspace", name))

    assert "ttl" in explained
    assert "<no description>" not in explained
    assert listed.splitlines()[0].split() == ["NAME", "READY", "AGENTS", "EXPIRES", "REASON", "AGE"]
    for name in EXAMPLES:
        wait_until(f"{name} gone", lambda name=name: live.find(Ref("TenantWorkspace", name)) is None)


def test_status_command_shows_what_the_status_says(live: Live, pair: tuple[str, str]) -> None:
    """Text and JSON come from one source; an unknown workspace is exit code 2 and one sentence."""
    text = _bulkhead("status", pair[0])
    parsed = json.loads(_bulkhead("status", pair[0], "-o", "json").stdout)
    unknown = _bulkhead("status", "no-such-workspace")

    assert text.returncode == 0
    assert namespace_of(live, pair[0]) in text.stdout
    assert pair[0] in json.dumps(parsed)
    assert unknown.returncode != 0
    assert "no-such-workspace" in unknown.stderr
    assert "Traceback" not in unknown.stderr


def test_token_command_refuses_what_no_gateway_would_accept(pair: tuple[str, str]) -> None:
    """Nothing on standard output, a sentence on standard error."""
    for arguments in (
        (pair[0], "--user", "u", "--scope", "tools:list", "--ttl", "11m"),
        ("no-such-workspace", "--user", "u", "--scope", "tools:list"),
        (pair[0], "--user", "not allowed", "--scope", "tools:list"),
        (pair[0], "--user", "u", "--scope", "tools:*"),
    ):
        done = _bulkhead("token", *arguments)

        assert done.returncode != 0
        assert done.stdout == ""
        assert "Traceback" not in done.stderr


def test_view_access_reads_and_nothing_more(live: Live, pair: tuple[str, str]) -> None:
    """`access: view` lets a group look at workloads in its own namespace, not at secrets, not next door."""
    mine, other = namespace_of(live, pair[0]), namespace_of(live, pair[1])

    def can(verb: str, resource: str, namespace: str) -> bool:
        asked = kubectl(
            "auth", "can-i", verb, resource, "-n", namespace, "--as=dev", "--as-group=strangers",
            "--as-group=developers", check=False,
        )  # fmt: skip
        return asked.stdout.strip() == "yes"

    assert can("get", "pods", mine)
    assert not can("get", "secrets", mine)
    assert not can("create", "pods", mine)
    assert not can("delete", "networkpolicies", mine)
    assert not can("create", "pods/exec", mine)
    assert not can("update", "resourcequotas", mine)
    assert can("get", "pods", other), "the neighbour names the same group in its own access list"


def test_access_is_taken_away_again(live: Live, make: Callable[..., str]) -> None:
    """Removing the entry removes the right."""
    name = make("access", access=[{"kind": "User", "name": "eve", "role": "view"}])
    namespace = namespace_of(live, name)

    def allowed() -> bool:
        return (
            kubectl("auth", "can-i", "get", "pods", "-n", namespace, "--as=eve", check=False).returncode == 0
        )

    assert allowed()
    live.merge(Ref("TenantWorkspace", name), {"spec": {"access": []}})
    ready(live, name)

    wait_until("access gone", lambda: not allowed(), timeout_seconds=10)
