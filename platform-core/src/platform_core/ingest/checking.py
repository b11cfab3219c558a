"""Look at the door's files and databases as the door itself will, and say what is wrong before it does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from platform_core.errors import PlatformError
from platform_core.ingest.files import CustomerDoor, door_files, read_door
from platform_core.ingest.store import DoorLogin, Store

_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Checked:
    """One customer's file. `problem` is empty when the door can store this customer's deliveries."""

    customer: str
    file: str
    routes: tuple[str, ...]
    secrets: int
    problem: str


def check_doors(
    folder: Path, login: DoorLogin, placed: Callable[[CustomerDoor], CustomerDoor]
) -> list[Checked]:
    """Read every file and ask each database the door's one question, with nothing in it. Nothing is stored.

    Raises: UnreadableFile when the folder itself cannot be read.
    """
    return [_check(path, login, placed) for path in door_files(folder)]


def _check(path: Path, login: DoorLogin, placed: Callable[[CustomerDoor], CustomerDoor]) -> Checked:
    try:
        door = placed(read_door(path))
    except PlatformError as error:
        return Checked(path.stem, path.name, (), 0, error.one_line())
    return Checked(
        door.customer,
        path.name,
        tuple(one.route for one in door.endpoints),
        sum(len(one.secrets) for one in door.endpoints),
        asyncio.run(_asked(Store(login.dsn(door.database), _PATIENCE_S))),
    )


async def _asked(store: Store) -> str:
    try:
        await store.receive([], {})
    except PlatformError as error:
        return error.one_line()
    finally:
        await store.close()
    return ""
