"""What tampering the chain shows: done as superuser, with the triggers off, found by both verifiers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_core import audit
from platform_core.audit import Broken, Flaw, Head, StoredEntry, Verified, verify_independently
from platform_core.audit.chain import GENESIS, digest
from platform_core.db import Tx
from platform_core.values import Actor
from tests.support.databases import TenantDatabase

ENTRIES = 12


@pytest.fixture
def forger(tenant_db: TenantDatabase) -> Iterator[Tx]:
    """A superuser over a trail of twelve entries, with the triggers switched off."""
    with tenant_db.admin() as admin:
        for number in range(1, ENTRIES + 1):
            audit.record(
                admin, "claim.approved", Actor("user", "ana", "owner"), ("claim", f"C{number}"),
                detail={"amount_minor": number * 1000},
            )  # fmt: skip
        for table in ("entry", "head"):
            admin.execute(f"ALTER TABLE audit.{table} DISABLE TRIGGER ALL".encode())
        yield admin


def _both(tx: Tx) -> tuple[audit.Verdict, audit.Verdict]:
    head = audit.read_head(tx)
    every_row = Head(head.chain, 10**9, b"")
    return audit.verify(tx), verify_independently(audit.read_entries(tx, until=every_row), head)


REHASH = (
    "UPDATE audit.entry e SET hash = audit.digest(e.prev_hash, h.chain, e.seq, e.at, e.body) "
    "FROM audit.head h WHERE e.seq = 5"
)

TAMPERING = {
    "edit of a body": (["UPDATE audit.entry SET body = replace(body, '5000', '9000') WHERE seq = 5"],
                       Broken(5, Flaw.CONTENT)),
    "edit of a time": (["UPDATE audit.entry SET at = at + interval '1 microsecond' WHERE seq = 5"],
                       Broken(5, Flaw.CONTENT)),
    "edit of a hash": (["UPDATE audit.entry SET hash = sha256('x') WHERE seq = 5"], Broken(5, Flaw.CONTENT)),
    "edit of the link": (["UPDATE audit.entry SET prev_hash = sha256('x') WHERE seq = 5"],
                         Broken(5, Flaw.CONTENT)),
    "edit with a fitting hash": (
        ["UPDATE audit.entry SET body = replace(body, '5000', '9000') WHERE seq = 5", REHASH],
        Broken(5, Flaw.CONTENT),
    ),
    "two edits, the first named": (
        ["UPDATE audit.entry SET body = replace(body, 'ana', 'eve') WHERE seq IN (3, 9)"],
        Broken(3, Flaw.CONTENT),
    ),
    "another chain's name": (["UPDATE audit.head SET chain = 'other'"], Broken(1, Flaw.CONTENT)),
    "entry removed": (["DELETE FROM audit.entry WHERE seq = 5"], Broken(5, Flaw.GAP)),
    "first entry removed": (["DELETE FROM audit.entry WHERE seq = 1"], Broken(1, Flaw.GAP)),
    "several removed": (["DELETE FROM audit.entry WHERE seq BETWEEN 4 AND 6"], Broken(4, Flaw.GAP)),
    "neighbours exchanged": (
        ["UPDATE audit.entry SET seq = seq + 1000 WHERE seq IN (5, 6)",
         "UPDATE audit.entry SET seq = 1011 - seq WHERE seq > 1000"],
        Broken(5, Flaw.SWAP),
    ),
    "distant entries exchanged": (
        ["UPDATE audit.entry SET seq = seq + 1000 WHERE seq IN (3, 8)",
         "UPDATE audit.entry SET seq = 1011 - seq WHERE seq > 1000"],
        Broken(3, Flaw.SWAP),
    ),
    "contents exchanged, hashes kept": (
        [("WITH other AS (SELECT 11 - seq AS seq, at, body FROM audit.entry WHERE seq IN (3, 8)) "
         "UPDATE audit.entry e SET at = other.at, body = other.body FROM other WHERE other.seq = e.seq")],
        Broken(3, Flaw.SWAP),
    ),
    "tail cut": (["DELETE FROM audit.entry WHERE seq > 9"], Broken(10, Flaw.TAIL)),
    "whole trail cut": (["DELETE FROM audit.entry"], Broken(1, Flaw.TAIL)),
    "head moved back": (["UPDATE audit.head SET seq = 9"], Broken(10, Flaw.TAIL)),
    "head with another hash": (["UPDATE audit.head SET hash = sha256('x')"], Broken(12, Flaw.TAIL)),
    "last entry rewritten with a fitting hash": (
        ["UPDATE audit.entry SET body = replace(body, '12000', '99000') WHERE seq = 12",
         REHASH.replace("e.seq = 5", "e.seq = 12")],
        Broken(12, Flaw.TAIL),
    ),
    "entry added behind the head": (
        [("INSERT INTO audit.entry "
         "SELECT 13, e.at, e.body, e.hash, audit.digest(e.hash, h.chain, 13, e.at, e.body) "
          "FROM audit.entry e, audit.head h WHERE e.seq = 12")],
        Broken(13, Flaw.TAIL),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERING)
def test_tampering_is_found_and_named_by_both_verifiers(forger: Tx, name: str) -> None:
    """The first number that cannot be believed, and why."""
    statements, expected = TAMPERING[name]
    for statement in statements:
        forger.execute(statement.encode())

    assert _both(forger) == (expected, expected)


def test_an_untouched_trail_is_verified_by_both(forger: Tx) -> None:
    """The verdict carries the hash worth keeping elsewhere."""
    head = audit.read_head(forger)
    expected = Verified(chain=head.chain, entries=ENTRIES, hash=head.hash)

    assert _both(forger) == (expected, expected)


def test_an_empty_trail_is_whole(tenant_db: TenantDatabase) -> None:
    """Nothing was done yet, and nothing is missing."""
    with tenant_db.connect() as tx:
        expected = Verified(chain=audit.read_head(tx).chain, entries=0, hash=GENESIS)

        assert _both(tx) == (expected, expected)


def test_a_trail_without_its_head_proves_nothing(forger: Tx) -> None:
    """With the head gone no entry is vouched for."""
    forger.execute("DELETE FROM audit.head")

    assert audit.verify(forger) == Broken(1, Flaw.TAIL)


def test_a_database_that_lies_about_digests_is_caught_from_outside(forger: Tx) -> None:
    """An owner can replace the function; the independent verifier does not ask it."""
    forger.execute(
        "CREATE OR REPLACE FUNCTION audit.digest"
        "(prev_hash bytea, chain text, seq bigint, at timestamptz, body text) RETURNS bytea "
        "LANGUAGE sql STABLE AS $$ SELECT entry.hash "
        "FROM audit.entry AS entry WHERE entry.seq = digest.seq $$"
    )
    forger.execute("UPDATE audit.entry SET body = replace(body, '5000', '9000') WHERE seq = 5")

    assert [type(verdict) for verdict in _both(forger)] == [Verified, Broken]


def test_a_verdict_is_of_one_moment_while_others_write(tenant_db: TenantDatabase) -> None:
    """A trail that grows during the verification is never called cut."""
    with tenant_db.connect() as reader, tenant_db.connect() as writer:
        for number in range(30):
            audit.record(writer, "job.ran", Actor("system", "runner"), ("job", f"J{number}"))
            head = audit.read_head(reader)
            audit.record(writer, "job.ran", Actor("system", "runner"), ("job", f"J{number}"))

            assert isinstance(audit.verify(reader), Verified)
            assert isinstance(verify_independently(audit.read_entries(reader, until=head), head), Verified)


def _chain_of(bodies: list[str]) -> tuple[list[StoredEntry], Head]:
    entries: list[StoredEntry] = []
    before, at = GENESIS, datetime(2026, 3, 1, tzinfo=UTC)
    for seq, body in enumerate(bodies, start=1):
        at += timedelta(microseconds=1)
        own = digest(before, "kids", seq, at, body)
        entries.append(StoredEntry(seq, at, body, before, own))
        before = own
    return entries, Head("kids", len(entries), before)


Mutation = Callable[[list[StoredEntry], int, int], list[StoredEntry]]


def _edit(entries: list[StoredEntry], place: int, _: int) -> list[StoredEntry]:
    changed = entries[place]._replace(body=entries[place].body + " ")
    return [*entries[:place], changed, *entries[place + 1 :]]


def _remove(entries: list[StoredEntry], place: int, _: int) -> list[StoredEntry]:
    return entries[:place] + entries[place + 1 :]


def _exchange(entries: list[StoredEntry], place: int, other: int) -> list[StoredEntry]:
    changed = list(entries)
    changed[place] = entries[other]._replace(seq=entries[place].seq)
    changed[other] = entries[place]._replace(seq=entries[other].seq)
    return changed


@given(
    bodies=st.lists(st.text(max_size=40), min_size=2, max_size=20),
    mutate=st.sampled_from([_edit, _remove, _exchange]),
    places=st.tuples(st.integers(0, 19), st.integers(0, 19)),
)
def test_any_single_tampering_breaks_any_chain(
    bodies: list[str], mutate: Mutation, places: tuple[int, int]
) -> None:
    """Whatever the bodies, an edit, a removal or an exchange anywhere is found at or before its place."""
    entries, head = _chain_of(bodies)
    place, other = (index % len(entries) for index in places)
    if mutate is _exchange and place == other:
        other = (place + 1) % len(entries)

    verdict = verify_independently(mutate(entries, place, other), head)

    assert isinstance(verdict, Broken)
    assert verdict.seq == min(place, other if mutate is _exchange else place) + 1
    assert isinstance(verify_independently(entries, head), Verified)
