-- The door's only statement. Its login may run this one function and nothing else.

-- name: batch_receive
-- purpose: Store what came meanwhile in one commit, count what was refused, and ask whether a runner is needed.
-- run as: ingest
-- locks: as event_receive, in the order of the keys; then the counters of refusals
-- replay: outcome duplicate, nothing written; refusals are counted again
SELECT
    r.outcomes,
    r.events,
    r.awake,
    r.due
FROM inbox.receive_many(
    %(sources)s::text[],
    %(endpoints)s::text[],
    %(event_ids)s::text[],
    %(event_types)s::text[],
    %(bodies)b::bytea[],
    %(headers)s::text[]::jsonb[],
    %(signed_ats)s::timestamptz[],
    %(stales)s::boolean[],
    %(refused_sources)s::text[],
    %(refused_endpoints)s::text[],
    %(refused_reasons)s::text[],
    %(refused_counts)s::bigint[]
) AS r;
