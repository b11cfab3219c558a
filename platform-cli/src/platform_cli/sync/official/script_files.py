"""A script as its text, its `.script.yaml` and its lock, and back. Pure.

A script with modules stands in a folder of its own: `f/acme/x__mod/script.py`, `script.yaml`, `script.lock`
and the modules beside them, each perhaps with a lock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from platform_cli.sync import yaml12
from platform_cli.sync.items import Item, Json, Key
from platform_cli.sync.official import references
from platform_cli.sync.official.naming import SCRIPT_EXTENSIONS, language_by_ending, language_of
from platform_core.errors import InvalidInput

SUFFIX: Final = "__mod"
_ENTRY: Final = "script"


def script_files(item: Item) -> dict[str, bytes]:
    """The files of a script.

    Raises: InvalidInput for one that the server lost, and for a language that is not known here.
    """
    value = dict(item.value)
    content, language, lock = (
        value.pop("content", ""),
        str(value.pop("language", "")),
        value.pop("lock", None),
    )
    modules = value.pop("modules", None)
    for text in (content, lock):
        references.refuse_reference(text, str(item.key))
    if language not in SCRIPT_EXTENSIONS:
        raise InvalidInput(f"{item.key}: its language {language} has no file here", next_step="Update wmctl.")
    stem, meta = _places(item.key, in_folder=bool(modules))
    files = {f"{stem}.{SCRIPT_EXTENSIONS[language]}": str(content).encode()}
    if isinstance(lock, str):
        value["lock"] = f"{references.INLINE}{meta}.lock" if lock else ""
        if lock:
            files[f"{meta}.lock"] = lock.encode()
    files[f"{meta}.yaml"] = yaml12.dump(value).encode()
    if isinstance(modules, dict):
        for name, module in modules.items():
            files |= _module_files(item.key, name, module)
    return files


def main_file(key: Key, *, in_folder: bool) -> str:
    """The file that holds a script's metadata, in a folder of its own or not."""
    return f"{_places(key, in_folder=in_folder)[1]}.yaml"


def read_script(key: Key, fields: dict[str, Json], files: Mapping[str, bytes]) -> dict[str, Json]:
    """A script's value: its metadata with its text, its lock and its modules.

    Raises: InvalidInput naming the file and what was expected.
    """
    in_folder = main_file(key, in_folder=True) in files
    file = main_file(key, in_folder=in_folder)
    value = fields | _read_content(key, _places(key, in_folder=in_folder)[0], files)
    lock = value.get("lock")
    if isinstance(lock, str) and references.is_reference(lock):
        path = references.target(lock, folder="", file=file)
        value["lock"] = references.text_behind(path, files, file=file, key=key)
    modules = _read_modules(key, files, in_folder=in_folder)
    return {**value, "modules": modules} if modules else value


def _places(key: Key, *, in_folder: bool) -> tuple[str, str]:
    """Where its text and its metadata stand, without extension."""
    if in_folder:
        return f"{key.path}{SUFFIX}/{_ENTRY}", f"{key.path}{SUFFIX}/{_ENTRY}"
    return key.path, f"{key.path}.script"


def _read_content(key: Key, stem: str, files: Mapping[str, bytes]) -> dict[str, Json]:
    """Text and language, from the one file beside the metadata that is a script."""
    found = [
        (path, language)
        for path in files
        if path.startswith(f"{stem}.") and (language := language_of(path.removeprefix(f"{stem}.")))
    ]
    if len(found) != 1:
        names = ", ".join(sorted(path for path, _ in found)) or "none"
        raise InvalidInput(
            f"{key} needs one file with its text; there is {names}",
            next_step="Keep one of them." if found else f"Add {stem}.py.",
        )
    path, language = found[0]
    return {"content": references.text_behind(path, files, file=path, key=key), "language": language}


def _module_files(key: Key, name: str, module: Json) -> dict[str, bytes]:
    folder = f"{key.path}{SUFFIX}"
    path = references.target(f"{references.INLINE}{name}", folder=folder, file=f"{folder}/{_ENTRY}.yaml")
    held = module if isinstance(module, dict) else {}
    files = {path: str(held.get("content") or "").encode()}
    if held.get("lock"):
        files[_lock_of(path)] = str(held["lock"]).encode()
    return files


def _read_modules(key: Key, files: Mapping[str, bytes], *, in_folder: bool) -> dict[str, Json]:
    folder = f"{key.path}{SUFFIX}/"
    modules: dict[str, Json] = {}
    for path in sorted(files):
        name = path.removeprefix(folder)
        entry = in_folder and (name.startswith(f"{_ENTRY}.") and "/" not in name)
        language = language_by_ending(name)
        if not path.startswith(folder) or entry or language is None:
            continue
        module: dict[str, Json] = {"content": references.decoded(path, files[path]), "language": language}
        if _lock_of(path) in files:
            module["lock"] = references.decoded(_lock_of(path), files[_lock_of(path)])
        modules[name] = module
    return modules


def _lock_of(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/{name.rpartition('.')[0]}.lock"
