"""The always-on door: signed webhooks in over HTTP, verified and stored thousands a second, then answered.

`serving.serve` runs it, `door.Door` is the ASGI application. The Windmill routes are the second door: same
paths, same verb, same rows (docs/decisions/0013-two-doors.md). Needs the extra `platform-core[ingest]`.
"""
