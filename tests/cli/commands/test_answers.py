"""Every command does what it is for, says so to a person, and gives a document to a program."""

from __future__ import annotations

import json

import pytest

from tests.cli.commands.row import Row, words
from tests.cli.commands.rows import ROWS
from tests.cli.commands.rows_of_targets import about_windmill
from tests.support.offices import Office
from tests.support.wmctl import Said, commands

COMMANDS = commands()
PLAYED_ELSEWHERE = {
    "demo",
    "ingest serve",
    "connector new",
    *(name for name in COMMANDS if name.startswith("dev ") or about_windmill(name)),
}
"""Commands with tests of their own: the day of the demo is a journey, the door serves until it is told, a
new connector is written into a copy of the checkout, `dev` talks to a customer at work, and some are about a
Windmill."""

HERE = sorted((set(COMMANDS) & set(ROWS)) - PLAYED_ELSEWHERE)


def test_every_command_has_a_row() -> None:
    """A new command without a row fails here, and with it everything these tables ask of commands."""
    assert set(ROWS) == set(COMMANDS)


def test_a_command_whose_document_is_tested_has_the_option_and_the_other_way_round() -> None:
    """No command answers in JSON without its keys written down in its row."""
    with_option = {name for name, one in COMMANDS.items() if any(p.name == "as_json" for p in one.params)}

    assert {name for name, row in ROWS.items() if row.keys} == with_option


@pytest.mark.parametrize("name", HERE)
def test_a_command_says_what_it_did(office: Office, name: str) -> None:
    """Its exit code, data on stdout, narration on stderr."""
    row, command = ROWS[name], COMMANDS[name]
    said = _said(office, row, words(name, command, row.line(command, office)))

    assert (said.code, row.says in said.out + said.err) == (row.code, True), said
    assert "Traceback" not in said.err


@pytest.mark.parametrize("name", [name for name in HERE if ROWS[name].keys])
def test_a_command_answers_a_program_with_one_document(office: Office, name: str) -> None:
    """Stdout is one JSON document with exactly the keys that are written down, and nothing else."""
    row, command = ROWS[name], COMMANDS[name]
    said = _said(office, row, [*words(name, command, row.line(command, office)), "--json"])

    assert said.code == row.code, said
    document = json.loads(said.out)
    items = document if isinstance(document, list) else [document]
    assert items, "nothing to look at: the row must make something"
    assert {frozenset(item) for item in items} == {frozenset(row.keys.split())}
    assert said.out.isascii() or "\\u" not in said.out


def _said(office: Office, row: Row, line: list[str]) -> Said:
    if row.before is not None:
        row.before(office)
    try:
        return office.terminal.say(*line)
    finally:
        if row.after is not None:
            row.after(office)
