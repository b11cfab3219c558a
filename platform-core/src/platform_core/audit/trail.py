"""Writing, reading and proving the trail.

Record last in a transaction: an entry holds the head row until the transaction ends, and writers queue there.
Details are read by people and kept for years: identifiers and amounts, never a secret, a phone number or the
text of a message.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import psycopg
from psycopg import errors as pg
from psycopg.types.json import Jsonb

from platform_core.audit.chain import (
    MAX_SUSPECTS,
    Broken,
    Flaw,
    Head,
    StoredEntry,
    Suspect,
    Verdict,
    decide_verdict,
)
from platform_core.db import Tx, load_queries
from platform_core.errors import ConfigurationError, InvalidInput
from platform_core.values import Actor

Q = load_queries(__file__)

Result = Literal["ok", "denied", "error"]

MAX_DETAIL_BYTES = 12_000  # the table takes 16 KiB with everything around it
MAX_LISTED = 1000
_BATCH = 5000


@dataclass(frozen=True, slots=True)
class Entry:
    """One act, as people read it. `login` is the database login that wrote it, whatever `actor` claims."""

    seq: int
    at: datetime
    action: str
    actor: Actor
    target: tuple[str, str]
    result: Result
    detail: Mapping[str, object]
    login: str


def record(
    tx: Tx,
    action: str,
    actor: Actor,
    target: tuple[str, str],
    *,
    result: Result = "ok",
    detail: Mapping[str, object] | None = None,
) -> int:
    """Write one act into the trail, in the caller's transaction; its number comes back.

    `action` is dotted lower-case words in the past tense (`claim.approved`), `target` a type and an id.
    Raises: InvalidInput for a malformed entry, ConfigurationError when the database has no trail.
    """
    kind, identifier = target
    try:
        row = tx.execute(
            Q["entry_append"],
            {
                "action": action,
                "actor": Jsonb(actor.as_json()),
                "target": Jsonb({"type": kind, "id": identifier}),
                "result": result,
                "detail": _detail(action, detail or {}),
            },
        ).fetchone()
    except (psycopg.DataError, pg.CheckViolation) as error:
        raise InvalidInput(
            f"{action[:80]!r} was not recorded: {error.diag.message_primary or error}"
        ) from error
    except pg.ObjectNotInPrerequisiteState as error:
        raise ConfigurationError(
            "This database has no audit trail", next_step="Provision the customer again; nothing was changed."
        ) from error
    return _number(row)


def list_entries(
    tx: Tx, limit: int = 50, *, action: str | None = None, target: tuple[str, str | None] | None = None
) -> list[Entry]:
    """The newest entries first; `target` is a type and an id, or a type and None for all of that type."""
    target_type, target_id = target or (None, None)
    rows = tx.execute(
        Q["entry_list"],
        {
            "action": action,
            "target_type": target_type,
            "target_id": target_id,
            "limit": max(1, min(limit, MAX_LISTED)),
        },
    ).fetchall()
    return [_entry(seq, at, body) for seq, at, body in rows]


def read_head(tx: Tx) -> Head:
    """Where the trail ends now. Raises: ConfigurationError when the database has no trail."""
    row = tx.execute(Q["head_get"]).fetchone()
    if row is None:
        raise ConfigurationError("This database has no audit trail", next_step="Restore it from a backup.")
    return Head(*row)


def read_entries(tx: Tx, *, until: Head) -> Iterator[StoredEntry]:
    """Every entry up to a head, in order and in batches: what `verify_independently` takes."""
    after = 0
    while after < until.seq:
        rows = tx.execute(
            Q["entry_list_after"], {"after": after, "last": until.seq, "limit": _BATCH}
        ).fetchall()
        if not rows:
            return
        yield from map(StoredEntry._make, rows)
        after = rows[-1][0]


def verify(tx: Tx) -> Verdict:
    """Prove the whole trail in the database, about 200,000 entries a second.

    It trusts the database's own `sha256` and functions; `verify_independently` does not. Runs under the
    connection's statement timeout.
    """
    rows = tx.execute(Q["entry_find_broken"], {"limit": MAX_SUSPECTS}).fetchall()
    if not rows:
        return Broken(1, Flaw.TAIL)  # no head: nothing vouches for any entry
    chain, head_seq, head_hash, last_seq, last_hash = rows[0][:5]
    suspects = [
        Suspect(StoredEntry(*row[5:10]), before_seq=row[10], before_hash=row[11])
        for row in rows
        if row[5] is not None
    ]
    head = Head(chain, head_seq, head_hash)
    return decide_verdict(suspects, last_seq=last_seq, last_hash=last_hash, head=head)


def _detail(action: str, detail: Mapping[str, object]) -> Jsonb:
    try:
        text = json.dumps(dict(detail), ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"The detail of {action[:80]!r} is not JSON") from error
    if len(text.encode("utf-8", "replace")) > MAX_DETAIL_BYTES:
        raise InvalidInput(
            f"The detail of {action[:80]!r} is larger than {MAX_DETAIL_BYTES} bytes",
            next_step="Record identifiers and amounts, not documents.",
        )
    return Jsonb(dict(detail))


def _number(row: tuple[object, ...] | None) -> int:
    if row is None or not isinstance(row[0], int):
        raise AssertionError("audit.append always returns a number")
    return row[0]


def _entry(seq: int, at: datetime, body: str) -> Entry:
    said = json.loads(body)
    actor, target = said["actor"], said["target"]
    return Entry(
        seq=seq,
        at=at,
        action=said["action"],
        actor=Actor(actor["type"], actor["id"], actor.get("role", ""), actor.get("via", "")),
        target=(target["type"], target["id"]),
        result=said["result"],
        detail=said["detail"],
        login=said["login"],
    )
