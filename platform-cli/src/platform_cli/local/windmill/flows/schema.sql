-- What the local runtime remembers of flows, in a database of its own. Customers' logins never see it.
CREATE SCHEMA IF NOT EXISTS flows;

CREATE TABLE IF NOT EXISTS flows.setting (
    name  text PRIMARY KEY,
    value text NOT NULL
);

-- One row for each flow that runs, each flow inside it (a branch, a turn of a loop) and each step.
-- The life of a row is drawn in lifecycle.py.
CREATE TABLE IF NOT EXISTS flows.job (
    id              uuid PRIMARY KEY,
    number          bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    kind            text NOT NULL CHECK (kind IN ('flow', 'flownode', 'script', 'flowscript', 'identity')),
    state           text NOT NULL CHECK (state IN ('queued', 'running', 'suspended', 'done')),
    outcome         text CHECK (outcome IN ('success', 'failure', 'skipped', 'canceled')),
    path            text,
    parent_id       uuid REFERENCES flows.job (id),
    root_id         uuid NOT NULL REFERENCES flows.job (id),
    home_id         uuid NOT NULL REFERENCES flows.job (id),
    scope_id        uuid REFERENCES flows.job (id),
    step_id         text,
    place           jsonb,
    value           jsonb,
    reader          jsonb,
    started_by      jsonb,
    args            jsonb,
    result          jsonb,
    status          jsonb,
    leaf_jobs       jsonb NOT NULL DEFAULT '{}',
    items           jsonb,
    logs            text NOT NULL DEFAULT '',
    suspend         integer NOT NULL DEFAULT 0 CHECK (suspend >= 0),
    suspend_until   timestamptz,
    timeout_s       integer,
    restarts        integer NOT NULL DEFAULT 0,
    canceled_by     text,
    canceled_reason text,
    created_at      timestamptz NOT NULL,
    scheduled_for   timestamptz NOT NULL,
    started_at      timestamptz,
    completed_at    timestamptz,
    CONSTRAINT a_job_has_an_outcome_when_it_is_done CHECK (
        (state = 'done') = (outcome IS NOT NULL) AND (state = 'done') = (completed_at IS NOT NULL)
    ),
    CONSTRAINT only_a_flow_has_a_status CHECK ((kind IN ('flow', 'flownode')) = (status IS NOT NULL)),
    CONSTRAINT only_a_flow_waits_for_people CHECK (state <> 'suspended' OR kind IN ('flow', 'flownode'))
);

CREATE INDEX IF NOT EXISTS job_open ON flows.job (scheduled_for) WHERE state <> 'done';
CREATE INDEX IF NOT EXISTS job_parent ON flows.job (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS job_root ON flows.job (number) WHERE parent_id IS NULL;

-- What people answered to a flow that waits, or will wait. One answer for each number a URL was made with.
CREATE TABLE IF NOT EXISTS flows.resume (
    job_id     uuid NOT NULL REFERENCES flows.job (id),
    resume_id  bigint NOT NULL CHECK (resume_id BETWEEN 0 AND 4294967295),
    flow_id    uuid NOT NULL REFERENCES flows.job (id),
    value      jsonb NOT NULL,
    approver   text,
    approved   boolean NOT NULL,
    created_at timestamptz NOT NULL,
    number     bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (job_id, resume_id)
);
