"""Data that was put back from a backup: made whole again before anybody works on it.

`customer` puts one customer back into the living cluster, `cluster` looks after a whole cluster that was put
back; `dump` reads what a backup gives of one customer.
"""
