"""Who may go where: an empty list means nowhere, and some ranges stay closed whatever a list says."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkhead_sandbox.config import ConfigError
from bulkhead_sandbox.egress.target import Address, BadTarget, Target, host_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bulkhead_sandbox.config import EgressRuleConfig

__all__ = ["DeniedRanges", "Rules"]

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class _HostRule:
    name: str  # without the wildcard
    any_label: bool  # one leading `*.`: exactly one label before `name`
    ports: frozenset[int]

    def admits(self, host: str) -> bool:
        if not self.any_label:
            return host == self.name
        label, _, parent = host.partition(".")
        return bool(label) and parent == self.name


@dataclass(frozen=True, slots=True)
class _RangeRule:
    network: _Network
    ports: frozenset[int]


@dataclass(frozen=True, slots=True)
class Rules:
    """One client's list."""

    hosts: tuple[_HostRule, ...]
    ranges: tuple[_RangeRule, ...]

    @classmethod
    def read(cls, configs: Iterable[EgressRuleConfig], at: str) -> Rules:
        """The list in a config; ConfigError names the rule that cannot be one."""
        hosts, ranges = [], []
        for i, config in enumerate(configs):
            where, ports = f"{at}.rules[{i}]", frozenset(config.ports)
            if config.host is not None and config.cidr is None:
                hosts.append(_host_rule(config.host, ports, where))
            elif config.cidr is not None and config.host is None:
                ranges.append(_RangeRule(_network(config.cidr, f"{where}.cidr"), ports))
            else:
                raise ConfigError(f"{where}: exactly one of host and cidr must be set")
        return cls(tuple(hosts), tuple(ranges))

    def admit(self, target: Target) -> bool:
        """Whether a rule names this target: names by host rules only, addresses by ranges only."""
        if isinstance(target.host, str):
            host = target.host
            return any(target.port in rule.ports and rule.admits(host) for rule in self.hosts)
        address = target.host
        return any(target.port in rule.ports and _within(address, rule.network) for rule in self.ranges)


@dataclass(frozen=True, slots=True)
class DeniedRanges:
    """Where nobody goes: private, link-local, metadata, cluster and the class's own ranges.

    Taken from the config and not from `Address.is_private`: that differs between Python versions, and also
    holds for ranges which an administrator may want to open.
    """

    networks: tuple[_Network, ...]

    @classmethod
    def read(cls, cidrs: Iterable[str]) -> DeniedRanges:
        """The ranges in a config; ConfigError names the one that is none."""
        return cls(tuple(_network(cidr, f"denied_cidrs[{i}]") for i, cidr in enumerate(cidrs)))

    def cover(self, address: Address) -> bool:
        """Whether the address, or the IPv4 address that it stands for, is in one of the ranges."""
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        asked = (address,) if mapped is None else (address, mapped)
        return any(_within(one, network) for one in asked for network in self.networks)


def _host_rule(host: str, ports: frozenset[int], where: str) -> _HostRule:
    name = host.removeprefix("*.")
    try:
        known = host_name(name)
    except BadTarget as error:
        raise ConfigError(f'{where}.host: a host name, or "*." before one') from error
    if "." not in known:
        raise ConfigError(f"{where}.host: a name of two labels or more")
    return _HostRule(known, name != host, ports)


def _network(cidr: str, where: str) -> _Network:
    try:
        return ipaddress.ip_network(cidr)
    except ValueError as error:
        raise ConfigError(f"{where}: not an address range without host bits") from error


def _within(address: Address, network: _Network) -> bool:
    return address.version == network.version and address in network
