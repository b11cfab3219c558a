"""A stand-in that outlives its process: everything it remembers as one JSON file.

The file holds keys and tokens of the stand-in beside its items; it is readable by its owner alone.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from platform_cli.local.windmill.workspace.instance import TABLES, Instance, Pending, Workspace
from platform_cli.local.windmill.workspace.rows import Raw, Row
from platform_cli.local.windmill.workspace.standin import StandIn, new, served
from platform_cli.replacing import OWN, replace_file
from platform_core.errors import UnreadableFile

FORMAT = 1
_RAW = "$raw"
_EVERY_S = 0.5


def saved(instance: Instance) -> str:
    """Everything as one text."""
    with instance.lock:
        value: Row = {
            "format": FORMAT,
            "last_id": instance.last_id,
            "users": instance.users,
            "tokens": instance.tokens,
            "pending": [{**asdict(one), "at": one.at.isoformat()} for one in instance.pending],
            "workspaces": {id_: _workspace(one) for id_, one in instance.workspaces.items()},
        }
        return json.dumps(value, ensure_ascii=False, default=_raw)


def _workspace(workspace: Workspace) -> Row:
    tables = {name: dict(workspace.table(name).items()) for name in TABLES}
    return {"name": workspace.name, "owner": workspace.owner, "key": workspace.key, "tables": tables}


def _raw(value: object) -> Row:
    if isinstance(value, Raw):
        return {_RAW: value.text}
    raise TypeError(f"{type(value).__name__} is not JSON")


def restore(instance: Instance, text: str) -> None:
    """Make an instance what it was when `text` was saved. Raises: ValueError for a text that is none."""
    value = json.loads(text, object_hook=_as_raw)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ValueError("not of this format")
    with instance.lock:
        instance.last_id, instance.users, instance.tokens = value["last_id"], value["users"], value["tokens"]
        instance.pending = [
            Pending(**{**one, "at": datetime.fromisoformat(one["at"])}) for one in value["pending"]
        ]
        instance.workspaces = {id_: _restored(id_, one) for id_, one in value["workspaces"].items()}


def _restored(id_: str, kept: Row) -> Workspace:
    workspace = Workspace(id_, kept["name"], kept["owner"], kept["key"])
    for name, rows in kept["tables"].items():
        for key, row in rows.items():
            workspace.table(name).put(key, row)
    return workspace


def _as_raw(value: Row) -> Any:  # Any: a row, or a Raw in it
    return Raw(value[_RAW]) if value.keys() == {_RAW} else value


def load(instance: Instance, path: Path) -> bool:
    """Take up what a file holds; gives whether there was one. Raises: UnreadableFile naming it."""
    try:
        restore(instance, path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnreadableFile(
            f"{path} is not the state of a Windmill stand-in ({error})",
            next_step="Move it away to begin with an empty one.",
        ) from error
    return True


def save(instance: Instance, path: Path) -> None:
    """Write the file, whole or not at all."""
    write_private(path, saved(instance))


def write_private(path: Path, text: str) -> None:
    """Write a file that its owner alone may read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, text, OWN)


@contextmanager
def kept(instance: Instance, path: Path) -> Iterator[None]:
    """Load the file, and write it anew half a second after a change and when the block ends.

    What is changed in the last half second before a crash is lost. Raises: UnreadableFile.
    """
    load(instance, path)
    ended = threading.Event()

    def write_changes() -> None:
        written = instance.changes
        while not ended.wait(_EVERY_S):
            if instance.changes != written:
                written = instance.changes
                save(instance, path)

    thread = threading.Thread(target=write_changes, name="windmill-stand-in-file", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        save(instance, path)


@contextmanager
def at_hand(folder: Path, port: int, *, pace: float = 1.0) -> Iterator[tuple[StandIn, Path]]:
    """A stand-in with the workspaces prod and staging, kept in a folder and served on a port.

    Gives it with the file that holds its superadmin's token, which stays the same from one start to the next.
    Raises: ConfigurationError when the port is taken; UnreadableFile.
    """
    one = new(("prod", "staging"), pace=pace)
    token_file = folder / "windmill_workspace.token"
    with kept(one.instance, folder / "windmill_workspace.json"):
        tokens = one.instance.tokens
        one.admin_token = next(token for token, row in tokens.items() if row["label"] == "superadmin")
        write_private(token_file, f"{one.admin_token}\n")
        with served(one, port):
            yield one, token_file
