"""The tree of wmctl's commands, and the one place where an error becomes an exit code."""

from __future__ import annotations

import errno
import gc
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module

import typer
from typer._click import Context, HelpFormatter
from typer.exceptions import TyperException

from platform_cli import render
from platform_cli.options import Ended, Version
from platform_core.errors import InvalidInput, PlatformError, StorageFull, UnreadableFile

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Keep git and Windmill in step": (
        "status",
        "plan",
        "deploy",
        "pull",
        "sync",
        "drift",
        "promote",
        "rollback",
        "history",
        "render",
    ),
    "Which Windmill": ("target", "instance"),
    "Customers": ("customer", "secret", "tenant", "policy", "member", "panel"),
    "Daily work": ("claim", "obligation", "student", "session", "attendance", "booking"),
    "What happens and what waits": ("inbox", "outbox", "job", "alert", "audit"),
    "The platform itself": ("host", "backup", "db", "ingest", "connector"),
    "Try it on this machine": ("demo", "dev"),
}
"""What `wmctl --help` shows, in this order, under these titles."""

NOUNS = tuple(noun for nouns in SECTIONS.values() for noun in nouns)
"""Each is a module of `platform_cli.commands`; its `app` is a group of commands, or the command itself."""

_HELP = """Run the agency's platform: each customer's automations in Windmill, and the work they make.

A customer is a folder in git, customers/NAME, and the same items in Windmill, f/NAME. Begin with
`wmctl target add` (once), `wmctl status`, `wmctl plan NAME`; then `wmctl deploy NAME` takes git's changes to
Windmill, and `wmctl pull NAME` takes edits made in Windmill to git. Nothing is written before you saw it.
"""

USAGE = 2
_INDENT = 6
"""Columns beside the two of the list: what Typer's own list leaves free."""
INTERRUPTED = 130
_NEW_OBJECTS = 100_000
"""How many are made before Python looks for garbage; its own 700 are for less memory than a plan has."""


class Sections(typer.core.TyperGroup):
    """The tree's help: commands under the titles of what they are for, instead of one long list."""

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the sections; a noun that is not in this tree is left out."""
        width = formatter.width - _INDENT - max(len(noun) for noun in NOUNS)
        for title, nouns in SECTIONS.items():
            found = [(noun, self.get_command(ctx, noun)) for noun in nouns]
            rows = [(noun, one.get_short_help_str(width)) for noun, one in found if one is not None]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def build(nouns: Sequence[str] = NOUNS) -> typer.Typer:
    """The tree of these nouns, by default the whole of it. A noun's module is imported when it is built."""
    app = typer.Typer(
        name="wmctl",
        help=_HELP,
        cls=Sections,
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
    app.callback(help=_HELP)(_tree)
    return app


def _tree(*, version: Version = False) -> None:
    """Keeps a tree of one noun a tree: Typer would make its only command the program itself."""


def run(arguments: list[str] | None = None) -> None:
    """Run wmctl and leave the process with its exit code: 0 fine, 2 usage, else the error tree's own."""
    # What psycopg warns of is a connection that ends while it is used, and the one line says that already.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    # Thousands of items live until the command ends. To look for garbage among them each time some hundred
    # more were made doubles the time of reading; to look once more at the very end takes a tenth of a second.
    gc.set_threshold(_NEW_OBJECTS)
    code = execute(sys.argv[1:] if arguments is None else arguments)
    gc.freeze()
    sys.exit(code)


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
    except Ended as stop:
        return stop.exit_code
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
