"""The customer's folder read as items: what Windmill shall have, or everything that is wrong with the folder.

Every file is accounted for: it is a part of an item, or known to be none, or refused. All problems of a
folder are named together. Nothing here talks to a server.
"""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from platform_cli.sync import yaml12
from platform_cli.sync.checkout import staging
from platform_cli.sync.checkout.clear_secrets import clear_secrets
from platform_cli.sync.checkout.judging import ItemFiles, Judge
from platform_cli.sync.checkout.layout import PLATFORM, Layout, Part, Stray
from platform_cli.sync.checkout.problems import Problem, Problems, problems_of
from platform_cli.sync.checkout.together import judge_together
from platform_cli.sync.checkout.walking import files_of, read_bytes
from platform_cli.sync.customer_file import FILE, CustomerFile, Ignore, read_customer_file
from platform_cli.sync.items import Item, Key, Kind, Scope, Tree, tree_of
from platform_cli.sync.official import tree as official_tree
from platform_core.errors import FolderRefused, InvalidInput, NotFound


@dataclass(frozen=True, slots=True)
class Desired:
    """A folder that can be compared with Windmill.

    `protect` are the items that a deploy leaves alone, `ignore` the fields that may differ. `files` says
    where each item stands, the main file first; `contents` has every file's bytes as they were read, so that
    nothing is written over what changed since. `warnings` stop nothing.
    """

    folder: Path
    scope: Scope
    tree: Tree
    protect: frozenset[Key]
    ignore: tuple[Ignore, ...]
    files: Mapping[Key, tuple[Path, ...]]
    contents: Mapping[Path, bytes] = field(repr=False)
    customer: CustomerFile = field(default_factory=lambda: CustomerFile(PLATFORM))
    warnings: tuple[Problem, ...] = ()


def read_desired(folder: Path, scope: Scope | None = None) -> Desired:
    """Read a customer's folder, or `ops`. A write that was interrupted in it is finished first.

    `scope`, when given, has to be of the folder's name; the scope of what is returned also knows the resource
    types that the folder declares.

    Raises: NotFound when there is no such folder, FolderRefused naming all that is wrong with it.
    """
    if not folder.is_dir():
        raise NotFound(f"There is no folder {folder}", next_step="Name one that is there.")
    if scope is not None and scope.name != folder.name:
        raise InvalidInput(f"{folder} is not the folder of {scope.name}", next_step="Name the right one.")
    staging.finish(folder)
    problems = Problems()
    customer = _customer(folder, problems)
    reading = _Reading(folder, problems)
    with uncollected():
        reading.read()
    problems.refuse(folder)
    tree = tree_of(reading.items)
    types = frozenset(key.path for key in tree if key.kind is Kind.RESOURCE_TYPE)
    return Desired(
        folder=folder,
        scope=Scope(folder.name, types),
        tree=tree,
        protect=frozenset(key for key in tree if any(one.matches(key) for one in customer.protect)),
        ignore=customer.ignore,
        files={key: reading.places(key) for key in tree},
        contents=reading.contents,
        customer=customer,
        warnings=tuple(problems.warnings),
    )


def as_official(folder: Path) -> Tree:
    """The folder's items for `official.tree.write_tree`: as the official command line keeps them.

    Raises: as `read_desired`.
    """
    return read_desired(folder).tree


def _customer(folder: Path, problems: Problems) -> CustomerFile:
    """The customer.toml; the platform's own folder needs none."""
    if folder.name == PLATFORM and not (folder / FILE).exists():
        return CustomerFile(PLATFORM)
    try:
        return read_customer_file(folder / FILE)
    except FolderRefused as error:
        problems.found += problems_of(error)
        return CustomerFile(folder.name)


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for no garbage meanwhile: thousands of files make many small values and no circles among them."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Reading:
    """One reading of a folder: its files, then the items they make."""

    def __init__(self, folder: Path, problems: Problems) -> None:
        self._folder, self._problems = folder, problems
        self._layout = Layout(folder.name)
        self._parts: dict[Key, dict[str, Path]] = defaultdict(dict)
        self.contents: dict[Path, bytes] = {}
        self.items: list[Item] = []

    def read(self) -> None:
        """Read every file, then every item, then look at them together."""
        unreadable = self._files()
        whole: dict[Key, ItemFiles] = {}
        for key in self._parts:
            item = None if key in unreadable else self._item(key)
            if item is not None:
                whole[key] = item
        judge_together(whole, set(self._parts) - set(whole), self._problems)

    def places(self, key: Key) -> tuple[Path, ...]:
        """The files of an item, its main one first."""
        main = official_tree.main_file(key, self._parts[key])
        return tuple(
            self._parts[key][name] for name in sorted(self._parts[key], key=lambda n: (n != main, n))
        )

    def _files(self) -> set[Key]:
        """Read the files of items. The keys of those that have one that cannot be read."""
        unreadable: set[Key] = set()
        seen: dict[str, str] = {}
        for name in files_of(self._folder, self._problems):
            found = self._layout.find(name)
            if isinstance(found, Stray):
                self._problems.add(self._folder / name, found.reason, found.next_step)
            if not isinstance(found, Part):
                continue
            file = self._folder / name
            self._parts[found.key][found.official] = file
            twin = seen.setdefault(name.casefold(), name)
            if twin != name:
                self._problems.add(
                    file, f"it differs from {twin} only in upper and lower case", "Rename one of them."
                )
            content = read_bytes(file, self._problems)
            if content is None:
                unreadable.add(found.key)
            else:
                self.contents[file] = content
        return unreadable

    def _item(self, key: Key) -> ItemFiles | None:
        places = self._parts[key]
        main = official_tree.main_file(key, places)
        if main not in places:
            for file in places.values():
                name = main.rpartition("/")[2]
                self._problems.add(file, f"{key} has no {name}", f"Write {name}, or move this file away.")
            return None
        texts = {official: self.contents[file] for official, file in places.items()}
        try:
            fields = yaml12.load(texts[main].decode(), places[main])
            if not isinstance(fields, dict):
                self._problems.add(
                    places[main], "it is not a mapping of fields", "Write `name: value`, one a line."
                )
                return None
            item = ItemFiles(key, self._layout, main, fields, texts, places)
            if not Judge(item, self._problems).judge():
                return None
            found = official_tree.item_of(key, fields, texts)
        except InvalidInput as error:
            self._problems.found.append(_as_problem(places[main], main, error))
            return None
        self._judge_left_over(found, texts, places)
        for place in clear_secrets(found):
            self._problems.add(
                places[main],
                f"{place}: this looks like a secret in clear",
                f"Give it by `wmctl secret set`, and write `$var:f/{self._folder.name}/NAME` here.",
                line=item.line(tuple(place.split("."))),
            )
        self.items.append(found)
        return item

    def _judge_left_over(self, item: Item, texts: Mapping[str, bytes], places: Mapping[str, Path]) -> None:
        """Files in an app's folder, or in that of a script with modules, that the item was not made from."""
        if item.key.kind is Kind.RAW_APP or item.value.get("modules"):
            for official in sorted(set(texts) - set(official_tree.files_of(item))):
                self._problems.add(places[official], f"it belongs to nothing of {item.key}", "Move it away.")


def _as_problem(file: Path, official: str, error: InvalidInput) -> Problem:
    """A refusal of one file, which names it at its beginning, as one problem among others."""
    text = error.message.removeprefix(f"{file}: ").removeprefix(f"{official}: ")
    line = 0
    if text.startswith("line "):
        number, _, rest = text.removeprefix("line ").partition(": ")
        if number.isdecimal():
            line, text = int(number), rest
    return Problem(file, line, text, error.next_step or "Correct the file.")
