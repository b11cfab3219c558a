-- name: state_database_find
-- purpose: Whether the local runtime's database exists.
-- locks: none
-- replay: reads only
SELECT TRUE
FROM pg_database
WHERE datname = %(name)s;

-- name: state_database_create
-- purpose: Make the local runtime's database; its name is filled in as an identifier.
-- locks: none
-- replay: refused when it exists
CREATE DATABASE {name};

-- name: owner_lock
-- purpose: Take the state for this runtime alone, as long as its connection lives; false when another has it.
-- locks: the advisory lock of the state's only owner
-- replay: counts up for the same session, which asks once
SELECT pg_try_advisory_lock(6071843152);

-- name: setting_keep
-- purpose: Keep a value made once, such as the key that signs URLs; the first one stays.
-- locks: the setting's row
-- replay: gives the value that is there
INSERT INTO flows.setting AS setting (name, value)
VALUES (%(name)s, %(value)s)
ON CONFLICT (name) DO UPDATE SET value = setting.value
RETURNING setting.value;

-- name: job_insert
-- purpose: Queue a flow, a flow inside it, or a step.
-- locks: none
-- replay: refused by the primary key
INSERT INTO flows.job (
    id, kind, state, path, parent_id, root_id, home_id, scope_id, step_id, place, value, reader, started_by,
    args, status, suspend, suspend_until, timeout_s, created_at, scheduled_for
)
VALUES (
    %(id)s, %(kind)s, 'queued', %(path)s, %(parent_id)s, %(root_id)s, %(home_id)s, %(scope_id)s, %(step_id)s,
    %(place)s::jsonb, %(value)s::jsonb, %(reader)s::jsonb, %(started_by)s::jsonb, %(args)s::jsonb,
    %(status)s::jsonb, %(suspend)s, %(suspend_until)s, %(timeout_s)s, %(now)s, %(scheduled_for)s
);

-- name: flow_lock
-- purpose: Read a flow to move it on.
-- locks: the flow's row
-- replay: reads only
SELECT job.id::text, job.kind, job.state, job.path, job.parent_id::text, job.root_id::text, job.home_id::text,
       job.scope_id::text, job.step_id, job.place::text, job.args::text, job.status::text,
       job.items::text, job.logs, job.suspend, job.suspend_until, job.started_at,
       job.canceled_by, job.canceled_reason, job.scheduled_for
FROM flows.job AS job
WHERE job.id = %(id)s
  AND job.status IS NOT NULL
FOR UPDATE;

-- name: flow_save
-- purpose: Store where a flow stands now.
-- moves: queued -> running, running -> suspended, suspended -> running
-- locks: the flow's row
-- replay: writes the same again; a flow that is done stays as it is
UPDATE flows.job AS job
SET state = %(state)s,
    args = %(args)s::jsonb,
    status = %(status)s::jsonb,
    items = %(items)s::jsonb,
    logs = %(logs)s,
    suspend = %(suspend)s,
    suspend_until = %(suspend_until)s,
    started_at = %(started_at)s,
    canceled_by = %(canceled_by)s,
    canceled_reason = %(canceled_reason)s
WHERE job.id = %(id)s
  AND job.state <> 'done';

-- name: job_start
-- purpose: Note that a step's process is about to begin; no row when it is no longer queued.
-- moves: queued -> running
-- locks: the job's row
-- replay: no row the second time
UPDATE flows.job AS job
SET state = 'running',
    started_at = %(now)s
FROM flows.job AS around
WHERE job.id = %(id)s
  AND job.state = 'queued'
  AND job.suspend = 0
  AND around.id = job.parent_id
RETURNING job.id::text, job.kind, job.path, job.parent_id::text, job.root_id::text, job.step_id,
          job.place::text, job.args::text, job.timeout_s, job.home_id::text, job.scope_id::text,
          around.path;

-- name: start_unsynced
-- purpose: Let the commit of a job's start not wait for the disk: a start that is lost is made again.
-- locks: none
-- replay: the same
SET LOCAL synchronous_commit = off;

-- name: job_finish
-- purpose: Store how a job ended; no row when that is stored already.
-- moves: queued -> done, running -> done, suspended -> done
-- locks: the job's row
-- replay: no row the second time, so a result is never replaced
UPDATE flows.job AS job
SET state = 'done',
    outcome = %(outcome)s,
    result = %(result)s::jsonb,
    logs = %(logs)s,
    suspend = 0,
    suspend_until = NULL,
    started_at = COALESCE(job.started_at, %(now)s),
    completed_at = %(now)s
WHERE job.id = %(id)s
  AND job.state <> 'done'
RETURNING job.started_at;

-- name: job_requeue
-- purpose: Queue again what a runtime that is gone had started, but for jobs that were started too often.
-- moves: running -> queued
-- locks: the rows of those jobs
-- replay: finds none the second time
UPDATE flows.job AS job
SET state = 'queued',
    started_at = NULL,
    restarts = job.restarts + 1
WHERE job.state = 'running'
  AND job.status IS NULL
  AND job.restarts < %(limit)s
RETURNING job.id::text;

-- name: job_find_abandoned
-- purpose: Jobs that a runtime that is gone had started, too often to start them again.
-- locks: none
-- replay: reads only
SELECT job.id::text
FROM flows.job AS job
WHERE job.state = 'running'
  AND job.status IS NULL
ORDER BY job.number;

-- name: job_find_due
-- purpose: What can go on now: queued jobs whose time has come, flows that were answered or waited too long.
-- locks: none
-- replay: reads only
SELECT job.id::text, job.kind
FROM flows.job AS job
WHERE (job.state = 'queued' AND job.suspend = 0 AND job.scheduled_for <= %(now)s)
   OR (job.state = 'suspended' AND (job.suspend = 0 OR job.suspend_until <= %(now)s))
ORDER BY job.number;

-- name: job_find_next
-- purpose: When the next job or flow that waits for the clock has to be looked at.
-- locks: none
-- replay: reads only
SELECT MIN(CASE WHEN job.state = 'queued' THEN job.scheduled_for ELSE job.suspend_until END)
FROM flows.job AS job
WHERE (job.state = 'queued' AND job.suspend = 0)
   OR job.state = 'suspended';

-- name: job_release
-- purpose: Let the next turn of a parallel loop begin, once so many turns have ended.
-- locks: the rows of the turns
-- replay: no row the second time
UPDATE flows.job AS job
SET suspend = 0,
    suspend_until = NULL
WHERE job.parent_id = %(parent_id)s
  AND job.state = 'queued'
  AND job.suspend = %(ended)s
RETURNING job.id::text, job.kind;

-- name: result_find
-- purpose: Results of jobs that ended.
-- locks: none
-- replay: reads only
SELECT job.id::text, job.result::text, job.outcome
FROM flows.job AS job
WHERE job.id = ANY(%(ids)s::uuid[])
  AND job.state = 'done';

-- name: arguments_find
-- purpose: The arguments of a job that is tried again.
-- locks: none
-- replay: reads only
SELECT job.args::text
FROM flows.job AS job
WHERE job.id = %(id)s;

-- name: leaf_find
-- purpose: The jobs that did a step, as the flow that collects them knows; and where to look next.
-- locks: none
-- replay: reads only
SELECT scope.leaf_jobs -> %(step)s, COALESCE(above.scope_id, above.id)::text
FROM flows.job AS asking
JOIN flows.job AS scope ON scope.id = COALESCE(asking.scope_id, asking.id)
LEFT JOIN flows.job AS above ON above.id = scope.parent_id
WHERE asking.id = %(id)s;

-- name: leaf_keep
-- purpose: Remember which jobs did a step.
-- locks: the row of the flow that collects
-- replay: writes the same again
UPDATE flows.job AS job
SET leaf_jobs = job.leaf_jobs || jsonb_build_object(%(step)s::text, %(jobs)s::jsonb)
WHERE job.id = %(id)s;

-- name: definition_find
-- purpose: What a flow was when it started.
-- locks: none
-- replay: reads only
SELECT job.path, job.value::text
FROM flows.job AS job
WHERE job.id = %(id)s;

-- name: root_find
-- purpose: On whose behalf a flow runs, and what started it.
-- locks: none
-- replay: reads only
SELECT job.reader::text, job.started_by::text
FROM flows.job AS job
WHERE job.id = %(id)s;

-- name: job_show
-- purpose: One job as the interface shows it.
-- locks: none
-- replay: reads only
SELECT job.id::text, job.kind, job.state, job.outcome, job.path, job.parent_id::text, job.root_id::text,
       job.step_id, job.value::text, root.reader::text, job.args::text, job.result::text, job.status::text,
       job.leaf_jobs::text, job.logs, job.suspend, job.canceled_by, job.canceled_reason, job.created_at,
       job.scheduled_for, job.started_at, job.completed_at, job.number
FROM flows.job AS job
JOIN flows.job AS root ON root.id = job.root_id
WHERE job.id = %(id)s;

-- name: job_list
-- purpose: The newest jobs first; those below a flow, or of a path, when asked for.
-- locks: none
-- replay: reads only
SELECT job.id::text
FROM flows.job AS job
WHERE (%(parent_id)s::uuid IS NULL OR job.parent_id = %(parent_id)s)
  AND (NOT %(roots_only)s OR job.parent_id IS NULL)
  AND (%(path)s = '' OR job.path = %(path)s)
  AND starts_with(COALESCE(job.path, ''), %(path_start)s)
ORDER BY job.state = 'done', job.number DESC
LIMIT %(limit)s OFFSET %(skipped)s;

-- name: job_find_open
-- purpose: A job and everything below it that is not done, the outermost first.
-- locks: none
-- replay: reads only
WITH RECURSIVE below AS (
    SELECT job.id, job.number
    FROM flows.job AS job
    WHERE job.id = %(id)s
    UNION ALL
    SELECT job.id, job.number
    FROM flows.job AS job
    JOIN below ON job.parent_id = below.id
)
SELECT job.id::text, job.kind, job.state
FROM below
JOIN flows.job AS job ON job.id = below.id
WHERE job.state <> 'done'
ORDER BY below.number;

-- name: job_cancel
-- purpose: Mark a job as canceled by somebody; what runs ends soon, and is stored as canceled.
-- locks: the job's row
-- replay: no row when it is done or was canceled before
UPDATE flows.job AS job
SET canceled_by = %(by)s,
    canceled_reason = %(reason)s
WHERE job.id = %(id)s
  AND job.state <> 'done'
  AND job.canceled_by IS NULL
RETURNING job.id::text;

-- name: cancellation_find
-- purpose: Who canceled a job, and why.
-- locks: none
-- replay: reads only
SELECT job.canceled_by, job.canceled_reason
FROM flows.job AS job
WHERE job.id = %(id)s
  AND job.canceled_by IS NOT NULL;

-- name: resume_target
-- purpose: The flow an answer is for: the job itself when it is a flow, else the flow it is a step of.
-- locks: the flow's row
-- replay: reads only
SELECT target.id::text, asked.kind = 'flow'
FROM flows.job AS asked
JOIN flows.job AS target
  ON target.id = CASE WHEN asked.kind = 'flow' THEN asked.id ELSE COALESCE(asked.parent_id, asked.id) END
WHERE asked.id = %(id)s
  AND target.status IS NOT NULL
  AND target.state <> 'done'
FOR UPDATE OF target;

-- name: resume_insert
-- purpose: Keep what somebody answered; no row when this number was answered before.
-- locks: none
-- replay: no row the second time
INSERT INTO flows.resume (job_id, resume_id, flow_id, value, approver, approved, created_at)
VALUES (%(job_id)s, %(resume_id)s, %(flow_id)s, %(value)s::jsonb, %(approver)s, %(approved)s, %(now)s)
ON CONFLICT (job_id, resume_id) DO NOTHING
RETURNING resume_id;

-- name: resume_find_all
-- purpose: What was answered for a step that waits, or for its flow as a whole, in order.
-- locks: none
-- replay: reads only
SELECT resume.value::text, resume.approver, resume.resume_id, resume.approved
FROM flows.resume AS resume
WHERE resume.job_id IN (%(step_job)s::uuid, %(flow_id)s::uuid)
ORDER BY resume.number;
