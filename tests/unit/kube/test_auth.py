"""Where credentials come from."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from bulkhead.errors import InvalidValue
from bulkhead.kube.auth import in_cluster, kubeconfig

if TYPE_CHECKING:
    from pathlib import Path


def config(path: Path, user: dict[str, Any], cluster: dict[str, Any] | None = None) -> Path:
    content = {
        "current-context": "here",
        "contexts": [
            {"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "n"}},
            {"name": "there", "context": {"cluster": "other", "user": "u"}},
        ],
        "clusters": [
            {"name": "c", "cluster": {"server": "https://c.example:6443/"} | (cluster or {})},
            {"name": "other", "cluster": {"server": "https://other.example"}},
        ],
        "users": [{"name": "u", "user": user}],
    }
    file = path / "config"
    file.write_text(yaml.safe_dump(content))
    return file


def test_the_current_context_counts(tmp_path: Path) -> None:
    """Anything else would be another cluster than kubectl's."""
    found = kubeconfig(config(tmp_path, {"token": "t"}))

    assert (found.server, found.token, found.namespace) == ("https://c.example:6443", "t", "n")


def test_a_named_context_wins(tmp_path: Path) -> None:
    """`--context` must not be ignored."""
    assert kubeconfig(config(tmp_path, {"token": "t"}), "there").server == "https://other.example"


def test_material_may_be_inline_or_beside(tmp_path: Path) -> None:
    """Some tools write data, others paths, relative to the file."""
    (tmp_path / "ca.pem").write_text("CA")
    user = {"client-certificate-data": base64.b64encode(b"CERT").decode(), "client-key": "key.pem"}
    (tmp_path / "key.pem").write_text("KEY")
    found = kubeconfig(config(tmp_path, user, {"certificate-authority": "ca.pem"}))

    assert (found.ca_data, found.client_certificate, found.client_key) == ("CA", b"CERT", b"KEY")


@pytest.mark.parametrize("user", [{"exec": {"command": "aws"}}, {"auth-provider": {}}, {"username": "a"}])
def test_what_is_not_static_is_refused_by_name(tmp_path: Path, user: dict[str, Any]) -> None:
    """A plugin that is silently skipped ends in a 401 that nobody understands."""
    with pytest.raises(InvalidValue, match=next(iter(user))):
        kubeconfig(config(tmp_path, user))


def test_a_pod_uses_its_service_account(tmp_path: Path) -> None:
    """The token stays a file: it rotates."""
    for name, content in (("token", "t"), ("ca.crt", "CA"), ("namespace", "bulkhead-system\n")):
        (tmp_path / name).write_text(content)
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}
    found = in_cluster(environ, tmp_path)

    assert found.server == "https://[fd00::1]:6443"
    assert (found.token_file, found.namespace) == (tmp_path / "token", "bulkhead-system")


def test_outside_of_a_pod_there_is_none(tmp_path: Path) -> None:
    """The message must say what to do."""
    with pytest.raises(InvalidValue, match="kubeconfig"):
        in_cluster({}, tmp_path)
