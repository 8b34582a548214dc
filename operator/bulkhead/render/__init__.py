"""Pure: what should exist for a workspace."""
