-- Statements of migrations. They run as the platform's administrator.

-- name: migration_table_exists
-- purpose: Whether this database was ever migrated.
-- run as: platform
-- locks: none
-- replay: reads only
SELECT to_regclass('platform_meta.migration') IS NOT NULL;

-- name: migration_serialise
-- purpose: Let one migrator at a time create the table of migrations.
-- run as: platform
-- locks: an advisory lock until the transaction ends
-- replay: waits
SELECT pg_advisory_xact_lock(4801, 1);

-- name: migration_lock
-- purpose: One migrator at a time; readers go on.
-- run as: platform
-- locks: the table of migrations, against other migrators
-- replay: waits
LOCK TABLE platform_meta.migration IN SHARE ROW EXCLUSIVE MODE;

-- name: migration_list
-- purpose: The applied files, oldest first.
-- run as: platform
-- locks: none
-- replay: reads only
SELECT
    migration.name,
    migration.sha256,
    migration.applied_at,
    migration.statements
FROM platform_meta.migration AS migration
ORDER BY migration.name
LIMIT 10000;

-- name: migration_insert
-- purpose: Remember that a file was applied, in the transaction that applied it.
-- run as: platform
-- locks: none beyond the row
-- replay: refused by the primary key
INSERT INTO platform_meta.migration (name, sha256, statements)
VALUES (%(name)s, %(sha256)s, %(statements)s);

-- name: migration_bound_locks
-- purpose: A migration that has to wait gives up rather than queue everybody behind it.
-- run as: platform
-- locks: none
-- replay: the same setting again
SELECT set_config('lock_timeout', %(lock_timeout)s, true);

-- name: migration_as_owner
-- purpose: What a migration makes belongs to the role that never logs in.
-- run as: platform
-- locks: none
-- replay: the same setting again
SELECT set_config('role', 'platform_owner', true);
