-- Statements a drill asks in a customer's database, and in the control database.

-- name: backup_customer_counts
-- purpose: Whose database this is, and how much of what matters it holds.
-- locks: none
-- replay: reads only
SELECT
    (SELECT identity.slug FROM tenancy.identity AS identity LIMIT 1) AS slug,
    (SELECT count(*) FROM audit.entry AS entry) AS audit_entries,
    (SELECT count(*) FROM inbox.event AS event) AS events,
    (SELECT count(*) FROM messaging.message AS message) AS messages,
    (SELECT count(*) FROM messaging.outbox AS outbox) AS outbox,
    (SELECT count(*) FROM payments.claim AS claim) AS claims,
    (SELECT count(*) FROM payments.obligation AS obligation) AS obligations,
    (SELECT count(*) FROM jobs.job AS job) AS jobs;

-- name: backup_own_name
-- purpose: What a customer's login reads of itself.
-- locks: none
-- replay: reads only
SELECT identity.slug FROM tenancy.identity AS identity LIMIT 1;

-- name: backup_become
-- purpose: Try to act as another login.
-- run as: platform
-- locks: none
-- replay: the same setting again
SELECT set_config('role', %(login)s, false);

-- name: backup_look_around
-- purpose: Try to see who else is connected.
-- run as: platform
-- locks: none
-- replay: reads only
SELECT count(*) FROM pg_catalog.pg_stat_activity AS activity;

-- name: backup_passwords
-- purpose: Try to read the verifiers of everybody's passwords.
-- run as: platform
-- locks: none
-- replay: reads only
SELECT count(*) FROM pg_catalog.pg_authid AS role WHERE role.rolpassword IS NOT NULL;
