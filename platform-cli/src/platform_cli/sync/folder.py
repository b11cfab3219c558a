"""Items written into the customer's folder so that `git diff` shows what was edited and nothing else.

An item that is there keeps what people made of it: comments, the order of fields, quotes, the names of
files. A new one is written in the official style. Everything is prepared and checked first; then all files
move into place together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from platform_cli.sync import yaml12
from platform_cli.sync.checkout import staging
from platform_cli.sync.checkout.clear_secrets import clear_secrets
from platform_cli.sync.checkout.editing import edited
from platform_cli.sync.checkout.layout import Layout, name_problem
from platform_cli.sync.checkout.problems import Problems
from platform_cli.sync.checkout.rebasing import Doc, rebased, with_files, without_files
from platform_cli.sync.checkout.walking import MAX_FILE_BYTES
from platform_cli.sync.desired import Desired, read_desired, uncollected
from platform_cli.sync.items import Item, Json, Key, Kind, Scope
from platform_cli.sync.official import tree as official_tree
from platform_cli.sync.official.naming import language_of
from platform_cli.sync.official.resource_files import file_types
from platform_core.errors import FolderChanged, InvalidInput

Files: TypeAlias = "dict[str, bytes]"
"""Contents by official path."""


def write_changes(
    folder: Path, scope: Scope, changes: Mapping[Key, Item | None], *, read: Desired | None = None
) -> list[Path]:
    """Write items into a folder, None removes one; all of them or none. The files that changed, sorted.

    `read` is the folder as it was when the changes were decided on; without it the folder is read now. An
    item that the folder has already is left alone to the byte, so repeating this does nothing.

    Raises: FolderChanged when a file differs from what was read, FolderRefused for items that may not stand
    in git, such as one with a secret in clear; FolderBusy, UnreadableFile. Then nothing has changed.
    """
    read = read or read_desired(folder, scope)
    files = planned_changes(read, changes)
    _refuse_changed(read, files)
    staging.put(folder, {_below(folder, file): content for file, content in files.items()})
    return sorted(files)


def planned_changes(read: Desired, changes: Mapping[Key, Item | None]) -> dict[Path, bytes | None]:
    """What `write_changes` would write: the content of each file that changes, None for one that goes.

    Raises: FolderRefused.
    """
    writing = _Writing(read, Problems())
    with uncollected():
        writing.learn_types(changes)
        for key, item in sorted(changes.items()):
            writing.change(key, item)
    writing.problems.refuse(read.folder)
    return writing.files


def _refuse_changed(read: Desired, files: Mapping[Path, bytes | None]) -> None:
    for file in files:
        try:
            found: bytes | None = file.read_bytes()
        except FileNotFoundError:
            found = None
        except OSError as error:
            raise FolderChanged(f"{file} cannot be read any more ({error.strerror})") from error
        if found != read.contents.get(file):
            raise FolderChanged(f"{file} was changed meanwhile")


def _below(folder: Path, file: Path) -> str:
    return file.relative_to(folder).as_posix()


@dataclass(frozen=True, slots=True)
class _Written:
    """An item's files as they stand in the folder, and its main one."""

    files: Files
    main: str


class _Writing:
    """Collects the files of all changes, and what may not be written."""

    def __init__(self, read: Desired, problems: Problems) -> None:
        self._read, self.problems = read, problems
        self._layout = Layout(read.scope.name)
        self._types = file_types(read.tree)
        self._spelled = {_below(read.folder, file).casefold(): file for file in read.contents}
        self.files: dict[Path, bytes | None] = {}

    def learn_types(self, changes: Mapping[Key, Item | None]) -> None:
        """Which resources stand in files of their own, by the types that the changes bring."""
        self._types |= file_types({key: item for key, item in changes.items() if item is not None})

    def change(self, key: Key, item: Item | None) -> None:
        """One item: its files as they will be, and those that go."""
        old = self._old(key)
        before = self._read.tree.get(key)
        if item == before or (item is not None and self._refused(key, item)):
            return
        try:
            new = {} if item is None else self._new(item, before, old)
        except InvalidInput as error:
            self.problems.add(self._place(key, old.main), error.message, error.next_step)
            return
        for official in sorted({*old.files, *new}):
            if old.files.get(official) != new.get(official):
                self._put(key, official, new.get(official))

    def _put(self, key: Key, official: str, content: bytes | None) -> None:
        file = self._place(key, official)
        twin = self._spelled.setdefault(_below(self._read.folder, file).casefold(), file)
        if content is not None and twin != file:
            self.problems.add(
                file,
                f"it differs from {twin.name} only in upper and lower case",
                "Rename one of them in Windmill.",
            )
        if content is not None and len(content) > MAX_FILE_BYTES:
            self.problems.add(file, "it would be larger than 10 MB", "Keep it out of Windmill.")
        self.files[file] = content

    def _place(self, key: Key, official: str) -> Path:
        return self._read.folder / self._layout.local(key, official)

    def _old(self, key: Key) -> _Written:
        """The files that the folder has of an item."""
        found = {self._official(file): self._read.contents[file] for file in self._read.files.get(key, ())}
        return _Written(found, official_tree.main_file(key, found))

    def _official(self, file: Path) -> str:
        part = self._layout.find(_below(self._read.folder, file))
        return getattr(part, "official", "")

    def _refused(self, key: Key, item: Item) -> bool:
        """Whether an item may not stand in this folder; the reasons are among the problems."""
        main = official_tree.main_file(key)
        before = len(self.problems.found)
        if key.kind is not Kind.RESOURCE_TYPE and not self._read.scope.holds(key):
            raise InvalidInput(
                f"{key} does not belong to {self._read.folder}", next_step="Name its own folder."
            )
        wrong = (
            name_problem(key.path.removeprefix(self._read.scope.prefix))
            if key.kind is not Kind.FOLDER
            else ""
        )
        file = self._read.folder / main if wrong else self._place(key, main)
        if wrong:
            self.problems.add(file, wrong, "Rename it in Windmill.")
        if key.kind is Kind.VARIABLE and item.value.get("is_secret") is True:
            self.problems.add(file, "a secret is never written to git", "See `wmctl secret list`.")
        for place in clear_secrets(item):
            self.problems.add(
                file,
                f"{place}: this looks like a secret in clear, which is never written to git",
                "Put it into a secret variable in Windmill, and let the resource say `$var:` and its path.",
            )
        if key.kind is Kind.SCRIPT and item.value.get("lock") is None:
            self.problems.add(
                file, "Windmill has not made its lock yet", "Run the command again in a minute."
            )
        return len(self.problems.found) > before

    # --- The new files of one item ------------------------------------------------------------------------

    def _new(self, item: Item, before: Item | None, old: _Written) -> Files:
        """The files of an item, as near to the old ones as can be."""
        official = official_tree.files_of(item, self._types)
        tries: list[Callable[[], Files]] = [lambda: official]
        if before is not None and old.main in official:
            known = official_tree.files_of(before, self._types)
            tries[:0] = [
                lambda: _kept(item.key, old, known, official),
                lambda: {**official, old.main: _redrawn(old.main, old.files, official)},
            ]
        for attempt in tries:
            found = _attempted(attempt)
            if found is not None and _reads_as(item, found):
                return found
        raise InvalidInput(
            f"{item.key} cannot be written as files that read the same",
            next_step="Report this, with the item.",
        )


def _attempted(attempt: Callable[[], Files]) -> Files | None:
    """The files of one attempt; None when what it writes cannot be read."""
    try:
        return attempt()
    except InvalidInput:
        return None


def _reads_as(item: Item, files: Files) -> bool:
    """Whether these files stand for the item, and nothing but it."""
    try:
        return official_tree.read_item(item.key, files) == item
    except InvalidInput:
        return False


def _redrawn(name: str, old: Files, official: Files) -> bytes:
    """An official YAML file, told in the old one's words."""
    return edited(old[name].decode(), _fields(official[name].decode(), name), name).encode()


def _kept(key: Key, old: _Written, known: Files, official: Files) -> Files:
    """The old files with the difference put on them that leads from `known`, the item before, to the new."""
    docs = [_document(files, old.main) for files in (old.files, known, official)]
    fields, named = without_files(rebased(*docs))
    if not isinstance(fields, dict):
        return official
    home = _home(old.main)
    files = {
        old.main: edited(old.files[old.main].decode(), fields, old.main).encode(),
        **{f"{home}{name}": content.encode() for name, content in named.items()},
    }
    return files | _beside(key, old, known, {name: official[name] for name in official if name not in files})


def _beside(key: Key, old: _Written, known: Files, official: Files) -> Files:
    """The files that the main one does not name: a script's program, what belongs to an app."""
    if key.kind is Kind.FLOW:
        return {}
    if key.kind is Kind.SCRIPT:
        lock = f"{old.main.removesuffix('.yaml')}.lock"
        return {_program(key, name, old.files): content for name, content in official.items() if name != lock}
    return {name: _untouched(name, old.files, known, official) for name in official}


def _untouched(name: str, old: Files, known: Files, official: Files) -> bytes:
    """A file as it is in the folder when the item's change does not touch it."""
    if name in old and known.get(name) == official[name]:
        return old[name]
    return _redrawn(name, old, official) if name in old and name.endswith(".yaml") else official[name]


def _program(key: Key, name: str, old: Files) -> str:
    """A script's program keeps the name that it has in the folder, if that is of the same language."""
    language = language_of(name.removeprefix(f"{key.path}."))
    if language is None:
        return name
    return next((known for known in old if language_of(known.removeprefix(f"{key.path}.")) == language), name)


def _home(main: str) -> str:
    """What the names of files in a main file are relative to: a flow's folder, else the root."""
    return f"{main.rpartition('/')[0]}/" if main.endswith("__flow/flow.yaml") else ""


def _document(files: Files, main: str) -> Doc:
    """The main file of an item as a document that carries the texts of the files it names."""
    home = _home(main)
    texts = {name.removeprefix(home): content.decode() for name, content in files.items() if name != main}
    return with_files(_fields(files[main].decode(), main), texts)


def _fields(text: str, file: str) -> dict[str, Json]:
    value = yaml12.load(text, file)
    return value if isinstance(value, dict) else {}
