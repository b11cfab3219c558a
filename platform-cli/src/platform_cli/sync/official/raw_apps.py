"""Raw apps as whole items: their canonical value, and their files in the official CLI's layout. Pure.

A value holds `files` (frontend, by path), `runnables` (what the frontend may call) and perhaps `data`. Of a
runnable's own script the files keep text, language and lock; the policy is worked out anew by whoever
deploys.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Final

from platform_cli.sync import yaml12
from platform_cli.sync.items import Item, Json, Key
from platform_cli.sync.official import references
from platform_cli.sync.official.naming import Names, inline_extension, inline_language
from platform_core.errors import InvalidInput

SUFFIX: Final = "__raw_app"
_FILE: Final = "raw_app.yaml"
BACKEND: Final = "backend"
_RECORDINGS: Final = "recordings"
_NEVER_FILES: Final = frozenset({"package-lock.json", "DATATABLES.md", "AGENTS.md", "wmill.d.ts"})
_NEVER_FOLDERS: Final = frozenset({"node_modules", "dist", ".claude", "sql_to_apply"})
_BY_PATH: Final = frozenset({"script", "hubscript", "flow"})
_JAVASCRIPT: Final = ("expr", "allowUserResources")
_ACCESS: Final = {"anonymous": "public", "guest": "guests"}

JsonObject = dict[str, Json]


def settled_app(value: Mapping[str, Json]) -> JsonObject:
    """The `value` of a raw app in canonical form; idempotent."""
    settled: JsonObject = {name: item for name, item in value.items() if name != "data" or item}
    files, runnables = value.get("files"), value.get("runnables")
    settled["files"] = {
        path: text for path, text in (files if isinstance(files, dict) else {}).items() if _is_deployed(path)
    }
    settled["runnables"] = {
        name: _runnable(runnable) if isinstance(runnable, dict) else runnable
        for name, runnable in (runnables if isinstance(runnables, dict) else {}).items()
    }
    return settled


def mark_access(value: JsonObject) -> None:
    """Say who may open the app as its files do: by `public` or `guests`, in place of the policy."""
    policy = value.pop("policy", None)
    marker = _ACCESS.get(str(policy.get("execution_mode"))) if isinstance(policy, dict) else None
    if marker is not None:
        value[marker] = True


def app_files(item: Item) -> dict[str, bytes]:
    """The files of a raw app. Raises: InvalidInput for a file that would stand outside its folder."""
    folder = f"{item.key.path}{SUFFIX}"
    meta: JsonObject = {name: part for name, part in item.value.items() if name != "value"}
    value = item.value.get("value")
    value = value if isinstance(value, dict) else {}
    files: dict[str, bytes] = {}
    for path, text in _mapping(value.get("files")).items():
        files[_inside(folder, path.removeprefix("/"), item.key)] = str(text).encode()
    runnables = _mapping(value.get("runnables"))
    names = _script_names(runnables)
    for name, runnable in runnables.items():
        files |= _runnable_files(f"{folder}/{BACKEND}", name, names.get(name), runnable, item.key)
    if value.get("data"):
        meta["data"] = value["data"]
    files[f"{folder}/{_FILE}"] = yaml12.dump(meta).encode()
    return files


def main_file(key: Key) -> str:
    """The file that holds a raw app's metadata."""
    return f"{key.path}{SUFFIX}/{_FILE}"


def read_app(key: Key, fields: JsonObject, files: Mapping[str, bytes]) -> JsonObject:
    """A raw app's value: its metadata with everything in its folder.

    Raises: InvalidInput naming file, line and what was expected.
    """
    folder = f"{key.path}{SUFFIX}/"
    inside = {path.removeprefix(folder): path for path in sorted(files) if path.startswith(folder)}
    meta = dict(fields)
    value: JsonObject = {
        "files": {
            f"/{name}": references.decoded(path, files[path])
            for name, path in inside.items()
            if _is_deployed(f"/{name}")
        },
        "runnables": _read_runnables(inside, files),
    }
    if "data" in meta:
        value["data"] = meta.pop("data")
    return {**meta, "value": value}


def _is_deployed(path: str) -> bool:
    """Whether a file, by its path from `/`, belongs to the app at all."""
    *folders, name = [part for part in path.split("/") if part]
    if name in _NEVER_FILES or path == f"/{_FILE}":
        return False
    return not _NEVER_FOLDERS.intersection(folders) and folders[:1] not in ([BACKEND], [_RECORDINGS])


def _runnable(runnable: JsonObject) -> JsonObject:
    settled: JsonObject = {
        name: item for name, item in runnable.items() if item is not None and name != "inlineScript"
    }
    if isinstance(settled.get("fields"), dict):
        settled["fields"] = _fields(settled["fields"])
    script = runnable.get("inlineScript")
    if isinstance(script, dict):
        settled["type"] = "inline"
        if script.get("content"):
            kept: JsonObject = {name: script[name] for name in ("content", "lock") if script.get(name)}
            language = inline_language(inline_extension(str(script.get("language"))))
            kept["language"] = language or script.get("language")
            settled["inlineScript"] = kept
    elif settled.get("type") in _BY_PATH:
        settled |= {"type": "path", "runType": settled["type"]}
    if settled.get("type") == "path":
        settled.pop("schema", None)
    return settled


def _fields(fields: Json) -> JsonObject:
    """Where each input comes from, as briefly as the files say it, without those that the user types."""
    settled: JsonObject = {}
    for name, field in _mapping(fields).items():
        match field:
            case {"type": "static", "value": value}:
                settled[name] = {"value": value}
            case {"type": "javascript"}:
                given = _mapping(field)
                settled[name] = {part: given[part] for part in _JAVASCRIPT if part in given}
            case {"type": "ctx", "ctx": context}:
                settled[name] = {"ctx": context}
            case {"type": "user"}:
                pass
            case _:
                settled[name] = field
    return settled


def _script_names(runnables: JsonObject) -> dict[str, str]:
    """The file name of each runnable that holds a script, given in the order of the official files."""
    names = Names(unnamed="runnable", keep_case=True)
    return {
        name: names.take(name)
        for name in sorted(runnables, key=yaml12.name_order)
        if isinstance(runnable := runnables[name], dict) and runnable.get("type") == "inline"
    }


def _runnable_files(
    folder: str, name: str, script_name: str | None, runnable: Json, key: Key
) -> dict[str, bytes]:
    written = dict(_mapping(runnable))
    script = _mapping(written.pop("inlineScript", None))
    if written.get("type") == "path" and "runType" in written:
        written["type"] = written.pop("runType")
    files = {_inside(folder, f"{name}.yaml", key): yaml12.dump(written).encode()}
    if script:
        references.refuse_reference(script["content"], f"{key}, runnable {name}")
        file = f"{script_name}.{inline_extension(str(script['language']))}"
        files[_inside(folder, file, key)] = str(script["content"]).encode()
        if script.get("lock"):
            files[_inside(folder, f"{script_name}.lock", key)] = str(script["lock"]).encode()
    return files


def _read_runnables(inside: Mapping[str, str], files: Mapping[str, bytes]) -> JsonObject:
    backend = {
        name.removeprefix(f"{BACKEND}/"): path
        for name, path in inside.items()
        if name.startswith(f"{BACKEND}/")
    }
    runnables: JsonObject = {
        name.removesuffix(".yaml"): references.fields(path, files)
        for name, path in backend.items()
        if name.endswith(".yaml")
    }
    for name, script_name in _script_names(runnables).items():
        for file, path in backend.items():
            language = (
                inline_language(file.removeprefix(f"{script_name}."))
                if file.startswith(f"{script_name}.")
                else None
            )
            if language is not None:
                script: JsonObject = {"content": references.decoded(path, files[path]), "language": language}
                if f"{script_name}.lock" in backend:
                    script["lock"] = references.decoded(path, files[backend[f"{script_name}.lock"]])
                runnables[name] = {**_mapping(runnables[name]), "inlineScript": script}
    return runnables


def _mapping(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _inside(folder: str, name: str, key: Key) -> str:
    path = posixpath.normpath(f"{folder}/{name}")
    if not path.startswith(f"{folder}/") or "\\" in name or "\0" in name:
        raise InvalidInput(
            f"{key}: its file {name!r} would stand outside {folder}", next_step="Rename it in Windmill."
        )
    return path
