"""`customer.toml`: who a folder belongs to, and how far its items are kept in step with Windmill.

    name = "acme"
    display_name = "Acme"
    template_version = 1

    [template]                                # answers that the template was filled with; read by `customers`
    country = "PE"

    [sync]
    protect = ["flow f/acme/billing", "schedule f/acme/*"]    # a deploy leaves these alone
    ignore = ["schedule f/acme/nightly: args.limit"]          # this field may differ

The folder `ops` needs no such file: the platform's own items belong to nobody.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

from platform_cli.sync.checkout.problems import Problem, Problems, near, refusal
from platform_cli.sync.items import Key, Kind
from platform_core.errors import InvalidInput
from platform_core.values import parse_tenant_slug

T = TypeVar("T")
FILE = "customer.toml"
_TOP = ("name", "display_name", "template_version", "template", "sync")
_SYNC = ("protect", "ignore")
_CALLED: Mapping[type, str] = {str: "text", int: "whole number", dict: "table", list: "list"}
_PATTERN = re.compile(r"[\w*/-]+", re.ASCII)
_LINE = re.compile(r"\(at line (\d+), column \d+\)")


@dataclass(frozen=True, slots=True)
class Selector:
    """Which items are meant: a kind, and a path in which `*` stands for any text."""

    kind: Kind
    path: str

    def matches(self, key: Key) -> bool:
        """Whether this item is one of them."""
        return key.kind is self.kind and fnmatchcase(key.path, self.path)

    def __str__(self) -> str:
        """As it stands in the file."""
        return f"{self.kind} {self.path}"


@dataclass(frozen=True, slots=True)
class Ignore:
    """One field of some items that may differ. `place` is dotted, as in a plan: `args.limit`."""

    items: Selector
    place: str

    def matches(self, key: Key, place: str) -> bool:
        """Whether this field of this item, or something inside that field, may differ."""
        inside = place == self.place or place.startswith(f"{self.place}.")
        return inside and self.items.matches(key)

    def __str__(self) -> str:
        """As it stands in the file."""
        return f"{self.items}: {self.place}"


@dataclass(frozen=True, slots=True)
class CustomerFile:
    """What the file says. `template` is handed on as it is."""

    name: str
    display_name: str = ""
    template_version: int = 0
    protect: tuple[Selector, ...] = ()
    ignore: tuple[Ignore, ...] = ()
    template: Mapping[str, object] = field(default_factory=dict)


def read_customer_file(file: Path) -> CustomerFile:
    """Read and check a customer.toml; its `name` has to be that of its folder.

    Raises: FolderRefused naming every problem with its line.
    """
    problems = Problems()
    text = _text(file)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = _LINE.search(str(error))
        line, reason = int(at.group(1)) if at else 0, _LINE.sub("", str(error)).strip()
        raise refusal(file.parent, [Problem(file, line, f"not TOML: {reason}")]) from error
    found = _Reading(file, text, problems).customer(values)
    problems.refuse(file.parent)
    return found


def parse_selector(text: str) -> Selector:
    """`flow f/acme/x` or `schedule f/acme/*`. Raises: InvalidInput."""
    kind, _, path = text.strip().partition(" ")
    if kind not in set(Kind):
        raise InvalidInput(f"{kind!r} is not a kind of item", next_step=near(kind, Kind))
    if not _PATTERN.fullmatch(path.strip()):
        raise InvalidInput(
            f"{text!r} names no path", next_step="Write kind and path, such as `flow f/acme/billing`."
        )
    return Selector(Kind(kind), path.strip())


def parse_ignore(text: str) -> Ignore:
    """`schedule f/acme/x: args.limit`. Raises: InvalidInput."""
    items, colon, place = text.partition(":")
    if not colon or not place.strip():
        raise InvalidInput(
            f"{text!r} names no field", next_step="Write `schedule f/acme/nightly: args.limit`."
        )
    return Ignore(parse_selector(items), place.strip())


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise refusal(file.parent, [Problem(file, 0, "not UTF-8", "Save it as UTF-8.")]) from error
    except OSError as error:
        reason = error.strerror or "no reason given"
        problem = Problem(file, 0, f"cannot be read ({reason})", f"Every customer's folder has a {FILE}.")
        raise refusal(file.parent, [problem]) from error


class _Reading:
    """One reading: what is wrong is collected, so that one run names all of it."""

    def __init__(self, file: Path, text: str, problems: Problems) -> None:
        self._file, self._problems = file, problems
        self._lines = text.splitlines()

    def customer(self, values: Mapping[str, object]) -> CustomerFile:
        """The whole file."""
        self._only(values, _TOP)
        name = self._typed(values, "name", str, "")
        if name != self._file.parent.name:
            self._problem(
                "name",
                f"name is {name!r}, and the folder is called {self._file.parent.name!r}",
                "Write the folder's name.",
            )
        try:
            parse_tenant_slug(name)
        except InvalidInput as error:
            self._problem("name", error.message, error.next_step)
        sync = self._typed(values, "sync", dict, {})
        self._only(sync, _SYNC)
        return CustomerFile(
            name=name,
            display_name=self._typed(values, "display_name", str, ""),
            template_version=self._typed(values, "template_version", int, 0),
            protect=self._each(sync, "protect", parse_selector),
            ignore=self._each(sync, "ignore", parse_ignore),
            template=self._typed(values, "template", dict, {}),
        )

    def _only(self, values: Mapping[str, object], known: tuple[str, ...]) -> None:
        for name in values:
            if name not in known:
                self._problem(name, f"{name} is not known here", near(name, known))

    def _typed(self, values: Mapping[str, object], name: str, kind: type[T], default: T) -> T:
        value = values.get(name, default)
        if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
            return value
        self._problem(name, f"{name} is not a {_CALLED[kind]}", "Correct the value.")
        return default

    def _each(self, values: Mapping[str, object], name: str, parse: Callable[[str], T]) -> tuple[T, ...]:
        found: list[T] = []
        for entry in self._typed(values, name, list, []):
            try:
                found.append(parse(entry if isinstance(entry, str) else ""))
            except InvalidInput as error:
                self._problem(str(entry), f"{name}: {error.message}", error.next_step)
        return tuple(found)

    def _problem(self, word: str, reason: str, next_step: str) -> None:
        line = next((number for number, line in enumerate(self._lines, 1) if word in line), 0)
        self._problems.add(self._file, reason, next_step, line=line)
