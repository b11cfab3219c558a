"""The tree of wmctl's commands, and the one place where an error becomes an exit code."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module

import typer
from typer.exceptions import TyperException

from platform_cli import render
from platform_core.errors import InvalidInput, PlatformError, StorageFull, UnreadableFile

NOUNS = (
    "tenant",
    "policy",
    "member",
    "panel",
    "obligation",
    "claim",
    "student",
    "session",
    "attendance",
    "booking",
    "inbox",
    "outbox",
    "job",
    "alert",
    "audit",
    "db",
    "ingest",
    "connector",
    "demo",
    "dev",
)
"""Each is a module of `platform_cli.commands`; its `app` is a group of commands, or the command itself."""

USAGE = 2
INTERRUPTED = 130


def build(nouns: Sequence[str] = NOUNS) -> typer.Typer:
    """The tree of these nouns, by default the whole of it. A noun's module is imported when it is built."""
    app = typer.Typer(
        name="wmctl",
        help="Run the agency's platform: customers, claims, jobs and the trail of what was done.",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    for noun in nouns:
        module = import_module(f"platform_cli.commands.{noun}")
        if isinstance(group := module.app, typer.Typer):
            app.add_typer(group, name=noun)
        else:
            app.command(noun)(group)
    if len(nouns) == 1:
        app.callback()(_only)
    return app


def _only() -> None:
    """Keeps a tree of one noun a tree: Typer would make its only command the program itself."""


def run(arguments: list[str] | None = None) -> None:
    """Run wmctl and leave the process with its exit code: 0 fine, 2 usage, else the error tree's own."""
    # What psycopg warns of is a connection that ends while it is used, and the one line says that already.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    sys.exit(execute(sys.argv[1:] if arguments is None else arguments))


def execute(arguments: list[str]) -> int:
    """Run one command and return its exit code. Only a defect is raised past this line."""
    try:
        _require_text(arguments)
        # Importing every noun costs a second that a command about one noun need not wait.
        named = [noun for noun in NOUNS if arguments[:1] == [noun]]
        outcome = build(named or NOUNS)(args=arguments, prog_name="wmctl", standalone_mode=False)
    except (PlatformError, OSError) as error:
        return _failed(error)
    except TyperException as error:
        return _misused(error)
    except typer.Exit as stop:
        outcome = stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        outcome = INTERRUPTED
    if outcome == INTERRUPTED:  # what Typer makes of Ctrl-C
        render.broken(
            "Interrupted. Whatever was not reported as done was rolled back; run the command again."
        )
    return outcome if isinstance(outcome, int) else 0


def _failed(error: PlatformError | OSError) -> int:
    if isinstance(error, BrokenPipeError):  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    known = error if isinstance(error, PlatformError) else _refused_by_system(error)
    render.failure(known)
    return known.exit_code


def _misused(error: TyperException) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":  # Typer's own way to show a group's help
        render.raw(str(error))
    else:
        render.broken(_usage(error))
    return USAGE


def _require_text(arguments: Sequence[str]) -> None:
    """Refuse bytes that are no text: Python passes them on as characters nothing can store."""
    if any(not argument.isascii() and _has_surrogate(argument) for argument in arguments):
        raise InvalidInput(
            "An argument is not text in UTF-8", next_step="Type it again, or set the terminal to UTF-8."
        )


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def _refused_by_system(error: OSError) -> PlatformError:
    """A file or the output that the operating system would not give us."""
    where = error.filename or "The output"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"{where} cannot be written: the disk is full", next_step="Free space there.")
    return UnreadableFile(
        f"{where} cannot be used: {error.strerror or type(error).__name__}",
        next_step="Check the path and its permissions.",
    )


def _usage(error: TyperException) -> str:
    """What is wrong with the command line, and where the right form is."""
    said = " ".join(error.format_message().split())
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", "wmctl") or "wmctl"
    return f"{said}{'' if said.endswith(('.', '?')) else '.'} See `{command} --help`."
