"""`wmill-lock.yaml`: digests of what the metadata of scripts, flows and apps was made from. Pure.

The official CLI warns by it of metadata that is stale; it does not look at it when it compares. It refuses
another version than v2.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Final

from platform_cli.sync import yaml12
from platform_cli.sync.items import Json
from platform_cli.sync.official import flow_files, raw_apps, script_files
from platform_cli.sync.official.naming import language_by_ending, language_of
from platform_cli.sync.yaml12.order import text_order

_NO_DEPENDENCIES: Final = b"{}"


def lockfile(files: Mapping[str, bytes]) -> str:
    """The text of `wmill-lock.yaml` for a tree of files that has no workspace dependencies."""
    inside = _scripts_inside(files)
    locks: dict[str, Json] = dict(entry for path in files for entry in _script(path, files, inside))
    for folder, scripts in inside.items():
        locks |= {f"{_owner(folder)}+{name}": digest for name, digest in scripts.items()}
        if not folder.endswith(script_files.SUFFIX):
            whole = json.dumps(dict(sorted(scripts.items())), separators=(",", ":"), ensure_ascii=False)
            mark = "__flow_hash" if folder.endswith(flow_files.SUFFIX) else "__app_hash"
            locks[f"{folder}+{mark}"] = _digest(whole.encode())
    return yaml12.dump({"version": "v2", "locks": locks})


def _scripts_inside(files: Mapping[str, bytes]) -> dict[str, dict[str, str]]:
    """The digests of the scripts in each folder of a flow, of a script with modules, or of an app."""
    found: dict[str, dict[str, str]] = {}
    for path, data in files.items():
        for suffix, below in (
            (flow_files.SUFFIX, ""),
            (script_files.SUFFIX, ""),
            (raw_apps.SUFFIX, f"{raw_apps.BACKEND}/"),
        ):
            stem, mark, name = path.partition(f"{suffix}/")
            if not mark:
                continue
            scripts = found.setdefault(f"{stem}{suffix}", {})
            entry = suffix == script_files.SUFFIX and "/" not in name and name.startswith("script.")
            if name.startswith(below) and not entry and language_by_ending(name):
                scripts[name.removeprefix(below)] = _digest(data, _NO_DEPENDENCIES)
    return found


def _script(
    path: str, files: Mapping[str, bytes], inside: Mapping[str, dict[str, str]]
) -> Iterator[tuple[str, str]]:
    """The entry of a script, if the file is the text of one."""
    folder, _, name = path.rpartition("/")
    stem, _, extension = name.partition(".")
    if not language_of(extension):
        return
    in_folder = folder.endswith(script_files.SUFFIX) and stem == "script"
    owner = folder.removesuffix(script_files.SUFFIX) if in_folder else f"{folder}/{stem}"
    metadata = files.get(f"{folder}/script.yaml" if in_folder else f"{owner}.script.yaml")
    if metadata is None:
        return
    digest = _digest(_NO_DEPENDENCIES, files[path], metadata)
    modules = inside.get(f"{owner}{script_files.SUFFIX}")
    if not modules:
        yield owner, digest
        return
    entries = [[name, modules[name]] for name in sorted(modules, key=text_order)]
    yield (
        f"{owner}+__script_hash",
        _digest(digest.encode(), json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()),
    )


def _owner(folder: str) -> str:
    """Whose the entries of a folder are: a script's own path, or the folder of a flow or an app."""
    return folder.removesuffix(script_files.SUFFIX)


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()
