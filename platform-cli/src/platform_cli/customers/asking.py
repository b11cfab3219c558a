"""What is asked about a customer: answers at a terminal, secrets at a prompt or from a file of their own."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from platform_cli.customers.accounts import Origin, SecretNeed
from platform_cli.given import read_given
from platform_core.errors import InvalidInput, SecretRejected, UnreadableFile

MAX_FILE_BYTES = 64 * 1024
Prompt = Callable[[str, bool], str]
"""Asks at the terminal: what for, and whether what is typed stays hidden."""

QUESTIONS: Mapping[str, str] = {
    "display_name": "The name people know",
    "country": "Country, such as PE",
    "owner": "Handle of the member who owns it, such as ana",
    "sender_phone": "The WhatsApp number it writes from, with its country",
}
"""What has no answer that goes without saying, in the order it is asked."""


def complete(said: Mapping[str, str], prompt: Prompt | None) -> dict[str, str]:
    """What was said and, from a terminal, what was not. Raises: InvalidInput naming every option missing."""
    missing = [name for name in QUESTIONS if not said.get(name)]
    if missing and prompt is None:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in missing)
        raise InvalidInput(
            "This is no terminal, so nothing can be asked", next_step=f"Say {options} with the command."
        )
    answers = {name: value for name, value in said.items() if value}
    for name in missing:
        if prompt is not None:
            answers[name] = prompt(QUESTIONS[name], False).strip()
    return answers


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where asked values come from: `given`, by name, then the prompt when there is a terminal."""

    given: Mapping[str, str] = field(default_factory=dict, repr=False)
    prompt: Prompt | None = None

    def ask(self, need: SecretNeed) -> str | None:
        """The checked value, or None when it is left for later. Raises: InvalidInput, SecretRejected."""
        if need.name in self.given:
            return need.check(self.given[need.name])
        if need.origin is not Origin.ASKED or self.prompt is None:
            return None
        typed = self.prompt(f"{need.name}, the {need.says} (empty: later)", need.is_secret).strip()
        return need.check(typed) if typed else None


def read_secret_file(file: Path, known: Mapping[str, SecretNeed]) -> dict[str, str]:
    """The secrets of a TOML file: `name = "value"`, or a list for those that may be several.

    Raises: SecretRejected when others may read it; UnreadableFile; InvalidInput, never quoting a value.
    """
    try:
        with file.open("rb") as handle:
            if stat.S_IMODE(os.fstat(handle.fileno()).st_mode) & 0o077:
                raise SecretRejected(
                    f"{file} may be read by others on this machine",
                    next_step=f"Run `chmod 600` on {file}, then replace the secrets in it.",
                )
            found = tomllib.loads(handle.read(MAX_FILE_BYTES).decode("utf-8"))
    except OSError as error:
        raise UnreadableFile(
            f"{file} cannot be read: {error.strerror}", next_step="Check the path."
        ) from error
    except ValueError:  # its own text quotes the line, and the line holds a secret
        raise InvalidInput(f"{file} is not TOML", next_step='Write `name = "value"`, one a line.') from None
    return {name: _text(file, name, value, known) for name, value in found.items()}


def _text(file: Path, name: str, value: object, known: Mapping[str, SecretNeed]) -> str:
    if name not in known:
        raise InvalidInput(
            f"{file} names {name[:60]!r}, which this customer does not need",
            next_step=f"It may name {', '.join(known)}.",
        )
    given = value if isinstance(value, list) else [value]
    lines = [line for line in given if isinstance(line, str)]
    if lines != given:
        raise InvalidInput(f"{name} in {file} is no text", next_step="Write it between quotes.")
    return "\n".join(lines)


def read_secret(source: str, prompt: Prompt | None, asked: str) -> str:
    """One secret from a file, from stdin (`-`) or from the prompt; never from a command line.

    Raises: UnreadableFile, InvalidInput when there is nobody to ask.
    """
    if source:
        return read_given(source, most_chars=MAX_FILE_BYTES)
    if prompt is None:
        raise InvalidInput(
            "This is no terminal, so nobody can be asked for the secret",
            next_step="Give it with --from FILE, or on stdin with --from -.",
        )
    return prompt(asked, True)
