"""A throw-away CA and the certificates of the world's TLS servers, made with the openssl command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.process import run
from cluster.settings import WORLD_ALLOWED, WORLD_DENIED, WORLD_PRIVATE, WORLD_ZONE

if TYPE_CHECKING:
    from pathlib import Path

DAYS = "30"
SERVERS = {
    # flip and rebind lead to these addresses too; their names must not be what a test stumbles over.
    WORLD_ALLOWED: ("allowed", "flip"),
    WORLD_DENIED: ("denied",),
    WORLD_PRIVATE: ("private", "rebind", "flip"),
}


def subject_alternatives(address: str) -> str:
    """Every name of a server in openssl's spelling: what its certificate is good for."""
    return ",".join([*(f"DNS:{name}.{WORLD_ZONE}" for name in SERVERS[address]), f"IP:{address}"])


def make_certificates(folder: Path, ca_certificate: Path) -> None:
    """`<address>.crt` and `.key` for each server, signed by a new CA with certificate `ca_certificate`."""
    folder.mkdir(parents=True, exist_ok=True)
    ca_key = folder / "ca.key"
    curve: list[str | Path] = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        DAYS,
    ]
    extensions = [
        "-addext",
        "basicConstraints=critical,CA:TRUE",
        "-addext",
        "keyUsage=critical,keyCertSign,cRLSign",
    ]
    subject = ["-subj", "/CN=bulkhead world test CA"]
    out: list[str | Path] = ["-keyout", ca_key, "-out", ca_certificate]
    run(["openssl", "req", "-x509", *curve, *subject, *extensions, *out], timeout=30)
    for address, names in SERVERS.items():
        key, request, certificate = (folder / f"{address}.{end}" for end in ("key", "csr", "crt"))
        subject = ["-subj", f"/CN={names[0]}.{WORLD_ZONE}"]
        alternatives = ["-addext", f"subjectAltName={subject_alternatives(address)}"]
        usage = ["-addext", "extendedKeyUsage=serverAuth", "-addext", "basicConstraints=critical,CA:FALSE"]
        out = ["-keyout", key, "-out", request]
        run(["openssl", "req", "-new", *curve[:-2], *subject, *alternatives, *usage, *out], timeout=30)
        sign: list[str | Path] = [
            "-CA",
            ca_certificate,
            "-CAkey",
            ca_key,
            "-CAcreateserial",
            "-copy_extensions",
            "copy",
            "-days",
            DAYS,
        ]
        run(["openssl", "x509", "-req", "-in", request, *sign, "-out", certificate], timeout=30)
    ca_key.unlink()  # nothing else is ever to be signed by it
