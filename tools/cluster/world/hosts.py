"""Who lives where in the world: the one table that DNS, web servers and certificates share."""

from __future__ import annotations

ALLOWED = "203.0.113.10"
DENIED = "203.0.113.20"
MODEL = "203.0.113.30"
DNS = "203.0.113.53"
METADATA = "169.254.169.254"
LINK_LOCAL = "169.254.20.10"  # where some clusters have a DNS cache on every node
PRIVATE = "10.254.0.10"

ZONE = "world.test"
NAMES = {
    f"allowed.{ZONE}": (ALLOWED,),
    f"denied.{ZONE}": (DENIED,),
    f"model-stand-in.{ZONE}": (MODEL,),
    f"dns.{ZONE}": (DNS,),
    f"metadata.{ZONE}": (METADATA,),
    f"link-local.{ZONE}": (LINK_LOCAL,),
    f"private.{ZONE}": (PRIVATE,),
    # A public-looking name that leads to a private address, as an attacker's own DNS server would answer.
    f"rebind.{ZONE}": (PRIVATE,),
    # Answers in turn, TTL 0: harmless when it is checked, private when it is dialled.
    f"flip.{ZONE}": (ALLOWED, PRIVATE),
}
OWNERS = {addresses[0]: name for name, addresses in reversed(NAMES.items())}

HTTP_PORTS = (80, 8080)
HTTPS_PORT = 443
MODEL_PORT = 8000
TLS_ADDRESSES = (ALLOWED, DENIED, PRIVATE)


def owner(address: str) -> str:
    """The name of an address; the address itself where it has none."""
    return OWNERS.get(address, address)
