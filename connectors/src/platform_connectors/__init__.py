"""Connectors to outside providers, found by platform_core through entry points."""
