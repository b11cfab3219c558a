"""Starting a customer's runner when a delivery was stored and nobody works its queue.

Cron starts runners anyway; this only makes it quick. So a wake that fails is logged and tried again later,
and never fails a webhook. A runner that is alive may be about to end without having seen the new job:
whoever got something is looked at again a second later, for as long as a job is due.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol
from urllib.parse import quote

import httpx

from platform_core.errors import ConfigurationError, PlatformError, SecretRejected, Unavailable
from platform_core.ingest.metrics import Metrics
from platform_core.settings import Secret, Settings

LOOK_S = 1.0
LONGEST_PAUSE_S = 30.0
_TIMEOUT_S = 5.0


class Waker(Protocol):
    """Asks for a run of a script."""

    async def wake(self, path: str) -> None:
        """Ask for one run of the script at `path`. Raises: PlatformError when it was not taken."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


class WindmillWaker:
    """Asks Windmill: `POST /api/w/<workspace>/jobs/run/p/<path>` answers 201 with the job's number."""

    def __init__(self, base_url: str, workspace: str, token: Secret) -> None:
        self._url = f"{base_url.rstrip('/')}/api/w/{quote(workspace)}/jobs/run/p/"
        self._client = httpx.AsyncClient(
            timeout=_TIMEOUT_S, headers={"Authorization": f"Bearer {token.reveal()}"}, trust_env=False
        )

    async def wake(self, path: str) -> None:
        """Ask for one run, without arguments."""
        try:
            answer = await self._client.post(self._url + quote(path), json={})
        except httpx.HTTPError as error:
            raise Unavailable(f"Windmill does not answer the door ({type(error).__name__})") from None
        if answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise SecretRejected(f"Windmill does not let the door's token run {path}")
        if answer.status_code not in (HTTPStatus.OK, HTTPStatus.CREATED):
            raise Unavailable(f"Windmill answered {answer.status_code} when asked to run {path}")

    async def close(self) -> None:
        """Close the client."""
        await self._client.aclose()


def waker_of(settings: Settings) -> Waker | None:
    """The Windmill that the settings name, or None when they name none. Raises: ConfigurationError."""
    known = (settings.ingest_windmill_url, settings.ingest_windmill_workspace, settings.ingest_windmill_token)
    match known:
        case (None, None, None):
            return None
        case (str() as url, str() as workspace, Secret() as token):
            return WindmillWaker(url, workspace, token)
        case _:
            raise ConfigurationError(
                "The door knows only a part of its Windmill",
                next_step="Set PLATFORM_INGEST_WINDMILL_URL, _WORKSPACE and _TOKEN together, or none.",
            )


@dataclass(slots=True)
class Waking:
    """One customer's runner as the door sees it.

    At most one wake a second, none while a runner is alive. Wakes that bring nobody (no worker is free,
    Windmill is away) are twice as far apart each time, up to half a minute: they would only queue up there.
    """

    customer: str
    path: str
    waker: Waker | None
    look_in: Callable[[float], None]
    on_failure: Callable[[PlatformError], None]
    metrics: Metrics
    _pause_s: float = LOOK_S
    _not_before_s: float = 0.0
    _asking: asyncio.Task[None] | None = field(default=None, repr=False)

    def seen(self, *, awake: bool, due: bool, new: bool) -> None:
        """After a commit or a look: whether a runner is alive, a job is due, and something new was stored."""
        if self.waker is None:
            return
        if awake:
            self._pause_s = LOOK_S
        elif due and self._asking is None and time.monotonic() >= self._not_before_s:
            self._asking = asyncio.get_running_loop().create_task(self._ask(self.waker))
        if due or new:
            self.look_in(LOOK_S)
        else:
            self._pause_s = LOOK_S

    async def stop(self) -> None:
        """Wait for a wake that is being asked for."""
        if self._asking is not None:
            await asyncio.wait({self._asking}, timeout=_TIMEOUT_S)

    async def _ask(self, waker: Waker) -> None:
        try:
            await waker.wake(self.path)
        except PlatformError as error:
            self.metrics.wakes[self.customer, "failed"] += 1
            self.on_failure(error)
        else:
            self.metrics.wakes[self.customer, "asked"] += 1
        finally:
            self._not_before_s = time.monotonic() + self._pause_s
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
            self._asking = None
