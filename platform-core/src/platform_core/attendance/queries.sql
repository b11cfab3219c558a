-- attendance: sessions and evidence, results by version, what families were told.

-- name: student_insert
-- purpose: A student, once per reference.
-- locks: waits for another transaction entering the same reference
-- replay: no row when the reference is known
INSERT INTO attendance.student (reference, name, contact_id, added_at)
VALUES (%(reference)s, %(name)s, %(contact_id)s, %(now)s)
ON CONFLICT ON CONSTRAINT student_reference_once DO NOTHING
RETURNING id;

-- name: student_find
-- purpose: Whom a reference names.
-- locks: none
-- replay: reads only
SELECT
    student.id,
    student.name,
    student.contact_id
FROM attendance.student AS student
WHERE student.reference = %(reference)s;

-- name: enrolment_insert
-- purpose: A student attends a course from an instant on.
-- locks: waits for another transaction entering the same
-- replay: no row when it is known
INSERT INTO attendance.enrolment (student_id, course, valid_from, valid_to)
VALUES (%(student_id)s, %(course)s, %(valid_from)s, %(valid_to)s)
ON CONFLICT ON CONSTRAINT enrolment_once DO NOTHING
RETURNING id;

-- name: enrolment_lock
-- purpose: When an enrolment that is known ends.
-- locks: the enrolment row, so that it is not ended twice at once
-- replay: reads only
SELECT enrolment.valid_to
FROM attendance.enrolment AS enrolment
WHERE
    enrolment.student_id = %(student_id)s
    AND enrolment.course = %(course)s
    AND enrolment.valid_from = %(valid_from)s
FOR NO KEY UPDATE;

-- name: enrolment_end
-- purpose: The student leaves the course.
-- locks: the enrolment rows that are open
-- replay: no row when it has ended
UPDATE attendance.enrolment AS enrolment
SET valid_to = %(valid_to)s
WHERE
    enrolment.student_id = %(student_id)s
    AND enrolment.course = %(course)s
    AND enrolment.valid_from < %(valid_to)s
    AND enrolment.valid_to IS NULL
RETURNING enrolment.id;

-- name: session_insert
-- purpose: A session, once per reference.
-- locks: waits for another transaction entering the same reference
-- replay: no row when the reference is known
INSERT INTO attendance.session (
    reference, course, feed, timezone, local_date, local_start, local_end, starts_at, ends_at, makes_up_for, added_at
)
VALUES (
    %(reference)s, %(course)s, %(feed)s, %(timezone)s, %(local_date)s, %(local_start)s, %(local_end)s,
    %(starts_at)s, %(ends_at)s, %(makes_up_for)s, %(now)s
)
ON CONFLICT ON CONSTRAINT session_reference_once DO NOTHING
RETURNING id;

-- name: session_find_by_reference
-- purpose: What a reference names.
-- locks: none
-- replay: reads only
SELECT
    session.id,
    session.course,
    session.feed,
    session.timezone,
    session.starts_at,
    session.ends_at,
    session.makes_up_for
FROM attendance.session AS session
WHERE session.reference = %(reference)s;

-- name: session_lock
-- purpose: One session, held until the transaction ends: whoever computes, corrects or cancels it waits here.
-- locks: the session row
-- replay: reads only
SELECT
    session.id,
    session.reference,
    session.course,
    session.feed,
    session.timezone,
    session.starts_at,
    session.ends_at,
    session.state
FROM attendance.session AS session
WHERE session.id = %(session_id)s
FOR NO KEY UPDATE;

-- name: session_cancel
-- purpose: The session did not take place.
-- moves: scheduled -> cancelled
-- locks: the session row
-- replay: no row when it is cancelled already
UPDATE attendance.session AS session
SET
    state = 'cancelled',
    cancel_reason = %(reason)s,
    cancelled_at = %(now)s
WHERE
    session.id = %(session_id)s
    AND session.state = 'scheduled'
RETURNING session.id;

-- name: session_list_ended
-- purpose: Sessions that ended between two instants, oldest first: those whose results may still change.
-- locks: none
-- replay: reads only
SELECT session.id
FROM attendance.session AS session
WHERE
    session.state = 'scheduled'
    AND session.ends_at > %(after)s
    AND session.ends_at <= %(until)s
ORDER BY session.ends_at, session.id
LIMIT %(limit)s;

-- name: checkin_insert
-- purpose: What a reader saw, once by the reader's own id.
-- locks: waits for another transaction recording the same
-- replay: no row when it is known
INSERT INTO attendance.checkin (source, source_id, student, session, kind, at, device_at, received_at)
VALUES (
    %(source)s, %(source_id)s, %(student)s, %(session)s, %(kind)s, %(at)s, %(device_at)s, %(now)s
)
ON CONFLICT ON CONSTRAINT checkin_once DO NOTHING
RETURNING id;

-- name: checkin_find
-- purpose: What a reader's id names.
-- locks: none
-- replay: reads only
SELECT
    checkin.student,
    checkin.session,
    checkin.kind,
    checkin.at
FROM attendance.checkin AS checkin
WHERE
    checkin.source = %(source)s
    AND checkin.source_id = %(source_id)s;

-- name: heartbeat_insert
-- purpose: A reader lived then.
-- locks: waits for another transaction recording the same
-- replay: no row when it is known
INSERT INTO attendance.heartbeat (source, at, synced_until, received_at)
VALUES (%(source)s, %(at)s, %(synced_until)s, %(now)s)
ON CONFLICT ON CONSTRAINT heartbeat_once DO NOTHING
RETURNING id;

-- name: excuse_insert
-- purpose: A student's absence from one session is excused.
-- locks: waits for another transaction excusing the same
-- replay: no row when it is excused already
INSERT INTO attendance.excuse (session_id, student_id, reason, actor_type, actor_id, at)
VALUES (%(session_id)s, %(student_id)s, %(reason)s, %(actor_type)s, %(actor_id)s, %(now)s)
ON CONFLICT ON CONSTRAINT excuse_once DO NOTHING
RETURNING id;

-- name: roster_list
-- purpose: Who was enrolled in the course of a session when it began.
-- locks: none
-- replay: reads only
SELECT
    student.id,
    student.reference
FROM attendance.student AS student
WHERE EXISTS (
    SELECT 1
    FROM attendance.enrolment AS enrolment
    WHERE
        enrolment.student_id = student.id
        AND enrolment.course = %(course)s
        AND enrolment.valid_from <= %(starts_at)s
        AND (enrolment.valid_to IS NULL OR enrolment.valid_to > %(starts_at)s)
)
ORDER BY student.id
LIMIT 10000;

-- name: checkin_list
-- purpose: Check-ins that name a session, and those of its students around its time that name no other known one.
-- locks: none
-- replay: reads only
SELECT
    checkin.id,
    checkin.student,
    checkin.session,
    checkin.kind,
    checkin.at,
    checkin.received_at,
    checkin.device_at
FROM attendance.checkin AS checkin
WHERE
    checkin.session = %(reference)s
    OR (
        checkin.student = ANY(%(students)s)
        AND checkin.at BETWEEN %(opens_at)s AND %(ends_at)s
        AND NOT EXISTS (
            SELECT 1
            FROM attendance.session AS other
            WHERE
                other.reference = checkin.session
                AND other.reference <> %(reference)s
        )
    )
ORDER BY checkin.id
LIMIT 50000;

-- name: heartbeat_list
-- purpose: The heartbeats of a reader around a session.
-- locks: none
-- replay: reads only
SELECT
    heartbeat.at,
    heartbeat.synced_until
FROM attendance.heartbeat AS heartbeat
WHERE
    heartbeat.source = %(feed)s
    AND heartbeat.at BETWEEN %(from_at)s AND %(until)s
ORDER BY heartbeat.at
LIMIT 50000;

-- name: heartbeat_find_last
-- purpose: The newest proof that a reader delivered everything it saw up to an instant.
-- locks: none
-- replay: reads only
SELECT
    heartbeat.at,
    heartbeat.synced_until
FROM attendance.heartbeat AS heartbeat
WHERE heartbeat.source = %(feed)s
ORDER BY heartbeat.at DESC
LIMIT 1;

-- name: excuse_list
-- purpose: Who is excused from a session.
-- locks: none
-- replay: reads only
SELECT excuse.student_id
FROM attendance.excuse AS excuse
WHERE excuse.session_id = %(session_id)s
ORDER BY excuse.student_id
LIMIT 10000;

-- name: correction_list
-- purpose: What members said of students of a session: the newest of each.
-- locks: none
-- replay: reads only
SELECT DISTINCT ON (correction.student_id)
    correction.student_id,
    correction.status,
    correction.late_minutes
FROM attendance.correction AS correction
WHERE correction.session_id = %(session_id)s
ORDER BY correction.student_id, correction.id DESC
LIMIT 10000;

-- name: correction_insert
-- purpose: What a member says of one student, after looking at one version.
-- locks: the caller holds the session
-- replay: a version is corrected once
INSERT INTO attendance.correction (
    session_id, version, student_id, status, late_minutes, reason, actor_id, actor_role, at
)
VALUES (
    %(session_id)s, %(version)s, %(student_id)s, %(status)s, %(late_minutes)s, %(reason)s, %(actor_id)s,
    %(actor_role)s, %(now)s
);

-- name: confirmation_find
-- purpose: Whether a member said that really nobody came.
-- locks: none
-- replay: reads only
SELECT confirmation.version
FROM attendance.confirmation AS confirmation
WHERE confirmation.session_id = %(session_id)s;

-- name: confirmation_insert
-- purpose: A member says that really nobody came.
-- locks: the caller holds the session
-- replay: a session is confirmed once
INSERT INTO attendance.confirmation (session_id, version, actor_id, actor_role, note, at)
VALUES (%(session_id)s, %(version)s, %(actor_id)s, %(actor_role)s, %(note)s, %(now)s);

-- name: result_find_newest
-- purpose: The version of a result that counts.
-- locks: none
-- replay: reads only
SELECT
    result.id,
    result.version,
    result.verdict,
    result.input_sha256
FROM attendance.result AS result
WHERE result.session_id = %(session_id)s
ORDER BY result.version DESC
LIMIT 1;

-- name: result_insert
-- purpose: The next version of a result.
-- locks: the caller holds the session
-- replay: a version is stored once
INSERT INTO attendance.result (
    session_id, version, cause, verdict, attended, counted, input_sha256, actor_type, actor_id, computed_at
)
VALUES (
    %(session_id)s, %(version)s, %(cause)s, %(verdict)s, %(attended)s, %(counted)s, %(input_sha256)s,
    %(actor_type)s, %(actor_id)s, %(now)s
)
RETURNING id;

-- name: result_student_insert
-- purpose: One student of a new version.
-- locks: none
-- replay: a student stands in a result once
INSERT INTO attendance.result_student (
    result_id, student_id, status, late_minutes, reason, rate, absence, tardy, corrected
)
VALUES (
    %(result_id)s, %(student_id)s, %(status)s, %(late_minutes)s, %(reason)s, %(rate)s, %(absence)s, %(tardy)s,
    %(corrected)s
);

-- name: result_quarantine_insert
-- purpose: A check-in that did not count in a new version.
-- locks: none
-- replay: a check-in is set aside once in a result
INSERT INTO attendance.result_quarantine (result_id, checkin_id, reason)
VALUES (%(result_id)s, %(checkin_id)s, %(reason)s);

-- name: result_list_students
-- purpose: The students of one version, by name.
-- locks: none
-- replay: reads only
SELECT
    entry.student_id,
    student.reference,
    student.name,
    entry.status,
    entry.late_minutes,
    entry.reason,
    entry.rate,
    entry.absence,
    entry.tardy,
    entry.corrected
FROM attendance.result_student AS entry
INNER JOIN attendance.student AS student ON student.id = entry.student_id
WHERE entry.result_id = %(result_id)s
ORDER BY student.name, student.id
LIMIT 10000;

-- name: result_list_quarantined
-- purpose: The check-ins that did not count in one version, and why.
-- locks: none
-- replay: reads only
SELECT
    entry.checkin_id,
    checkin.source,
    checkin.source_id,
    checkin.student,
    checkin.at,
    entry.reason
FROM attendance.result_quarantine AS entry
INNER JOIN attendance.checkin AS checkin ON checkin.id = entry.checkin_id
WHERE entry.result_id = %(result_id)s
ORDER BY entry.checkin_id
LIMIT 1000;

-- name: session_list
-- purpose: Sessions with the version that counts, newest first.
-- locks: none
-- replay: reads only
SELECT
    session.id,
    session.reference,
    session.course,
    session.timezone,
    session.starts_at,
    session.ends_at,
    session.state,
    newest.id AS result_id,
    newest.version,
    newest.verdict,
    newest.attended,
    newest.counted
FROM attendance.session AS session
LEFT JOIN LATERAL (
    SELECT
        result.id,
        result.version,
        result.verdict,
        result.attended,
        result.counted
    FROM attendance.result AS result
    WHERE result.session_id = session.id
    ORDER BY result.version DESC
    LIMIT 1
) AS newest ON TRUE
WHERE
    (%(session_id)s::bigint IS NULL OR session.id = %(session_id)s)
    AND (%(verdict)s::text IS NULL OR newest.verdict = %(verdict)s)
ORDER BY session.starts_at DESC, session.id DESC
LIMIT %(limit)s;

-- name: follow_up_list_open
-- purpose: What families were told of absences of a session and was not taken back.
-- locks: the follow-up rows; the caller holds the session
-- replay: reads only
SELECT
    follow_up.id,
    follow_up.student_id,
    follow_up.version,
    follow_up.state,
    follow_up.outbox_id
FROM attendance.follow_up AS follow_up
WHERE
    follow_up.session_id = %(session_id)s
    AND follow_up.rule = 'absence'
    AND follow_up.state <> 'cancelled'
ORDER BY follow_up.id
LIMIT 10000
FOR NO KEY UPDATE;

-- name: follow_up_insert
-- purpose: A family is told of an absence.
-- locks: the caller holds the session
-- replay: no row when the same version told it
INSERT INTO attendance.follow_up (student_id, session_id, rule, version, state_at)
VALUES (%(student_id)s, %(session_id)s, 'absence', %(version)s, %(now)s)
ON CONFLICT ON CONSTRAINT follow_up_once DO NOTHING
RETURNING id;

-- name: follow_up_name_message
-- purpose: Remember the message of a follow-up.
-- locks: the follow-up row
-- replay: no row when it is named
UPDATE attendance.follow_up AS follow_up
SET outbox_id = %(outbox_id)s
WHERE
    follow_up.id = %(follow_up_id)s
    AND follow_up.outbox_id IS NULL;

-- name: follow_up_cancel
-- purpose: The absence was corrected before anybody read of it.
-- moves: queued -> cancelled
-- locks: the follow-up row
-- replay: no row when it was taken back
UPDATE attendance.follow_up AS follow_up
SET
    state = 'cancelled',
    state_at = %(now)s
WHERE
    follow_up.id = %(follow_up_id)s
    AND follow_up.state = 'queued'
RETURNING follow_up.id;

-- name: follow_up_apologise
-- purpose: The absence was corrected after somebody may have read of it.
-- moves: queued -> apologised
-- locks: the follow-up row
-- replay: no row when it was taken back
UPDATE attendance.follow_up AS follow_up
SET
    state = 'apologised',
    apology_outbox_id = %(outbox_id)s,
    state_at = %(now)s
WHERE
    follow_up.id = %(follow_up_id)s
    AND follow_up.state = 'queued'
RETURNING follow_up.id;

-- name: follow_up_find
-- purpose: Where a follow-up stands, when its message is about to be sent.
-- locks: none: the outbox row that the sender holds decides who is first
-- replay: reads only
SELECT follow_up.state
FROM attendance.follow_up AS follow_up
WHERE follow_up.id = %(follow_up_id)s;

-- name: follow_up_list
-- purpose: What families were told about a session.
-- locks: none
-- replay: reads only
SELECT
    follow_up.id,
    follow_up.student_id,
    follow_up.version,
    follow_up.state,
    follow_up.outbox_id,
    follow_up.apology_outbox_id
FROM attendance.follow_up AS follow_up
WHERE follow_up.session_id = %(session_id)s
ORDER BY follow_up.id
LIMIT 10000;

-- name: student_get
-- purpose: Whom a message about a student goes to.
-- locks: none
-- replay: reads only
SELECT
    student.name,
    student.contact_id
FROM attendance.student AS student
WHERE student.id = %(student_id)s;

-- name: student_list
-- purpose: Students by name, with the courses they attend at an instant; all, or those of one course then.
-- locks: none
-- replay: reads only
SELECT
    student.id,
    student.reference,
    student.name,
    student.contact_id,
    COALESCE(attended.courses, '{}') AS courses
FROM attendance.student AS student
LEFT JOIN LATERAL (
    SELECT array_agg(DISTINCT enrolment.course ORDER BY enrolment.course) AS courses
    FROM attendance.enrolment AS enrolment
    WHERE
        enrolment.student_id = student.id
        AND enrolment.valid_from <= %(at)s
        AND (enrolment.valid_to IS NULL OR enrolment.valid_to > %(at)s)
) AS attended ON TRUE
WHERE %(course)s::text IS NULL OR %(course)s::text = ANY(attended.courses)
ORDER BY student.name, student.id
LIMIT %(limit)s;

-- name: enrolment_list
-- purpose: The courses of one student, newest first.
-- locks: none
-- replay: reads only
SELECT
    enrolment.course,
    enrolment.valid_from,
    enrolment.valid_to
FROM attendance.enrolment AS enrolment
WHERE enrolment.student_id = %(student_id)s
ORDER BY enrolment.valid_from DESC, enrolment.id DESC
LIMIT 200;

-- name: result_list_of_student
-- purpose: What is known of one student in the last sessions, newest first: the version that counts of each.
-- locks: none
-- replay: reads only
SELECT
    session.id AS session_id,
    session.reference,
    session.course,
    session.timezone,
    session.starts_at,
    entry.status,
    entry.late_minutes,
    entry.reason
FROM attendance.result_student AS entry
INNER JOIN attendance.result AS result ON result.id = entry.result_id
INNER JOIN attendance.session AS session ON session.id = result.session_id
WHERE
    entry.student_id = %(student_id)s
    AND session.state = 'scheduled'
    AND NOT EXISTS (
        SELECT 1
        FROM attendance.result AS newer
        WHERE
            newer.session_id = result.session_id
            AND newer.version > result.version
    )
ORDER BY session.starts_at DESC, session.id DESC
LIMIT %(limit)s;

-- name: course_list_deserted
-- purpose: Those of some courses that no student ever attended.
-- locks: none
-- replay: reads only
SELECT asked.course
FROM unnest(%(courses)s::text []) AS asked (course)
WHERE NOT EXISTS (
    SELECT 1
    FROM attendance.enrolment AS enrolment
    WHERE enrolment.course = asked.course
)
ORDER BY asked.course;
