"""The always-on door as a process beside us: it stores webhooks and wakes the customer's runner."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from platform_core.errors import Unavailable

_LEASH = "platform_cli.local.dev.leash"
_START_S, _STOP_S = 30.0, 15.0
_POLL_S = 0.05


@contextmanager
def open_door(log: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Serve the door on a free port until the end of the block; gives its base URL.

    `environment` is all it gets; what it logs goes to `log`. On Linux it also ends when we are killed.
    Raises: Unavailable with its last words when it does not come up.
    """
    port = _free_port()
    command = [sys.executable, "-m", "platform_cli", "ingest", "serve", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", _LEASH, str(os.getpid()), *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C at the terminal stops us, and we stop it in order
        )
        try:
            _wait(process, port, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            _end(process)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(int(_START_S / _POLL_S)):
        with socket.socket() as probe:
            probe.settimeout(_POLL_S)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        try:
            process.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            continue
        break
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["it said nothing"]
    raise Unavailable(f"The door did not open: {lines[-1][:300]}", next_step=f"See {log}.")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
