"""Copies of the cluster and its log, encrypted to recipients whose identity is on no host, and the ways back.

A physical copy of all databases at one instant (`copies`), every segment of the write-ahead log after it
(`streaming`), a portable dump of each database (`dumps`); from these a cluster as it was at any instant
(`recovery`), put in place (`restoring`) or only tried (`drill`). What is kept is `age` over `zstd` over
`tar` or over a dump: the stock tools open it. See docs/decisions/0008.
"""

from typing import Final

CANARY_PATH: Final = "f/ops/backup_canary"
"""The secret of Windmill that a drill tries to open. `wmctl instance init` makes it; it opens nothing."""
