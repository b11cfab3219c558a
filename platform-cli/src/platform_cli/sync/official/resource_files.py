"""A resource as one YAML file, or with files of its own where its type says so, and back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from platform_cli.sync import yaml12
from platform_cli.sync.items import Item, Json, Key, Kind, Tree
from platform_cli.sync.official import references
from platform_core.errors import InvalidInput

SUFFIX: Final = ".resource.yaml"
FILE_INFIX: Final = ".resource.file."
FILESET_SUFFIX: Final = ".fileset"
FILESET: Final = "fileset"
"""What stands for the extension of a type whose values are sets of files."""


def file_types(tree: Tree) -> dict[str, str]:
    """The types of a tree whose values are files: their extension, or `FILESET`."""
    types: dict[str, str] = {}
    for key, item in tree.items():
        if key.kind is Kind.RESOURCE_TYPE:
            extension = FILESET if item.value.get("is_fileset") else item.value.get("format_extension")
            if isinstance(extension, str) and extension:
                types[key.path] = extension
    return types


def resource_files(item: Item, types: Mapping[str, str]) -> dict[str, bytes]:
    """The files of a resource. `types` is what `file_types` gives.

    Raises: InvalidInput for a file that would stand elsewhere, or a text that only looks like a reference.
    """
    path = item.key.path
    value = dict(item.value)
    held = value.get("value")
    references.refuse_reference(held.get("content") if isinstance(held, dict) else held, str(item.key))
    extension = types.get(str(value.get("resource_type")))
    files: dict[str, bytes] = {}
    if extension == FILESET:
        folder = f"{path}{FILESET_SUFFIX}"
        for name, text in (held if isinstance(held, dict) else {}).items():
            if isinstance(text, str):
                files[
                    references.target(f"{references.INLINE}{name}", folder=folder, file=f"{path}{SUFFIX}")
                ] = text.encode()
        value["value"] = f"{references.FILESET}{folder}"
    elif extension and isinstance(held, dict) and isinstance(text := held.get("content"), str):
        file = f"{path}{FILE_INFIX}{extension}"
        value["value"] = {**held, "content": f"{references.INLINE}{file}"}
        files[file] = text.encode()
    return files | {f"{path}{SUFFIX}": yaml12.dump(value).encode()}


def main_file(key: Key) -> str:
    """The file that holds a resource's fields."""
    return f"{key.path}{SUFFIX}"


def read_resource(key: Key, fields: dict[str, Json], files: Mapping[str, bytes]) -> dict[str, Json]:
    """A resource's value: its fields with the texts of its files.

    Raises: InvalidInput naming the file and what was expected.
    """
    file, value = main_file(key), dict(fields)
    folder = key.path.rpartition("/")[0]
    held = value.get("value")
    if isinstance(held, str) and held.startswith(references.FILESET):
        named = _beside(held, folder, file) + "/"
        value["value"] = {
            path.removeprefix(named): references.decoded(path, data)
            for path, data in sorted(files.items())
            if path.startswith(named)
        }
    content = held.get("content") if isinstance(held, dict) else None
    if isinstance(held, dict) and isinstance(content, str) and content.startswith(references.INLINE):
        path = _beside(content, folder, file)
        value["value"] = {**held, "content": references.text_behind(path, files, file=file, key=key)}
    return value


def _beside(reference: str, folder: str, file: str) -> str:
    """What a reference from the root leads to, which must be inside the resource's folder."""
    path = references.target(reference, folder="", file=file)
    if not path.startswith(f"{folder}/"):
        raise InvalidInput(f"{file}: `{reference}` leads out of {folder}", next_step="Name a file beside it.")
    return path
