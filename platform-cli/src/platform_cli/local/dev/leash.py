"""Runs a command that ends when the process that started it dies, however it dies: `leash PARENT COMMAND...`.

Set before the command's program takes over, because a fork of a process with threads may do nothing first.
"""

from __future__ import annotations

import os
import signal
import sys

from platform_cli.local.windmill.guard import die_with_parent

if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]), signal.SIGTERM)
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - no shell is meant
