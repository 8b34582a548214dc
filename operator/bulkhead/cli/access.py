"""From --kubeconfig and --context to Credentials, the way kubectl finds them.

A file with static credentials is read here, in milliseconds. The `kubernetes` package (extra `cli`), which
takes most of a second to import, is asked only for what it alone can do: exec plugins, OIDC, several files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from bulkhead.cli.problems import CannotTell
from bulkhead.errors import InvalidValue
from bulkhead.kube import auth

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["credentials"]


def credentials(
    kubeconfig: str | None,
    context: str | None,
    *,
    environ: Mapping[str, str],
    home: Path,
) -> auth.Credentials:
    """--kubeconfig, else KUBECONFIG, else ~/.kube/config, else the pod's service account; or CannotTell."""
    paths = _paths(kubeconfig, environ, home)
    if not paths:
        try:
            return auth.in_cluster(environ)
        except InvalidValue as error:
            raise CannotTell(
                "no kubeconfig: give --kubeconfig, set KUBECONFIG, or run in a pod with a service account"
            ) from error
    for path in paths:
        if kubeconfig and not path.is_file():
            raise CannotTell(f"--kubeconfig {path}: no such file")
    if len(paths) == 1:
        try:
            return auth.kubeconfig(paths[0], context)
        except InvalidValue as error:
            return _by_library(paths, context, why=error)
    return _by_library(paths, context, why=None)


def _paths(kubeconfig: str | None, environ: Mapping[str, str], home: Path) -> list[Path]:
    if kubeconfig:
        return [Path(kubeconfig)]
    if listed := environ.get("KUBECONFIG"):
        return [Path(part) for part in listed.split(os.pathsep) if part]
    default = home / ".kube" / "config"
    return [default] if default.is_file() else []


def _by_library(paths: list[Path], context: str | None, *, why: InvalidValue | None) -> auth.Credentials:
    """What the `kubernetes` package makes of it; `why`: the reason for asking it, said if it is not there."""
    try:
        from kubernetes import client, config  # noqa: PLC0415 - 0.7 s and an optional package
    except ImportError as error:
        reason = str(why) if why else "KUBECONFIG names several files"
        raise CannotTell(f"{reason}; for anything else install bulkhead-operator[cli]") from error
    loaded = client.Configuration()
    try:
        config.load_kube_config(
            config_file=os.pathsep.join(map(str, paths)),
            context=context,
            client_configuration=loaded,
            persist_config=False,
        )
    except (config.ConfigException, OSError, ValueError) as error:
        raise CannotTell(f"kubeconfig: {error}") from error
    return _from_configuration(loaded)


def _from_configuration(loaded: object) -> auth.Credentials:
    """The library's Configuration as our record; it keeps certificates in files and tokens in a dict."""
    api_key = dict(getattr(loaded, "api_key", None) or {})
    # The key's name changed from "authorization" to "BearerToken" between the library's releases.
    bearer = api_key.get("BearerToken") or api_key.get("authorization") or ""
    ca = getattr(loaded, "ssl_ca_cert", None)
    return auth.Credentials(
        server=str(getattr(loaded, "host", "")).rstrip("/"),
        ca_data=Path(ca).read_text() if ca else None,
        client_certificate=_content(getattr(loaded, "cert_file", None)),
        client_key=_content(getattr(loaded, "key_file", None)),
        token=bearer.removeprefix("Bearer ").strip() or None,
        verify=bool(getattr(loaded, "verify_ssl", True)),
    )


def _content(path: str | None) -> bytes | None:
    return Path(path).read_bytes() if path else None
