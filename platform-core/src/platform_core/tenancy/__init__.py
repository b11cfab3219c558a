"""Customers: who they are, where their database is, what they decided and who acts for them.

`cluster` prepares PostgreSQL, `provision` makes a customer, `registry` finds one, `life` suspends and closes
one, `drift` tells what changed behind our back, `watchdog` ends what runs too long. A customer's own scripts
need none of these: they are given a connection string.
"""
