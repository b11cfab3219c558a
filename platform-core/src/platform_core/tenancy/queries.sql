-- Statements about customers: the registry in the control database, their databases and logins in the cluster.
-- Those marked `run as: platform` are for the platform's administrator; no customer's login may run them.

-- name: tenant_find
-- purpose: The customer of that folder name.
-- run as: platform
-- locks: none
-- replay: reads only
SELECT
    tenant.id,
    tenant.slug,
    tenant.display_name,
    tenant.database_name,
    tenant.login,
    tenant.cluster,
    tenant.state,
    tenant.timezone,
    tenant.currency,
    tenant.schema_version
FROM control.tenant AS tenant
WHERE tenant.slug = %(slug)s;

-- name: tenant_list
-- purpose: Every customer, by folder name.
-- run as: platform
-- locks: none
-- replay: reads only
SELECT
    tenant.id,
    tenant.slug,
    tenant.display_name,
    tenant.database_name,
    tenant.login,
    tenant.cluster,
    tenant.state,
    tenant.timezone,
    tenant.currency,
    tenant.schema_version
FROM control.tenant AS tenant
ORDER BY tenant.slug
LIMIT %(limit)s;

-- name: tenant_reserve
-- purpose: Decide a new customer's opaque names once, before anything is made.
-- run as: platform
-- locks: the slug, against another reservation
-- replay: no row when the slug is known already
INSERT INTO control.tenant (slug, display_name, database_name, login, timezone, currency)
VALUES (%(slug)s, %(display_name)s, %(database_name)s, %(login)s, %(timezone)s, %(currency)s)
ON CONFLICT (slug) DO NOTHING
RETURNING tenant.id;

-- name: tenant_activate
-- purpose: The database is complete and its login may connect.
-- moves: provisioning -> active
-- run as: platform
-- locks: the customer's row
-- replay: no row when it was active before
UPDATE control.tenant AS tenant
SET
    state = 'active',
    activated_at = now()
WHERE tenant.id = %(tenant_id)s AND tenant.state = 'provisioning'
RETURNING tenant.id;

-- name: tenant_set_version
-- purpose: Remember the newest migration the customer's database has.
-- run as: platform
-- locks: the customer's row
-- replay: the same value again
UPDATE control.tenant AS tenant
SET schema_version = %(schema_version)s
WHERE tenant.id = %(tenant_id)s AND tenant.schema_version IS DISTINCT FROM %(schema_version)s;

-- name: tenant_suspend
-- purpose: Nothing may connect to the customer's database for now.
-- moves: active -> suspended
-- run as: platform
-- locks: the customer's row
-- replay: no row when it was not active
UPDATE control.tenant AS tenant
SET
    state = 'suspended',
    suspended_at = now()
WHERE tenant.id = %(tenant_id)s AND tenant.state = 'active'
RETURNING tenant.id;

-- name: tenant_resume
-- purpose: The customer's login may connect again.
-- moves: suspended -> active
-- run as: platform
-- locks: the customer's row
-- replay: no row when it was not suspended
UPDATE control.tenant AS tenant
SET
    state = 'active',
    suspended_at = NULL
WHERE tenant.id = %(tenant_id)s AND tenant.state = 'suspended'
RETURNING tenant.id;

-- name: tenant_close
-- purpose: The customer left; the data stays until it is erased, and nothing connects.
-- moves: active, suspended -> closed
-- run as: platform
-- locks: the customer's row
-- replay: no row when it was closed before
UPDATE control.tenant AS tenant
SET
    state = 'closed',
    suspended_at = NULL,
    closed_at = now()
WHERE tenant.id = %(tenant_id)s AND tenant.state IN ('active', 'suspended')
RETURNING tenant.id;

-- name: tenant_login_record
-- purpose: Remember a login and a fingerprint of its password's verifier.
-- run as: platform
-- locks: the login's row
-- replay: the newest fingerprint stays
INSERT INTO control.tenant_login AS known (login, tenant_id, verifier_sha256)
VALUES (%(login)s, %(tenant_id)s, sha256(convert_to(%(verifier)s, 'UTF8')))
ON CONFLICT (login) DO UPDATE
SET
    verifier_sha256 = excluded.verifier_sha256,
    password_set_at = now();

-- name: tenant_logins_retire
-- purpose: The customer's logins are gone for good; the names stay known, so that none is given out again.
-- run as: platform
-- locks: the logins' rows
-- replay: no row when they were retired before
UPDATE control.tenant_login AS known
SET retired_at = now()
WHERE known.tenant_id = %(tenant_id)s AND known.retired_at IS NULL
RETURNING known.login;

-- name: tenant_login_list
-- purpose: Every login a customer ever had.
-- run as: platform
-- locks: none
-- replay: reads only
SELECT known.login
FROM control.tenant_login AS known
WHERE known.tenant_id = %(tenant_id)s
ORDER BY known.login
LIMIT 1000;

-- name: tenant_login_list_present
-- purpose: The logins of a customer that were not retired, the newest last: one, or two while the second takes over.
-- run as: platform
-- locks: none
-- replay: reads only
SELECT known.login
FROM control.tenant_login AS known
WHERE known.tenant_id = %(tenant_id)s AND known.retired_at IS NULL
ORDER BY known.created_at, known.login
LIMIT 1000;

-- name: tenant_login_set
-- purpose: The login that the customer's scripts use from now on.
-- run as: platform
-- locks: the customer's row
-- replay: no row when it was that one before
UPDATE control.tenant AS tenant
SET login = %(login)s
WHERE tenant.id = %(tenant_id)s AND tenant.login <> %(login)s;

-- name: tenant_login_retire
-- purpose: One login is gone for good; its name stays known, so that it is not given out again.
-- run as: platform
-- locks: the login's row
-- replay: no row when it was retired before
UPDATE control.tenant_login AS known
SET retired_at = now()
WHERE known.login = %(login)s AND known.retired_at IS NULL;

-- name: session_count_of_login
-- purpose: How many sessions a login has.
-- run as: platform
-- locks: none
-- replay: reads only
SELECT count(activity.pid)
FROM pg_catalog.pg_stat_activity AS activity
WHERE activity.usename = %(login)s;

-- name: role_exists
-- purpose: Whether the cluster has a role of that name.
-- run as: platform
-- locks: none
-- replay: reads only
SELECT EXISTS (SELECT FROM pg_catalog.pg_roles AS role WHERE role.rolname = %(login)s);

-- name: role_foreign_memberships
-- purpose: The roles a login is a member of beside the one group it should be in.
-- run as: platform
-- locks: none
-- replay: reads only
SELECT granted.rolname
FROM pg_catalog.pg_auth_members AS membership
INNER JOIN pg_catalog.pg_roles AS granted ON granted.oid = membership.roleid
INNER JOIN pg_catalog.pg_roles AS member ON member.oid = membership.member
WHERE member.rolname = %(login)s AND granted.rolname <> %(group)s
ORDER BY granted.rolname
LIMIT 1000;

-- name: database_find
-- purpose: A database of the cluster: whether it takes connections, was dropped halfway, and its remark.
-- run as: platform
-- locks: none
-- replay: reads only
SELECT
    database.datallowconn,
    database.datconnlimit = -2 AS dropped_halfway,
    coalesce(shobj_description(database.oid, 'pg_database'), '') AS remark
FROM pg_catalog.pg_database AS database
WHERE database.datname = %(database_name)s;

-- name: database_list_open_to_public
-- purpose: Databases where PUBLIC, which is every login of every customer, has some privilege. One that takes
--          no connections is being made by somebody who closes it before it opens.
-- run as: platform
-- locks: none
-- replay: reads only
SELECT database.datname
FROM pg_catalog.pg_database AS database
WHERE
    database.datallowconn
    AND EXISTS (
        SELECT
        FROM aclexplode(coalesce(database.datacl, acldefault('d', database.datdba))) AS acl
        WHERE acl.grantee = 0
    )
ORDER BY database.datname
LIMIT 10000;

-- name: cluster_lock
-- purpose: One preparation of the cluster at a time.
-- run as: platform
-- locks: an advisory lock until the connection closes
-- replay: waits
SELECT pg_advisory_lock(4801, 2);

-- name: tenant_lock
-- purpose: One provisioning of a customer at a time.
-- run as: platform
-- locks: an advisory lock until the connection closes
-- replay: waits
SELECT pg_advisory_lock(4802, hashtext(%(slug)s));

-- name: identity_store
-- purpose: Say in the customer's database whose it is.
-- run as: platform
-- locks: the one row
-- replay: the first row stays
INSERT INTO tenancy.identity (tenant_id, slug, display_name, timezone, currency)
VALUES (%(tenant_id)s, %(slug)s, %(display_name)s, %(timezone)s, %(currency)s)
ON CONFLICT (singleton) DO NOTHING;

-- name: identity_get
-- purpose: Whose database this is.
-- locks: none
-- replay: reads only
SELECT
    identity.tenant_id,
    identity.slug,
    identity.display_name,
    identity.timezone,
    identity.currency
FROM tenancy.identity AS identity
WHERE identity.singleton;

-- name: chain_start
-- purpose: Name the audit chain of this database, while it is empty.
-- run as: platform
-- locks: the chain's head
-- replay: the same name again
SELECT audit.start_chain(%(chain)s);

-- name: history_prepare
-- purpose: Make the coming days of the queue's history, before anybody ends a job.
-- locks: the queue's history against another who does the same
-- replay: days that are there stay
SELECT maintained.created
FROM jobs.maintain() AS maintained;

-- name: database_list_aside
-- purpose: Databases that stand beside a customer's own: what it had before a restore, and what a restore left.
-- run as: platform
-- locks: none
-- replay: reads only
SELECT
    database.datname::text,
    pg_database_size(database.oid) AS size_bytes
FROM pg_catalog.pg_database AS database
WHERE database.datname ~ '^d_[0-9a-f]{16}_(before|new)_[0-9]{8}t[0-9]{12}z$'
ORDER BY database.datname
LIMIT 10000;

-- name: smoke_read_sessions
-- purpose: What an isolated customer may not do: see who else is here.
-- run as: platform
-- locks: none
-- replay: reads only
SELECT count(activity.pid)
FROM pg_catalog.pg_stat_activity AS activity;

-- name: smoke_read_databases
-- purpose: What an isolated customer may not do: see which databases there are.
-- run as: platform
-- locks: none
-- replay: reads only
SELECT count(database.datname)
FROM pg_catalog.pg_database AS database;

-- name: smoke_read_logins
-- purpose: What an isolated customer may not do: see which logins there are.
-- run as: platform
-- locks: none
-- replay: reads only
SELECT count(role.rolname)
FROM pg_catalog.pg_roles AS role;

-- name: smoke_read_migrations
-- purpose: What an isolated customer may not do: read what the platform keeps for itself.
-- run as: platform
-- locks: none
-- replay: reads only
SELECT count(migration.name)
FROM platform_meta.migration AS migration;

-- name: smoke_change_trail
-- purpose: What an isolated customer may not do: change what was recorded.
-- run as: platform
-- locks: none
-- replay: it is refused before it changes anything
DELETE FROM audit.entry AS entry
WHERE entry.seq < 0;

-- name: smoke_take_lock
-- purpose: What an isolated customer may not do: hold what others wait for.
-- run as: platform
-- locks: an advisory lock, if it were not refused
-- replay: it is refused
SELECT pg_try_advisory_lock(4801, 3);

-- name: smoke_list_privileges
-- purpose: What a login may do to the database itself: nothing but connect, and only by a privilege of its own.
-- locks: none
-- replay: reads only
SELECT privilege.held
FROM (
    VALUES
    ('makes tables', has_schema_privilege(%(login)s, 'public', 'CREATE')),
    ('makes schemas', has_database_privilege(%(login)s, current_database()::text, 'CREATE')),
    ('makes temporary tables', has_database_privilege(%(login)s, current_database()::text, 'TEMP'))
) AS privilege (held, is_held)
WHERE privilege.is_held
ORDER BY privilege.held
LIMIT 3;

-- name: session_end_all
-- purpose: End every session on a customer's database.
-- run as: platform
-- locks: none
-- replay: nothing left to end
SELECT pg_terminate_backend(activity.pid)
FROM pg_catalog.pg_stat_activity AS activity
WHERE activity.datname = %(database_name)s AND activity.pid <> pg_backend_pid()
ORDER BY activity.pid
LIMIT 1000;

-- name: statement_end_long
-- purpose: Cancel statements of customers' logins and the door's that run too long; end the session when a cancel
--          did not help.
-- run as: platform
-- locks: none
-- replay: nothing left to end
SELECT
    activity.pid,
    activity.usename,
    activity.datname,
    CASE WHEN late.running_s > %(terminate_after_s)s THEN 'terminated' ELSE 'cancelled' END AS act,
    late.running_s,
    CASE
        WHEN late.running_s > %(terminate_after_s)s THEN pg_terminate_backend(activity.pid)
        ELSE pg_cancel_backend(activity.pid)
    END AS signalled
FROM pg_catalog.pg_stat_activity AS activity
INNER JOIN pg_catalog.pg_auth_members AS membership ON membership.member = activity.usesysid
INNER JOIN pg_catalog.pg_roles AS grp ON grp.oid = membership.roleid AND grp.rolname IN ('api_tenant', 'api_ingest')
CROSS JOIN LATERAL (
    SELECT extract(EPOCH FROM clock_timestamp() - activity.query_start)::float8 AS running_s
) AS late
WHERE activity.state IN ('active', 'fastpath function call') AND late.running_s > %(limit_s)s
ORDER BY activity.pid
LIMIT 1000;

-- name: transaction_end_idle
-- purpose: End sessions of customers' logins and the door's that hold a transaction open and idle, or open for
--          too long.
-- run as: platform
-- locks: none
-- replay: nothing left to end
SELECT
    activity.pid,
    activity.usename,
    activity.datname,
    'terminated' AS act,
    late.waiting_s,
    pg_terminate_backend(activity.pid) AS signalled
FROM pg_catalog.pg_stat_activity AS activity
INNER JOIN pg_catalog.pg_auth_members AS membership ON membership.member = activity.usesysid
INNER JOIN pg_catalog.pg_roles AS grp ON grp.oid = membership.roleid AND grp.rolname IN ('api_tenant', 'api_ingest')
CROSS JOIN LATERAL (
    SELECT
        CASE
            WHEN activity.state LIKE 'idle in transaction%%'
                THEN extract(EPOCH FROM clock_timestamp() - activity.state_change)::float8
            ELSE 0
        END AS waiting_s,
        extract(EPOCH FROM clock_timestamp() - activity.xact_start)::float8 AS open_s
) AS late
WHERE late.waiting_s > %(idle_limit_s)s OR late.open_s > %(open_limit_s)s
ORDER BY activity.pid
LIMIT 1000;

-- name: schema_version
-- purpose: The newest migration this database has.
-- run as: platform
-- locks: none
-- replay: reads only
SELECT coalesce(max(migration.name), '')
FROM platform_meta.migration AS migration;

-- name: policy_get_current
-- purpose: The policy in force: the highest version.
-- locks: none
-- replay: reads only
SELECT
    policy.version,
    policy.content,
    policy.sha256
FROM tenancy.policy AS policy
ORDER BY policy.version DESC
LIMIT 1;

-- name: policy_add
-- purpose: Put a new version into force.
-- locks: the new row's key, until the transaction ends
-- replay: no row when another transaction stored that version first
INSERT INTO tenancy.policy (version, content, sha256, stored_by)
VALUES (%(version)s, %(content)s, %(sha256)s, %(stored_by)s)
ON CONFLICT (version) DO NOTHING
RETURNING policy.version;

-- name: member_list
-- purpose: Everybody who acts for the customer now.
-- locks: none
-- replay: reads only
SELECT
    member.handle,
    member.role,
    member.policy_version,
    member.added_at
FROM tenancy.member AS member
WHERE member.removed_at IS NULL
ORDER BY member.handle
LIMIT %(limit)s;

-- name: member_find_role
-- purpose: The role of one member; no row for a stranger or a removed one.
-- locks: none
-- replay: reads only
SELECT member.role
FROM tenancy.member AS member
WHERE member.handle = %(handle)s
  AND member.removed_at IS NULL;

-- name: member_put
-- purpose: Make somebody a member with a role, or give a member, or a former one, another role.
-- locks: the member row
-- replay: the same row again
INSERT INTO tenancy.member (handle, role, policy_version)
VALUES (%(handle)s, %(role)s, %(policy_version)s)
ON CONFLICT (handle) DO UPDATE
SET role = EXCLUDED.role,
    policy_version = EXCLUDED.policy_version,
    removed_at = NULL;

-- name: member_remove
-- purpose: End a membership; the row stays, with its last role.
-- locks: the member row
-- replay: no row changes when it ended before
UPDATE tenancy.member
SET removed_at = now(),
    policy_version = %(policy_version)s
WHERE handle = %(handle)s
  AND removed_at IS NULL;

-- name: login_drift_list
-- purpose: What a customer's login became that provisioning did not make it.
-- run as: platform
-- locks: none
-- replay: reads only
SELECT
    tenant.slug,
    tenant.database_name,
    tenant.login,
    role.rolname IS NOT NULL AS present,
    coalesce(
        role.rolsuper OR role.rolcreatedb OR role.rolcreaterole OR role.rolreplication OR role.rolbypassrls, false
    ) AS powerful,
    coalesce(role.rolconnlimit, 0) AS connections,
    coalesce(known.verifier_sha256 = sha256(convert_to(role.rolpassword, 'UTF8')), false) AS password_stands,
    ARRAY(
        SELECT granted.rolname::text
        FROM pg_catalog.pg_auth_members AS membership
        INNER JOIN pg_catalog.pg_roles AS granted ON granted.oid = membership.roleid
        WHERE membership.member = role.oid
        ORDER BY granted.rolname
    ) AS member_of,
    ARRAY(
        SELECT unnest(setting.setconfig)
        FROM pg_catalog.pg_db_role_setting AS setting
        WHERE setting.setrole = role.oid
        ORDER BY 1
    ) AS settings,
    ARRAY(
        SELECT database.datname::text
        FROM pg_catalog.pg_database AS database
        CROSS JOIN LATERAL aclexplode(database.datacl) AS acl
        WHERE acl.grantee = role.oid
        ORDER BY database.datname
    ) AS databases
FROM control.tenant AS tenant
LEFT JOIN control.tenant_login AS known ON known.login = tenant.login
LEFT JOIN pg_catalog.pg_authid AS role ON role.rolname = tenant.login
WHERE tenant.state IN ('active', 'suspended')
ORDER BY tenant.slug
LIMIT 10000;

-- name: door_login_find
-- purpose: What the door's login is now: whether it exists, has an attribute too many, and its groups.
-- run as: platform
-- locks: none
-- replay: reads only
SELECT
    role.rolname IS NOT NULL AS present,
    coalesce(
        role.rolsuper OR role.rolcreatedb OR role.rolcreaterole OR role.rolreplication OR role.rolbypassrls, false
    ) AS powerful,
    coalesce(role.rolconnlimit, 0) AS connections,
    ARRAY(
        SELECT granted.rolname::text
        FROM pg_catalog.pg_auth_members AS membership
        INNER JOIN pg_catalog.pg_roles AS granted ON granted.oid = membership.roleid
        WHERE membership.member = role.oid
        ORDER BY granted.rolname
    ) AS member_of,
    ARRAY(
        SELECT unnest(setting.setconfig)
        FROM pg_catalog.pg_db_role_setting AS setting
        WHERE setting.setrole = role.oid
        ORDER BY 1
    ) AS settings
FROM (VALUES (%(login)s::text)) AS wanted (login)
LEFT JOIN pg_catalog.pg_roles AS role ON role.rolname = wanted.login;

-- name: door_drift_list
-- purpose: Databases where the door may not connect and should, or has anything and should not; with what it has.
-- run as: platform
-- locks: none
-- replay: reads only
SELECT
    held.datname,
    held.active,
    held.privileges
FROM (
    SELECT
        database.datname::text AS datname,
        coalesce(tenant.state = 'active', false) AS active,
        ARRAY(
            SELECT grantee.rolname || ':' || acl.privilege_type
            FROM aclexplode(database.datacl) AS acl
            INNER JOIN pg_catalog.pg_roles AS grantee ON grantee.oid = acl.grantee
            WHERE grantee.rolname IN ('api_ingest', %(login)s)
            ORDER BY 1
        ) AS privileges
    FROM pg_catalog.pg_database AS database
    LEFT JOIN control.tenant AS tenant ON tenant.database_name = database.datname
) AS held
WHERE held.privileges <> CASE WHEN held.active THEN ARRAY['api_ingest:CONNECT'] ELSE ARRAY[]::text[] END
ORDER BY held.datname
LIMIT 10000;
