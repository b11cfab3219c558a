"""Bring a bare Windmill to the state the platform is designed for, and say of each step whether it changed.

Steps in order: the instance's settings, its worker tags, the two workspaces, in each of them the group of
deployers, the folder `wmctl` for what was deployed, the folder `ops` with its robot and the backups' canary;
then the account every Windmill is born with. Each step looks, writes only when something is missing, and
looks again. What is there beyond that is left alone: other tags, workspaces, folders and settings.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from secrets import token_hex

from httpx import codes

from platform_cli.instances.looks.isolation import SEED
from platform_cli.instances.server import (
    Answer,
    Json,
    Server,
    list_workspaces,
    pick,
    require_done,
    require_superadmin,
    rows,
)
from platform_cli.sync.items import TAGS, Scope
from platform_core.backups import CANARY_PATH
from platform_core.errors import Refused, StateConflict, Unavailable
from platform_core.settings import Secret

ADMINS = "admins"
"""The workspace of the instance's own administrators; it does not count towards the limit."""
FREE_WORKSPACES = 2
DEPLOYERS = "wm_deployers"
STATE_FOLDER = "wmctl"
OPS = Scope("ops")
SECONDS_OF_A_DAY = 86_400
SEED_EMAIL = str(SEED["email"])
THERE = "there"
RESTARTING = "request_size_limit_mb"
"""The setting after whose change the server ends itself and has to be started again."""
ANNOUNCED = "_restart_coordination"
"""Where a server writes that it will end itself, a second before it does; it looks for changes each 10 s."""


class Done(StrEnum):
    """What a step came to."""

    OK = "ok"
    CHANGED = "changed"
    WOULD_CHANGE = "would change"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is as it must be now. `before` is what was there, None when nothing was."""

    name: str
    done: Done
    before: Json
    wanted: Json


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an instance is brought to. `seed_password` None closes the seed account instead."""

    base_url: str
    workspaces: tuple[str, ...] = ("staging", "production")
    retention_days: int = 30
    job_timeout_s: int = 900
    wait_s: int = 60
    request_mb: int = 25
    tags: tuple[str, ...] = TAGS
    seed_password: Secret | None = None

    def settings(self) -> dict[str, Json]:
        """The instance settings that matter, as Windmill names them."""
        return {
            "base_url": self.base_url.rstrip("/"),
            "retention_period_secs": self.retention_days * SECONDS_OF_A_DAY,
            "job_default_timeout": self.job_timeout_s,
            "timeout_wait_result": self.wait_s,
            "http_route_workspaced_route": False,
            "disable_stats": True,
        }


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a restart may take.

    `limit_s` in all; `grace_s` from its announcement until the old server is gone, requests that it still
    answers included; `look_s` between two looks.
    """

    limit_s: float = 60
    grace_s: float = 5
    look_s: float = 0.5


Told = Callable[[Step], None]
Look = Callable[[], Awaitable[Json]]
Change = Callable[[], Awaitable[None]]


async def set_up(
    server: Server,
    wanted: Wanted,
    *,
    check: bool = False,
    told: Told | None = None,
    patience: Patience = Patience(),
) -> list[Step]:
    """Every step, in order. `check` writes nothing and says what would change. Safe to repeat.

    Raises: PermissionDenied when the token is no superadmin's; Refused when the server refuses a step, or
    has no room for a workspace; StateConflict when a step did not take; Unavailable.
    """
    return await _SetUp(server, wanted, patience, check=check, told=told).run()


class _SetUp:
    def __init__(
        self, server: Server, wanted: Wanted, patience: Patience, *, check: bool, told: Told | None
    ) -> None:
        self._server = server
        self._wanted = wanted
        self._patience = patience
        self._check = check
        self._told = told
        self._steps: list[Step] = []

    async def run(self) -> list[Step]:
        await require_superadmin(self._server)
        await self._require_room()
        for name, value in self._wanted.settings().items():
            await self._setting(name, value)
        await self._tags()
        for workspace in self._wanted.workspaces:
            await self._workspace(workspace)
        await self._seed_account()
        # Last: Windmill ends itself when this one changes, for its supervisor to start it again.
        announced = (await self._server.ask("GET", f"/api/settings/global/{ANNOUNCED}")).body
        await self._setting(RESTARTING, self._wanted.request_mb)
        if self._steps[-1].done is Done.CHANGED:
            await self._restarted(announced)
        return self._steps

    # --- The instance -------------------------------------------------------------------------------------

    async def _require_room(self) -> None:
        there = set(await list_workspaces(self._server)) - {ADMINS}
        all_of_them = there | set(self._wanted.workspaces)
        if len(all_of_them) > max(FREE_WORKSPACES, len(there)):
            raise Refused(
                f"There is no room for {' and '.join(sorted(all_of_them - there))}: the free edition has "
                f"{FREE_WORKSPACES} workspaces, and there are {', '.join(sorted(there))}",
                next_step="Name those with --workspace, or archive one in the instance's settings.",
            )

    async def _setting(self, name: str, value: Json) -> None:
        path = f"/api/settings/global/{name}"

        async def look() -> Json:
            return (await self._server.ask("GET", path)).body

        async def change() -> None:
            await self._post(path, {"value": value})

        await self._ensure(f"setting {name}", look, value, change)

    async def _restarted(self, before: Json) -> None:
        """Until it was: the old server answers for seconds more, and what it then begins is lost with it."""
        end = time.monotonic() + self._patience.limit_s
        path = f"/api/settings/global/{ANNOUNCED}"
        while (await self._heard("GET", path)).body == before:
            await self._pause(end)
        await asyncio.sleep(self._patience.grace_s)
        while not (await self._heard("GET", "/api/users/whoami")).ok:
            await self._pause(end)
        self._done(Step("restart", Done.CHANGED, "announced", "serves again"))

    async def _heard(self, method: str, path: str) -> Answer:
        try:
            return await self._server.ask(method, path)
        except Unavailable:  # it is away just now
            return Answer(codes.SERVICE_UNAVAILABLE, "", b"")

    async def _pause(self, end: float) -> None:
        if time.monotonic() > end:
            later = f"{self._patience.limit_s:g} s later"
            raise Unavailable(
                f"Windmill ends itself to take the new {RESTARTING}, and does not serve {later}",
                next_step="See that its supervisor starts it again. All settings are written.",
            )
        await asyncio.sleep(self._patience.look_s)

    async def _tags(self) -> None:
        path = "/api/settings/global/custom_tags"

        async def look() -> Json:
            return (await self._server.ask("GET", path)).body

        held = await look()
        known = list(held) if isinstance(held, list) else []
        value: list[Json] = [*known, *(tag for tag in self._wanted.tags if tag not in known)]

        async def change() -> None:
            await self._post(path, {"value": value})

        await self._ensure("worker tags", look, value, change)

    async def _seed_account(self) -> None:
        """Closed by a password of the owner's, or altogether: its own is in Windmill's documentation."""

        async def look() -> Json:
            answer = await self._server.ask("POST", "/api/auth/login", SEED, anonymous="yes")
            if answer.ok:
                await self._server.ask("POST", "/api/auth/logout", token=Secret(answer.text.strip('"')))
            return "open to everybody" if answer.ok else "closed to strangers"

        await self._ensure(f"account {SEED_EMAIL}", look, "closed to strangers", self._close_seed_account)

    async def _close_seed_account(self) -> None:
        password = self._wanted.seed_password
        if password is not None:
            asked = {"password": password.reveal()}
            answer = await self._server.ask("POST", f"/api/users/set_password_of/{SEED_EMAIL}", asked)
            if not answer.ok:
                raise Refused(
                    f"This build of Windmill does not set the password of {SEED_EMAIL}: {answer.status}",
                    next_step="Run it without --seed-password-from: the account is then disabled.",
                )
            return
        caller = pick((await self._server.ask("GET", "/api/users/whoami")).body, "email")
        if caller == SEED_EMAIL:
            raise Refused(
                f"The token is {SEED_EMAIL}'s own: disabling it would lock everybody out",
                next_step="Give --seed-password-from, or another superadmin's token.",
            )
        await self._post(f"/api/users/update/{SEED_EMAIL}", {"disabled": True})

    # --- A workspace --------------------------------------------------------------------------------------

    async def _workspace(self, workspace: str) -> None:
        async def look() -> Json:
            return THERE if workspace in await list_workspaces(self._server) else None

        async def change() -> None:
            await self._post("/api/workspaces/create", {"id": workspace, "name": workspace})

        await self._ensure(f"workspace {workspace}", look, THERE, change)
        await self._group(workspace)
        await self._robot(workspace)
        await self._folder(workspace, STATE_FOLDER, {f"g/{DEPLOYERS}": True}, alone=True)
        rights: dict[str, Json] = {f"g/{DEPLOYERS}": True, OPS.robot: False}
        await self._folder(workspace, OPS.name, rights, alone=False)
        await self._canary(workspace)

    async def _group(self, workspace: str) -> None:
        async def look() -> Json:
            answer = await self._server.ask("GET", f"/api/w/{workspace}/groups/get/{DEPLOYERS}")
            return THERE if answer.ok else None

        async def change() -> None:
            summary = "May deploy in the name of others"
            await self._post(f"/api/w/{workspace}/groups/create", {"name": DEPLOYERS, "summary": summary})

        await self._ensure(f"{workspace}: group {DEPLOYERS}", look, THERE, change)

    async def _robot(self, workspace: str) -> None:
        email = f"robot-{OPS.name}@robots.invalid"

        async def look() -> Json:
            known = rows((await self._server.ask("GET", f"/api/w/{workspace}/users/list")).body)
            found = [row for row in known if row.get("email") == email]
            return (
                {name: found[0].get(name) for name in ("username", "operator", "is_admin")} if found else None
            )

        async def change() -> None:
            body: Json = {"email": email, "is_admin": False, "operator": True}
            await self._post(f"/api/w/{workspace}/workspaces/add_user", body)

        wanted: Json = {"username": OPS.robot.removeprefix("u/"), "operator": True, "is_admin": False}
        await self._ensure(f"{workspace}: robot of {OPS.name}", look, wanted, change)

    async def _folder(self, workspace: str, name: str, rights: Mapping[str, Json], *, alone: bool) -> None:
        """A folder with at least these rights; `alone` with no others and no owner: admins need none."""
        folders = f"/api/w/{workspace}/folders"

        async def look() -> Json:
            answer = await self._server.ask("GET", f"{folders}/get/{name}")
            if not answer.ok:
                return None
            held = pick(answer.body, "extra_perms")
            perms = dict(held) if isinstance(held, Mapping) else {}
            if alone:
                return {"rights": perms, "owners": pick(answer.body, "owners")}
            return {"rights": {who: perms.get(who) for who in rights}}

        async def change() -> None:
            answer = await self._server.ask("GET", f"{folders}/get/{name}")
            if not answer.ok:
                await self._post(f"{folders}/create", {"name": name})
                answer = await self._server.ask("GET", f"{folders}/get/{name}")
            held = pick(answer.body, "extra_perms")
            kept = dict(held) if isinstance(held, Mapping) and not alone else {}
            body: dict[str, Json] = {"extra_perms": {**kept, **rights}, **({"owners": []} if alone else {})}
            await self._post(f"{folders}/update/{name}", body)

        wanted: dict[str, Json] = {"rights": dict(rights), **({"owners": []} if alone else {})}
        await self._ensure(f"{workspace}: folder {name}", look, wanted, change)

    async def _canary(self, workspace: str) -> None:
        """A secret that opens nothing: what a drill of the backups tries the installation's salt on."""
        variables = f"/api/w/{workspace}/variables"

        async def look() -> Json:
            answer = await self._server.ask("GET", f"{variables}/get/{CANARY_PATH}?decrypt_secret=false")
            return {"secret": pick(answer.body, "is_secret")} if answer.ok else None

        async def change() -> None:
            description = "Opens nothing. A drill of the backups proves with it that secrets come back."
            variable: dict[str, Json] = {"path": CANARY_PATH, "value": token_hex(16), "is_secret": True}
            await self._post(f"{variables}/create", {**variable, "description": description})

        await self._ensure(f"{workspace}: secret {CANARY_PATH}", look, {"secret": True}, change)

    # --- One step -----------------------------------------------------------------------------------------

    async def _ensure(self, name: str, look: Look, wanted: Json, change: Change) -> None:
        before = await look()
        done = Done.OK if before == wanted else Done.WOULD_CHANGE if self._check else Done.CHANGED
        if done is Done.CHANGED:
            await change()
            after = await look()
            if after != wanted:
                raise StateConflict(
                    f"{name} was written and is not as it must be: {after!r} instead of {wanted!r}",
                    next_step="Look at the instance's settings; another tool may write the same.",
                )
        self._done(Step(name, done, before, wanted))

    def _done(self, step: Step) -> None:
        self._steps.append(step)
        if self._told is not None:
            self._told(step)

    async def _post(self, path: str, body: Json) -> Answer:
        return require_done(await self._server.ask("POST", path, body), path)
