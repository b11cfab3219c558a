"""What Windmill does in its own time after a write, waited for: locks, relocks of importers, routes.

A script without a lock cannot be called until its lock job ended, and never if it failed. A flow is rewritten
in place by its own. An importer of a changed script is locked anew some seconds later. A route is served once
the server has read its routes again. Everything is asked for in rounds, for all items at once.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from platform_cli.sync.client import Client
from platform_cli.sync.items import Item, Json, Key, Kind
from platform_cli.sync.lean_httpx import httpx
from platform_cli.sync.wire import is_loopback
from platform_core.errors import WindmillNotFound, WindmillUnreachable

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0
_RELOCK_JOBS: Final = ("dependencies", "flowdependencies")
_ROUTE_UNKNOWN: Final = "Trigger not found at name"
_BROKEN_JSON: Final = b"{"
_SAYS_WHY: Final = re.compile(r"error|cause|fail|not found|no solution|denied|timed? ?out", re.IGNORECASE)
_MAX_LINE_CHARS: Final = 300


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each is waited for, in seconds; `relocks_begin_s` is what passes before the server begins."""

    locks_s: float = 300.0
    relocks_begin_s: float = 11.0
    relocks_s: float = 60.0
    routes_s: float = 75.0


@dataclass(frozen=True, slots=True)
class LockState:
    """Whether a lock job has ended; `error` is its log's telling line when it failed."""

    ended: bool
    error: str | None = None


async def lock_state(client: Client, key: Key, version: str | None) -> LockState:
    """How the lock job of one script's version, or of a flow, stands. What is gone has ended."""
    try:
        if key.kind is Kind.FLOW:
            said = (await client.flow_status(key.path)).get("lock_error_logs")
            return LockState(ended=said != "", error=telling_line(said) if said else None)
        if version is None:
            return LockState(ended=True)
        status = await client.script_status(version)
    except WindmillNotFound:
        return LockState(ended=True)
    if error := status.get("lock_error_logs"):
        return LockState(ended=True, error=telling_line(error))
    return LockState(ended=status.get("lock") is not None)


async def locks(
    client: Client,
    versions: Mapping[Key, str | None],
    *,
    timeout_s: float,
    stopped: Callable[[], bool] = lambda: False,
) -> dict[Key, str]:
    """Wait for the lock jobs of some scripts and flows. Returns why, for each that failed or did not end."""
    failed: dict[Key, str] = {}
    left = dict(versions)

    async def round_() -> bool:
        states = await asyncio.gather(*(lock_state(client, key, left[key]) for key in left))
        for key, state in zip(tuple(left), states, strict=True):
            if state.ended:
                del left[key]
            if state.error is not None:
                failed[key] = state.error
        return not left

    if left:
        await _rounds(round_, timeout_s=timeout_s, stopped=stopped)
    late = f"its lock job did not end within {timeout_s:g} s: are workers running?"
    return failed if stopped() else {**failed, **dict.fromkeys(left, late)}


async def relocks(
    client: Client, prefix: str, *, patience: Patience, stopped: Callable[[], bool] = lambda: False
) -> bool:
    """Wait until no lock job of a folder is queued any more; whether that was reached.

    The server begins some seconds after the write, so an empty queue means nothing before.
    """

    async def waited() -> bool:
        return False

    async def round_() -> bool:
        rows = await client.queued_jobs(*_RELOCK_JOBS)
        return not any(str(row.get("script_path", "")).startswith(prefix) for row in rows)

    await _rounds(waited, timeout_s=patience.relocks_begin_s, stopped=stopped)
    return await _rounds(round_, timeout_s=patience.relocks_s, stopped=stopped)


async def routes(
    client: Client,
    triggers: Iterable[Item],
    *,
    timeout_s: float,
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[Key, ...]:
    """Wait until routes are served; returns those that are not. No script is run.

    The probe sends JSON that is broken on purpose: a served route refuses it before it calls its script, one
    that is not served yet is unknown.
    """
    left = {item.key: item for item in triggers if item.value.get("mode", "enabled") == "enabled"}

    async with httpx.AsyncClient(
        base_url=client.url, trust_env=not is_loopback(client.url), timeout=10.0
    ) as http:

        async def round_() -> bool:
            served = await asyncio.gather(
                *(_is_served(http, client.workspace, item) for item in left.values())
            )
            for key, yes in zip(tuple(left), served, strict=True):
                if yes:
                    del left[key]
            return not left

        if left:
            await _rounds(round_, timeout_s=timeout_s, stopped=stopped)
    return tuple(sorted(left))


def telling_line(log: Json) -> str:
    """The line of a lock job's log that says why it failed; secrets do not occur in these logs."""
    lines = [line.strip() for line in str(log).splitlines() if line.strip()]
    told = next((line for line in lines if _SAYS_WHY.search(line)), lines[-1] if lines else "no reason given")
    at = lines.index(told) if told in lines else 0
    cause = lines[at + 1] if at + 1 < len(lines) and lines[at + 1].startswith("cause:") else ""
    return f"{told} {cause}".strip()[:_MAX_LINE_CHARS]


async def _is_served(http: httpx.AsyncClient, workspace: str, item: Item) -> bool:
    route = "/".join(
        "wmctl" if part[:1] in {":", "*"} else part for part in str(item.value["route_path"]).split("/")
    )
    inside = f"{workspace}/" if item.value.get("workspaced_route") else ""
    method = str(item.value.get("http_method", "get")).upper()
    try:
        answer = await http.request(
            method,
            f"/api/r/{inside}{route}",
            content=_BROKEN_JSON,
            headers={"Content-Type": "application/json"},
        )
    except httpx.HTTPError:
        return False
    return not (answer.status_code == httpx.codes.NOT_FOUND and _ROUTE_UNKNOWN in answer.text)


async def _rounds(
    round_: Callable[[], Awaitable[bool]], *, timeout_s: float, stopped: Callable[[], bool]
) -> bool:
    """Ask again and again, ever more slowly, until the answer is yes; an unreachable server too."""
    ends = time.monotonic() + timeout_s
    pause_s = _FIRST_PAUSE_S
    while not stopped():
        try:
            if await round_():
                return True
        except WindmillUnreachable:
            if time.monotonic() >= ends:
                raise
        if time.monotonic() >= ends:
            return False
        await asyncio.sleep(min(pause_s, max(0.0, ends - time.monotonic())))
        pause_s = min(pause_s * 1.6, _LONGEST_PAUSE_S)
    return False
