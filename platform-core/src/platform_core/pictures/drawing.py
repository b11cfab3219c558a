"""Have a small picture drawn by a child process, and believe nothing it says."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import TypeGuard

from platform_core.errors import ConfigurationError, Unavailable
from platform_core.pictures.contracts import MAX_BYTES, MAX_PAGES, MAX_SIDE, Picture, Undrawable

DEADLINE_S = 30.0
_CHILD = Path(__file__).with_name("child.py")
_NEEDED = ("PIL", "pypdfium2", "pypdfium2_raw")
_MAX_HEAD_BYTES = 1000
_OUT_OF_BOUNDS = (-signal.SIGXCPU, -signal.SIGABRT, -signal.SIGKILL, -signal.SIGALRM)
"""How a child ends that is out of computing time, of memory (its decoders abort) or of time at all."""
_MOST_BYTES = _MAX_HEAD_BYTES + MAX_BYTES


def draw(content: bytes, mime_type: str, *, deadline_s: float = DEADLINE_S) -> Picture | Undrawable:
    """Draw a file, of the type its first bytes prove: the photo, or the first page of a PDF.

    The same bytes give the same picture. Costs a process and up to `deadline_s`; never call it inside a
    transaction. Raises: Unavailable when no process can be started, ConfigurationError when the libraries
    that draw are not installed. Whatever the bytes do, nothing else comes out of it.
    """
    try:
        child = subprocess.Popen(  # noqa: S603 - our own program; the file travels on its standard input
            command(mime_type),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            start_new_session=True,
        )
    except OSError as error:
        raise Unavailable(
            f"The program that draws receipts could not be started: {error.strerror}",
            next_step="The job is tried again; free memory or processes on this machine.",
        ) from None
    late = threading.Event()
    timer = threading.Timer(deadline_s, _end, (child, late))
    timer.daemon = True
    timer.start()
    try:
        said = _converse(child, content)
        if len(said) <= _MOST_BYTES:  # it has said everything: it ends by itself, or the timer ends it
            child.wait()
    finally:
        timer.cancel()
        _end(child)
        child.wait()
    return Undrawable.TOO_SLOW if late.is_set() else judge(said, child.returncode)


def command(mime_type: str) -> list[str]:
    """What is started: this interpreter, without the environment's or the site's say in what it loads."""
    return [sys.executable, "-I", "-S", str(_CHILD), mime_type, *_folders()]


def _folders() -> list[str]:
    """Where the libraries that draw are installed: the child looks nowhere else."""
    found: list[str] = []
    for name in _NEEDED:
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            raise ConfigurationError(
                f"The library {name} is not installed", next_step="Install platform-core with its needs."
            )
        folder = str(Path(spec.origin).parents[1])
        if folder not in found:
            found.append(folder)
    return found


def _converse(child: subprocess.Popen[bytes], content: bytes) -> bytes:
    """Hand the file over and read the answer, at most as much as an answer may have and one byte."""
    assert child.stdin is not None  # noqa: S101 - both are pipes
    assert child.stdout is not None  # noqa: S101 - both are pipes
    with child.stdout:
        with contextlib.suppress(BrokenPipeError), child.stdin:  # it may have died of its limits
            child.stdin.write(content)
        return child.stdout.read(_MOST_BYTES + 1)


def _end(child: subprocess.Popen[bytes], late: threading.Event | None = None) -> None:
    if child.poll() is None:
        if late is not None:
            late.set()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


def judge(said: bytes, returncode: int) -> Picture | Undrawable:
    """What an answer is worth: a child that a file took over can say anything.

    Raises: ConfigurationError when the child says that its libraries are missing.
    """
    line, _, content = said.partition(b"\n")
    try:
        head = json.loads(line) if len(line) <= _MAX_HEAD_BYTES else None
    except ValueError:
        head = None
    if not isinstance(head, dict):
        return Undrawable.TOO_COSTLY if returncode in _OUT_OF_BOUNDS else Undrawable.BROKE
    if "not_installed" in head:
        raise ConfigurationError(
            f"The libraries that draw receipts do not load: {str(head['not_installed'])[:200]}",
            next_step="Install platform-core with its needs.",
        )
    if "failure" in head:
        known = [reason for reason in Undrawable if reason == head["failure"]]
        return known[0] if known else Undrawable.BROKE
    width, height, pages = (head.get(name) for name in ("width", "height", "pages"))
    if (
        _is_count(width, MAX_SIDE)
        and _is_count(height, MAX_SIDE)
        and _is_count(pages, MAX_PAGES)
        and 0 < len(content) <= MAX_BYTES
        and content[:4] == b"RIFF"
        and content[8:12] == b"WEBP"
    ):
        return Picture("image/webp", content, width, height, pages)
    return Undrawable.BROKE


def _is_count(value: object, most: int) -> TypeGuard[int]:
    return type(value) is int and 0 < value <= most
