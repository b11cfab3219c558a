-- Statements about data that was put back. The platform's administrator runs them.

-- name: restored_find_owner
-- purpose: Whose data this is, by its own word.
-- locks: none
-- replay: reads only
SELECT
    identity.tenant_id,
    identity.slug
FROM tenancy.identity AS identity
WHERE identity.singleton;

-- name: restored_set_version
-- purpose: Remember the newest migration that the restored database has.
-- run as: platform
-- locks: the customer's row
-- replay: the same value again
UPDATE control.tenant AS tenant
SET schema_version = %(version)s
WHERE tenant.id = %(tenant_id)s;

-- name: history_prepare
-- purpose: Make the coming days of the queue's history: those of the copy are over.
-- locks: the queue's history against another who does the same
-- replay: days that are there stay
SELECT maintained.created
FROM jobs.maintain() AS maintained;

-- name: control_find
-- purpose: Whether this cluster has the platform's control database.
-- run as: platform
-- locks: none
-- replay: reads only
SELECT database.oid
FROM pg_catalog.pg_database AS database
WHERE database.datname = %(database_name)s AND database.datallowconn;
