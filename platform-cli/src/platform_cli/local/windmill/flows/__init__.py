"""Windmill's flows on one machine: read from `flow.yaml`, moved on in PostgreSQL, decided over HTTP.

`loading` reads and refuses, `model` is what it gives, `expressions` evaluates JavaScript. `judging` says what
came of a step, `pushing` begins the next one, `moving` follows both upwards, and `engine` runs it all. A real
server was measured for every rule; the conformance suite replays it.
"""
