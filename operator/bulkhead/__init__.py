"""Kubernetes operator that gives every tenant of an LLM platform its own isolated process environment."""
