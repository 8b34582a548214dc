"""What the documentation names exists: commands, files, values, fields, conditions, ports."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from bulkhead import names
from bulkhead.api.conditions import ConditionType
from bulkhead.api.workspace import WorkspaceSpec
from bulkhead.cli.main import parser
from bulkhead.render import quota
from bulkhead.render.resources import DEFAULT_LIMITS, DEFAULT_REQUESTS

from .conftest import PAGES, ROOT, Page

if TYPE_CHECKING:
    from collections.abc import Iterator

MAKE_TARGETS = set(re.findall(r"(?m)^([a-z-]+):(?!=)", (ROOT / "Makefile").read_text()))
VALUES: dict[str, Any] = yaml.safe_load((ROOT / "charts" / "bulkhead" / "values.yaml").read_text())
CRDS = {
    crd["spec"]["names"]["kind"]: crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for crd in (yaml.safe_load(path.read_text()) for path in (ROOT / "crds").glob("*.yaml"))
}


def _named(name: str) -> Page:
    return next(page for page in PAGES if page.name == name)


def test_every_make_target_that_is_named_exists(page: Page) -> None:
    """The first command that a reader types must not fail."""
    spoken = [span.split()[1:] for span in [*page.spans, *page.commands] if re.match(r"make\s", span)]
    targets = {word for words in spoken for word in words if re.fullmatch(r"[a-z][a-z-]*", word)}

    assert set() == targets - MAKE_TARGETS


def test_every_bulkhead_command_is_accepted(page: Page) -> None:
    """An example with an option that was renamed is worse than none."""
    lines = [
        match
        for command in page.commands
        for match in re.findall(r"(?:^|\$\()(bulkhead (?:token|status|audit)[^|)>]*)", command)
    ]

    for line in lines:
        parser().parse_args(shlex.split(line)[1:])


def test_every_manifest_is_whole_and_ours_are_valid_workspaces(page: Page) -> None:
    """People paste what they see."""
    for block in page.blocks("yaml"):
        manifest = yaml.safe_load(block)
        if not manifest["apiVersion"].startswith(names.GROUP):
            assert {"kind", "metadata"} <= set(manifest)
            continue
        assert (names.API_VERSION, names.WORKSPACE_KIND) == (manifest["apiVersion"], manifest["kind"])
        spec = WorkspaceSpec.model_validate(manifest["spec"])
        assert manifest["spec"] == spec.model_dump(mode="json", by_alias=True, exclude_unset=True)


def test_every_file_that_is_named_exists(page: Page) -> None:
    """`kubectl apply -f` of a file that was moved is a bad first impression."""
    shown = " ".join([*page.spans, *page.commands])
    files = set(re.findall(r"(?<![\w/.-])((?:examples|charts|crds|operator|docs|tools)/[\w./-]*\w)", shown))

    assert [] == sorted(file for file in files if not (ROOT / file).exists())


def _value_exists(path: str) -> bool:
    found: Any = VALUES
    for key in path.removesuffix(".*").split("."):
        if not isinstance(found, dict) or key not in found:
            return False
        found = found[key]
    return True


def test_every_chart_value_that_is_named_exists(page: Page) -> None:
    """The chart refuses unknown values, so a wrong name in the documentation fails an installation."""
    sets = re.findall(r"--set '?([A-Za-z.]+)=", " ".join(page.commands) + " " + " ".join(page.spans))
    tops = "|".join(VALUES)
    spans = [
        span.split("=")[0] for span in page.spans if re.fullmatch(rf"({tops})\.[A-Za-z.*]+(=\w+)?", span)
    ]

    assert [] == [path for path in [*sets, *spans] if not _value_exists(path)]


def _field_exists(schema: dict[str, Any], path: list[str]) -> bool:
    if not path:
        return True
    inner = schema.get("items", schema)
    following = inner.get("properties", {}).get(path[0])
    return following is not None and _field_exists(following, path[1:])


def _fields(page: Page) -> Iterator[tuple[str, list[str]]]:
    for span in page.spans:
        for field in re.findall(
            r"^(?:tws\.)?((?:spec|status|lifecycle|gateway|allowed)\.[A-Za-z\[\].]+)$", span
        ):
            yield field, re.sub(r"\[\w*\]", "", field).split(".")


def test_every_field_that_is_named_exists(page: Page) -> None:
    """A renamed field must be renamed on every page."""
    workspace, cls = CRDS["TenantWorkspace"], CRDS["WorkspaceClass"]
    missing = [
        field
        for field, path in _fields(page)
        if not any(
            _field_exists(schema, prefix + path)
            for schema, prefix in ((workspace, []), (workspace, ["spec"]), (cls, ["spec"]), (cls, []))
        )
    ]

    assert [] == missing


def test_concepts_name_every_condition() -> None:
    """A condition that no page explains is noise in `kubectl describe`."""
    spans = set(_named("docs/concepts.md").spans)

    assert set() == {str(kind) for kind in ConditionType} - spans


@pytest.mark.parametrize(
    "port",
    [
        names.GATEWAY_PORT,
        names.GATEWAY_OPERATOR_PORT,
        names.RUNTIME_PORT,
        names.EGRESS_FIRST_PORT,
        names.EGRESS_FIRST_PORT + 1,
    ],
)
def test_the_arrow_table_has_the_real_ports(port: int) -> None:
    """Firewalls are configured from this table."""
    assert re.search(rf"\| {port}\b", _named("docs/networking.md").text)


def test_the_quota_page_has_every_fixed_count() -> None:
    """A number that is only in the code is found when it is hit."""
    said = {
        kind.lower(): amount
        for kinds, amount in re.findall(
            r"(?m)^\| ([A-Z]\w+(?:, \w+)*) \| (\d+) \|$", _named("docs/quota.md").text
        )
        for kind in kinds.split(", ")
    }
    fixed = {
        name.removeprefix("count/").partition(".")[0]: amount
        for name, amount in quota._FIXED.items()
        if not name.startswith("services.")
    }

    assert fixed == said
    assert "Services of type LoadBalancer or NodePort | 0" in _named("docs/quota.md").text


def test_the_quota_page_has_the_defaults_of_bare_pods() -> None:
    """People size their nodes by them."""
    words = _named("docs/quota.md").text.replace("\n", " ")
    cpu, disk, memory = (DEFAULT_REQUESTS[key] for key in ("cpu", "ephemeral-storage", "memory"))

    assert f"{cpu} cpu, {memory} memory and {disk} disk as requests" in words
    cpu, disk, memory = (DEFAULT_LIMITS[key] for key in ("cpu", "ephemeral-storage", "memory"))
    assert f"and {cpu}, {memory} and {disk} as limits" in words
