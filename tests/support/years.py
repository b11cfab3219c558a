"""A customer after a year: rows by the hundred thousand, made by the administrator as fast as they go in.

Every row is one that the verbs could have made; only how they came there is not theirs.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from platform_core.db import Tx

KEPT_DAYS = 60

_CONTACTS = """
    INSERT INTO messaging.contact (phone, name, last_inbound_at, created_at)
    SELECT '+569' || lpad(n::text, 8, '0'), 'Familia ' || n, %(now)s, %(now)s - interval '400 days'
    FROM generate_series(1, %(contacts)s) AS n
"""
_CLAIMS = """
    INSERT INTO payments.claim (
        open_key, origin, contact_id, creator_type, creator_id, currency, state, version, opened_at, state_at,
        verified_minor, approver_id, approved_at, reason, closed_at
    )
    SELECT
        'message:wamid.' || n, 'whatsapp', n %% %(contacts)s + 1, 'contact', (n %% %(contacts)s + 1)::text,
        'CLP', made.state, 3, made.at, made.at + interval '2 hours',
        CASE WHEN made.state = 'approved' THEN 45000 END,
        CASE WHEN made.state = 'approved' THEN 'ana' END,
        CASE WHEN made.state = 'approved' THEN made.at + interval '2 hours' END,
        CASE WHEN made.state = 'rejected' THEN 'no llegó' ELSE '' END,
        CASE WHEN made.state = 'rejected' THEN made.at + interval '2 hours' END
    FROM generate_series(1, %(claims)s) AS n
    CROSS JOIN LATERAL (
        SELECT
            CASE
                WHEN n > %(claims)s - %(waiting)s THEN 'pending_review'
                WHEN n > %(claims)s - 2 * %(waiting)s THEN 'needs_info'
                WHEN n %% 12 = 0 THEN 'rejected'
                ELSE 'approved'
            END AS state,
            %(now)s - interval '365 days' + n * (interval '365 days' / %(claims)s) AS at
    ) AS made
"""
_HISTORY = """
    INSERT INTO payments.claim_event (claim_id, version, from_state, to_state, actor_type, actor_id, at)
    SELECT claim.id, 1, NULL, 'received', 'contact', claim.creator_id, claim.opened_at
    FROM payments.claim AS claim
    UNION ALL
    SELECT claim.id, 2, 'received', 'pending_review', 'system', 'payments', claim.opened_at
    FROM payments.claim AS claim
"""
_MESSAGES = """
    INSERT INTO messaging.outbox (
        dedupe_key, purpose, contact_id, external_key, state, form, queued_at, sending_at, accepted_at,
        delivered_at, failed_at
    )
    SELECT
        'made:' || n, (ARRAY['claim.received', 'claim.approved', 'reminder'])[n %% 3 + 1],
        n %% %(contacts)s + 1, 'made:' || n, made.state, 'text', made.at, made.at,
        CASE WHEN made.state = 'delivered' THEN made.at END,
        CASE WHEN made.state = 'delivered' THEN made.at END,
        CASE WHEN made.state = 'failed' THEN made.at END
    FROM generate_series(1, 2 * %(claims)s) AS n
    CROSS JOIN LATERAL (
        SELECT
            CASE WHEN n %% 97 = 0 THEN 'failed' ELSE 'delivered' END AS state,
            %(now)s - interval '365 days' + n * (interval '365 days' / (2 * %(claims)s)) AS at
    ) AS made
"""
_RUNS = """
    INSERT INTO jobs.done (job_id, kind, payload, outcome, attempt, created_at, finished_at)
    SELECT
        n, (ARRAY['inbox.received', 'message.received', 'outbox.queued', 'reminder.due'])[n %% 4 + 1], '{}',
        'done', 1, made.at - (20 + n %% 5000) * interval '1 millisecond', made.at
    FROM generate_series(1, %(runs)s) AS n
    CROSS JOIN LATERAL (
        SELECT %(now)s - interval '365 days' + n * (interval '365 days' / %(runs)s) AS at
    ) AS made
"""
_CLASSES = """
    INSERT INTO attendance.session (
        reference, course, feed, timezone, local_date, local_start, local_end, starts_at, ends_at, added_at
    )
    SELECT
        'made/' || n, 'Robótica', 'door-1', 'America/Santiago', made.at::date, '15:00', '16:00', made.at,
        made.at + interval '1 hour', made.at
    FROM generate_series(1, %(classes)s) AS n
    CROSS JOIN LATERAL (
        SELECT %(now)s - n * (interval '365 days' / %(classes)s) AS at
    ) AS made
"""
_RESULTS = """
    INSERT INTO attendance.result (
        session_id, version, cause, verdict, attended, counted, input_sha256, actor_type, actor_id,
        computed_at
    )
    SELECT session.id, 1, 'computed', 'complete', 9, 10, sha256('made'), 'system', 'attendance',
        session.ends_at
    FROM attendance.session AS session
"""
_ALERTS = """
    INSERT INTO alerts.alert (
        kind, severity, subject, dedupe, first_at, last_at, state, resolved_at, resolved_by
    )
    SELECT
        'claim.overdue', 'P3', 'C' || n, 'made:' || n, %(now)s - interval '1 day', %(now)s,
        CASE WHEN n <= 5 THEN 'open' ELSE 'resolved' END,
        CASE WHEN n > 5 THEN %(now)s END,
        CASE WHEN n > 5 THEN 'ana' END
    FROM generate_series(1, %(claims)s / 20) AS n
"""


def fill(admin: Tx, *, now: datetime, claims: int, runs: int, waiting: int = 200) -> None:
    """A year that ends now: so many claims, twice as many messages, so many runs, a class every two hours."""
    facts = {
        "now": now,
        "claims": claims,
        "runs": runs,
        "waiting": waiting,
        "contacts": max(10, claims // 5),
        "classes": 4_000,
    }
    make_days(admin, now)
    for statement in (_CONTACTS, _CLAIMS, _HISTORY, _MESSAGES, _RUNS, _CLASSES, _RESULTS, _ALERTS):
        admin.execute(statement.encode(), facts)
    admin.execute("ANALYZE")


def make_days(admin: Tx, now: datetime) -> None:
    """The days of history that jobs.maintain() would have made one by one."""
    for ahead in range(-KEPT_DAYS, 1):
        day = (now + timedelta(days=ahead)).astimezone(UTC).date()
        admin.execute(
            f"CREATE TABLE jobs.done_{day:%Y%m%d} PARTITION OF jobs.done "
            f"FOR VALUES FROM ('{day} 00:00:00+00') TO ('{day + timedelta(days=1)} 00:00:00+00')".encode()
        )


def forget_old_runs(admin: Tx, now: datetime) -> None:
    """What jobs.maintain() would have dropped: the numbers of those days are counted by now."""
    admin.execute("DELETE FROM jobs.done_default WHERE finished_at < %s", (now - timedelta(days=KEPT_DAYS),))
    admin.execute("VACUUM ANALYZE jobs.done_default")
