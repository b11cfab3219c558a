"""The edge that Windmill scripts import: `http` for routes, `steps` for everything else.

Nothing is imported here: a webhook script pays only for what it uses.
"""
