"""Items as the files of the official CLI, and back: which files an item has, what they hold, a whole tree.

Paths are relative to the root that holds `wmill.yaml`, with `/`. Everything but `read_tree` and
`write_tree` is pure. What is written is what the official CLI writes for the same export.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path
from typing import Final

from platform_cli.sync import yaml12
from platform_cli.sync.items import Item, Json, Key, Kind, Tree, tree_of
from platform_cli.sync.official import flow_files, raw_apps, references, resource_files, script_files
from platform_cli.sync.official.canonical import canonical
from platform_cli.sync.official.lockfile import lockfile
from platform_cli.sync.official.naming import language_of
from platform_core.errors import InvalidInput

WMILL_YAML: Final = """\
defaultTs: bun
includes:
  - f/**
excludes: []
nonDottedPaths: true
syncBehavior: v1
skipSecrets: true
includeSchedules: true
includeTriggers: true
"""

_FILE_OF: Final = {
    Kind.FOLDER: "/folder.meta.yaml",
    Kind.SCHEDULE: ".schedule.yaml",
    Kind.HTTP_TRIGGER: ".http_trigger.yaml",
    Kind.VARIABLE: ".variable.yaml",
    Kind.RESOURCE_TYPE: ".resource-type.yaml",
}
_KIND_OF: Final = {
    **{suffix: kind for kind, suffix in _FILE_OF.items() if kind is not Kind.RESOURCE_TYPE},
    resource_files.SUFFIX: Kind.RESOURCE,
    ".script.yaml": Kind.SCRIPT,
    ".script.lock": Kind.SCRIPT,
}
_KIND_OF_FOLDER: Final = {
    flow_files.SUFFIX: Kind.FLOW,
    script_files.SUFFIX: Kind.SCRIPT,
    raw_apps.SUFFIX: Kind.RAW_APP,
    resource_files.FILESET_SUFFIX: Kind.RESOURCE,
}
_READERS: Final[Mapping[Kind, Callable[[Key, dict[str, Json], Mapping[str, bytes]], dict[str, Json]]]] = {
    Kind.SCRIPT: script_files.read_script,
    Kind.FLOW: flow_files.read_flow,
    Kind.RAW_APP: raw_apps.read_app,
    Kind.RESOURCE: resource_files.read_resource,
}
_ROOTS: Final = ("f/", "u/", "g/")
_FOLDERS: Final = re.compile(r"(__flow|__mod|__raw_app|__app|__dbt|\.fileset)/")


def files_of(item: Item, types: Mapping[str, str] | None = None) -> dict[str, bytes]:
    """The files of one item, by their paths. `types` is what `resource_files.file_types` gives.

    Raises: InvalidInput for a script that the server lost, or a file that would stand outside its folder.
    """
    match item.key.kind:
        case Kind.SCRIPT:
            return script_files.script_files(item)
        case Kind.FLOW:
            return flow_files.flow_files(item)
        case Kind.RAW_APP:
            return raw_apps.app_files(item)
        case Kind.RESOURCE:
            return resource_files.resource_files(item, types or {})
        case kind:
            return {f"{item.key.path}{_FILE_OF[kind]}": yaml12.dump(item.value).encode()}


def read_item(key: Key, files: Mapping[str, bytes]) -> Item:
    """One item from its files. Files of others may be among them.

    Raises: InvalidInput naming file, line and what was expected.
    """
    return item_of(key, references.fields(main_file(key, files), files), files)


def item_of(key: Key, fields: dict[str, Json], files: Mapping[str, bytes]) -> Item:
    """One item whose main file was parsed already. `fields` is what it says; do not use it afterwards.

    Raises: as `read_item`.
    """
    read = _READERS.get(key.kind)
    return Item(key, canonical(key.kind, fields if read is None else read(key, fields, files)))


def main_file(key: Key, files: Container[str] = ()) -> str:
    """The one file that an item cannot be without: among `files`, where it may have one of two names."""
    in_folder = script_files.main_file(key, in_folder=True)
    match key.kind:
        case Kind.SCRIPT:
            return in_folder if in_folder in files else script_files.main_file(key, in_folder=False)
        case Kind.FLOW:
            return flow_files.main_file(key)
        case Kind.RAW_APP:
            return raw_apps.main_file(key)
        case Kind.RESOURCE:
            return resource_files.main_file(key)
        case kind:
            return f"{key.path}{_FILE_OF[kind]}"


def key_of(path: str) -> Key | None:
    """Whose file this is; None for a file of no item that is kept in step."""
    folder, _, name = path.rpartition("/")
    if not path.startswith(_ROOTS):
        type_name = name.removesuffix(_FILE_OF[Kind.RESOURCE_TYPE])
        return Key(Kind.RESOURCE_TYPE, type_name) if not folder and type_name != name else None
    found = _FOLDERS.search(path)
    if found is not None:
        kind = _KIND_OF_FOLDER.get(found[1])
        return Key(kind, path[: found.start()]) if kind else None
    if name == "folder.meta.yaml":
        return Key(Kind.FOLDER, folder)
    stem, _, extension = name.partition(".")
    kind = _KIND_OF.get(f".{extension}") or (Kind.SCRIPT if language_of(extension) else None)
    if extension.startswith("resource.file."):
        kind = Kind.RESOURCE
    return Key(kind, f"{folder}/{stem}") if kind else None


def read_tree(root: Path) -> Tree:
    """The items of a tree on disk. Folders whose name begins with a dot are not looked into.

    Raises: InvalidInput naming file, line and what was expected, or a symbolic link; OSError.
    """
    found: dict[Key, dict[str, bytes]] = {}
    for name, path in _files(root):
        key = key_of(name)
        if key is not None:
            found.setdefault(key, {})[name] = path.read_bytes()
    return tree_of(read_item(key, files) for key, files in found.items())


def _files(root: Path) -> Iterator[tuple[str, Path]]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != "node_modules" and not name.startswith(".")]
        for name in (*folders, *names):
            path = Path(folder, name)
            if path.is_symlink():
                raise InvalidInput(
                    f"{path} is a symbolic link",
                    next_step="Put the file itself there: links are not followed.",
                )
        for name in names:
            path = Path(folder, name)
            yield path.relative_to(root).as_posix(), path


def write_tree(tree: Tree, root: Path) -> None:
    """Write items, `wmill.yaml` and `wmill-lock.yaml`. Files of other items that are there stay.

    Raises: InvalidInput for a flow whose script the server lost; OSError.
    """
    files: dict[str, bytes] = {"wmill.yaml": WMILL_YAML.encode()}
    types = resource_files.file_types(tree)
    for item in tree.values():
        files |= files_of(item, types)
    files["wmill-lock.yaml"] = lockfile(files).encode()
    made: set[Path] = set()
    for name, data in files.items():
        path = root / name
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        path.write_bytes(data)
