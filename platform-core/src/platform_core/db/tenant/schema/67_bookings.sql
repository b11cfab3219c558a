-- bookings: trial classes that parents book in a calendar, and what came of each.
--
-- What the calendar said stays as it was said; what staff add or decide stands beside it. A booking's place in time
-- never changes: who takes another hour has another booking.

CREATE SCHEMA bookings;

-- One row. Whoever takes in an event of a calendar holds it, so that the two events of a reschedule, which name each
-- other and come in any order, never pass each other unseen. A customer has a few dozen of them a day.
CREATE TABLE bookings.turn (
    one boolean NOT NULL DEFAULT true CONSTRAINT turn_pkey PRIMARY KEY,
    CONSTRAINT turn_is_one CHECK (one)
);
COMMENT ON CONSTRAINT turn_pkey ON bookings.turn IS 'There is one row to hold.';
INSERT INTO bookings.turn (one) VALUES (true);

-- One booking. States and moves: platform_core/bookings/lifecycle.py.
CREATE TABLE bookings.booking (
    id               bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT booking_pkey PRIMARY KEY,
    source           text        NOT NULL,
    source_id        text        NOT NULL,
    rescheduled_from text        NOT NULL DEFAULT '',
    rescheduled_to   text        NOT NULL DEFAULT '',
    name             text        NOT NULL,
    email            text        NOT NULL,
    kind             text        NOT NULL,
    starts_at        timestamptz NOT NULL,
    ends_at          timestamptz NOT NULL,
    booked_at        timestamptz NOT NULL,
    contact_id       bigint CONSTRAINT booking_contact_fkey REFERENCES messaging.contact (id),
    pupil            text,
    course           text,
    state            text        NOT NULL,
    canceled_at      timestamptz,
    no_show          boolean     NOT NULL DEFAULT false,
    no_show_at       timestamptz,
    student_id       bigint CONSTRAINT booking_student_fkey REFERENCES attendance.student (id),
    decided_at       timestamptz,
    decline_reason   text        NOT NULL DEFAULT '',
    added_at         timestamptz NOT NULL,
    CONSTRAINT booking_state CHECK (state IN (
        'booked', 'rescheduled', 'canceled', 'no_show', 'enrolled', 'declined'
    )),
    CONSTRAINT booking_rescheduled_names_another CHECK (state <> 'rescheduled' OR rescheduled_to <> ''),
    CONSTRAINT booking_canceled_has_time CHECK (state <> 'canceled' OR canceled_at IS NOT NULL),
    CONSTRAINT booking_no_show_was_marked CHECK (state <> 'no_show' OR no_show_at IS NOT NULL),
    CONSTRAINT booking_mark_has_time CHECK (NOT no_show OR no_show_at IS NOT NULL),
    CONSTRAINT booking_enrolled_has_student CHECK ((state = 'enrolled') = (student_id IS NOT NULL)),
    CONSTRAINT booking_decided_has_time CHECK ((state IN ('enrolled', 'declined')) = (decided_at IS NOT NULL)),
    CONSTRAINT booking_ends_after_start CHECK (ends_at > starts_at),
    CONSTRAINT booking_follows_another CHECK (source_id NOT IN (rescheduled_from, rescheduled_to)),
    CONSTRAINT booking_texts_bounded CHECK (
        length(source) BETWEEN 1 AND 60 AND length(source_id) BETWEEN 1 AND 255
        AND length(rescheduled_from) <= 255 AND length(rescheduled_to) <= 255
        AND length(name) <= 200 AND length(email) <= 320 AND length(kind) BETWEEN 1 AND 200
        AND length(pupil) BETWEEN 1 AND 120 AND length(course) BETWEEN 1 AND 120
        AND length(decline_reason) <= 500
    ),
    CONSTRAINT booking_source_once UNIQUE (source, source_id)
);
COMMENT ON CONSTRAINT booking_source_once ON bookings.booking IS
    'The calendar''s own id names one booking, however often and in whatever order its events come.';
COMMENT ON COLUMN bookings.booking.contact_id IS 'Whom messages go to; null until somebody knows a phone number.';
COMMENT ON COLUMN bookings.booking.rescheduled_from IS 'The calendar''s id of the booking that this one replaces, or nothing.';
CREATE INDEX booking_by_predecessor ON bookings.booking (source, rescheduled_from) WHERE rescheduled_from <> '';
COMMENT ON INDEX bookings.booking_by_predecessor IS 'The booking that replaces one that was not known yet.';
CREATE INDEX booking_waiting ON bookings.booking (ends_at, id) WHERE state IN ('booked', 'no_show');
COMMENT ON INDEX bookings.booking_waiting IS 'Trial classes that are over and that staff said nothing of.';
CREATE INDEX booking_of_contact ON bookings.booking (contact_id) WHERE contact_id IS NOT NULL;
COMMENT ON INDEX bookings.booking_of_contact IS 'What a family booked.';

GRANT USAGE ON SCHEMA bookings TO api_tenant;
GRANT SELECT (one), UPDATE (one) ON bookings.turn TO api_tenant;
GRANT SELECT (
        id, source, source_id, rescheduled_from, rescheduled_to, name, email, kind, starts_at, ends_at, booked_at,
        contact_id, pupil, course, state, canceled_at, no_show, no_show_at, student_id, decided_at, decline_reason,
        added_at
    ),
    INSERT (
        source, source_id, rescheduled_from, rescheduled_to, name, email, kind, starts_at, ends_at, booked_at,
        contact_id, pupil, course, state, canceled_at, no_show, no_show_at, added_at
    ),
    UPDATE (
        rescheduled_to, contact_id, pupil, course, state, canceled_at, no_show, no_show_at, student_id, decided_at,
        decline_reason
    )
    ON bookings.booking TO api_tenant;
