"""SQL is read more often than it is written: every statement says what it is for, and every one is used."""

from __future__ import annotations

import re

import pytest

from tests.architecture import queries
from tests.architecture.source import ROOT, Source, in_product, python_sources, repository_files

PRODUCT = ("platform-core/src/", "platform-cli/src/", "connectors/src/")
GOOD = """\
-- name: claim_approve
-- purpose: Move a claim to approved when it is still pending review.
-- moves: pending_review -> approved
-- locks: the claim row
-- replay: no row when the claim was decided before
UPDATE payments.claim AS claim
SET state = 'approved'
WHERE claim.id = %(claim)s
  AND claim.state = 'pending_review'
RETURNING claim.id;
"""


def _sql_files() -> list[tuple[str, str]]:
    return [
        (name, (ROOT / name).read_text(encoding="utf-8"))
        for name in repository_files()
        if name.endswith(".sql") and name.startswith(PRODUCT)
    ]


def test_every_named_statement_is_well_written() -> None:
    """Name, purpose, locks, replay; explicit columns; guarded changes of state."""
    found = [c for path, text in _sql_files() if "-- name:" in text for c in queries.complaints(path, text)]

    assert not found, "\n".join(found)


def test_every_named_statement_is_used_and_every_used_name_exists() -> None:
    """Dead SQL is as misleading as dead code."""
    named = [statement for path, text in _sql_files() for statement in queries.statements(path, text)]
    product = [source for source in python_sources() if in_product(source.path)]

    assert named
    assert not queries.usage(named, product), "\n".join(queries.usage(named, product))


def test_no_column_loses_its_zone() -> None:
    """`timestamp` alone forgets where it was; `timestamptz` is an instant."""
    naive = re.compile(r"(?i)\btimestamp\b(?!\s+with\s+time\s+zone)")
    found = [
        f"{path}:{number}: {line.strip()}"
        for path, text in _sql_files()
        for number, line in enumerate(text.splitlines(), 1)
        if naive.search(line.split("--")[0])
    ]

    assert not found, "\n".join(found)
    assert naive.search("at timestamp NOT NULL")
    assert not naive.search("at timestamptz NOT NULL, b timestamp with time zone")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-- purpose: Move a claim to approved when it is still pending review.\n", ""),
        ("-- locks: the claim row\n", ""),
        ("-- replay: no row when the claim was decided before\n", ""),
        ("-- replay: ", "-- repeat: "),
        ("pending_review -> approved\n", "pending_review to approved\n"),
        ("claim_approve", "approve"),
        ("RETURNING claim.id", "RETURNING claim.*"),
        ("UPDATE", "update"),
        ("  AND claim.state = 'pending_review'\n", ""),
        ("-- name: claim_approve\n", "SELECT 1;\n-- name: claim_approve\n"),
        (";\n", ";\n" + GOOD),
    ],
)
def test_a_badly_written_statement_is_complained_about(old: str, new: str) -> None:
    """Each part of the rule bites; the untouched statement passes."""
    assert list(queries.complaints("x/queries.sql", GOOD)) == []
    assert list(queries.complaints("x/queries.sql", GOOD.replace(old, new, 1))) != []


def test_an_unused_statement_and_an_unknown_name_are_complained_about() -> None:
    """Both directions of the comparison bite."""
    named = queries.statements("x/queries.sql", GOOD)
    using = Source.parse("x/claims.py", 'Q = load_queries(__file__)\ntx.execute(Q["claim_approve"])')
    misspelt = Source.parse("x/claims.py", 'Q = load_queries(__file__)\ntx.execute(Q["claim_aprove"])')

    assert queries.usage(named, [using]) == []
    assert queries.usage(named, []) == ["x: `claim_approve` is used nowhere"]
    assert queries.usage(named, [misspelt]) == [
        "x: `claim_approve` is used nowhere",
        "x: there is no statement `claim_aprove`",
    ]
