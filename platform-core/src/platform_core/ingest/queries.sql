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
    %(sources)b::text[],
    %(endpoints)b::text[],
    %(event_ids)b::text[],
    %(event_types)b::text[],
    %(bodies)b::bytea[],
    %(headers)b::text[]::jsonb[],
    %(signed_ats)b::timestamptz[],
    %(stales)b::boolean[],
    %(refused_sources)b::text[],
    %(refused_endpoints)b::text[],
    %(refused_reasons)b::text[],
    %(refused_counts)b::bigint[]
) AS r;
