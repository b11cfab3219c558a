"""An export put into a stand-in: the files of a tarball become items again.

Everything goes through the verbs a caller would use, in the order of a deploy. A secret's ciphertext is kept
as it is: what sealed it was another key, so it can be compared and not opened.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

from platform_cli.local.windmill.loopback import Asked
from platform_cli.local.windmill.workspace.rows import Row
from platform_cli.local.windmill.workspace.standin import StandIn
from platform_core.errors import InvalidInput

_DONE = frozenset({200, 201})
_HEADERS = ("content-type", "application/json")
_LANGUAGES = {
    "py": "python3",
    "ts": "bun",
    "deno.ts": "deno",
    "go": "go",
    "sh": "bash",
    "ps1": "powershell",
    "pg.sql": "postgresql",
    "my.sql": "mysql",
    "php": "php",
    "rs": "rust",
}
_KINDS: tuple[tuple[str, str], ...] = (
    (".resource-type.json", "resources/type/create"),
    (".variable.json", "variables/create?already_encrypted=true"),
    (".resource.json", "resources/create"),
    (".script.json", "scripts/create"),
    (".flow.json", "flows/create"),
    (".schedule.json", "schedules/create"),
    (".http_trigger.json", "http_triggers/create"),
)


def read_export(source: Path | bytes) -> dict[str, str]:
    """The files of an export, a folder or a tar, by their paths."""
    if isinstance(source, Path):
        files = sorted(path for path in source.rglob("*") if path.is_file())
        return {path.relative_to(source).as_posix(): path.read_text(encoding="utf-8") for path in files}
    found: dict[str, str] = {}
    with tarfile.open(fileobj=io.BytesIO(source)) as tar:
        for member in tar.getmembers():
            content = tar.extractfile(member)
            if content is not None:
                found[member.name] = content.read().decode("utf-8")
    return found


def fill(standin: StandIn, files: Mapping[str, str], workspace: str = "prod") -> None:
    """Make the items of an export in an empty workspace. Schedules and routes run as the folder's robot.

    Raises: InvalidInput naming the file that was refused.
    """
    for name, content in files.items():
        if name.endswith(".user.json"):
            _add_member(standin, workspace, name, json.loads(content))
    for name, content in files.items():
        if name.endswith("/folder.meta.json"):
            _make(
                standin,
                workspace,
                name,
                "folders/create",
                {**json.loads(content), "name": name.split("/")[1]},
            )
    for ending, tail in _KINDS:
        for name, content in files.items():
            if name.endswith(ending):
                path = name.removesuffix(ending)
                _make(standin, workspace, name, tail, _body(ending, path, json.loads(content), files))


def _body(ending: str, path: str, value: Row, files: Mapping[str, str]) -> Row:
    match ending:
        case ".resource-type.json":
            return {**value, "name": path}
        case ".script.json":
            found = next(one for one in files if one.startswith(f"{path}.") and not one.endswith(".json"))
            language = _LANGUAGES.get(found.removeprefix(f"{path}."), "bash")
            return {**value, "path": path, "content": files[found], "language": language}
        case ".schedule.json" | ".http_trigger.json":
            robot = f"u/robot{path.split('/')[1]}"
            return {**value, "path": path, "permissioned_as": robot, "preserve_permissioned_as": True}
        case _:
            return {**value, "path": path}


def _add_member(standin: StandIn, workspace: str, name: str, value: Row) -> None:
    email = name.removeprefix("users/").removesuffix(".user.json")
    roles = {"email": email, "is_admin": value["role"] == "admin", "operator": value["role"] == "operator"}
    if all(row["email"] != email for row in standin.workspace(workspace).members):
        _make(standin, workspace, name, "workspaces/add_user", roles)


def _make(standin: StandIn, workspace: str, name: str, tail: str, body: Row) -> None:
    path, _, query = tail.partition("?")
    headers = (_HEADERS, ("authorization", f"Bearer {standin.admin_token}"))
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    answer = standin.answer(Asked("POST", f"/api/w/{workspace}/{path}", query, headers, text))
    if answer.status not in _DONE:
        raise InvalidInput(
            f"{name} cannot be put into the stand-in: {answer.status} {answer.body.decode()[:200]}"
        )
