-- attendance: who was in class, from what evidence, and what families were told.
--
-- Evidence and results only grow: a correction is a new row and a new version of the result. The customer's login
-- may insert and read them, never change or remove them.

CREATE SCHEMA attendance;

-- A student, by the customer's own reference, and the contact who hears of an absence.
CREATE TABLE attendance.student (
    id         bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT student_pkey PRIMARY KEY,
    reference  text        NOT NULL,
    name       text        NOT NULL,
    contact_id bigint      NOT NULL CONSTRAINT student_contact_fkey REFERENCES messaging.contact (id),
    added_at   timestamptz NOT NULL,
    CONSTRAINT student_texts_bounded CHECK (
        length(reference) BETWEEN 1 AND 120 AND length(name) BETWEEN 1 AND 120
    ),
    CONSTRAINT student_reference_once UNIQUE (reference)
);
COMMENT ON CONSTRAINT student_reference_once ON attendance.student IS
    'The customer''s own reference names one student, however often it is loaded.';

-- A student attends a course from an instant on. Rosters are read as of the start of a session, not of today.
CREATE TABLE attendance.enrolment (
    id         bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT enrolment_pkey PRIMARY KEY,
    student_id bigint      NOT NULL CONSTRAINT enrolment_student_fkey REFERENCES attendance.student (id),
    course     text        NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to   timestamptz,
    CONSTRAINT enrolment_ends_after_start CHECK (valid_to > valid_from),
    CONSTRAINT enrolment_texts_bounded CHECK (length(course) BETWEEN 1 AND 120),
    CONSTRAINT enrolment_once UNIQUE (student_id, course, valid_from)
);
COMMENT ON CONSTRAINT enrolment_once ON attendance.enrolment IS 'The same enrolment loaded again is nothing new.';
CREATE INDEX enrolment_of_course ON attendance.enrolment (course, valid_from);
COMMENT ON INDEX attendance.enrolment_of_course IS 'The roster of a session.';

-- One class at one time. States and moves: platform_core/attendance/lifecycle.py.
CREATE TABLE attendance.session (
    id            bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT session_pkey PRIMARY KEY,
    reference     text        NOT NULL,
    course        text        NOT NULL,
    feed          text        NOT NULL,
    timezone      text        NOT NULL,
    local_date    date        NOT NULL,
    local_start   time        NOT NULL,
    local_end     time        NOT NULL,
    starts_at     timestamptz NOT NULL,
    ends_at       timestamptz NOT NULL,
    makes_up_for  bigint CONSTRAINT session_makes_up_for_fkey REFERENCES attendance.session (id),
    state         text        NOT NULL DEFAULT 'scheduled',
    cancel_reason text        NOT NULL DEFAULT '',
    added_at      timestamptz NOT NULL,
    cancelled_at  timestamptz,
    CONSTRAINT session_state CHECK (state IN ('scheduled', 'cancelled')),
    CONSTRAINT session_cancelled_has_time CHECK ((state = 'cancelled') = (cancelled_at IS NOT NULL)),
    CONSTRAINT session_cancelled_has_reason CHECK (state <> 'cancelled' OR cancel_reason <> ''),
    CONSTRAINT session_ends_after_start CHECK (ends_at > starts_at),
    CONSTRAINT session_makes_up_for_another CHECK (makes_up_for <> id),
    CONSTRAINT session_texts_bounded CHECK (
        length(reference) BETWEEN 1 AND 120 AND length(course) BETWEEN 1 AND 120
        AND length(feed) BETWEEN 1 AND 120 AND length(timezone) BETWEEN 1 AND 60 AND length(cancel_reason) <= 500
    ),
    CONSTRAINT session_reference_once UNIQUE (reference)
);
COMMENT ON CONSTRAINT session_reference_once ON attendance.session IS
    'The customer''s own reference names one session, however often it is loaded.';
COMMENT ON COLUMN attendance.session.starts_at IS 'The instant of the local wall time beside it; differences are taken here.';
CREATE INDEX session_by_end ON attendance.session (ends_at, id) WHERE state = 'scheduled';
COMMENT ON INDEX attendance.session_by_end IS 'The sessions that ended lately.';

-- What a reader saw. Kept whoever it names: whether it counts is decided when a session is computed.
CREATE TABLE attendance.checkin (
    id          bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT checkin_pkey PRIMARY KEY,
    source      text        NOT NULL,
    source_id   text        NOT NULL,
    student     text        NOT NULL,
    session     text        NOT NULL DEFAULT '',
    kind        text        NOT NULL,
    at          timestamptz NOT NULL,
    device_at   timestamptz,
    received_at timestamptz NOT NULL,
    CONSTRAINT checkin_kind CHECK (kind IN ('in', 'out')),
    CONSTRAINT checkin_texts_bounded CHECK (
        length(source) BETWEEN 1 AND 120 AND length(source_id) BETWEEN 1 AND 120
        AND length(student) BETWEEN 1 AND 120 AND length(session) <= 120
    ),
    CONSTRAINT checkin_once UNIQUE (source, source_id)
);
COMMENT ON CONSTRAINT checkin_once ON attendance.checkin IS 'A reader tells each thing it saw once, however often it sends it.';
CREATE INDEX checkin_of_session ON attendance.checkin (session, id) WHERE session <> '';
COMMENT ON INDEX attendance.checkin_of_session IS 'The check-ins that name a session.';
CREATE INDEX checkin_of_student ON attendance.checkin (student, at);
COMMENT ON INDEX attendance.checkin_of_student IS 'The check-ins of a student around a time.';

-- A reader lived then, and had delivered everything up to an instant.
CREATE TABLE attendance.heartbeat (
    id           bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT heartbeat_pkey PRIMARY KEY,
    source       text        NOT NULL,
    at           timestamptz NOT NULL,
    synced_until timestamptz NOT NULL,
    received_at  timestamptz NOT NULL,
    CONSTRAINT heartbeat_not_ahead_of_itself CHECK (synced_until <= at),
    CONSTRAINT heartbeat_texts_bounded CHECK (length(source) BETWEEN 1 AND 120),
    CONSTRAINT heartbeat_once UNIQUE (source, at)
);
COMMENT ON CONSTRAINT heartbeat_once ON attendance.heartbeat IS 'A heartbeat sent again proves nothing new.';

-- A student's absence from one session is excused, whoever asked for it.
CREATE TABLE attendance.excuse (
    id         bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT excuse_pkey PRIMARY KEY,
    session_id bigint      NOT NULL CONSTRAINT excuse_session_fkey REFERENCES attendance.session (id),
    student_id bigint      NOT NULL CONSTRAINT excuse_student_fkey REFERENCES attendance.student (id),
    reason     text        NOT NULL,
    actor_type text        NOT NULL,
    actor_id   text        NOT NULL,
    at         timestamptz NOT NULL,
    CONSTRAINT excuse_texts_bounded CHECK (length(reason) BETWEEN 1 AND 500),
    CONSTRAINT excuse_once UNIQUE (session_id, student_id)
);
COMMENT ON CONSTRAINT excuse_once ON attendance.excuse IS 'An absence is excused once.';

-- A member says that really nobody came: only then is an empty feed believed.
CREATE TABLE attendance.confirmation (
    session_id bigint      NOT NULL CONSTRAINT confirmation_pkey PRIMARY KEY
        CONSTRAINT confirmation_session_fkey REFERENCES attendance.session (id),
    version    integer     NOT NULL,
    actor_id   text        NOT NULL,
    actor_role text        NOT NULL,
    note       text        NOT NULL DEFAULT '',
    at         timestamptz NOT NULL,
    CONSTRAINT confirmation_texts_bounded CHECK (length(note) <= 500)
);
COMMENT ON CONSTRAINT confirmation_pkey ON attendance.confirmation IS 'An empty session is confirmed once.';

-- What a member says of one student. The newest of a student outweighs all evidence.
CREATE TABLE attendance.correction (
    id           bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT correction_pkey PRIMARY KEY,
    session_id   bigint      NOT NULL CONSTRAINT correction_session_fkey REFERENCES attendance.session (id),
    version      integer     NOT NULL,
    student_id   bigint      NOT NULL CONSTRAINT correction_student_fkey REFERENCES attendance.student (id),
    status       text        NOT NULL,
    late_minutes integer,
    reason       text        NOT NULL,
    actor_id     text        NOT NULL,
    actor_role   text        NOT NULL,
    at           timestamptz NOT NULL,
    CONSTRAINT correction_status CHECK (status IN (
        'present', 'late', 'left_early', 'absent_unexcused', 'absent_excused'
    )),
    CONSTRAINT correction_texts_bounded CHECK (length(reason) BETWEEN 1 AND 500),
    CONSTRAINT correction_version_once UNIQUE (session_id, version)
);
COMMENT ON CONSTRAINT correction_version_once ON attendance.correction IS
    'A version of a result that was looked at is corrected once; the next looks at the next version.';

-- One version of what came of a session. Never changes; the highest version counts.
CREATE TABLE attendance.result (
    id           bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT result_pkey PRIMARY KEY,
    session_id   bigint      NOT NULL CONSTRAINT result_session_fkey REFERENCES attendance.session (id),
    version      integer     NOT NULL,
    cause        text        NOT NULL,
    verdict      text        NOT NULL,
    attended     integer,
    counted      integer,
    input_sha256 bytea       NOT NULL,
    actor_type   text        NOT NULL,
    actor_id     text        NOT NULL,
    computed_at  timestamptz NOT NULL,
    CONSTRAINT result_cause CHECK (cause IN ('computed', 'corrected', 'confirmed')),
    CONSTRAINT result_verdict CHECK (verdict IN (
        'complete', 'undetermined', 'suspicious_empty', 'empty_roster', 'all_excused'
    )),
    CONSTRAINT result_rate_is_a_fraction CHECK (
        (attended IS NULL) = (counted IS NULL) AND counted > 0 AND attended BETWEEN 0 AND counted
    ),
    CONSTRAINT result_rate_only_when_known CHECK (verdict = 'complete' OR counted IS NULL),
    CONSTRAINT result_input_is_sha256 CHECK (octet_length(input_sha256) = 32),
    CONSTRAINT result_version_counts CHECK (version > 0),
    CONSTRAINT result_version_once UNIQUE (session_id, version)
);
COMMENT ON CONSTRAINT result_version_once ON attendance.result IS 'A version of a result is stored once.';

-- One student in one version of a result, with what the policy then counted it as.
CREATE TABLE attendance.result_student (
    result_id    bigint  NOT NULL CONSTRAINT result_student_result_fkey REFERENCES attendance.result (id),
    student_id   bigint  NOT NULL CONSTRAINT result_student_student_fkey REFERENCES attendance.student (id),
    status       text    NOT NULL,
    late_minutes integer,
    reason       text,
    rate         text,
    absence      boolean NOT NULL,
    tardy        boolean NOT NULL,
    corrected    boolean NOT NULL,
    CONSTRAINT result_student_pkey PRIMARY KEY (result_id, student_id),
    CONSTRAINT result_student_status CHECK (status IN (
        'present', 'late', 'left_early', 'absent_unexcused', 'absent_excused', 'undetermined'
    )),
    CONSTRAINT result_student_reason CHECK (reason IN (
        'feed_gap', 'suspicious_empty', 'quarantined', 'no_arrival'
    )),
    CONSTRAINT result_student_undetermined_says_why CHECK ((status = 'undetermined') = (reason IS NOT NULL)),
    CONSTRAINT result_student_rate CHECK (rate IN ('attended', 'missed', 'excluded')),
    CONSTRAINT result_student_undetermined_counts_as_nothing CHECK (
        (status = 'undetermined') = (rate IS NULL) AND (status <> 'undetermined' OR NOT (absence OR tardy))
    )
);
COMMENT ON CONSTRAINT result_student_pkey ON attendance.result_student IS 'A student stands in a result once.';
CREATE INDEX result_student_of_student ON attendance.result_student (student_id, result_id);
COMMENT ON INDEX attendance.result_student_of_student IS 'What is known of one student.';

-- A check-in that did not count in one version of a result, and why.
CREATE TABLE attendance.result_quarantine (
    result_id  bigint NOT NULL CONSTRAINT result_quarantine_result_fkey REFERENCES attendance.result (id),
    checkin_id bigint NOT NULL CONSTRAINT result_quarantine_checkin_fkey REFERENCES attendance.checkin (id),
    reason     text   NOT NULL,
    CONSTRAINT result_quarantine_pkey PRIMARY KEY (result_id, checkin_id),
    CONSTRAINT result_quarantine_reason CHECK (reason IN (
        'unknown_student', 'other_session', 'future', 'clock_skew', 'out_of_window'
    ))
);
COMMENT ON CONSTRAINT result_quarantine_pkey ON attendance.result_quarantine IS 'A check-in is set aside for one reason.';

-- What one family is told about one absence. States and moves: platform_core/attendance/lifecycle.py.
CREATE TABLE attendance.follow_up (
    id                bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT follow_up_pkey PRIMARY KEY,
    student_id        bigint      NOT NULL CONSTRAINT follow_up_student_fkey REFERENCES attendance.student (id),
    session_id        bigint      NOT NULL CONSTRAINT follow_up_session_fkey REFERENCES attendance.session (id),
    rule              text        NOT NULL,
    version           integer     NOT NULL,
    state             text        NOT NULL DEFAULT 'queued',
    outbox_id         bigint CONSTRAINT follow_up_outbox_fkey REFERENCES messaging.outbox (id),
    apology_outbox_id bigint CONSTRAINT follow_up_apology_fkey REFERENCES messaging.outbox (id),
    state_at          timestamptz NOT NULL,
    CONSTRAINT follow_up_rule CHECK (rule IN ('absence')),
    CONSTRAINT follow_up_state CHECK (state IN ('queued', 'cancelled', 'apologised')),
    CONSTRAINT follow_up_apology_has_message CHECK ((state = 'apologised') = (apology_outbox_id IS NOT NULL)),
    CONSTRAINT follow_up_once UNIQUE (student_id, session_id, rule, version)
);
COMMENT ON CONSTRAINT follow_up_once ON attendance.follow_up IS
    'A version of a result makes one message to a family about one rule; computing again makes none.';
COMMENT ON COLUMN attendance.follow_up.outbox_id IS 'Its message; null only inside the transaction that queues it.';
CREATE UNIQUE INDEX follow_up_one_open ON attendance.follow_up (student_id, session_id, rule)
    WHERE state <> 'cancelled';
COMMENT ON INDEX attendance.follow_up_one_open IS
    'A family that heard of an absence does not hear of it again, whatever the next version says.';
CREATE INDEX follow_up_of_session ON attendance.follow_up (session_id, id);
COMMENT ON INDEX attendance.follow_up_of_session IS 'What families were told about a session.';

GRANT USAGE ON SCHEMA attendance TO api_tenant;
GRANT SELECT (id, reference, name, contact_id, added_at),
    INSERT (reference, name, contact_id, added_at)
    ON attendance.student TO api_tenant;
GRANT SELECT (id, student_id, course, valid_from, valid_to),
    INSERT (student_id, course, valid_from, valid_to),
    UPDATE (valid_to)
    ON attendance.enrolment TO api_tenant;
GRANT SELECT (
        id, reference, course, feed, timezone, local_date, local_start, local_end, starts_at, ends_at, makes_up_for,
        state, cancel_reason, added_at, cancelled_at
    ),
    INSERT (
        reference, course, feed, timezone, local_date, local_start, local_end, starts_at, ends_at, makes_up_for,
        added_at
    ),
    UPDATE (state, cancel_reason, cancelled_at)
    ON attendance.session TO api_tenant;
GRANT SELECT (id, source, source_id, student, session, kind, at, device_at, received_at),
    INSERT (source, source_id, student, session, kind, at, device_at, received_at)
    ON attendance.checkin TO api_tenant;
GRANT SELECT (id, source, at, synced_until, received_at),
    INSERT (source, at, synced_until, received_at)
    ON attendance.heartbeat TO api_tenant;
GRANT SELECT (id, session_id, student_id, reason, actor_type, actor_id, at),
    INSERT (session_id, student_id, reason, actor_type, actor_id, at)
    ON attendance.excuse TO api_tenant;
GRANT SELECT (session_id, version, actor_id, actor_role, note, at),
    INSERT (session_id, version, actor_id, actor_role, note, at)
    ON attendance.confirmation TO api_tenant;
GRANT SELECT (id, session_id, version, student_id, status, late_minutes, reason, actor_id, actor_role, at),
    INSERT (session_id, version, student_id, status, late_minutes, reason, actor_id, actor_role, at)
    ON attendance.correction TO api_tenant;
GRANT SELECT (
        id, session_id, version, cause, verdict, attended, counted, input_sha256, actor_type, actor_id, computed_at
    ),
    INSERT (
        session_id, version, cause, verdict, attended, counted, input_sha256, actor_type, actor_id, computed_at
    )
    ON attendance.result TO api_tenant;
GRANT SELECT (result_id, student_id, status, late_minutes, reason, rate, absence, tardy, corrected),
    INSERT (result_id, student_id, status, late_minutes, reason, rate, absence, tardy, corrected)
    ON attendance.result_student TO api_tenant;
GRANT SELECT (result_id, checkin_id, reason),
    INSERT (result_id, checkin_id, reason)
    ON attendance.result_quarantine TO api_tenant;
GRANT SELECT (id, student_id, session_id, rule, version, state, outbox_id, apology_outbox_id, state_at),
    INSERT (student_id, session_id, rule, version, state_at),
    UPDATE (state, outbox_id, apology_outbox_id, state_at)
    ON attendance.follow_up TO api_tenant;
