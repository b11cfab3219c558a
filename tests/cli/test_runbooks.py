"""The commands of the runbooks are typed, as they stand there, at a customer at work."""

from __future__ import annotations

import shlex

import pytest

from tests.support.offices import SLUG, Office
from tests.support.runbooks import commands, runbooks

ELSEWHERE = ("wmctl host", "wmctl backup", "wmctl drift", "wmctl deploy", "wmctl secret", "wmctl rollback")
"""They need a host or a Windmill. Who types each of these commands, tests/docs/test_entered.py finds out."""

TYPED = sorted(
    {
        (book.name, line)
        for book in runbooks()
        for line in commands(book.text)
        if line.startswith("wmctl ") and not line.startswith(ELSEWHERE)
    }
)


@pytest.mark.parametrize(("name", "line"), TYPED, ids=[f"{name}: {line}" for name, line in TYPED])
def test_a_command_of_a_runbook_does_what_it_says(office: Office, name: str, line: str) -> None:
    """With the names of this customer in place of the capitals."""
    meant = {
        "CUSTOMER": lambda: SLUG,
        "YOU": lambda: "bruno",
        "A1": office.open_alert,
        "J1": office.waiting_job,
    }
    words = [meant[word]() if word in meant else word for word in shlex.split(line)[1:]]

    said = office.terminal.say(*words)

    assert said.code == 0, f"{name}: {line}: {said}"


def test_an_alert_that_wakes_a_person_leads_to_its_runbook(office: Office) -> None:
    """Below the list, where whoever was woken looks."""
    office.conflict()
    office.work()

    said = office.terminal.say("alert", "list", "--customer", SLUG)

    assert "inbox.conflict: begin with ops/runbooks/inbox.conflict.md" in said.err
    assert said.err.count("inbox.conflict: begin with") == 1
