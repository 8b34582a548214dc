"""Where the API server is and how to prove who we are: one record, however it was found.

In a pod it comes from the service account; for development from a kubeconfig with static certificates or
tokens. Exec plugins and OIDC are the business of the CLI, which builds the same record by the `kubernetes`
package.
"""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from bulkhead.errors import InvalidValue

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Credentials", "in_cluster", "kubeconfig", "ssl_context"]

_SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """How to reach one API server; secrets in it never show in its repr."""

    server: str
    ca_data: str | None = None  # PEM; None: the system's authorities
    client_certificate: bytes | None = None  # PEM
    client_key: bytes | None = field(default=None, repr=False)  # PEM
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None  # wins over token; read again every minute and on 401
    namespace: str | None = None  # where this process lives, when known
    verify: bool = True


def in_cluster(environ: Mapping[str, str] = os.environ, folder: Path = _SERVICE_ACCOUNT) -> Credentials:
    """The pod's service account; raises InvalidValue outside of a pod."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not (folder / "token").is_file():
        raise InvalidValue(
            "KUBERNETES_SERVICE_HOST", host, "run in a pod with a service account, or give a kubeconfig"
        )
    bracketed = f"[{host}]" if ":" in host else host
    return Credentials(
        server=f"https://{bracketed}:{port}",
        ca_data=(folder / "ca.crt").read_text(),
        token_file=folder / "token",
        namespace=(folder / "namespace").read_text().strip(),
    )


def kubeconfig(path: Path, context: str | None = None) -> Credentials:
    """The current (or named) context; raises InvalidValue unless its credentials are static."""
    config = yaml.safe_load(path.read_text())
    if not isinstance(config, dict):
        raise InvalidValue(str(path), type(config).__name__, "a kubeconfig file")
    name = context or config.get("current-context")
    chosen = _named(config, "contexts", name, "context")
    cluster = _named(config, "clusters", chosen.get("cluster"), "cluster")
    user = _named(config, "users", chosen.get("user"), "user")
    for unsupported in ("exec", "auth-provider", "username"):
        if unsupported in user:
            raise InvalidValue(
                f"users[{chosen.get('user')}].{unsupported}", "present", "a static certificate or token"
            )
    ca = _material(cluster, "certificate-authority", path.parent)
    token_file = user.get("tokenFile")
    return Credentials(
        server=cluster["server"].rstrip("/"),
        ca_data=ca.decode() if ca else None,
        client_certificate=_material(user, "client-certificate", path.parent),
        client_key=_material(user, "client-key", path.parent),
        token=user.get("token"),
        token_file=path.parent / token_file if token_file else None,
        namespace=chosen.get("namespace"),
        verify=not cluster.get("insecure-skip-tls-verify", False),
    )


def ssl_context(credentials: Credentials) -> ssl.SSLContext | bool:
    """A context with the cluster's CA and the client certificate; True for a plain http server."""
    if credentials.server.startswith("http://"):
        return True
    context = ssl.create_default_context(cadata=credentials.ca_data)
    if not credentials.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if credentials.client_certificate and credentials.client_key:
        # OpenSSL takes a client certificate from a file only; the file is private and gone at once.
        with tempfile.NamedTemporaryFile() as pem:
            pem.write(credentials.client_certificate + b"\n" + credentials.client_key)
            pem.flush()
            context.load_cert_chain(pem.name)
    return context


def _named(config: Mapping[str, Any], section: str, name: object, inner: str) -> Mapping[str, Any]:
    for entry in config.get(section) or ():
        if entry.get("name") == name:
            body: Mapping[str, Any] = entry.get(inner) or {}
            return body
    raise InvalidValue(section, name, f"one of {[entry.get('name') for entry in config.get(section) or ()]}")


def _material(entry: Mapping[str, Any], name: str, folder: Path) -> bytes | None:
    if data := entry.get(f"{name}-data"):
        return base64.b64decode(data)
    file = entry.get(name)
    return (folder / str(file)).read_bytes() if file else None
