-- name: entry_append
-- purpose: Write one entry at the end of the trail; its number comes back.
-- locks: the head row, until the transaction ends
-- replay: writes another entry; callers record once per act, in the act's transaction
SELECT audit.append(%(action)s, %(actor)s, %(target)s, %(result)s, %(detail)s);

-- name: entry_list
-- purpose: The newest entries, all of them or those of one action or one target.
-- locks: none
-- replay: reads only
SELECT
    entry.seq,
    entry.at,
    entry.body
FROM audit.entry AS entry
WHERE (%(action)s::text IS NULL OR (entry.body::jsonb ->> 'action') = %(action)s::text)
  AND (%(target_type)s::text IS NULL OR (entry.body::jsonb #>> '{target,type}') = %(target_type)s::text)
  AND (%(target_id)s::text IS NULL OR (entry.body::jsonb #>> '{target,id}') = %(target_id)s::text)
ORDER BY entry.seq DESC
LIMIT %(limit)s;

-- name: entry_list_after
-- purpose: The entries that follow a number, up to the head that was read before.
-- locks: none
-- replay: reads only
SELECT
    entry.seq,
    entry.at,
    entry.body,
    entry.prev_hash,
    entry.hash
FROM audit.entry AS entry
WHERE entry.seq > %(after)s
  AND entry.seq <= %(last)s
ORDER BY entry.seq
LIMIT %(limit)s;

-- name: head_get
-- purpose: The chain's name, its last entry's number and hash.
-- locks: none
-- replay: reads only
SELECT
    head.chain,
    head.seq,
    head.hash
FROM audit.head AS head
WHERE head.singleton
ORDER BY head.seq
LIMIT 1;

-- name: entry_find_broken
-- purpose: The head, where the trail ends, and the first entries that do not fit; one statement, so one snapshot.
-- locks: none
-- replay: reads only
WITH linked AS (
    SELECT
        entry.seq,
        entry.at,
        entry.body,
        entry.prev_hash,
        entry.hash,
        LAG(entry.seq, 1, 0::bigint) OVER ordered AS before_seq,
        LAG(entry.hash, 1, decode(repeat('00', 32), 'hex')) OVER ordered AS before_hash
    FROM audit.entry AS entry
    WINDOW ordered AS (ORDER BY entry.seq)
),
broken AS (
    SELECT
        linked.seq,
        linked.at,
        linked.body,
        linked.prev_hash,
        linked.hash,
        linked.before_seq,
        linked.before_hash
    FROM linked
    CROSS JOIN audit.head AS head
    WHERE linked.seq <> linked.before_seq + 1
       OR linked.prev_hash <> linked.before_hash
       OR linked.hash <> audit.digest(linked.prev_hash, head.chain, linked.seq, linked.at, linked.body)
    ORDER BY linked.seq
    LIMIT %(limit)s
),
last AS (
    SELECT
        entry.seq,
        entry.hash
    FROM audit.entry AS entry
    ORDER BY entry.seq DESC
    LIMIT 1
)
SELECT
    head.chain,
    head.seq,
    head.hash,
    COALESCE(last.seq, 0),
    COALESCE(last.hash, decode(repeat('00', 32), 'hex')),
    broken.seq,
    broken.at,
    broken.body,
    broken.prev_hash,
    broken.hash,
    broken.before_seq,
    broken.before_hash
FROM audit.head AS head
LEFT JOIN last ON true
LEFT JOIN broken ON true
WHERE head.singleton
ORDER BY broken.seq
LIMIT %(limit)s;
