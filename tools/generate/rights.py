"""docs/security/rights.md: every right that the chart grants, with the reason that stands above it there.

Read from the templates' text, because a YAML parser drops comments. A rule without a reason ends the program.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["RIGHTS", "Holder", "Rule", "holders", "rights_page"]

RIGHTS: Final = "docs/security/rights.md"
_TEMPLATES: Final = Path(__file__).resolve().parents[2] / "charts/bulkhead/templates"
_NOTE: Final = "<!-- Generated from charts/bulkhead/templates by `make generate`; do not edit. -->\n"

# Name of a role -> who has it, and where. A role that is not here ends the program.
_OPERATOR: Final = {
    "bulkhead-operator": "The operator, everywhere.",
    "bulkhead-workspace": "The operator, in namespaces of workspaces only: it binds the role there itself.",
    "bulkhead-operator (Role)": "The operator, in its own namespace.",
    "bulkhead-events": "The operator, in `default`: Events about cluster-scoped objects must live there.",
    "bulkhead-secret-source": "The operator, in each namespace that the chart's `secretNamespaces` lists.",
}
_ISSUER: Final = {
    "bulkhead-issuer": "The issuer, everywhere.",
    "bulkhead-issuer (Role)": "The issuer, in the operator's namespace.",
    "bulkhead-issuer-ca": "Everybody who is logged in, in the operator's namespace.",
}
_PEOPLE: Final = {
    "bulkhead-tenant-view": "A tenant's people with `spec.access[].role: view`, in their workspace.",
    "bulkhead-tenant-operate": "With `operate`: what `view` has, and this.",
    "bulkhead-tenant-admin": "With `admin`: what `operate` has, and this.",
    "bulkhead-view": "Whoever has the built-in role `view`, unless `rbac.aggregateView` is off.",
    "bulkhead-manage": "Nobody, until an administrator binds it.",
    "bulkhead-issue-tokens": "Nobody, until an administrator binds it to a platform's backend.",
    "bulkhead-audit": "Nobody, until an administrator binds it to auditors.",
    "bulkhead-token-issuer": "Nobody, until an administrator binds it, in the operator's namespace.",
}

_TWICE: Final = {"bulkhead-operator", "bulkhead-issuer"}  # a ClusterRole and a Role

_INTRO: Final = """\
# Rights

Every right that the chart grants, and why. There is no wildcard in it, no right to Secrets across the
cluster, and none to escalate or impersonate; the four roles that the operator may bind are named. A test
reads the API server's audit log after a run on a real cluster: each right of the operator was used, and no
Secret was read but in workspaces, in the source namespaces and in its own.

RBAC cannot say "only namespaces that I made". The admission policies say it: see the
[security model](model.md)."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule as RBAC has it, with its reason."""

    groups: tuple[str, ...]
    resources: tuple[str, ...]
    names: tuple[str, ...]
    verbs: tuple[str, ...]
    reason: str


@dataclass(slots=True)
class Holder:
    """A role and its rules, in the order of the template."""

    name: str
    rules: list[Rule] = field(default_factory=list)


def rights_page() -> dict[str, str]:
    """Path -> text of the page."""
    found = {holder.name: holder for path in sorted(_TEMPLATES.glob("*.yaml")) for holder in holders(path)}
    known = _OPERATOR | _ISSUER | _PEOPLE
    if found.keys() != known.keys():
        raise ValueError(
            f"roles in {_TEMPLATES} and in {__file__} differ: {sorted(found.keys() ^ known.keys())}"
        )
    parts = [_INTRO]
    for title, part in (("The operator", _OPERATOR), ("The issuer", _ISSUER), ("People", _PEOPLE)):
        parts.append(f"## {title}")
        for name, where in part.items():
            parts += [f"### {name}", where, _table(found[name].rules)]
    return {RIGHTS: f"{_NOTE}\n" + "\n\n".join(parts) + "\n"}


def holders(path: Path) -> Iterator[Holder]:
    """The roles of one template; a comment holds for the rules after it, until the next one."""
    for section in _sections(path.read_text(encoding="utf-8")):
        name = _name(section)
        body = section.partition("rules:\n")[2] if "\nrules:\n" in section else section
        if name is None or "- apiGroups:" not in body:
            continue
        holder = Holder(name)
        reason = ""
        for comment, rule in re.findall(
            r"((?:^# .*\n)*)^(- apiGroups: .*\n(?:^  .*\n?)*)", body, re.MULTILINE
        ):
            reason = " ".join(line.removeprefix("# ") for line in comment.splitlines()) or reason
            if not reason:
                raise ValueError(f"{path.name}: no reason above a rule of {name}")
            holder.rules.append(_rule(rule, reason))
        yield holder


def _sections(text: str) -> list[str]:
    """One object, or one block of rules that objects include."""
    return re.split(r"^(?:---|\{\{- end -\}\})\n", text, flags=re.MULTILINE)


def _name(section: str) -> str | None:
    """What the role is called; a Role that shares its name with a ClusterRole says so."""
    if block := re.search(r'\{\{- define "bulkhead\.tenant\.(\w+)" -\}\}', section):
        return f"bulkhead-tenant-{block[1]}"
    role = re.search(r"^kind: (ClusterRole|Role)\nmetadata:\n  name: (.*)$", section, re.MULTILINE)
    if role is None:
        return None
    name = role[2].replace('{{ include "bulkhead.name" . }}', "bulkhead-operator")
    return f"{name} (Role)" if role[1] == "Role" and name in _TWICE else name


def _rule(text: str, reason: str) -> Rule:
    (rule,) = yaml.safe_load(text)
    return Rule(
        groups=tuple(rule["apiGroups"]),
        resources=tuple(rule["resources"]),
        names=tuple(rule.get("resourceNames", ())),
        verbs=tuple(rule["verbs"]),
        reason=reason,
    )


def _table(rules: Iterable[Rule]) -> str:
    lines = ["| API group | resources | named | verbs | why |", "| --- | --- | --- | --- | --- |"]
    lines += [
        "| "
        + " | ".join(
            (
                ", ".join(f"`{group}`" if group else "core" for group in rule.groups),
                ", ".join(f"`{resource}`" for resource in rule.resources),
                ", ".join(f"`{name}`" for name in rule.names),
                ", ".join(rule.verbs),
                rule.reason,
            )
        )
        + " |"
        for rule in rules
    ]
    return "\n".join(lines)
