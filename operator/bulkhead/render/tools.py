"""Tools: MCP servers, each in a pod of its own that only the gateway reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkhead import names
from bulkhead.render.agents import agent_container, proxy_env, role_arguments, secret_mounts, secret_volumes
from bulkhead.render.egress import route_of
from bulkhead.render.guard import guard
from bulkhead.render.meta import canonical_json
from bulkhead.render.pods import PodShape, deployment, one_at_a_time
from bulkhead.render.services import service

if TYPE_CHECKING:
    from bulkhead.api.effective import Effective
    from bulkhead.api.workspace import Tool
    from bulkhead.render.context import RenderContext
    from bulkhead.render.rendered import Manifest

__all__ = ["tool_deployment", "tool_doors", "tool_service"]


def tool_doors(effective: Effective, tool: Tool) -> tuple[str, ...]:
    """The Services that the tool calls by name: it is called, it calls no one but egress."""
    return () if route_of(effective, names.tool(tool.name)) is None else (names.EGRESS,)


def tool_deployment(effective: Effective, context: RenderContext, tool: Tool) -> Manifest:
    """One pod, our tool-runner or the tenant's MCP server."""
    name = names.tool(tool.name)
    config = {"listen": tool.port, "path": tool.path, "health_listen": names.HEALTH_PORT}
    container = agent_container(
        tool,
        context,
        name=names.TOOL,
        port=tool.port,
        config=config,
        env={"BULKHEAD_WORKSPACE": effective.name, **proxy_env(effective, name)},
        mounts=secret_mounts(tool),
        tenant_readiness=_listens(tool.port),
    )
    return deployment(
        effective,
        name=name,
        component=names.TOOL,
        tool=tool.name,
        replicas=0 if effective.lifecycle.suspended else 1,
        strategy=one_at_a_time(),
        containers=[container],
        config=canonical_json(config),
        pod=PodShape(
            guard=guard(context, container),
            own_image=role_arguments(tool, context) is not None,
            hosts={door: context.service_ips[door] for door in tool_doors(effective, tool)},
            volumes=secret_volumes(tool),
            secrets={secret: context.secret_values[secret] for secret in tool.secrets},
        ),
    )


def tool_service(effective: Effective, tool: Tool) -> Manifest:
    """Where the gateway reaches the tool."""
    return service(effective, names.tool(tool.name), names.TOOL, {"mcp": tool.port}, tool.name)


def _listens(port: int) -> Manifest:
    return {
        "tcpSocket": {"port": port},
        "failureThreshold": 3,
        "periodSeconds": 1,
        "successThreshold": 1,
        "timeoutSeconds": 1,
    }
