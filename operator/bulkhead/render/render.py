"""`render`: one workspace and its context in, every manifest out, the same ones every time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkhead import names
from bulkhead.render.accounts import service_accounts
from bulkhead.render.agents import missing_facts
from bulkhead.render.egress import egress_deployment, egress_service, routes
from bulkhead.render.gateway import gateway_claim, gateway_deployment, gateway_service, gateway_url
from bulkhead.render.meta import namespace_of, stamped
from bulkhead.render.namespace import namespace
from bulkhead.render.network import network_policies
from bulkhead.render.quota import limit_range, resource_quota
from bulkhead.render.rbac import operator_binding, tenant_bindings
from bulkhead.render.rendered import ObjectKey, Rendered, key_of, wave_of
from bulkhead.render.runtime import runtime_claim, runtime_deployment, runtime_doors, runtime_service
from bulkhead.render.secrets import (
    copied_secret,
    copied_secrets,
    gateway_keys,
    missing_model_key,
    missing_values,
    model_key,
    session_keys,
)
from bulkhead.render.tools import tool_deployment, tool_doors, tool_service

if TYPE_CHECKING:
    from bulkhead.api.effective import Effective
    from bulkhead.render.context import RenderContext
    from bulkhead.render.rendered import Manifest

__all__ = ["render"]


def render(effective: Effective, context: RenderContext) -> Rendered:
    """Every object of the workspace in apply order; what lacks a fact is withheld, and the fact is named."""
    manifests: list[Manifest] = [
        namespace(effective, context),
        operator_binding(effective, context),
        resource_quota(effective),
        limit_range(effective),
        *service_accounts(effective),
        *tenant_bindings(effective),
        *network_policies(effective, context),
        gateway_claim(effective),
        *copied_secrets(effective, context),
        *model_key(effective, context),
        *_services(effective),
    ]
    if effective.runtime is not None and effective.runtime.storage is not None:
        manifests.append(runtime_claim(effective, effective.runtime.storage))
    missing: dict[ObjectKey, tuple[str, ...]] = {}
    for source in effective.secrets:
        missing[ObjectKey("Secret", copied_secret(source.name))] = missing_values(
            effective, context, [source.name]
        )
    _doors(effective, context, manifests, missing)
    _agents(effective, context, manifests, missing)
    return Rendered(
        namespace=namespace_of(effective),
        gateway_url=gateway_url(effective, context),
        manifests=tuple(sorted((stamped(manifest) for manifest in manifests), key=_apply_order)),
        withheld={key: facts for key, facts in sorted(missing.items()) if facts},
    )


def _services(effective: Effective) -> list[Manifest]:
    services = [gateway_service(effective)]
    if routes(effective):
        services.append(egress_service(effective))
    if effective.runtime is not None:
        services.append(runtime_service(effective))
    return [*services, *(tool_service(effective, tool) for tool in effective.tools)]


def _doors(
    effective: Effective,
    context: RenderContext,
    manifests: list[Manifest],
    missing: dict[ObjectKey, tuple[str, ...]],
) -> None:
    keys = f"Secret {context.operator_namespace}/{names.signing_key(effective.uid)}"
    if context.jwks:
        manifests.append(session_keys(effective, context))
    else:
        missing[ObjectKey("Secret", names.SESSION_KEYS_SECRET)] = (keys,)
    if context.gateway_seed is not None:
        manifests.append(gateway_keys(effective, context.gateway_seed))
    else:
        missing[ObjectKey("Secret", names.GATEWAY_KEYS_SECRET)] = (keys,)
    key_source = missing_model_key(effective, context)
    missing[ObjectKey("Secret", names.MODEL_KEY_SECRET)] = key_source
    if context.jwks and context.gateway_seed is not None and not key_source:
        manifests.append(gateway_deployment(effective, context))
    else:
        own = () if context.jwks and context.gateway_seed is not None else (keys,)
        missing[ObjectKey("Deployment", names.GATEWAY)] = (*own, *key_source)
    if routes(effective):
        manifests.append(egress_deployment(effective, context))


def _agents(
    effective: Effective,
    context: RenderContext,
    manifests: list[Manifest],
    missing: dict[ObjectKey, tuple[str, ...]],
) -> None:
    runtime = effective.runtime
    if runtime is not None:
        facts = missing_facts(effective, context, runtime, runtime_doors(effective))
        if facts:
            missing[ObjectKey("Deployment", names.RUNTIME)] = facts
        else:
            manifests.append(runtime_deployment(effective, context, runtime))
    for tool in effective.tools:
        facts = missing_facts(effective, context, tool, tool_doors(effective, tool))
        if facts:
            missing[ObjectKey("Deployment", names.tool(tool.name))] = facts
        else:
            manifests.append(tool_deployment(effective, context, tool))


def _apply_order(manifest: Manifest) -> tuple[int, str, str]:
    key = key_of(manifest)
    return wave_of(key), key.kind, key.name
