"""The ground that probes work on: one folder of a random name, and a user of that name where it is allowed.

Nothing outside that name is written. What a run made is found again by the name alone and removed, also when
the run failed or was interrupted; what a run left that was killed is removed by the next one, after an hour.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar

from httpx import codes

from platform_cli.instances.server import Answer, Json, Server, pick, rows
from platform_core.settings import Secret

PREFIX = "wmctl_probe_"
PLACE = "SCRATCH"
"""What stands for the folder's random name in what was seen."""
PATIENCE_S = 60
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
FORM: Mapping[str, Json] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {},
    "required": [],
}
LOOKING: ContextVar[str] = ContextVar("LOOKING", default="preparing")
"""The name of the probe whose requests these are: a recording keeps them apart by it."""

T = TypeVar("T")


class NotLooked(Exception):
    """There is nothing to look at here; the message says why."""


class NotInTime(Exception):
    """The server did not come to the state that was waited for; the message says what it said last."""


class Scratch:
    """What probes may do: make items of their own in the folder, ask, wait."""

    def __init__(self, server: Server, caller: str, *, name: str = "", pausing: bool = True) -> None:
        """`caller` is the token's user, such as `u/ana`. `pausing` False waits for nothing: a recording."""
        self.server = server
        self.caller = caller
        self.name = name or PREFIX + secrets.token_hex(4)
        self._pausing = pausing
        self._once: dict[str, asyncio.Task[Any]] = {}  # Any: each has a type of its own, see `once`

    @property
    def email(self) -> str:
        """The address of the run's user."""
        return f"{self.name.replace('_', '-')}@robots.invalid"

    def path(self, item: str) -> str:
        """The Windmill path of an item of the run."""
        return f"f/{self.name}/{item}"

    def plain(self, value: Json) -> Json:
        """A value without the random name: what one run sees equals what every other sees."""
        text = json.dumps(value, ensure_ascii=False).replace(self.name, PLACE)
        found: Json = json.loads(text.replace(self.caller, "u/CALLER"))
        return found

    async def once(self, name: str, make: Callable[[], Awaitable[T]]) -> T:
        """What several probes share is made once per run, under a name of its own."""

        async def named() -> T:
            LOOKING.set(name)
            return await make()

        if name not in self._once:
            self._once[name] = asyncio.ensure_future(named())
        shared: T = await asyncio.shield(self._once[name])
        return shared

    async def settle(self) -> None:
        """Let nothing be made any more: what is shared is given up, and what was asked has its answer."""
        for shared in self._once.values():
            shared.cancel()
        await asyncio.gather(*self._once.values(), return_exceptions=True)
        await self.server.settle()

    # --- Asking -------------------------------------------------------------------------------------------

    async def get(self, tail: str) -> Json:
        """What a GET answers; its refusal as text with the status."""
        answer = await self.server.ask("GET", tail)
        return answer.body if answer.ok else f"{answer.status} {answer.text[:200]}"

    async def post(self, tail: str, body: Json = None) -> Answer:
        """One POST with JSON."""
        return await self.server.ask("POST", tail, body)

    async def must(self, tail: str, body: Json = None) -> Answer:
        """A POST that prepares what is looked at. Raises: NotLooked with the server's refusal."""
        answer = await self.post(tail, body)
        if not answer.ok:
            raise NotLooked(f"{tail} was refused: {answer.status} {answer.text[:160]}")
        return answer

    async def run(self, item: str, *, kind: str = "run_wait_result/p", **options: str) -> Answer:
        """Run a script and wait, or as `kind` says. Raises: NotLooked where nothing is run at all."""
        query = "&".join(f"{name}={value}" for name, value in options.items())
        answer = await self.post(f"jobs/{kind}/{self.path(item)}{'?' if query else ''}{query}")
        if answer.status == codes.NOT_IMPLEMENTED:
            raise NotLooked("this server runs no jobs")
        return answer

    async def until(
        self, tail: str, ready: Callable[[Json], bool], *, patience_s: float = PATIENCE_S
    ) -> Json:
        """What a GET answers once it is as wished. Raises: NotInTime."""
        ends, pause_s = time.monotonic() + patience_s, FIRST_PAUSE_S
        found = await self.get(tail)
        while not ready(found):
            if time.monotonic() > ends:
                raise NotInTime(f"after {patience_s:.0f} s {tail} still answers {json.dumps(found)[:200]}")
            await self.pause(pause_s)
            pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)
            found = await self.get(tail)
        return found

    async def pause(self, pause_s: float) -> None:
        """Leave the server time; a recording needs none."""
        await asyncio.sleep(pause_s if self._pausing else 0)

    # --- Items --------------------------------------------------------------------------------------------

    async def script(self, item: str, content: str = "def main():\n    return 1\n", **fields: Json) -> Answer:
        """Ask for a script; callable at once, unless `lock` is None."""
        return await self.post("scripts/create", self.script_body(item, content, **fields))

    def script_body(self, item: str, content: str, **fields: Json) -> dict[str, Json]:
        """The request for a script, as wmctl sends it."""
        return {
            "path": self.path(item),
            "summary": "",
            "description": "",
            "content": content,
            "language": "python3",
            "kind": "script",
            "schema": FORM,
            "lock": "\n",
            **fields,
        }

    async def made_script(
        self, item: str, content: str = "def main():\n    return 1\n", **fields: Json
    ) -> str:
        """A script that is there now: its hash. Raises: NotLooked."""
        return (await self.must("scripts/create", self.script_body(item, content, **fields))).text

    async def robot(self) -> str:
        """The run's own user, an operator who may read the folder: such as `u/wmctlprobe1`.

        Raises: NotLooked when the token may not add users.
        """
        return await self.once("robot", self._make_robot)

    async def _make_robot(self) -> str:
        await self.must("workspaces/add_user", {"email": self.email, "is_admin": False, "operator": True})
        known = rows(await self.get("users/list"))
        names = [row.get("username") for row in known if row.get("email") == self.email]
        if not names:
            raise NotLooked("the user that was added is not in users/list")
        robot = f"u/{names[0]}"
        folder = await self.get(f"folders/get/{self.name}")
        held = pick(folder, "extra_perms")
        perms = {**(held if isinstance(held, Mapping) else {}), robot: False}
        await self.must(f"folders/update/{self.name}", {"extra_perms": perms})
        return robot

    async def robot_token(self) -> Secret:
        """A token of the run's user. Raises: NotLooked when the token may not act for others."""
        await self.robot()
        return await self.once("robot_token", self._make_token)

    async def _make_token(self) -> Secret:
        asked = {"impersonate_email": self.email, "label": self.name, "expiration": None}
        return Secret((await self.must("/api/users/tokens/impersonate", asked)).text)
