"""Every command x everything that can be wrong with its line: one line says it, and nothing is half-done.

What can be wrong is read off the command's own parameters, so a new command is asked the same questions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import pytest
import typer

from tests.cli.commands.row import words
from tests.cli.commands.rows import ROWS
from tests.cli.commands.rows_of_sync import ROWS_OF_SYNC
from tests.cli.commands.rows_of_targets import about_windmill
from tests.support.offices import SLUG, Office
from tests.support.wmctl import Said, Terminal, commands, content_of, rows_of

pytestmark = pytest.mark.timeout(600)  # the first test waits for one good line of every command

COMMANDS = commands()
CHOOSING = sorted(
    name
    for name, one in COMMANDS.items()
    if any(
        parameter.name == "customer" and not parameter.required and not getattr(parameter, "multiple", False)
        for parameter in one.params
    )
)
"""Commands about one customer; one that takes several is about all of them when none is named."""

NAMED_THINGS = {
    "claim": "C",
    "obligation": "O",
    "job": "J",
    "event": "E",
    "message": "S",
    "alert": "A",
    "session": "L",
    "of": "C",
    "link": "K",
}
"""Parameters that name a thing by prefix and number."""

MAKES_CUSTOMERS = "tenant provision"
STRANGERS = ("nobody", "Robert'); DROP TABLE claims;--", "+56911112222", "")


@dataclass(frozen=True, slots=True)
class Bad:
    """One wrong line: the parameters it changes or leaves out, and what must be said of it."""

    what: str
    changes: dict[str, str]
    code: int
    says: str
    without: str = ""


def _wrong(name: str, command: typer.core.TyperCommand) -> Iterator[Bad]:
    for one in command.params:
        yield from _wrong_value(name, one)
        if one.required:
            said = max(one.opts, key=len) if one.param_type_name == "option" else "Missing argument"
            yield Bad(f"no {one.name}", {}, 2, said, without=one.name)
    for changes, code, says in ROWS[name].spoilt:
        yield Bad(" and ".join(f"{key}={value}" for key, value in changes.items()), dict(changes), code, says)


def _wrong_value(name: str, one: object) -> Iterator[Bad]:
    parameter = str(getattr(one, "name", ""))
    annotation = getattr(getattr(one, "type_descriptor", None), "annotation", None)
    if parameter in NAMED_THINGS:
        prefix = NAMED_THINGS[parameter]
        for text in ("", f"{prefix}0", f"{prefix.lower()}-1", prefix + "9" * 20, f"X{prefix}1", "１２"):
            yield Bad(f"{parameter} {text!r}", {parameter: text}, 2, repr(text[:20]).rstrip("'"))
        # A decision about another claim refuses, it does not look up; an unknown class is an invalid one.
        code = {"of": 4, "session": 2}.get(parameter, 3)
        yield Bad(f"no such {parameter}", {parameter: f"{prefix}987654"}, code, "There is no")
    if parameter == "customer" and name != MAKES_CUSTOMERS:
        yield Bad("unknown customer", {parameter: "einstein_kid"}, 3, f"Did you mean {SLUG}?")
        yield Bad("no customer's name", {parameter: "no one; --"}, 3, "See `wmctl ")
    if parameter == "as_":
        for stranger in STRANGERS:
            yield Bad(f"stranger {stranger!r}", {parameter: stranger}, 4, "not a member")
        yield Bad("viewer", {parameter: "diego"}, 4, "The viewer diego may not")
    if parameter == "limit":
        for number in ("-1", "0", "1001", "many", "1e3"):
            yield Bad(f"limit {number}", {parameter: number}, 2, "--limit")
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        yield Bad(f"unknown {parameter}", {parameter: "nonsense"}, 2, "'nonsense'")


NEED_NONE = {
    "demo",
    "connector list",
    "connector check",
    "connector new",
    "customer update",
    *ROWS_OF_SYNC,
    *(name for name in COMMANDS if name.startswith("dev ") or about_windmill(name)),
}
"""Commands that make an installation, are about the checkout or a Windmill, or talk to a `dev` that runs."""

ANYWHERE = {name for name in COMMANDS if about_windmill(name)}
"""Commands that work outside of a checkout: what they are about is the user's, wherever that is."""

CASES = [(name, bad) for name, command in COMMANDS.items() if name in ROWS for bad in _wrong(name, command)]


@pytest.fixture(scope="module")
def lines(office: Office) -> dict[str, dict[str, str]]:
    """A line that works for every command, with everything it needs made before anything goes wrong."""
    made = {}
    for name, command in COMMANDS.items():
        made[name] = ROWS[name].line(command, office)
        if name == "tenant resume":  # its row suspended the customer
            office.say("tenant", "resume", SLUG, "--reason", "the test goes on")
    return made


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES}))
def test_a_wrong_line_is_refused_in_one_line_and_nothing_changes(
    office: Office, lines: dict[str, dict[str, str]], name: str
) -> None:
    """Exit code of the tree, the reason and the next step on stderr, stdout empty, every table as it was."""
    wrong = [bad for owner, bad in CASES if owner == name]
    before = _everything(office)
    denied = _denials(office)
    problems = []
    for bad in wrong:
        values = {**lines[name], **bad.changes}
        values.pop(bad.without, None)
        said = office.terminal.say(*words(name, COMMANDS[name], values))
        problems += [f"{bad.what}: {problem}" for problem in _problems(office, said, bad)]
    refused = sum((bad.code == 4 and "may not" in bad.says) or bad.says == "not a member" for bad in wrong)

    assert "\n".join(problems) == ""
    assert _everything(office) == before
    assert _denials(office) - denied == refused, "every denial stays on record, and nothing else"


def test_bytes_that_are_no_text_are_refused_before_anything_is_opened(office: Office) -> None:
    """A shell hands over any bytes; Python makes of them characters that cannot be stored."""
    said = office.terminal.say("claim", "list", "--customer", "caf\udce9")

    assert (said.code, said.out) == (2, "")
    assert (
        said.err == "wmctl: An argument is not text in UTF-8. Type it again, or set the terminal to UTF-8.\n"
    )


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["claim", "lst"], ["claim", "list", "--nonsense"], ["-x"]]
)
def test_a_command_or_option_that_does_not_exist_is_named(arguments: list[str]) -> None:
    """Nothing is opened for it."""
    said = Terminal({}).say(*arguments)

    assert (said.code, said.out, len(said.lines)) == (2, "", 1)
    assert arguments[-1] in said.err
    assert "--help`" in said.err


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - ANYWHERE))
def test_outside_the_repository_every_command_says_where_to_go(
    office: Office, lines: dict[str, dict[str, str]], tmp_path: Path, name: str
) -> None:
    """Also with an installation at hand: the customers' folders are in the repository."""
    said = Terminal(office.terminal.environment, tmp_path).say(*words(name, COMMANDS[name], lines[name]))

    assert (said.code, said.out) == (6, "")
    assert said.lines == [f"wmctl: {tmp_path} is not inside the repository. Change into the checkout first."]


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - NEED_NONE))
def test_without_an_installation_every_command_says_how_to_get_one(
    lines: dict[str, dict[str, str]], tmp_path: Path, name: str
) -> None:
    """And does not begin one."""
    terminal = Terminal({"PLATFORM_STATE_DIR": str(tmp_path / "state")})

    said = terminal.say(*words(name, COMMANDS[name], lines[name]))

    assert (said.code, said.out, len(said.lines)) == (6, "", 1)
    assert "There is no platform on this machine yet. Run `make demo`" in said.err
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("name", CHOOSING)
def test_a_command_that_has_to_choose_between_customers_names_them(
    office: Office, lines: dict[str, dict[str, str]], name: str
) -> None:
    """It never takes the first one."""
    values = {key: value for key, value in lines[name].items() if key != "customer"}

    said = office.terminal.say(*words(name, COMMANDS[name], values))

    assert (said.code, said.out, len(said.lines)) == (2, "", 1)
    assert [customer for customer in ("colegio_vecino", SLUG) if customer not in said.err] == []
    assert "Name one with --customer." in said.err


@pytest.mark.parametrize(
    ("variable", "value", "code"),
    [
        ("PLATFORM_DATABASE_URL", "", 6),
        ("PLATFORM_DATABASE_URL", "not a connection string", 6),
        ("PLATFORM_DATABASE_URL", f"postgresql://postgres:{'postgres'}@localhost/postgres", 6),
        ("PLATFORM_DATABASE_URL", "postgresql://u:<password>@localhost/postgres", 6),
        ("PLATFORM_STATE_DIR", "", 6),
        ("PLATFORM_STATE_DIR", "/dev/null", 6),
        ("PLATFORM_DATABASE_URI", "postgresql://localhost", 6),
        ("PLATFORM_LOG_LEVEL", "LOUD", 6),
    ],
)
def test_a_variable_that_makes_no_sense_is_named_and_its_value_is_not(
    variable: str, value: str, code: int
) -> None:
    """Before anything is opened."""
    said = Terminal({variable: value}).say("claim", "list")

    assert (said.code, said.out, len(said.lines)) == (code, "", 1)
    assert variable in said.err
    assert "://" not in said.err


def _problems(office: Office, said: Said, bad: Bad) -> Iterator[str]:
    if said.code != bad.code:
        yield f"exit {said.code}, not {bad.code}: {said.err!r}"
    if said.out:
        yield f"stdout says {said.out!r}"
    if len(said.lines) != 1:
        yield f"{len(said.lines)} lines on stderr: {said.err!r}"
    if bad.says not in said.err:
        yield f"{bad.says!r} is not in {said.err!r}"
    secrets = {office.cluster.password, str(office.made.dsn).rsplit("password=", maxsplit=1)[1].split()[0]}
    for found in ("Traceback", "56900000011", "56911112222", *secrets):
        if found in said.err:
            yield f"says {found!r}"


def _everything(office: Office) -> dict[str, tuple[int, str]]:
    trail = {"audit.entry", "audit.head"}  # denials are kept; they are counted apart
    return {
        f"{dsn.split('dbname=')[1].split()[0]} {table}": content
        for dsn in (office.admin_dsn, office.cluster.dsn("platform_control"))
        for table, content in content_of(dsn).items()
        if table not in trail
    }


def _denials(office: Office) -> int:
    counted = rows_of(office.admin_dsn, "SELECT count(*) AS entries FROM audit.entry")
    return int(str(counted[0]["entries"]))
