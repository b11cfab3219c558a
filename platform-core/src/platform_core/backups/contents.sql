-- Statements about a recovered cluster. They run as its superuser, over a socket nobody else can reach.

-- name: last_commit
-- purpose: When the newest transaction that recovery played was committed.
-- locks: none
-- replay: reads only
SELECT pg_catalog.pg_last_xact_replay_timestamp();

-- name: segment_current
-- purpose: The segment the cluster writes; its name begins with the timeline.
-- locks: none
-- replay: reads only
SELECT pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn());

-- name: database_list
-- purpose: Every database worth a dump.
-- locks: none
-- replay: reads only
SELECT database.datname::text
FROM pg_catalog.pg_database AS database
WHERE NOT database.datistemplate AND database.datallowconn AND database.datname <> 'postgres'
    AND database.datname NOT LIKE 'tpl\_%'
ORDER BY database.datname
LIMIT 10000;

-- name: database_open_all
-- purpose: Let the superuser into databases that take no connections, in a throw-away cluster.
-- locks: the rows
-- replay: changes nothing
UPDATE pg_catalog.pg_database AS database
SET datallowconn = true
WHERE NOT database.datallowconn AND NOT database.datistemplate;
