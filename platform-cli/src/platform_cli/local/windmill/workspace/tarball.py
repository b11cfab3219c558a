"""The export of a whole workspace as one tar, byte for byte as the server writes each file.

Only the order of the files is ours: by kind, then by path, so that two exports of the same items are equal.
"""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping

from platform_cli.local.windmill.answers import HttpAnswer
from platform_cli.local.windmill.workspace import (
    apps,
    flows,
    folders,
    http_triggers,
    resource_types,
    resources,
    schedules,
    scripts,
)
from platform_cli.local.windmill.workspace.rows import Row, Table, filled, to_json, words
from platform_cli.local.windmill.workspace.sealing import unseal
from platform_cli.local.windmill.workspace.visits import Visit, needs_admin, refused

_DROPPED = words(
    "workspace_id path name versions id created_at updated_at created_by updated_by edited_at edited_by "
    "permissioned_as archived error last_server_ping server_id raw_app"
)
_BLOCK, _NAME_WIDTH = 512, 100
_ENDINGS = {
    "python3": "py",
    "go": "go",
    "bash": "sh",
    "powershell": "ps1",
    "postgresql": "pg.sql",
    "mysql": "my.sql",
    "bigquery": "bq.sql",
    "snowflake": "sf.sql",
    "mssql": "ms.sql",
    "duckdb": "duckdb.sql",
    "graphql": "gql",
    "nativets": "fetch.ts",
    "php": "php",
    "rust": "rs",
    "ansible": "playbook.yml",
    "csharp": "cs",
    "nu": "nu",
    "oracledb": "odb.sql",
    "java": "java",
    "ruby": "rb",
    "rlang": "r",
}
_META_ALWAYS = ("summary", "description", "schema", "lock", "kind")
_META = words(
    "envs cache_ttl dedicated_worker priority tag timeout delete_after_secs restart_unless_cancelled "
    "visible_to_runner_only codebase has_preprocessor on_behalf_of_email modules concurrency_key "
    "concurrent_limit concurrency_time_window_s labels"
)
_SETTINGS = {
    "error_handler": None,
    "success_handler": None,
    "name": "",
    "operator_settings": dict.fromkeys(
        words("runs assets groups folders workers triggers resources schedules variables audit_logs"),
        True,
    ),
    "slack_oauth_client_id": None,
    "slack_oauth_client_secret": None,
}

File = tuple[str, str]


def get(visit: Visit) -> HttpAnswer:
    """The export the query asks for. Who is no administrator gets what they may see, without a word."""
    kind = visit.parameter("archive_type") or "tar"
    if kind not in {"tar", "zip"}:
        raise refused(f"Invalid Archive Type {kind}")
    if visit.flag("include_key"):
        needs_admin(visit)
    headers = (
        ("content-type", "application/x-tar"),
        ("content-disposition", f'attachment; filename="windmill-{visit.workspace.id}.{kind}"'),
    )
    tar = archived(visit)
    return HttpAnswer(200, headers, tar if kind == "tar" else _zipped(tar))


def _zipped(tar: bytes) -> bytes:
    """The same files as a zip, which the official command line asks for."""
    written = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(tar)) as files,
        zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        for member in files:
            content = files.extractfile(member)
            entry = zipfile.ZipInfo(member.name)
            entry.external_attr = 0o777 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content.read() if content else b"")
    return written.getvalue()


def archived(visit: Visit) -> bytes:
    """The tar."""
    return b"".join([*_chunks(visit), bytes(2 * _BLOCK)])


def _chunks(visit: Visit) -> Iterator[bytes]:
    workspace = visit.workspace
    yield from _each(visit, workspace.folders, _folder, lambda key: f"f/{key}/")
    live = {row["hash"] for row in scripts.latest_by_path(visit).values() if not row["archived"]}
    yield from _each(visit, workspace.scripts, _script(visit), lambda key: key if key in live else "")
    if not visit.flag("skip_resources"):
        yield from _each(visit, workspace.resources, _resource)
    if not visit.flag("skip_resource_types"):
        yield from _each(visit, workspace.resource_types, _resource_type, lambda _: "*")
    yield from _each(visit, workspace.flows, _flow(visit))
    if not visit.flag("skip_variables"):
        yield from _variables(visit)
    yield from _each(visit, workspace.apps, _app(visit))
    if visit.flag("include_schedules"):
        yield from _each(visit, workspace.schedules, _schedule)
    if visit.flag("include_triggers"):
        yield from _each(visit, workspace.http_triggers, _http_trigger)
    for path, content in _of_the_workspace(visit):
        yield _entry(path, content)


def _each(
    visit: Visit,
    table: Table,
    files: Callable[[Row], list[File]],
    place: Callable[[str], str] = lambda key: key,
) -> Iterator[bytes]:
    """What a table's rows are in the tar, each made once and kept until the row changes."""
    variant = f"{visit.parameter('preserve_extra_perms')}:{visit.parameter('default_ts')}:"
    found: list[tuple[str, bytes]] = []
    for key, row in table.items():
        at = place(key)
        if not at or not (
            at == "*" or visit.caller.is_admin or visit.sees(row.get("path", at), row["extra_perms"])
        ):
            continue
        kept = table.exported.get(key)
        if kept is None or not kept.startswith(variant.encode()):
            kept = variant.encode() + b"".join(_entry(path, content) for path, content in files(row))
            table.exported[key] = kept
        found.append((str(row.get("path", key)), kept[len(variant) :]))
    found.sort(key=lambda pair: pair[0])
    return iter([chunk for _, chunk in found])


def _entry(path: str, content: str) -> bytes:
    """One file of a GNU tar, with the server's modes and times."""
    body, name = content.encode("utf-8", "surrogatepass"), path.encode()
    padding = bytes(-len(body) % _BLOCK)
    long = b""
    if len(name) > _NAME_WIDTH:
        link = name + b"\0"
        long = _header(b"././@LongLink", len(link), b"L", 0o644) + link + bytes(-len(link) % _BLOCK)
    return long + _header(name[:_NAME_WIDTH], len(body), b"\0", 0o777) + body + padding


def _header(name: bytes, size: int, kind: bytes, mode: int) -> bytes:
    numbers = f"{mode:07o}\0{0:07o}\0{0:07o}\0{size:011o}\0{0:011o}\0".encode()
    start, end = name.ljust(_NAME_WIDTH, b"\0") + numbers, kind.ljust(101, b"\0") + b"ustar  \0"
    whole = (start + b" " * 8 + end).ljust(_BLOCK, b"\0")
    checksum = f"{sum(whole):07o}\0".encode()
    return (start + checksum + end).ljust(_BLOCK, b"\0")


def stripped(shown: Mapping[str, object], *, keep_rights: str = "drop") -> Row:
    """A row without what the export leaves out, in the order that the server's way of removing leaves.

    Removing puts the last key into the place of the removed one. `keep_rights` is `always`, `if_any`, `drop`.
    """
    names = list(shown)
    rights = shown.get("extra_perms")
    dropped = [*_DROPPED]
    if keep_rights == "drop" or (keep_rights == "if_any" and not rights):
        dropped.append("extra_perms")
    if shown.get("default_permissioned_as") == []:
        dropped.append("default_permissioned_as")
    for name in dropped:
        if name in names:
            at, last = names.index(name), names.pop()
            if at < len(names):
                names[at] = last
    return {name: shown[name] for name in names}


def _rights(visit: Visit) -> str:
    return "if_any" if visit.flag("preserve_extra_perms") else "drop"


# --- Files of one item ------------------------------------------------------------------------------------


def _folder(row: Row) -> list[File]:
    content = to_json(stripped(folders.show(row), keep_rights="always"), pretty=True)
    return [(f"f/{row['name']}/folder.meta.json", content)]


def _script(visit: Visit) -> Callable[[Row], list[File]]:
    bun_first, rights = visit.parameter("default_ts") == "bun", _rights(visit)

    def files(row: Row) -> list[File]:
        meta = filled(row, _META_ALWAYS, _META)
        if rights == "if_any" and row["extra_perms"]:
            meta["extra_perms"] = row["extra_perms"]
        ending = _ending(row["language"], bun_first=bun_first)
        return [
            (f"{row['path']}.{ending}", row["content"]),
            (f"{row['path']}.script.json", to_json(meta, pretty=True)),
        ]

    return files


def _ending(language: str, *, bun_first: bool) -> str:
    if language in {"bun", "bunnative"}:
        return "ts" if bun_first else "bun.ts"
    if language == "deno":
        return "deno.ts" if bun_first else "ts"
    return _ENDINGS[language]


def _resource(row: Row) -> list[File]:
    if not resources.is_exported(row):
        return []
    always = ("workspace_id", "path", "value", "description", "resource_type", "extra_perms", "created_by")
    shown = filled(row, (*always, "edited_at"), ("labels",))
    return [(f"{row['path']}.resource.json", to_json(stripped(shown), pretty=True))]


def _resource_type(row: Row) -> list[File]:
    content = to_json(stripped(resource_types.show(row)), pretty=True)
    return [(f"{row['name']}.resource-type.json", content)]


def _flow(visit: Visit) -> Callable[[Row], list[File]]:
    def files(row: Row) -> list[File]:
        if row["archived"]:
            return []
        shown = flows.show(row, flows.newest_version(visit.workspace, row))
        if shown["schema"] is not None:
            shown["schema"] = _read(shown["schema"].text)
        return [
            (f"{row['path']}.flow.json", to_json(stripped(shown, keep_rights=_rights(visit)), pretty=True))
        ]

    return files


def _read(text: str) -> object:
    value: object = json.loads(text)
    return value


def _variables(visit: Visit) -> Iterator[bytes]:
    plain = visit.flag("plain_secret") or visit.flag("plain_secrets")
    secrets = not visit.flag("skip_secrets")
    rows = sorted(visit.workspace.variables, key=lambda row: str(row["path"]))
    for row in rows:
        if (row["is_secret"] and not secrets) or not visit.sees(row["path"], row["extra_perms"]):
            continue
        shown = filled(
            row,
            ("workspace_id", "path", "value", "is_secret", "description", "extra_perms"),
            ("account", "labels"),
        )
        if plain and row["is_secret"]:
            shown["value"] = unseal(visit.workspace.key, row["value"])
        yield _entry(f"{row['path']}.variable.json", to_json(stripped(shown), pretty=True))


def _app(visit: Visit) -> Callable[[Row], list[File]]:
    def files(row: Row) -> list[File]:
        shown = apps.show(row, apps.newest_version(visit.workspace, row))
        kind = "raw_app" if row["raw_app"] else "app"
        policy = {
            name: item
            for name, item in row["policy"].items()
            if name not in {"on_behalf_of", "on_behalf_of_email"}
        }
        content = stripped({**shown, "policy": policy}, keep_rights=_rights(visit))
        return [(f"{row['path']}.{kind}.json", to_json(content, pretty=True))]

    return files


def _schedule(row: Row) -> list[File]:
    return [(f"{row['path']}.schedule.json", to_json(stripped(schedules.show(row)), pretty=True))]


def _http_trigger(row: Row) -> list[File]:
    return [(f"{row['path']}.http_trigger.json", to_json(stripped(http_triggers.show(row)), pretty=True))]


def _of_the_workspace(visit: Visit) -> Iterator[File]:
    workspace = visit.workspace
    if visit.flag("include_users"):
        for row in workspace.members:
            role = "admin" if row["is_admin"] else "operator" if row["operator"] else "developer"
            user = {"username": row["username"], "role": role, "disabled": row["disabled"]}
            yield f"users/{row['email']}.user.json", to_json(user, pretty=True)
    if visit.flag("include_groups"):
        for row in workspace.groups:
            if row["name"] != "all":
                yield f"groups/{row['name']}.group.json", to_json(_group(row), pretty=True)
    if visit.flag("include_settings"):
        yield "settings.json", to_json({**_SETTINGS, "name": workspace.name}, pretty=True)
    if visit.flag("include_key"):
        yield "encryption_key.json", to_json(workspace.key)


def _group(row: Row) -> Row:
    admins = [who.removeprefix("u/") for who, may in row["extra_perms"].items() if may]
    return {"admins": admins, "summary": row["summary"], "members": [*row["members"]]}
