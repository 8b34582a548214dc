"""What is rendered for kind, dockerd, Cilium and the shell."""

from __future__ import annotations

import ipaddress
import json
import subprocess
from pathlib import Path

import pytest
import yaml

from cluster.archive import archive, make_image
from cluster.certificates import SERVERS, subject_alternatives
from cluster.cilium import helm_values
from cluster.engine import daemon_config, engine_environment, our_engine
from cluster.errors import Refusal
from cluster.kindcluster import archive_images, kind_config
from cluster.recipes import recipes
from cluster.report import WORLD, cluster_environment, render_exports
from cluster.settings import (
    AUDIT_LOG,
    ENGINE_MARK,
    MARK,
    WORLD_PREFIXES,
    Settings,
    settings_from,
)
from cluster.smoke import checks
from cluster.state import State, locked, read_state, write_state
from cluster.world import hosts

SETTINGS = Settings(cache=Path("/somewhere/cache"))


class _Silent:
    def say(self, text: str) -> None:
        """Take no notice."""


@pytest.mark.parametrize("ours", [True, False])
def test_both_modes_get_the_same_kind_config_but_for_the_address_and_runc(*, ours: bool) -> None:
    """A cluster that only CI has would prove nothing for users."""
    config = yaml.safe_load(kind_config(ours=ours, audit_policy=Path("/policy.yaml")))
    assert ["control-plane", "worker"] == [node["role"] for node in config["nodes"]]
    assert config["networking"]["apiServerAddress"] == ("198.18.0.6" if ours else "127.0.0.1")
    other = yaml.safe_load(kind_config(ours=not ours, audit_policy=Path("/policy.yaml")))
    for one in (config, other):
        del one["networking"]["apiServerAddress"]
        one["containerdConfigPatches"] = [
            line
            for patch in one["containerdConfigPatches"]
            for line in patch.splitlines()
            if "BinaryName" not in line
        ]
    assert config == other


def test_the_api_server_audits_and_enforces_owner_reference_permissions() -> None:
    """Tests of the operator's rights and of its writes rest on both."""
    config = yaml.safe_load(kind_config(ours=True, audit_policy=Path("/policy.yaml")))
    patches = [yaml.safe_load(patch) for patch in config["kubeadmConfigPatches"]]
    api_server = next(patch for patch in patches if patch["kind"] == "ClusterConfiguration")["apiServer"]
    arguments = {entry["name"]: entry["value"] for entry in api_server["extraArgs"]}
    assert "OwnerReferencesPermissionEnforcement" in arguments["enable-admission-plugins"].split(",")
    assert AUDIT_LOG == arguments["audit-log-path"]
    mounted = {volume["mountPath"] for volume in api_server["extraVolumes"]}
    assert {arguments["audit-policy-file"], str(Path(AUDIT_LOG).parent)} == mounted


def test_our_engine_keeps_to_its_own_folders_addresses_and_cgroup() -> None:
    """What it makes elsewhere, `down` would not find."""
    config = daemon_config(SETTINGS)
    assert ["unix:///run/bulkhead-cluster/docker.sock"] == config["hosts"]
    assert "/somewhere/cache/engine" == config["data-root"]
    assert "/bulkhead" == config["cgroup-parent"]
    assert "198.18.64.1/24" == config["bip"]


def test_the_engine_carries_its_own_mark_and_not_a_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a command's mark it would be ended as a builder that a killed command left behind."""
    monkeypatch.setenv(MARK, str(SETTINGS.cache))
    environment = engine_environment(our_engine(SETTINGS), SETTINGS)
    assert (MARK not in environment, str(SETTINGS.cache)) == (True, environment.get(ENGINE_MARK))


def test_cilium_touches_no_cgroup_of_the_machine_in_either_mode() -> None:
    """Its socket programs would sit on every process of the machine."""
    for ours in (True, False):
        values = helm_values(ours=ours)
        assert ("false", "false") == (values["kubeProxyReplacement"], values["socketLB.enabled"])
    assert "false" == helm_values(ours=True)["operator.enabled"]


def test_both_modes_enforce_the_policies_that_tests_send_packets_against() -> None:
    """Where agents do not look at ClusterNetworkPolicy, the belt's test fails for the cluster's sake."""
    assert {"true"} == {helm_values(ours=ours)["k8sClusterNetworkPolicy.enabled"] for ours in (True, False)}
    assert recipes().policy_api.startswith("v0.2."), "v1alpha2, which the chart writes"


def test_the_environment_puts_our_tools_first_and_only_once() -> None:
    """Another kubectl or docker in front of ours would talk to another cluster."""
    state = State("local", complete=True)
    path = "/usr/bin:/somewhere/cache/run/bin:/bin"
    found = cluster_environment(SETTINGS, state, path)
    assert "/somewhere/cache/run/bin:/usr/bin:/bin" == found["PATH"]
    assert "/somewhere/cache/run/kubeconfig" == found["KUBECONFIG"]


def test_the_environment_of_the_users_own_engine_leaves_path_and_docker_host_alone() -> None:
    """Their settings are what made the cluster in the first place."""
    found = cluster_environment(SETTINGS, State("host", complete=True), "/usr/bin")
    assert {"PATH", "DOCKER_HOST"} & set(found) == set()


def test_the_environment_of_a_foreign_cluster_claims_no_world() -> None:
    """A test that finds these variables takes its positive control for granted."""
    assert {"BULKHEAD_CLUSTER": "current"} == cluster_environment(
        SETTINGS, State("current", complete=True), ""
    )


def test_exports_survive_a_shell_whatever_the_value() -> None:
    """The Makefile evals them."""
    value = "a b'$(touch /tmp/never)\"c"
    script = render_exports({"X": value}) + 'printf %s "$X"'
    assert value == subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout


def test_every_address_of_the_world_is_routed_there() -> None:
    """A probe at an address without a route would leave the machine, or find nobody and prove nothing."""
    networks = [ipaddress.ip_network(prefix) for prefix in WORLD_PREFIXES]
    addresses = {address for pair in hosts.NAMES.values() for address in pair}
    assert addresses == {
        a for a in addresses if any(ipaddress.ip_address(a) in network for network in networks)
    }
    assert {WORLD["BULKHEAD_WORLD_ALLOWED"], WORLD["BULKHEAD_WORLD_METADATA"]} <= addresses


def test_certificates_cover_each_tls_server_by_name_and_address() -> None:
    """A certificate that fits nothing would make every TLS probe fail for the wrong reason."""
    assert set(hosts.TLS_ADDRESSES) == set(SERVERS)
    assert "DNS:denied.world.test,IP:203.0.113.20" == subject_alternatives(hosts.DENIED)


def test_each_denial_of_the_smoke_check_stands_beside_something_allowed_from_the_same_pod() -> None:
    """Without it, a pod that can do nothing at all passes."""
    found = checks({"open": "198.19.0.1", "locked": "198.19.0.2"})
    denied = {check.pod for check in found if check.fails}
    allowed = {check.pod for check in found if not check.fails}
    assert denied
    assert denied <= allowed


@pytest.mark.parametrize("name", ["CLUSTER", "BULKHEAD_ENGINE"])
def test_an_unknown_choice_is_refused_by_name(name: str) -> None:
    """A typing error must not silently mean the default."""
    with pytest.raises(Refusal, match=f"{name}=kined"):
        settings_from({name: "kined", "HOME": "/home/x"})


@pytest.mark.parametrize(
    ("environment", "cache"),
    [
        ({"HOME": "/home/x"}, "/home/x/.cache/bulkhead"),
        ({"HOME": "/home/x", "XDG_CACHE_HOME": "/c"}, "/c/bulkhead"),
        ({"HOME": "/home/x", "BULKHEAD_CACHE": "/b"}, "/b"),
    ],
)
def test_the_cache_is_where_the_environment_says(environment: dict[str, str], cache: str) -> None:
    """Users and CI keep it across runs by this."""
    assert Path(cache) == settings_from(environment).cache


def test_a_half_written_state_counts_as_none(tmp_path: Path) -> None:
    """`up` then starts over instead of failing for ever."""
    settings = Settings(cache=tmp_path)
    write_state(settings, State("local", "abc", complete=True, tools={"kind": "/k"}))
    assert State("local", "abc", complete=True, tools={"kind": "/k"}) == read_state(settings)
    (settings.run / "state.json").write_text('{"mode": "lo')
    assert read_state(settings) is None


def test_a_second_command_is_refused_when_the_first_does_not_end(tmp_path: Path) -> None:
    """Two starts at once would tear each other's nodes down."""
    settings = Settings(cache=tmp_path)
    silent = _Silent()
    with locked(settings, silent, patience_seconds=0):  # type: ignore[arg-type]
        second = locked(settings, silent, patience_seconds=0)  # type: ignore[arg-type]
        with pytest.raises(Refusal, match="is changing this cluster"), second:
            pass
    with locked(settings, silent, patience_seconds=0):  # type: ignore[arg-type]
        pass


def test_an_archives_images_are_known_by_id_and_name(tmp_path: Path) -> None:
    """Nodes that have an image already are skipped by these."""
    source = tmp_path / "f"
    source.write_text("x")
    image = make_image(["localhost/x:1"], {"/f": source})
    path = tmp_path / "x.tar"
    path.write_bytes(archive([image]))
    ((image_id, names),) = archive_images(path)
    assert (64, ["localhost/x:1"]) == (len(image_id), names)
    assert json.loads(image.config)["rootfs"]["diff_ids"] == [f"sha256:{image.diff_id}"]
