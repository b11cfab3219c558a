-- What a person must look at: one row per trouble, however often it repeats.

CREATE SCHEMA alerts;
COMMENT ON SCHEMA alerts IS 'Troubles that need a person.';

CREATE TABLE alerts.alert (
    id bigint GENERATED ALWAYS AS IDENTITY,
    kind text NOT NULL,
    severity text NOT NULL,
    subject text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}',
    dedupe text NOT NULL,
    occurrences integer NOT NULL DEFAULT 1,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'open',
    acknowledged_at timestamptz,
    acknowledged_by text,
    resolved_at timestamptz,
    resolved_by text,
    CONSTRAINT alert_pkey PRIMARY KEY (id),
    CONSTRAINT alert_kind_is_dotted_words CHECK (kind ~ '^[a-z][a-z_]*(\.[a-z][a-z_]*)+$' AND length(kind) <= 80),
    CONSTRAINT alert_severity_known CHECK (severity IN ('P1', 'P2', 'P3')),
    CONSTRAINT alert_subject_is_bounded CHECK (length(subject) BETWEEN 1 AND 300),
    CONSTRAINT alert_detail_is_an_object CHECK (jsonb_typeof(detail) = 'object'),
    CONSTRAINT alert_dedupe_is_bounded CHECK (length(dedupe) BETWEEN 1 AND 200),
    CONSTRAINT alert_occurrences_counted CHECK (occurrences > 0),
    CONSTRAINT alert_last_after_first CHECK (last_at >= first_at),
    CONSTRAINT alert_state_known CHECK (state IN ('open', 'acknowledged', 'resolved')),
    CONSTRAINT alert_open_untouched CHECK (state <> 'open' OR acknowledged_at IS NULL),
    CONSTRAINT alert_acknowledged_when_seen CHECK (state <> 'acknowledged' OR acknowledged_at IS NOT NULL),
    CONSTRAINT alert_acknowledged_by_someone CHECK ((acknowledged_at IS NULL) = (acknowledged_by IS NULL)),
    CONSTRAINT alert_resolved_is_final CHECK ((state = 'resolved') = (resolved_at IS NOT NULL)),
    CONSTRAINT alert_resolved_by_someone CHECK ((resolved_at IS NULL) = (resolved_by IS NULL))
);
CREATE UNIQUE INDEX alert_one_unresolved_per_dedupe ON alerts.alert (dedupe) WHERE state <> 'resolved';
COMMENT ON INDEX alerts.alert_one_unresolved_per_dedupe IS
    'One trouble is one alert until it is resolved: a repeat counts, a repeat after resolution is a new alert.';
COMMENT ON COLUMN alerts.alert.severity IS 'P1 a person now, P2 a person today, P3 a ticket. A repeat may raise it, never lower it.';

CREATE TABLE alerts.occurrence (
    job_id bigint NOT NULL,
    alert_id bigint NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT occurrence_pkey PRIMARY KEY (job_id),
    CONSTRAINT occurrence_alert_fkey FOREIGN KEY (alert_id) REFERENCES alerts.alert (id)
);
COMMENT ON TABLE alerts.occurrence IS 'Which job reported which alert.';
COMMENT ON CONSTRAINT occurrence_pkey ON alerts.occurrence IS 'A job that runs twice counts once.';
CREATE INDEX occurrence_by_alert ON alerts.occurrence (alert_id);

GRANT USAGE ON SCHEMA alerts TO api_tenant;
GRANT SELECT (id, kind, severity, subject, detail, dedupe, occurrences, first_at, last_at, state,
              acknowledged_at, acknowledged_by, resolved_at, resolved_by) ON alerts.alert TO api_tenant;
GRANT INSERT (kind, severity, subject, detail, dedupe, first_at, last_at) ON alerts.alert TO api_tenant;
GRANT UPDATE (severity, subject, detail, occurrences, last_at, state,
              acknowledged_at, acknowledged_by, resolved_at, resolved_by) ON alerts.alert TO api_tenant;
GRANT SELECT (job_id, alert_id, at) ON alerts.occurrence TO api_tenant;
GRANT INSERT (job_id, alert_id, at) ON alerts.occurrence TO api_tenant;
