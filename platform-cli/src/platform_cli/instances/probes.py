"""Run every probe on a server: what differs from what wmctl relies on, and nothing left behind."""

from __future__ import annotations

import asyncio
import tarfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from platform_cli.instances.looks import (
    exports,
    flows,
    folders,
    isolation,
    jobs,
    listings,
    routes,
    schedules,
    scripts,
    values,
    workers,
)
from platform_cli.instances.probe import Outcome, Probe, Report, Verdict
from platform_cli.instances.scratch import LOOKING, NotInTime, NotLooked, Scratch
from platform_cli.instances.server import Json, Server, find_caller
from platform_cli.instances.sweep import sweep, sweep_abandoned
from platform_core.errors import PermissionDenied, Unavailable

PROBES: tuple[Probe, ...] = tuple(
    probe
    for module in (
        listings,
        exports,
        scripts,
        flows,
        schedules,
        routes,
        values,
        folders,
        jobs,
        isolation,
        workers,
    )
    for probe in module.CATALOGUE.probes
)
AT_ONCE = 6
"""How many probes run beside one another: most of them wait for the server."""
Told = Callable[[Outcome, int, int], None]
"""Called after each probe with its outcome, how many are done, and how many there are."""


async def run(
    server: Server,
    *,
    probes: Sequence[Probe] = PROBES,
    told: Told | None = None,
    scratch_name: str = "",
    pausing: bool = True,
    at_once: int = AT_ONCE,
) -> Report:
    """Look at everything in a folder made for it, remove the folder, say what was seen.

    Cancelled or failed, it removes the folder all the same. `scratch_name` and `pausing` False replay a
    recording. Raises: PermissionDenied when the token may not make a folder there; Unavailable.
    """
    began_s, at = time.monotonic(), datetime.now(UTC)
    caller = await find_caller(server)
    scratch = Scratch(server, _identity(str(caller["username"])), name=scratch_name, pausing=pausing)
    await sweep_abandoned(server, at)
    left: tuple[str, ...] = ()
    try:
        await _make_folder(scratch)
        outcomes = await _look_at_all(scratch, probes, told, at_once)
    finally:
        LOOKING.set("sweeping")
        left = await asyncio.shield(asyncio.ensure_future(_sweep(scratch)))
    version = str((await server.ask("GET", "/api/version")).body)
    took_s = time.monotonic() - began_s
    return Report(version, server.workspace, at, took_s, outcomes, left)


def _identity(username: str) -> str:
    """How Windmill writes that user as an owner: who is no member of the workspace goes by the address."""
    return username if "@" in username else f"u/{username}"


async def _sweep(scratch: Scratch) -> tuple[str, ...]:
    try:
        await scratch.settle()
        return await sweep(scratch)
    except Unavailable as error:
        raise Unavailable(
            f"{error.message.rstrip('.')}; f/{scratch.name} may still be there",
            next_step="Run it again later: a folder that a run left is removed after an hour.",
        ) from error


async def _make_folder(scratch: Scratch) -> None:
    answer = await scratch.post("folders/create", {"name": scratch.name})
    if not answer.ok:
        raise PermissionDenied(
            f"The token may not make the folder f/{scratch.name}: {answer.status} {answer.text[:120]}",
            next_step="Give a token of an admin of the workspace.",
        )


async def _look_at_all(
    scratch: Scratch, probes: Sequence[Probe], told: Told | None, at_once: int
) -> tuple[Outcome, ...]:
    turns, done = asyncio.Semaphore(at_once), 0

    async def in_turn(probe: Probe) -> Outcome:
        nonlocal done
        async with turns:
            outcome = await _look(scratch, probe)
        done += 1
        if told is not None:
            told(outcome, done, len(probes))
        return outcome

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(in_turn(probe)) for probe in probes]
    return tuple(task.result() for task in tasks)


async def _look(scratch: Scratch, probe: Probe) -> Outcome:
    LOOKING.set(probe.name)
    began_s = time.monotonic()
    verdict, seen = await _judge(scratch, probe)
    return Outcome(probe, verdict, seen, time.monotonic() - began_s)


async def _judge(scratch: Scratch, probe: Probe) -> tuple[Verdict, Json]:
    try:
        seen = scratch.plain(await probe.look(scratch))
    except NotLooked as reason:
        return Verdict.NOT_APPLICABLE, scratch.plain(str(reason))
    except NotInTime as reason:
        return Verdict.DIFFERS, scratch.plain(str(reason))
    except Unavailable as error:
        return Verdict.DIFFERS, scratch.plain(error.message)
    except (ValueError, LookupError, tarfile.TarError) as error:
        return Verdict.DIFFERS, scratch.plain(f"not understood: {type(error).__name__}: {error}")
    return (Verdict.OK if seen == probe.expected else Verdict.DIFFERS), seen
