"""What runs inside a tenant: gateway, egress, tool-runner and runtime, each a role of one image."""
