-- Statements about Windmill's own database, as its version 1.743 lays it out.

-- name: windmill_counts
-- purpose: How much of what is deployed there is.
-- run as: platform
-- locks: none
-- replay: reads only
SELECT
    (SELECT count(*) FROM workspace) AS workspaces,
    (SELECT count(*) FROM script WHERE NOT archived) AS scripts,
    (SELECT count(*) FROM flow WHERE NOT archived) AS flows,
    (SELECT count(*) FROM schedule) AS schedules,
    (SELECT count(*) FROM variable) AS variables;

-- name: windmill_secrets
-- purpose: Secret variables, with the key of their workspace; the fullest sample that is still quick.
-- run as: platform
-- locks: none
-- replay: reads only
SELECT
    variable.workspace_id,
    variable.path,
    variable.value,
    workspace_key.key
FROM variable
INNER JOIN workspace_key
    ON workspace_key.workspace_id = variable.workspace_id AND workspace_key.kind = 'cloud'
WHERE variable.is_secret AND variable.value <> ''
ORDER BY variable.path = 'f/ops/backup_canary' DESC, variable.workspace_id, variable.path
LIMIT 50;
