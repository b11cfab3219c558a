"""Writing down what became of a batch, fenced by its lease, and taking the next one in the same commit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

import psycopg
from psycopg.rows import TupleRow

from platform_core.db.connect import Tx
from platform_core.db.queries import load_queries
from platform_core.jobs.backoff import Backoff
from platform_core.jobs.contracts import DeadCause
from platform_core.jobs.execution import ClaimedRow, Settlement

Q = load_queries(__file__)

ENDED = ("done", "cancelled")
IN_OPEN_LINE = attrgetter("priority", "run_at", "id")

LEVELS = 3

Floor = tuple[object, int]
"""The run_at and id of the last job claimed; index entries up to here are not read again."""

Lane = tuple[str, str]
"""A kind and one of its lanes."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a claim looks: above the floor of each priority, and into these lanes."""

    floors: Mapping[int, Floor] = field(default_factory=dict)
    lanes: Sequence[Lane] = ()
    lowest_first: bool = False


ANYWHERE = Reach()
"""The whole open line, and no lane."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One commit: what was settled, as (job, what it became), what was claimed, and how the lease stood.

    `lease` is valid, expired or gone. A settlement that is not in `settled` came too late.
    """

    lease: str
    settled: Mapping[int, str]
    claimed: Sequence[ClaimedRow]


def exchange(
    connection: Tx,
    lease_id: int,
    settlements: Sequence[Settlement],
    *,
    batch: int,
    backoff: Backoff,
    reach: Reach = ANYWHERE,
) -> Exchange:
    """Settle a batch and claim the next in one transaction. `batch=0` claims nothing.

    Replay: what was settled before is not settled again; a job of another lease is not touched.
    """
    facts = reach_facts(lease_id, batch, reach)
    try:
        if all(settlement.outcome == "done" and not settlement.text for settlement in settlements):
            return _exchange_done(connection, settlements, facts, reach)
        with connection.transaction():
            lease = _hold(connection, lease_id, settlements)
            settled = _settle(connection, lease_id, settlements, backoff)
            rows = connection.execute(Q["job_claim"], facts) if batch and lease == "valid" else ()
            return Exchange(lease=lease, settled=settled, claimed=_in_order(rows, reach))
    except (psycopg.DataError, psycopg.IntegrityError):
        settled = _settle_one_by_one(connection, lease_id, settlements, backoff)
        return Exchange(lease="valid", settled=settled, claimed=[])


def _exchange_done(
    connection: Tx, settlements: Sequence[Settlement], facts: Mapping[str, object], reach: Reach
) -> Exchange:
    """Nearly every exchange: one statement, one round trip, one commit."""
    ids = [settlement.job_id for settlement in settlements]
    cursor = connection.cursor(binary=True)
    (lease, lost, *_), *rows = cursor.execute(Q["job_exchange"], {**facts, "done": id_array(ids)}).fetchall()
    settled = dict.fromkeys(ids, "done")
    for job_id in lost or ():
        del settled[job_id]
    return Exchange(lease=lease, settled=settled, claimed=_in_order((row[2:] for row in rows), reach))


def claim_suspect(connection: Tx, lease_id: int) -> ClaimedRow | None:
    """Take one suspect alone, or nothing when there is none."""
    row = connection.execute(Q["job_claim_suspect"], {"lease": lease_id}).fetchone()
    return ClaimedRow(*row) if row else None


def id_array(ids: Iterable[int]) -> str:
    """PostgreSQL's own notation of an array; the driver's way costs as much as running a small job."""
    return f"{{{','.join(map(str, ids))}}}"


def _hold(connection: Tx, lease_id: int, settlements: Sequence[Settlement]) -> str:
    # When all are finished one statement follows, and it takes the jobs in the order of their ids by itself.
    mixed = any(s.outcome not in ENDED for s in settlements)
    ids = id_array(s.job_id for s in settlements if mixed)
    row = connection.execute(Q["lease_hold"], {"lease": lease_id, "ids": ids}).fetchone()
    return str(row[0]) if row else "gone"


def reach_facts(lease_id: int, batch: int, reach: Reach) -> dict[str, object]:
    """The parameters of `job_claim`."""
    floors = [reach.floors.get(level, (None, None)) for level in range(LEVELS)]
    return {
        "lease": lease_id,
        "batch": batch,
        "lowest_first": reach.lowest_first,
        "floor_ats": [at for at, _ in floors],
        "floor_ids": [job_id for _, job_id in floors],
        "lane_kinds": [kind for kind, _ in reach.lanes],
        "lanes": [lane for _, lane in reach.lanes],
    }


def _in_order(found: Iterable[TupleRow], reach: Reach) -> list[ClaimedRow]:
    """The jobs of lanes first, in the order of their numbers: that is the order of an ordered lane."""
    rows = list(map(ClaimedRow._make, found))
    if not reach.lanes:
        return sorted(rows, key=IN_OPEN_LINE)
    laned = sorted((row for row in rows if row.lane is not None), key=attrgetter("id"))
    return laned + sorted((row for row in rows if row.lane is None), key=IN_OPEN_LINE)


def _settle(
    connection: Tx, lease_id: int, settlements: Sequence[Settlement], backoff: Backoff
) -> dict[int, str]:
    settled: dict[int, str] = {}
    ended = [s for s in settlements if s.outcome in ENDED]
    if ended:
        settled = {s.job_id: s.outcome for s in ended}
        noted = [s for s in ended if s.text or s.outcome != "done"]
        finished = connection.execute(
            Q["job_finish"],
            {
                "lease": lease_id,
                "ids": id_array(settled),
                "noted_ids": id_array(s.job_id for s in noted),
                "outcomes": [s.outcome for s in noted],
                "notes": [s.text for s in noted],
            },
        )
        if finished.rowcount < len(settled):
            settled = {job_id: settled[job_id] for (job_id,) in finished}
    if len(ended) < len(settlements):
        settled.update(_settle_rest(connection, lease_id, settlements, backoff))
    return settled


def _settle_rest(
    connection: Tx, lease_id: int, settlements: Sequence[Settlement], backoff: Backoff
) -> Iterable[tuple[int, str]]:
    def those(outcome: str) -> tuple[list[Settlement], dict[str, object]]:
        found = [s for s in settlements if s.outcome == outcome]
        return found, {"lease": lease_id, "ids": id_array(s.job_id for s in found)}

    found, facts = those("retried")
    if found:
        facts |= {"failures": [s.text for s in found], "floors_s": [s.delay_s for s in found]}
        facts |= {"base_s": backoff.base_s, "cap_s": backoff.cap_s}
        yield from connection.execute(Q["job_retry"], facts)
    found, facts = those("snoozed")
    if found:
        yield from connection.execute(Q["job_snooze"], {**facts, "delays_s": [s.delay_s for s in found]})
    found, facts = those("handed_back")
    if found:
        yield from connection.execute(Q["job_release"], facts)
    found, facts = those("dead")
    if found:
        facts |= {"causes": [str(s.cause) for s in found], "reasons": [s.text for s in found]}
        rows = connection.execute(Q["job_dead_letter"], {**facts, "uncounted": [s.uncounted for s in found]})
        yield from ((job_id, "dead") for (job_id,) in rows)


def _settle_one_by_one(
    connection: Tx, lease_id: int, settlements: Sequence[Settlement], backoff: Backoff
) -> dict[int, str]:
    """The batch was refused: settle the good ones; the one that cannot be written goes to a person."""
    settled: dict[int, str] = {}
    for settlement in settlements:
        try:
            with connection.transaction():
                settled |= _settle(connection, lease_id, [settlement], backoff)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            unwritable = Settlement(
                settlement.job_id,
                "dead",
                f"its outcome {settlement.outcome} cannot be stored ({error.sqlstate})",
                cause=DeadCause.INVALID_OUTCOME,
            )
            with connection.transaction():
                settled |= _settle(connection, lease_id, [unwritable], backoff)
    return settled
