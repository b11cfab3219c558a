"""Which file of a folder belongs to which item, both ways. Pure: it looks at names only.

In git the kind decides the sub-folder, in the official command line's tree all stand side by side:

    customers/acme/scripts/hello.py                 f/acme/hello.py
    customers/acme/flows/review__flow/flow.yaml     f/acme/review__flow/flow.yaml
    customers/acme/config/nightly.schedule.yaml     f/acme/nightly.schedule.yaml
    customers/acme/config/c_ycloud.resource-type.yaml    c_ycloud.resource-type.yaml
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from platform_cli.sync.checkout.problems import near
from platform_cli.sync.items import Key, Kind
from platform_cli.sync.official.naming import SCRIPT_EXTENSIONS
from platform_cli.sync.official.tree import key_of

PLATFORM = "ops"
"""The folder of the platform's own items."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)
_HOMES = {Kind.SCRIPT: "scripts", Kind.FLOW: "flows", Kind.RAW_APP: "apps"}
_CONFIG = "config"
_TYPE = "resource-type.yaml"
_SETTINGS = ("schedule.yaml", "http_trigger.yaml", "resource.yaml", "variable.yaml", _TYPE)
_SCRIPTS = (*SCRIPT_EXTENSIONS.values(), "script.yaml", "script.lock")
_NO_ITEMS = frozenset({"customer.toml", "README.md", "README.es.md", "config/policy.toml"})
_NO_ITEM_FOLDERS = ("dashboard/",)
_PLATFORM_FOLDERS = ("runbooks/", "alerts/")
_APP = "__raw_app/"
_APP_LEFTOVERS = re.compile(
    r"(?:recordings/|(?:.*/)?(?:node_modules|dist|sql_to_apply)/).*"
    r"|(?:.*/)?(?:wmill\.d\.ts|package-lock\.json|DATATABLES\.md|AGENTS\.md)"
)


@dataclass(frozen=True, slots=True)
class Part:
    """One file of an item, and where the official command line would have it."""

    key: Key
    official: str


@dataclass(frozen=True, slots=True)
class Aside:
    """A file that is no item and may stand here."""


@dataclass(frozen=True, slots=True)
class Stray:
    """A file that belongs to nothing."""

    reason: str
    next_step: str


Found: TypeAlias = "Part | Aside | Stray"


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of one folder: `name` is the customer's, or `ops`."""

    name: str

    def find(self, file: str) -> Found:
        """What a file is, by its path below the folder, with `/` between its parts."""
        if self._is_aside(file):
            return Aside()
        home, slash, tail = file.partition("/")
        if not slash or home not in {*_HOMES.values(), _CONFIG}:
            return self._nowhere(file)
        found = self._part(tail)
        if isinstance(found, Part):
            wanted = _HOMES.get(found.key.kind, _CONFIG)
            if home != wanted:
                return Stray(f"a {_called(found.key.kind)} stands in {home}/", f"Move it to {wanted}/.")
        return found

    def local(self, key: Key, official: str) -> str:
        """Where a file of an item stands below the folder; the other direction of `find`."""
        tail = official.removeprefix(f"f/{self.name}/")
        return f"{_HOMES.get(key.kind, _CONFIG)}/{tail}"

    def _is_aside(self, file: str) -> bool:
        if file in _NO_ITEMS or file.startswith(_NO_ITEM_FOLDERS):
            return True
        if self.name == PLATFORM and (
            file.startswith(_PLATFORM_FOLDERS) or ("/" not in file and file.endswith((".toml", ".md")))
        ):
            return True
        return _APP in file and _APP_LEFTOVERS.fullmatch(file.partition(_APP)[2]) is not None

    def _part(self, tail: str) -> Part | Stray:
        """What a file below one of the sub-folders is."""
        is_type = tail.endswith(f".{_TYPE}")
        official = tail if is_type else f"f/{self.name}/{tail}"
        key = key_of(official)
        if key is None or (key.kind is Kind.FOLDER and key.path != f"f/{self.name}"):
            return _unknown(tail)
        wrong = "" if key.kind is Kind.FOLDER else name_problem(key.path.removeprefix(f"f/{self.name}/"))
        return Stray(wrong, "Use letters, digits, _ and - only.") if wrong else Part(key, official)

    def _nowhere(self, file: str) -> Stray:
        found = self._part(file.rpartition("/")[2])
        if isinstance(found, Part):
            home = _HOMES.get(found.key.kind, _CONFIG)
            return Stray(f"a {_called(found.key.kind)} does not stand here", f"Move it to {home}/.")
        known = (*_HOMES.values(), _CONFIG, "dashboard", "customer.toml", "README.md")
        return Stray("it belongs to no item", near(file.partition("/")[0], known))


def name_problem(path: str) -> str:
    """Why this cannot be the path of an item below its folder; empty when it can."""
    for segment in path.split("/"):
        if "." in segment:
            return f"the name {segment!r} has a dot"
        if not _NAME.fullmatch(segment):
            return f"{segment!r} is not an item name"
    return ""


def _unknown(tail: str) -> Stray:
    """A file that is part of nothing, with what it might have been meant to be."""
    for segment in tail.split("/")[:-1]:
        if segment.endswith(("__app", ".app")):
            return Stray("classic apps are not kept in step", "Edit it in Windmill, and remove it here.")
        if segment.endswith((".flow", ".raw_app")):
            name, _, suffix = segment.rpartition(".")
            return Stray("folders with a dot are not read here", f"Rename it to {name}__{suffix}.")
    file = tail.rpartition("/")[2]
    ending, known = file.partition(".")[2], (*_SCRIPTS, *_SETTINGS)
    if ending.endswith("_trigger.yaml"):
        return Stray("triggers of this kind are not kept in step", "Edit it in Windmill, and remove it here.")
    if file.startswith("folder."):
        return Stray("the folder's own file is config/folder.meta.yaml", "Rename it, or remove it.")
    dotted = next((end for end in known if file.endswith(f".{end}")), None)
    if dotted is not None and dotted != ending:
        name = file.removesuffix(f".{dotted}")
        return Stray(f"the name {name!r} has a dot", "Use letters, digits, _ and - only.")
    return Stray("it belongs to no item", near(ending, known) if ending else "Move it out of the folder.")


def _called(kind: Kind) -> str:
    return kind.value.replace("_", " ")
