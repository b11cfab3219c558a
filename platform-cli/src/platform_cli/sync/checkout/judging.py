"""What cannot be right in one item's files, each thing with its line and what to do about it.

Only files are judged here, one item at a time; `together` judges what several items say of each other.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from platform_cli.local.windmill import routes
from platform_cli.local.windmill.schedules import cron
from platform_cli.sync import yaml12
from platform_cli.sync.checkout import known_fields
from platform_cli.sync.checkout.layout import Layout
from platform_cli.sync.checkout.problems import Problems, near
from platform_cli.sync.checkout.rebasing import INLINE
from platform_cli.sync.items import Json, Key, Kind
from platform_cli.sync.official.naming import language_of
from platform_cli.sync.yaml12 import Place

_WITHOUT_LOCK = frozenset(
    {
        "bash",
        "powershell",
        "graphql",
        "postgresql",
        "mysql",
        "bigquery",
        "snowflake",
        "mssql",
        "oracledb",
        "duckdb",
        "nativets",
    }
)
_FILESET = "!inline_fileset "
_TYPE_NAMES = {"flag": "true or false", "text": "a text", "number": "a number"}


@dataclass(frozen=True, slots=True)
class ItemFiles:
    """An item's files as they were read: the contents and the places by official path.

    `main` is the official path of the main one, and `fields` what it says.
    """

    key: Key
    layout: Layout
    main: str
    fields: Mapping[str, Json] = field(repr=False)
    texts: Mapping[str, bytes] = field(repr=False)
    places: Mapping[str, Path] = field(repr=False)

    @property
    def file(self) -> Path:
        """Where the main file stands."""
        return self.places[self.main]

    def line(self, place: Place) -> int:
        """The line of a field in the main file. It is parsed again: most files are never asked for a line."""
        return yaml12.read(self.texts[self.main].decode(), self.file).line(place)


class Judge:
    """Judges one item's files; what is wrong goes to `problems`."""

    def __init__(self, item: ItemFiles, problems: Problems) -> None:
        self._item, self._problems = item, problems
        self._fields = item.fields

    def judge(self) -> bool:
        """Whether the item can be used."""
        before = len(self._problems.found)
        known = known_fields.ITEM_FIELDS.get(self._item.key.kind)
        if known is not None:
            self._known(known)
        match self._item.key.kind:
            case Kind.SCRIPT:
                self._script()
            case Kind.FLOW:
                self._flow()
            case Kind.SCHEDULE:
                self._schedule()
            case Kind.HTTP_TRIGGER:
                self._route()
            case Kind.VARIABLE:
                self._variable()
        return len(self._problems.found) == before

    def _problem(self, place: Place, reason: str, next_step: str = "Correct the file.") -> None:
        shown = ".".join(str(step) for step in place)
        self._problems.add(
            self._item.file,
            f"{shown}: {reason}" if shown else reason,
            next_step,
            line=self._item.line(place) if place else 0,
        )

    def _known(self, known: Mapping[str, str]) -> None:
        for name, value in self._fields.items():
            if name in known_fields.DECIDED_HERE:
                self._decided_here(name)
            elif name not in known:
                self._problem((name,), "Windmill knows no such field here", near(name, known))
            elif not known_fields.holds(value, known[name]):
                wanted = known[name].removesuffix("?")
                self._problem((name,), f"it has to be {_TYPE_NAMES.get(wanted, f'a {wanted}')}")
        for name in known_fields.REQUIRED.get(self._item.key.kind, ()):
            if self._fields.get(name) in (None, "") and (name, self._item.key.kind) != (
                "value",
                Kind.VARIABLE,
            ):
                self._problem((name,), "it is required", "Add it.")

    def _decided_here(self, name: str) -> None:
        robot = f"u/robot{self._item.layout.name}"
        self._problem(
            (name,),
            "in whose name an item runs does not stand in a file",
            f"Remove it: wmctl runs it in the name of {robot}.",
        )

    def _text(self, name: str) -> str:
        value = self._fields.get(name)
        return value if isinstance(value, str) else ""

    # --- Scripts ------------------------------------------------------------------------------------------

    def _script(self) -> None:
        stem = self._item.main.removesuffix(".yaml")  # f/acme/x.script, or f/acme/x__mod/script
        lock_file = f"{stem}.lock"
        begin = f"{stem.removesuffix('.script')}."
        contents = [
            file
            for file in self._item.texts
            if file.startswith(begin) and language_of(file.removeprefix(begin)) is not None
        ]
        if len(contents) != 1:
            name = begin.rpartition("/")[2].removesuffix(".")
            if contents:
                self._problem((), "more than one file holds its program", f"Keep one, such as {name}.py.")
            else:
                self._problem((), "its program is missing", f"Write {name}.py, or remove this file.")
            return
        language = language_of(contents[0].removeprefix(begin))
        self._script_lock(lock_file, language)
        if language == "python3":
            self._preprocessor(contents[0])

    def _script_lock(self, lock_file: str, language: str | None) -> None:
        lock, has_file = self._fields.get("lock"), lock_file in self._item.texts
        wanted = f"{INLINE}{lock_file}"
        name = PurePosixPath(lock_file).name
        if isinstance(lock, str) and lock.startswith("!inline"):
            if lock != wanted:
                self._problem(("lock",), f"it names another file than {name}", f"Write '{wanted}'.")
            elif not has_file:
                self._problem(("lock",), f"there is no file {name}", _LOCK_STEP)
            elif self._item.texts[lock_file].startswith(b"!inline"):
                self._loop(lock_file)
            return
        if has_file:
            self._problem(("lock",), f"it does not name {name}", f"Write '{wanted}', or remove that file.")
        elif not lock and language not in _WITHOUT_LOCK:
            self._problem(("lock",), "the script has no lock", _LOCK_STEP)

    def _preprocessor(self, content: str) -> None:
        program, declared = self._item.texts[content], self._fields.get("has_preprocessor") is True
        if program.startswith(b"!inline"):
            self._loop(content)
        if not declared and b"preprocessor" not in program:
            return
        try:
            tree = ast.parse(program)
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None) or 0
            self._problems.add(self._item.places[content], f"it is not Python: {error.args[0]}", line=line)
            return
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        if declared is not ("preprocessor" in names):
            name = self._item.places[content].name
            self._problem(
                ("has_preprocessor",),
                f"it does not agree with {name}",
                "Set it to what the script really has.",
            )

    def _loop(self, official: str) -> None:
        self._problems.add(
            self._item.places[official],
            "it names a file by !inline instead of being one, which is a loop",
            "Put the text itself into the file.",
            line=1,
        )

    # --- Flows --------------------------------------------------------------------------------------------

    def _flow(self) -> None:
        value = self._fields.get("value")
        if isinstance(value, dict):
            self._only(value, ("value",), known_fields.FLOW_FIELDS)
            self._steps(value)
        used = set(self._inlined(dict(self._fields), ()))
        for official in self._item.texts:
            if official != self._item.main and official not in used:
                self._problems.add(
                    self._item.places[official],
                    "it belongs to no step of the flow",
                    "Name it in flow.yaml, or move it away.",
                )

    def _steps(self, value: dict[str, Json]) -> None:
        ids: set[Json] = set()
        for place, step in steps_of(value):
            self._only(step, place, known_fields.STEP_FIELDS)
            name = step.get("id")
            if not isinstance(name, str) or not name:
                self._problem((*place, "id"), "a step needs an id", "Give it one, such as `id: a`.")
            elif name in ids:
                self._problem((*place, "id"), f"{name} is there twice", "Give each step an id of its own.")
            else:
                ids.add(name)
            work = step.get("value")
            if not isinstance(work, dict):
                self._problem((*place, "value"), "a step needs a value", "Say what it does.")
                continue
            self._work(work, (*place, "value"))

    def _work(self, work: dict[str, Json], place: Place) -> None:
        kind = work.get("type")
        if not isinstance(kind, str) or kind not in known_fields.WORK_FIELDS:
            self._problem(
                (*place, "type"), f"{kind!r} is no type of step", near(str(kind), known_fields.WORK_FIELDS)
            )
            return
        self._only(work, place, known_fields.WORK_FIELDS[kind])

    def _only(self, values: Mapping[str, Json], place: Place, known: frozenset[str]) -> None:
        for name in values:
            if name not in known:
                self._problem((*place, name), "Windmill knows no such field here", near(name, known))

    def _inlined(self, value: Json, place: Place) -> Iterator[str]:
        """The official path of each file that the flow names and has."""
        match value:
            case dict():
                for name, inner in value.items():
                    if isinstance(inner, str) and inner.startswith("!inline"):
                        found = self._inline(inner, (*place, name), work=value)
                        if found:
                            yield found
                    else:
                        yield from self._inlined(inner, (*place, name))
            case list():
                for index, inner in enumerate(value):
                    yield from self._inlined(inner, (*place, index))
            case _:
                return

    def _inline(self, text: str, place: Place, *, work: Mapping[str, Json]) -> str:
        name, home = text.removeprefix(INLINE).strip(), self._item.main.rpartition("/")[0]
        official = f"{home}/{name}"
        if (
            text.startswith(_FILESET)
            or place[-1] not in {"content", "lock"}
            or work.get("type") != "rawscript"
        ):
            self._problem(place, "only content and lock of a rawscript stand in a file of their own")
        elif not name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            self._problem(
                place, f"{name or 'nothing'} is outside of the flow's folder", "Keep it beside flow.yaml."
            )
        elif official == self._item.main:
            self._problem(place, "the file names itself, which is a loop", "Name the script's own file.")
        elif official not in self._item.texts:
            self._problem(
                place, f"there is no file {name} beside flow.yaml", "Write it, or correct the name."
            )
        elif self._item.texts[official].startswith(b"!inline"):
            self._loop(official)
            return official
        else:
            return official
        return ""

    # --- Settings -----------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        expression, zone = self._text("schedule"), self._text("timezone")
        if zone:
            try:
                ZoneInfo(zone)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                self._problem(
                    ("timezone",), f"{zone!r} is not a time zone", "Write one such as America/Lima."
                )
        if expression:
            try:
                cron.parse(expression)
            except cron.BadCron as error:
                # The server knows more signs than the local runtime: what that cannot play is only named.
                if error.facts.get("may_be_known"):
                    self._problems.warn(
                        self._item.file,
                        f"schedule: {error.message}",
                        line=self._item.line(("schedule",)),
                    )
                else:
                    self._problem(("schedule",), error.message, error.next_step)

    def _route(self) -> None:
        route = self._text("route_path")
        if route and not routes.is_valid(route):
            self._problem(("route_path",), f"{route!r} is not a route", "Write one such as acme/hook/:id.")
        elif route and (key := self._fields.get("route_path_key")) not in (None, routes.route_key(route)):
            self._problem(
                ("route_path_key",),
                f"{key!r} does not follow from route_path",
                f"Write {routes.route_key(route)}, or leave it out.",
            )

    def _variable(self) -> None:
        if self._fields.get("is_secret") is True:
            self._problem(
                ("is_secret",),
                "a secret does not stand in git, not even encrypted",
                f"Remove the file, and give it by `wmctl secret set {self._item.key.path}`. "
                "If it was ever committed, change the secret.",
            )


_LOCK_STEP = (
    "Write an empty line into its .script.lock when it needs only the platform's packages; else let the "
    "official `wmill generate-metadata` make it."
)


def steps_of(flow: Mapping[str, Json]) -> Iterator[tuple[Place, dict[str, Json]]]:
    """Every step of a flow's value with its place, those inside loops, branches and agents too."""
    for name in ("failure_module", "preprocessor_module"):
        if isinstance(step := flow.get(name), dict):
            yield from _with_inner(step, ("value", name))
    yield from _each(flow.get("modules"), ("value", "modules"))


def _each(steps: Json, place: Place) -> Iterator[tuple[Place, dict[str, Json]]]:
    for index, step in enumerate(steps if isinstance(steps, list) else ()):
        if isinstance(step, dict):
            yield from _with_inner(step, (*place, index))


def _with_inner(step: dict[str, Json], place: Place) -> Iterator[tuple[Place, dict[str, Json]]]:
    yield place, step
    work = step.get("value")
    if not isinstance(work, dict):
        return
    for name in ("modules", "default"):
        yield from _each(work.get(name), (*place, "value", name))
    branches = work.get("branches")
    for index, branch in enumerate(branches if isinstance(branches, list) else ()):
        if isinstance(branch, dict):
            yield from _each(branch.get("modules"), (*place, "value", "branches", index, "modules"))
