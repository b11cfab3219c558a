"""`age` for tests on a machine that has none: a host's words to it, by the library of the same format.

A host has the real program, by its packages; where it is installed here, the tests use it too.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pyrage


def path_with_age(folder: Path) -> str:
    """A PATH on which there is an `age`: this machine's, or this module in a folder of the test's."""
    if shutil.which("age") is not None:
        return os.environ["PATH"]
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "age"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__)} "$@"\n')
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def main(words: list[str]) -> int:
    """`--encrypt --recipients-file FILE --output FILE` or `--decrypt --identity FILE`, from stdin."""
    file = Path(words[words.index("--recipients-file" if "--encrypt" in words else "--identity") + 1])
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    if "--encrypt" in words:
        people = [pyrage.x25519.Recipient.from_str(line) for line in lines]
        Path(words[words.index("--output") + 1]).write_bytes(pyrage.encrypt(sys.stdin.buffer.read(), people))
        return 0
    try:
        keys = [pyrage.x25519.Identity.from_str(line) for line in lines]
        sys.stdout.buffer.write(pyrage.decrypt(sys.stdin.buffer.read(), keys))
    except pyrage.DecryptError as error:
        sys.stderr.write(f"age: error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
