"""A person of the agency is let into a Windmill, or out again: membership, account, one token of theirs.

People work with tokens of their own, each with an end; the superadmin's opens everything and is at no desk.
Whoever is let in is an administrator of the workspaces, and not of the instance: that is what a deploy, a new
customer and a rotation need. Each step may be repeated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from platform_cli.instances.server import (
    Json,
    Server,
    list_workspaces,
    pick,
    require_done,
    require_superadmin,
    rows,
)
from platform_cli.instances.setup import ADMINS, Done
from platform_cli.instances.tokens import (
    LOOK,
    PERSON,
    end_itself,
    end_others,
    find_door,
    list_tokens,
    make_token,
)
from platform_cli.replacing import OWN, replace_file
from platform_core.errors import InvalidInput, NotFound, PlatformError, Refused, StateConflict, UnreadableFile
from platform_core.settings import Secret
from platform_core.values import Clock

MAX_DAYS = 365
_LOOK_FOR = timedelta(minutes=5)
"""How long the token holds with which a person's other tokens are listed; dismissing ends it before."""
KNOWN_FOR_S = 120
"""For so long a server goes on taking a token that it has just taken, whatever became of it (measured)."""
_EMAIL = re.compile(r"[a-z0-9._+-]{1,64}@[a-z0-9-]+(\.[a-z0-9-]+)+", re.ASCII)
_NOBODY = ("windmill.dev", "robots.invalid")
"""Windmill's own accounts, and the customers' robots."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """What somebody has now. `workspaces` says of each whether anything was changed; times are aware UTC."""

    email: str
    workspaces: Mapping[str, Done]
    account: Done | None
    token_file: Path
    ends_at: datetime
    replaced: int
    """How many of their tokens of before ended."""


@dataclass(frozen=True, slots=True)
class Dismissed:
    """What somebody had: the workspaces they were in, how many tokens, and the hosts whose door used one."""

    email: str
    workspaces: tuple[str, ...]
    tokens: int
    doors: tuple[str, ...]


def _check_email(email: str) -> str:
    """A person's address, in small letters. Raises: InvalidInput when it is none, or a program's."""
    found = email.strip().lower()
    if not _EMAIL.fullmatch(found):
        raise InvalidInput(f"{email[:80]!r} is no address", next_step="Give one such as ana@agency.example.")
    if found.endswith(tuple(f"@{domain}" for domain in _NOBODY)):
        raise InvalidInput(f"{found} is a program and no person", next_step="Give a person's address.")
    return found


def _require_place(file: Path) -> None:
    """Refuse a file that cannot be written, before there is a secret for it. Raises: UnreadableFile."""
    if file.is_dir() or not file.absolute().parent.is_dir():
        why = "it is a folder" if file.is_dir() else "there is no such folder"
        raise UnreadableFile(
            f"{file} cannot be written: {why}", next_step="Name a file in a folder of yours."
        )


# --- Let in -----------------------------------------------------------------------------------------------


async def admit(
    server: Server,
    email: str,
    token_file: Path,
    *,
    workspaces: Sequence[str] = (),
    ends_at: datetime,
    password: Secret | None = None,
) -> Admitted:
    """Make them an administrator of the workspaces (default: all there are); their token goes into a file.

    The file is for its owner alone, in place of one of before. `password` also makes the account by which
    they enter Windmill's pages. Their token of before ends, others of theirs stay. Refused before anything is
    changed: a server's token that is no superadmin's (PermissionDenied), an address or a workspace that is
    none (InvalidInput), a file that has no folder (UnreadableFile), an account that this build does not make
    or that has another password (Refused). Raises then: Refused when Windmill refuses a step; StateConflict
    when one did not take; UnreadableFile when the disk refuses, and the new token ended.
    """
    email = _check_email(email)
    _require_place(token_file)
    await require_superadmin(server)
    chosen = await _choose(server, workspaces)
    account = None if password is None else await _account(server, email, password)
    joined = {name: await _join(server, name, email) for name in chosen}
    token = await _token(server, email, PERSON, ends_at)
    try:
        await _require_administrator(server, email, chosen, token)
        _keep(token_file, token)
    except PlatformError:
        await end_itself(server, token)
        raise
    replaced = await end_others(server, PERSON, token, of=token)
    return Admitted(email, joined, account, token_file, ends_at, replaced)


async def _require_administrator(server: Server, email: str, chosen: Sequence[str], token: Secret) -> None:
    for name in chosen:
        me = await server.ask("GET", f"/api/w/{name}/users/whoami", token=token)
        if pick(me.body, "is_admin") is not True or pick(me.body, "email") != email:
            raise StateConflict(
                f"{email} was made an administrator of {name} and is none: {me.status} {me.text[:120]}",
                next_step="Look at the workspace's users; another tool may write the same.",
            )


async def _choose(server: Server, wanted: Sequence[str]) -> list[str]:
    there = await _workspaces(server)
    if missing := [name for name in wanted if name not in there]:
        known = ", ".join(there) or "none"
        raise InvalidInput(
            f"{server.url} has no workspace {' and no '.join(missing)}; there are: {known}",
            next_step="Name one of them, or make it: `wmctl instance init`.",
        )
    if not there:
        raise StateConflict(f"{server.url} has no workspace yet", next_step="Run `wmctl instance init`.")
    return list(dict.fromkeys(wanted)) or there


async def _workspaces(server: Server) -> list[str]:
    return [name for name in await list_workspaces(server) if name != ADMINS]


async def _account(server: Server, email: str, password: Secret) -> Done:
    """An account that opens with this password; one that is there keeps its own."""
    known = await _has_account(server, email)
    if not known:
        asked: Json = {"email": email, "password": password.reveal(), "super_admin": False}
        made = await server.ask("POST", "/api/users/create", asked)
        if not made.ok:
            raise Refused(
                f"Windmill makes no account for {email}: {made.status} {made.text[:120]}",
                next_step="The open-source build has none: say it without a password, for wmctl alone. "
                "Nothing was changed.",
            )
    entry = {"email": email, "password": password.reveal()}
    answer = await server.ask("POST", "/api/auth/login", entry, anonymous="yes")
    if not answer.ok:
        raise Refused(
            f"The account of {email} {'has another password' if known else 'does not open'}: {answer.status}",
            next_step="Say it without a password: the account stays as it is. Nothing else was changed.",
        )
    await server.ask("POST", "/api/auth/logout", token=Secret(answer.text.strip('"')))
    return Done.OK if known else Done.CHANGED


async def _has_account(server: Server, email: str) -> bool:
    return (await server.ask("GET", f"/api/users/exists/{email}")).body is True


async def _join(server: Server, workspace: str, email: str) -> Done:
    found = await _member(server, workspace, email)
    if found is None:
        body: dict[str, Json] = {"email": email, "is_admin": True, "operator": False}
        path = f"/api/w/{workspace}/workspaces/add_user"
        require_done(await server.ask("POST", path, body), f"it in {workspace}")
        return Done.CHANGED
    wanted = {"is_admin": True, "operator": False, "disabled": False}
    if all(found.get(name) is value for name, value in wanted.items()):
        return Done.OK
    path = f"/api/w/{workspace}/users/update/{found.get('username')}"
    require_done(await server.ask("POST", path, wanted), f"it in {workspace}")
    return Done.CHANGED


async def _member(server: Server, workspace: str, email: str) -> Mapping[str, Json] | None:
    listed = await _listed(server, f"/api/w/{workspace}/users/list")
    return next((row for row in listed if row.get("email") == email), None)


async def _listed(server: Server, path: str) -> list[Mapping[str, Json]]:
    return rows(require_done(await server.ask("GET", path), f"it at {path}").body)


async def _token(server: Server, email: str, label: str, ends_at: datetime) -> Secret:
    wanted: Json = {"impersonate_email": email, "label": label, "expiration": ends_at.isoformat()}
    return await make_token(server, "impersonate", wanted, next_step="Say it again; what was done stays.")


def _keep(file: Path, token: Secret) -> None:
    try:
        replace_file(file, token.reveal() + "\n", OWN)
    except OSError as error:
        raise UnreadableFile(f"{file} cannot be written: {error.strerror}") from error


# --- Let out ----------------------------------------------------------------------------------------------


async def dismiss(server: Server, email: str, clock: Clock, *, doors_too: bool = False) -> Dismissed:
    """Take them out of every workspace, and end their tokens and their account.

    What they deployed stays, and runs as the customers' robots do. A token that the server has just taken it
    takes for two minutes more. Raises: PermissionDenied when the server's token is no superadmin's;
    InvalidInput; NotFound when they are nowhere; StateConflict when a host's door wakes runners with a token
    that they made, unless `doors_too`, or when they are there again at the end; Refused when Windmill refuses
    a step. A repeat goes on where it broke off.
    """
    email = _check_email(email)
    if await require_superadmin(server) == email:
        raise InvalidInput(f"The token is {email}'s own", next_step="Give another superadmin's token.")
    there = await _workspaces(server)
    members = {name: row for name in there if (row := await _member(server, name, email))}
    theirs = await _token(server, email, LOOK, clock.now() + _LOOK_FOR)
    try:
        held = [row for row in await list_tokens(server, of=theirs) if row.get("label") != LOOK]
        if not members and not held and not await _has_account(server, email):
            raise NotFound(f"{server.url} knows no {email}", next_step=await _others(server, there))
        doors = _doors(held)
        if doors and not doors_too:
            raise _door_needs_another(email, doors)
    except PlatformError:
        await end_itself(server, theirs)
        raise
    for name, row in members.items():
        gone = await server.ask("DELETE", f"/api/w/{name}/users/delete/{row.get('username')}")
        require_done(gone, f"it in {name}")
    require_done(await server.ask("DELETE", f"/api/users/delete/{email}"), "it for the instance")
    if left := [name for name in there if await _member(server, name, email)]:
        raise StateConflict(
            f"{email} was taken out of {' and '.join(left)} and is there again",
            next_step="See what else adds people to it; then say this again.",
        )
    return Dismissed(email, tuple(members), len(held), doors)


def _doors(held: Sequence[Mapping[str, Json]]) -> tuple[str, ...]:
    return tuple(sorted({door for row in held if (door := find_door(row.get("label")))}))


def _door_needs_another(email: str, doors: Sequence[str]) -> StateConflict:
    return StateConflict(
        f"The door of {' and of '.join(doors)} may wake runners with a token that {email} made",
        next_step=f"Make another by your own target: `wmctl secret rotate door-token --host {doors[0]}`. "
        "Then say this with --doors-too.",
    )


async def _others(server: Server, there: Sequence[str]) -> str:
    members = [await _listed(server, f"/api/w/{name}/users/list") for name in there]
    people = {str(row.get("email")) for listed in members for row in listed}
    named = sorted(one for one in people if not one.endswith(_NOBODY))
    return f"There are: {', '.join(named)}." if named else "Nobody is let in there."
