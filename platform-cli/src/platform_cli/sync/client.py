"""The calls that wmctl makes of a Windmill, a method each; what a broken one means says `wire`.

The nine kinds of items share five verbs: `get`, `exists`, `create`, `update`, `delete`. Bodies and answers
are the API's own JSON. Lists are read whole, however many pages they have.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias, cast
from urllib.parse import quote

from platform_cli.sync.items import Json, Key, Kind
from platform_cli.sync.wire import Wire
from platform_core.errors import WindmillDenied

Row: TypeAlias = "dict[str, Json]"
"""One JSON object of a list."""

PER_PAGE = 10_000
_MOST_PAGES = 100

EXPORT: Mapping[str, str] = {
    "archive_type": "tar",
    "include_schedules": "true",
    "include_triggers": "true",
    "skip_workspace_dependencies": "true",
    "preserve_extra_perms": "true",
    "default_ts": "bun",
    "settings_version": "v2",
}
"""What the export is asked for: every kind that is kept in step, secrets as ciphertext, rights of items."""


@dataclass(frozen=True, slots=True)
class _Calls:
    """Where the API has the verbs of one kind, before the item's path."""

    get: str
    exists: str
    create: str
    update: str
    delete: tuple[str, str]


def _usual(noun: str) -> _Calls:
    return _Calls(
        f"{noun}/get", f"{noun}/exists", f"{noun}/create", f"{noun}/update", ("DELETE", f"{noun}/delete")
    )


_OF_KIND: Mapping[Kind, _Calls] = {
    Kind.FOLDER: _usual("folders"),
    Kind.RESOURCE_TYPE: _usual("resources/type"),
    Kind.VARIABLE: _usual("variables"),
    Kind.RESOURCE: _usual("resources"),
    # A script is never changed: a new one takes its place, and names the hash it replaces.
    Kind.SCRIPT: _Calls(
        "scripts/get/p", "scripts/exists/p", "scripts/create", "", ("POST", "scripts/archive/p")
    ),
    Kind.FLOW: _usual("flows"),
    Kind.RAW_APP: _Calls("apps/get/p", "apps/exists", "", "", ("DELETE", "apps/delete")),
    Kind.SCHEDULE: _usual("schedules"),
    Kind.HTTP_TRIGGER: _usual("http_triggers"),
}


class Client(Wire):
    """One workspace of one Windmill. An async context manager.

    Every method may raise what `wire` names. Reads change nothing and are tried again; writes are sent once.
    """

    # --- The server and who asks ---------------------------------------------------------------------------

    async def version(self) -> str:
        """The server's own words, such as `CE v1.743.0`; a build from source names its commit."""
        return (await self.read("version", "read the version")).decode("utf-8", "replace").strip()

    async def whoami(self) -> Row:
        """The token's owner in this workspace: `username`, `is_admin`, `operator`, `groups`, folders."""
        return await self.read_object(self._w("users/whoami"), "read who the token belongs to")

    async def token_ends_at(self) -> datetime | None:
        """When the token ends; None for one without an end, and for one whose end the server does not tell.

        It tells nothing of a superadmin's secret, nor to a token of few scopes.
        """
        query = {"exclude_ephemeral": "true"}
        try:
            listed = await self.rows("users/tokens/list", "list your tokens", query, paged=False)
        except WindmillDenied:
            return None
        mine = (row for row in listed if self.is_begun_by(str(row.get("token_prefix"))))
        ends = next((row.get("expiration") for row in mine), None)
        return datetime.fromisoformat(ends) if isinstance(ends, str) else None

    async def workspaces(self) -> list[Row]:
        """The workspaces of the token's owner."""
        return await self.rows("workspaces/list", "list the workspaces", paged=False)

    async def workspace_exists(self) -> bool:
        """Whether there is this workspace: to a superadmin one that is not there looks like an empty one."""
        body: Json = {"id": self.workspace}
        said = await self.write(
            "POST", "workspaces/exists", f"look for workspace {self.workspace}", body=body
        )
        return said == "true"

    async def custom_tags(self) -> set[str]:
        """The tags that items may carry here."""
        found = await self.read_json("workers/custom_tags", "read the tags of workers")
        return {tag for tag in found if isinstance(tag, str)} if isinstance(found, list) else set()

    async def tags_with_workers(self, tags: Iterable[str]) -> set[str]:
        """Those of these tags that a live worker takes."""
        query = {"tags": ",".join(tags)}
        found = await self.read_json("workers/exists_workers_with_tags", "ask for workers", query=query)
        return {tag for tag, taken in found.items() if taken is True} if isinstance(found, dict) else set()

    async def users(self) -> list[Row]:
        """The workspace's users."""
        return await self.rows(self._w("users/list"), "list the users", paged=False)

    async def add_user(self, email: str, *, operator: bool = True, is_admin: bool = False) -> str:
        """Make somebody a user of the workspace; the name is made from the address."""
        body: Json = {"email": email, "operator": operator, "is_admin": is_admin}
        return await self.write("POST", self._w("workspaces/add_user"), f"add user {email}", body=body)

    async def delete_user(self, username: str) -> str:
        """Take a user out of the workspace."""
        tail = self._w(f"users/delete/{quote(username)}")
        return await self.write("DELETE", tail, f"remove user {username}")

    # --- The whole workspace ------------------------------------------------------------------------------

    async def tarball(self) -> bytes:
        """The export of the whole workspace as a tar; secret variables in it are ciphertext."""
        tail = self._w("workspaces/tarball")
        deed = f"read the export of workspace {self.workspace}"
        return await self.read(tail, deed, query=EXPORT, answer_s=self.patience.export_s)

    async def scripts(self, path_start: str = "") -> list[Row]:
        """Live scripts: `hash`, `created_at`, `has_deploy_errors`; no author."""
        query = {"include_without_main": "true", **_beginning(path_start)}
        return await self.rows(self._w("scripts/list"), "list the scripts", query)

    async def flows(self, path_start: str = "") -> list[Row]:
        """Flows: `edited_by` and `edited_at` of their newest version; no version id."""
        query = {"without_description": "true", **_beginning(path_start)}
        return await self.rows(self._w("flows/list"), "list the flows", query)

    async def apps(self, path_start: str = "") -> list[Row]:
        """Apps of both sorts: `version`, `edited_at`, `raw_app`."""
        return await self.rows(self._w("apps/list"), "list the apps", _beginning(path_start))

    async def schedules(self, path_start: str = "") -> list[Row]:
        """Schedules, without arguments, error and identity: `get` has these."""
        return await self.rows(self._w("schedules/list"), "list the schedules", _beginning(path_start))

    async def http_triggers(self, path_start: str = "") -> list[Row]:
        """HTTP triggers whole, with `permissioned_as` and `edited_at`."""
        return await self.rows(self._w("http_triggers/list"), "list the routes", _beginning(path_start))

    async def resources(self, path_start: str = "", *, resource_type: str = "") -> list[Row]:
        """Resources without their values; of one type, if it is named."""
        query = {**_beginning(path_start), **({"resource_type": resource_type} if resource_type else {})}
        return await self.rows(self._w("resources/list"), "list the resources", query)

    async def resource_types(self) -> list[Row]:
        """Resource types of the workspace, whole."""
        return await self.rows(self._w("resources/type/list"), "list the resource types", paged=False)

    async def variables(self, path_start: str = "") -> list[Row]:
        """Variables with `edited_by` and `edited_at`; secret ones without value."""
        return await self.rows(self._w("variables/list"), "list the variables", _beginning(path_start))

    async def folders(self) -> list[Row]:
        """Folders whole, with owners and rights."""
        return await self.rows(self._w("folders/list"), "list the folders")

    async def drafts(self) -> list[Row]:
        """Everybody's unsaved work; only an administrator is shown that of others."""
        tail = self._w("drafts/list")
        return await self.rows(tail, "list the drafts", {"all_users": "true"}, paged=False)

    async def queued_jobs(self, *kinds: str) -> list[Row]:
        """Jobs that have not ended, of kinds such as `dependencies` and `flowdependencies`."""
        query = {"job_kinds": ",".join(kinds)} if kinds else {}
        return await self.rows(self._w("jobs/queue/list"), "list the waiting jobs", query)

    # --- The verbs of every kind --------------------------------------------------------------------------

    async def get(self, key: Key) -> Row:
        """The item as the API has it now. Raises: WindmillNotFound."""
        return await self.read_object(self._at(_OF_KIND[key.kind].get, key), f"read {key}")

    async def exists(self, key: Key) -> bool:
        """Whether there is such an item, archived ones not counted."""
        return await self.read_json(self._at(_OF_KIND[key.kind].exists, key), f"look for {key}") is True

    async def create(self, key: Key, body: Mapping[str, Json], *, already_encrypted: bool = False) -> str:
        """Make an item; for a script the text is its hash. `body` names its path as the API does.

        Raises: WindmillRefused when it exists, and for a script when `parent_hash` is not the live one.
        """
        tail = self._w(_OF_KIND[key.kind].create) + _encrypted(already=already_encrypted)
        return await self.write("POST", tail, f"create {key}", body=dict(body))

    async def update(self, key: Key, body: Mapping[str, Json], *, already_encrypted: bool = False) -> str:
        """Change an item that exists; a script by a `create` with `parent_hash`, to the same effect."""
        if key.kind is Kind.SCRIPT:
            return await self.write("POST", self._w("scripts/create"), f"update {key}", body=dict(body))
        tail = self._at(_OF_KIND[key.kind].update, key) + _encrypted(already=already_encrypted)
        return await self.write("POST", tail, f"update {key}", body=dict(body))

    async def delete(self, key: Key) -> str:
        """Remove an item; a script is archived, so that its history stays.

        What is gone is no failure for most kinds; for a resource it is a WindmillNotFound.
        """
        method, place = _OF_KIND[key.kind].delete
        return await self.write(method, self._at(place, key), f"delete {key}")

    # --- What only some kinds have ------------------------------------------------------------------------

    async def script(self, script_hash: str) -> Row:
        """One version of a script, archived or not."""
        return await self.read_object(self._w(f"scripts/get/h/{script_hash}"), f"read script {script_hash}")

    async def script_status(self, script_hash: str) -> Row:
        """`lock`, `lock_error_logs`, `job_id`; while its lock job has not ended the first two are null."""
        tail = self._w(f"scripts/deployment_status/h/{script_hash}")
        return await self.read_object(tail, f"read the lock of script {script_hash}")

    async def flow_status(self, path: str) -> Row:
        """`lock_error_logs`: "" has not ended, null is well, else the failure; and `job_id`."""
        tail = self._w(f"flows/deployment_status/p/{quote(path)}")
        return await self.read_object(tail, f"read the lock of flow {path}")

    async def flow_version(self, version: int) -> Row:
        """One version of a flow, whole."""
        return await self.read_object(self._w(f"flows/get/v/{version}"), f"read version {version} of a flow")

    async def history(self, key: Key) -> list[Row]:
        """Versions of a script, a flow or an app, newest first: `script_hash`, or `id`, or `version`."""
        tail = f"{'apps' if key.kind is Kind.RAW_APP else f'{key.kind.value}s'}/history/p"
        return await self.rows(self._at(tail, key), f"read the history of {key}", paged=False)

    async def set_enabled(self, path: str, *, enabled: bool) -> str:
        """Switch a schedule; its identity stays."""
        tail = self._w(f"schedules/setenabled/{quote(path)}")
        return await self.write("POST", tail, f"switch schedule {path}", body={"enabled": enabled})

    async def resource_value(self, path: str) -> Json:
        """A resource's value alone, references left as they are written."""
        return await self.read_json(self._w(f"resources/get_value/{quote(path)}"), f"read resource {path}")

    async def upsert_resource(self, body: Mapping[str, Json]) -> str:
        """Make a resource or put another in its place: value, description and type alike."""
        tail = self._w("resources/create?update_if_exists=true")
        return await self.write("POST", tail, f"write resource {body.get('path')}", body=dict(body))

    async def encrypt(self, value: str) -> str:
        """A text as this workspace would keep it in a secret variable: the same each time."""
        return await self.write("POST", self._w("variables/encrypt"), "encrypt a secret", body=value)

    async def job(self, job_id: str) -> Row:
        """A job, ended or not: `type`, `success`, `result`, `logs`."""
        return await self.read_object(self._w(f"jobs_u/get/{job_id}"), f"read job {job_id}")

    # --- Any other call -----------------------------------------------------------------------------------

    async def request(self, method: str, tail: str, body: Json = None) -> Json:
        """Any call inside the workspace, such as `GET`, `groups/list`. The answer as JSON, else as text."""
        deed = f"{method} {tail.partition('?')[0]}"
        if method == "GET":
            content = await self.read(self._w(tail), deed)
        else:
            content = (await self.write(method, self._w(tail), deed, body=body)).encode()
        try:
            return cast("Json", json.loads(content))
        except ValueError:
            return content.decode("utf-8", "replace")

    async def rows(
        self, tail: str, deed: str, query: Mapping[str, str] | None = None, *, paged: bool = True
    ) -> list[Row]:
        """A list whole, page by page. Raises: NotWindmill when it is no list of objects."""
        found: list[Row] = []
        for page in range(1, _MOST_PAGES + 1):
            place = {"per_page": str(PER_PAGE), "page": str(page)} if paged else {}
            part = await self.read_json(tail, deed, query={**(query or {}), **place})
            if not isinstance(part, list) or not all(isinstance(row, dict) for row in part):
                self.not_understood(deed, "something else than a list")
            found += cast("list[Row]", part)
            if not paged or len(part) < PER_PAGE:
                break
        return found

    # --- Addresses ----------------------------------------------------------------------------------------

    def _w(self, tail: str) -> str:
        return f"w/{quote(self.workspace)}/{tail}"

    def _at(self, place: str, key: Key) -> str:
        return self._w(f"{place}/{quote(_name(key))}")


def _name(key: Key) -> str:
    """An item's path as the API wants it: a folder's is its bare name."""
    return key.path.removeprefix("f/") if key.kind is Kind.FOLDER else key.path


def _beginning(path_start: str) -> dict[str, str]:
    return {"path_start": path_start} if path_start else {}


def _encrypted(*, already: bool) -> str:
    return "?already_encrypted=true" if already else ""
