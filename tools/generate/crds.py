"""The CRDs as YAML: for `kubectl apply -f crds/`, and again for the chart, which reads only its own files."""

from __future__ import annotations

import yaml
from typing_extensions import override

from bulkhead.api.crd import MAX_CRD_BYTES, custom_resource_definitions

__all__ = ["crd_files"]

_WIDTH = 1_000_000  # one line a text: broken lines at such depth are a twentieth of the file, mostly blanks
_FOLDERS = ("crds", "charts/bulkhead/files/crds")


class _Plain(yaml.SafeDumper):
    """Writes repeated parts out: people and tools read the file without YAML anchors."""

    @override
    def ignore_aliases(self, data: object) -> bool:
        return True


_HEADER = "# Generated from operator/bulkhead/api by `make generate`; do not edit.\n"


def crd_files() -> dict[str, str]:
    """Path -> text; refuses to make a CRD that plain `kubectl apply` could not take."""
    files: dict[str, str] = {}
    for crd in custom_resource_definitions():
        text = _HEADER + yaml.dump(crd, Dumper=_Plain, sort_keys=False, width=_WIDTH, allow_unicode=True)
        spec = crd["spec"]
        if len(text.encode()) > MAX_CRD_BYTES:
            raise ValueError(
                f"{crd['metadata']['name']}: {len(text.encode())} bytes, at most {MAX_CRD_BYTES}"
            )
        for folder in _FOLDERS:
            files[f"{folder}/{spec['group']}_{spec['names']['plural']}.yaml"] = text
    return files
