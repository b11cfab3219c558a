"""The arithmetic of the chain, without a database.

    hash = sha256(previous hash in hex, LF, chain name, LF, number, LF, microseconds since 1970, LF, body)

The first entry's previous hash is 32 zero bytes. What the chain shows is one of four flaws; what it cannot
show is a trail re-hashed from an edit to its end together with its head, so the head's hash also belongs
somewhere the database's owner cannot write.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple, TypeAlias

GENESIS = bytes(32)
MAX_SUSPECTS = 1000
"""How many entries that do not fit are compared with each other to tell an exchange from an edit."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Flaw(StrEnum):
    """What is wrong with a trail."""

    CONTENT = "content"
    """The entry is not what was written."""
    GAP = "gap"
    """The entry is missing."""
    SWAP = "swap"
    """The entry stands in another's place."""
    TAIL = "tail"
    """The trail ends before, or after, the entry its head remembers."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the trail says of itself: its name, its last entry's number and that entry's hash."""

    chain: str
    seq: int
    hash: bytes


class StoredEntry(NamedTuple):
    """One entry as it lies in the table; `body` is the text exactly as hashed."""

    seq: int
    at: datetime
    body: str
    prev_hash: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Verified:
    """Every entry is there, unchanged and in its place. `hash` is the last one's: worth keeping elsewhere."""

    chain: str
    entries: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Broken:
    """The trail can be believed before `seq` and not from there on."""

    seq: int
    kind: Flaw


Verdict: TypeAlias = Verified | Broken


@dataclass(frozen=True, slots=True)
class Suspect:
    """An entry that does not fit, with the number and hash of the one before it."""

    entry: StoredEntry
    before_seq: int
    before_hash: bytes


def digest(prev_hash: bytes, chain: str, seq: int, at: datetime, body: str) -> bytes:
    """The hash an entry must have. Only `body` may hold a line feed, so the text has one reading."""
    microseconds = (at - _EPOCH) // _MICROSECOND
    return sha256(f"{prev_hash.hex()}\n{chain}\n{seq}\n{microseconds}\n{body}".encode()).digest()


def verify_independently(rows: Iterable[StoredEntry], head: Head) -> Verdict:
    """Judge a trail without asking the database that holds it; `rows` in the order of their numbers."""
    suspects: list[Suspect] = []
    before_seq, before_hash = 0, GENESIS
    for entry in rows:
        fits = (
            entry.seq == before_seq + 1
            and entry.prev_hash == before_hash
            and entry.hash == digest(entry.prev_hash, head.chain, entry.seq, entry.at, entry.body)
        )
        if not fits and len(suspects) < MAX_SUSPECTS:
            suspects.append(Suspect(entry, before_seq, before_hash))
        before_seq, before_hash = entry.seq, entry.hash
    return decide_verdict(suspects, last_seq=before_seq, last_hash=before_hash, head=head)


def decide_verdict(suspects: Sequence[Suspect], *, last_seq: int, last_hash: bytes, head: Head) -> Verdict:
    """Name the first flaw from the entries that do not fit and from where the trail ends."""
    if suspects:
        return _decide_flaw(suspects, head.chain)
    if last_seq != head.seq:
        return Broken(min(last_seq, head.seq) + 1, Flaw.TAIL)
    if last_hash != head.hash:
        return Broken(head.seq, Flaw.TAIL)
    return Verified(chain=head.chain, entries=head.seq, hash=head.hash)


def _decide_flaw(suspects: Sequence[Suspect], chain: str) -> Broken:
    first = suspects[0]
    entry = first.entry
    if entry.seq != first.before_seq + 1:
        return Broken(first.before_seq + 1, Flaw.GAP)
    if entry.hash == digest(entry.prev_hash, chain, entry.seq, entry.at, entry.body):
        # It is whole and remembers another entry before it: that one was rewritten with a fitting hash.
        return Broken(max(first.before_seq, 1), Flaw.CONTENT)
    if any(_exchanged(entry, other.entry, chain) for other in suspects[1:]):
        return Broken(entry.seq, Flaw.SWAP)
    return Broken(entry.seq, Flaw.CONTENT)


def _exchanged(entry: StoredEntry, other: StoredEntry, chain: str) -> bool:
    moved = digest(entry.prev_hash, chain, other.seq, entry.at, entry.body)
    refilled = digest(entry.prev_hash, chain, entry.seq, other.at, other.body)
    return entry.hash in (moved, refilled)
