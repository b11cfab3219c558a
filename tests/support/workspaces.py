"""A customer's folder in the stand-in of Windmill's workspace, and what reads and keeps state in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from typing import Any, TypeVar

from platform_cli.sync.client import Client
from platform_cli.sync.items import Json, Key, Kind, Scope
from tests.support.windmill_workspace import Api, Person, StandIn, standing

ACME = Scope("acme", frozenset({"c_ycloud"}))
SCHEMA: Json = {"type": "object", "properties": {}, "required": []}
HELLO = Key(Kind.SCRIPT, "f/acme/hello")
FLOW = Key(Kind.FLOW, "f/acme/review")
CRON = Key(Kind.SCHEDULE, "f/acme/cron")
ROUTE = Key(Kind.HTTP_TRIGGER, "f/acme/hook")
SECRET = Key(Kind.VARIABLE, "f/acme/secret")
_T = TypeVar("_T")


def calling(windmill: StandIn, work: Callable[[Client], Coroutine[Any, Any, _T]], *, token: str = "") -> _T:
    """The result of work with a client of the workspace `prod`."""

    async def whole() -> _T:
        async with Client(windmill.url, "prod", token or windmill.admin_token, pause=_instantly) as client:
            return await work(client)

    return asyncio.run(whole())


async def _instantly(_seconds: float) -> None:
    return


@contextmanager
def furnished(**standing_options: Any) -> Iterator[StandIn]:
    """A workspace with one item of each kind in f/acme, its robot, and another customer's folder."""
    with standing(**standing_options) as windmill:
        with api(windmill) as calls:
            _furnish(calls)
        yield windmill


@contextmanager
def person(windmill: StandIn, name: str = "ana") -> Iterator[Person]:
    """An administrator who works in the editor meanwhile."""
    one = Person(windmill, name)
    with closing(one.api):
        yield one


@contextmanager
def api(windmill: StandIn) -> Iterator[Api]:
    """Plain calls with the superadmin's token."""
    with closing(Api(windmill)) as one:
        yield one


def robot_token(windmill: StandIn, name: str = "acme") -> str:
    """A token of the customer's robot."""
    body = {"impersonate_email": f"robot-{name}@robots.invalid", "label": "r", "expiration": None}
    with api(windmill) as calls:
        return calls.post("/api/users/tokens/impersonate", body)


def _furnish(calls: Api) -> None:
    as_robot = {"permissioned_as": "u/robotacme", "preserve_permissioned_as": True}
    for name in ("acme", "other"):
        email = f"robot-{name}@robots.invalid"
        calls.post("workspaces/add_user", {"email": email, "operator": True, "is_admin": False})
        calls.post("folders/create", {"name": name, "extra_perms": {f"u/robot{name}": False}})
    script = {"summary": "", "description": "", "language": "python3", "schema": SCHEMA, "lock": "\n"}
    for path in ("f/acme/hello", "f/other/hello"):
        calls.post("scripts/create", {**script, "path": path, "content": "def main():\n    return 1\n"})
    step = {"id": "a", "value": {"type": "script", "path": "f/acme/hello", "input_transforms": {}}}
    calls.post(
        "flows/create",
        {"path": FLOW.path, "summary": "Review", "value": {"modules": [step]}, "schema": SCHEMA},
    )
    runs = {"script_path": "f/acme/hello", "is_flow": False, **as_robot}
    calls.post(
        "schedules/create",
        {
            "path": CRON.path,
            "schedule": "0 0 5 * * *",
            "timezone": "America/Lima",
            "enabled": True,
            "args": {},
            **runs,
        },
    )
    calls.post(
        "http_triggers/create",
        {
            "path": ROUTE.path,
            "route_path": "acme/hook",
            "request_type": "sync",
            "authentication_method": "none",
            "http_method": "post",
            "is_static_website": False,
            **runs,
        },
    )
    for path in ("f/acme/secret", "f/other/secret"):
        secret = {"path": path, "value": f"not-a-real-secret of {path}", "is_secret": True, "description": ""}
        calls.post("variables/create", secret)
    calls.post(
        "variables/create", {"path": "f/acme/plain", "value": "v", "is_secret": False, "description": ""}
    )
    calls.post("resources/type/create", {"name": "c_ycloud", "schema": {"type": "object"}, "description": ""})
    account = {"api_key": "$var:f/acme/secret"}
    calls.post("resources/create", {"path": "f/acme/ycloud", "value": account, "resource_type": "c_ycloud"})
