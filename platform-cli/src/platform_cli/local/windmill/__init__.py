"""Windmill on one machine: a customer's Python scripts, routes and resources as Windmill 1.743 runs them.

From the outside in: `server` speaks HTTP on loopback, `runtime` turns a request into a job and its result
into an answer, `processes` and `warm` give every job a process of its own, `child` is what happens in there.
`items` reads the customer's folder; `routes`, `events`, `references`, `results`, `answers`, `jsontext` and
`jsonb` are the pure rules, measured on a real server. The facts are in `tests/conformance/windmill`.
"""
