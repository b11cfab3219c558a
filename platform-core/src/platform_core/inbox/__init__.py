"""Signed events in, exactly once: what providers deliver is kept as it came, before anything acts on it."""
