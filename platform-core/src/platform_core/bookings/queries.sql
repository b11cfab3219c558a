-- bookings: what a calendar said, and what staff decided.

-- name: turn_take
-- purpose: One event of a calendar at a time: the two of a reschedule name each other.
-- locks: the one row of turns, until the transaction ends
-- replay: reads only
SELECT turn.one
FROM bookings.turn AS turn
FOR NO KEY UPDATE;

-- name: booking_enter
-- purpose: A booking, once per calendar id, in the state its first event says.
-- locks: waits for another transaction entering the same
-- replay: no row when it is known
INSERT INTO bookings.booking (
    source, source_id, rescheduled_from, rescheduled_to, name, email, kind, starts_at, ends_at, booked_at,
    contact_id, pupil, course, state, canceled_at, no_show, no_show_at, added_at
)
VALUES (
    %(source)s, %(source_id)s, %(rescheduled_from)s, %(rescheduled_to)s, %(name)s, %(email)s, %(kind)s,
    %(starts_at)s, %(ends_at)s, %(booked_at)s, %(contact_id)s, %(pupil)s, %(course)s, %(state)s, %(canceled_at)s,
    %(no_show)s, %(no_show_at)s, %(now)s
)
ON CONFLICT ON CONSTRAINT booking_source_once DO NOTHING
RETURNING id;

-- name: booking_lock
-- purpose: One booking, held until the transaction ends.
-- locks: the booking row
-- replay: reads only
SELECT
    booking.id,
    booking.source,
    booking.source_id,
    booking.rescheduled_from,
    booking.rescheduled_to,
    booking.name,
    booking.email,
    booking.kind,
    booking.starts_at,
    booking.ends_at,
    booking.booked_at,
    booking.contact_id,
    booking.pupil,
    booking.course,
    booking.state,
    booking.canceled_at,
    booking.no_show,
    booking.no_show_at,
    booking.student_id,
    booking.decided_at,
    booking.decline_reason,
    booking.added_at
FROM bookings.booking AS booking
WHERE booking.id = %(booking_id)s
FOR NO KEY UPDATE;

-- name: booking_find_by_source
-- purpose: The booking a calendar's id names.
-- locks: none; whoever writes holds the turn
-- replay: reads only
SELECT booking.id
FROM bookings.booking AS booking
WHERE
    booking.source = %(source)s
    AND booking.source_id = %(source_id)s;

-- name: booking_find_successor
-- purpose: The calendar's id of the booking that replaces one, when its event came first.
-- locks: none; whoever writes holds the turn
-- replay: reads only
SELECT booking.source_id
FROM bookings.booking AS booking
WHERE
    booking.source = %(source)s
    AND booking.rescheduled_from = %(source_id)s
    AND booking.rescheduled_from <> ''
ORDER BY booking.booked_at, booking.id
LIMIT 1;

-- name: booking_note_facts
-- purpose: What the calendar has said of a booking so far; its state is moved apart from it.
-- locks: the booking row
-- replay: the same facts again change nothing
UPDATE bookings.booking AS booking
SET
    rescheduled_to = %(rescheduled_to)s,
    canceled_at = %(canceled_at)s,
    no_show = %(no_show)s,
    no_show_at = %(no_show_at)s
WHERE booking.id = %(booking_id)s;

-- name: booking_complete
-- purpose: What the booking came without, from its predecessor or from a person.
-- locks: the booking row
-- replay: the same values again change nothing
UPDATE bookings.booking AS booking
SET
    contact_id = %(contact_id)s,
    pupil = %(pupil)s,
    course = %(course)s
WHERE booking.id = %(booking_id)s;

-- name: booking_reschedule
-- purpose: Another booking took its place.
-- moves: booked, no_show, canceled -> rescheduled
-- locks: the booking row
-- replay: no row when it has moved on
UPDATE bookings.booking AS booking
SET
    state = 'rescheduled'
WHERE
    booking.id = %(booking_id)s
    AND booking.state IN ('booked', 'no_show', 'canceled')
RETURNING booking.id;

-- name: booking_cancel
-- purpose: It will not take place.
-- moves: booked, no_show -> canceled
-- locks: the booking row
-- replay: no row when it has moved on
UPDATE bookings.booking AS booking
SET
    state = 'canceled'
WHERE
    booking.id = %(booking_id)s
    AND booking.state IN ('booked', 'no_show')
RETURNING booking.id;

-- name: booking_miss
-- purpose: The calendar says that the pupil did not come.
-- moves: booked -> no_show
-- locks: the booking row
-- replay: no row when it has moved on
UPDATE bookings.booking AS booking
SET
    state = 'no_show'
WHERE
    booking.id = %(booking_id)s
    AND booking.state = 'booked'
RETURNING booking.id;

-- name: booking_expect
-- purpose: The mark was taken back.
-- moves: no_show -> booked
-- locks: the booking row
-- replay: no row when it has moved on
UPDATE bookings.booking AS booking
SET
    state = 'booked'
WHERE
    booking.id = %(booking_id)s
    AND booking.state = 'no_show'
RETURNING booking.id;

-- name: booking_enrol
-- purpose: The pupil stays.
-- moves: booked, no_show -> enrolled
-- locks: the booking row
-- replay: no row when it has moved on
UPDATE bookings.booking AS booking
SET
    state = 'enrolled',
    student_id = %(student_id)s,
    course = %(course)s,
    decided_at = %(now)s
WHERE
    booking.id = %(booking_id)s
    AND booking.state IN ('booked', 'no_show')
RETURNING booking.id;

-- name: booking_decline
-- purpose: No enrolment follows.
-- moves: booked, no_show -> declined
-- locks: the booking row
-- replay: no row when it has moved on
UPDATE bookings.booking AS booking
SET
    state = 'declined',
    decline_reason = %(reason)s,
    decided_at = %(now)s
WHERE
    booking.id = %(booking_id)s
    AND booking.state IN ('booked', 'no_show')
RETURNING booking.id;

-- name: booking_get_state
-- purpose: Where a booking stands, when its message is about to be sent.
-- locks: none
-- replay: reads only
SELECT booking.state
FROM bookings.booking AS booking
WHERE booking.id = %(booking_id)s;

-- name: booking_list_due
-- purpose: Trial classes that are over and wait for staff, oldest first.
-- locks: none
-- replay: reads only
SELECT booking.id
FROM bookings.booking AS booking
WHERE
    booking.state IN ('booked', 'no_show')
    AND booking.ends_at <= %(now)s
ORDER BY booking.ends_at, booking.id
LIMIT %(limit)s;

-- name: booking_list
-- purpose: Bookings as people see them, by their hour, the latest first: all, of one state, or one.
-- locks: none
-- replay: reads only
SELECT
    booking.id,
    booking.source,
    booking.name,
    booking.email,
    booking.kind,
    booking.starts_at,
    booking.ends_at,
    booking.booked_at,
    booking.contact_id,
    booking.pupil,
    booking.course,
    booking.state,
    booking.canceled_at,
    booking.no_show_at,
    booking.decided_at,
    booking.decline_reason,
    before.id AS rescheduled_from,
    after.id AS rescheduled_to,
    student.reference AS student
FROM bookings.booking AS booking
LEFT JOIN bookings.booking AS before
    ON before.source = booking.source AND before.source_id = booking.rescheduled_from
LEFT JOIN bookings.booking AS after
    ON after.source = booking.source AND after.source_id = booking.rescheduled_to
LEFT JOIN attendance.student AS student
    ON student.id = booking.student_id
WHERE
    (%(state)s::text IS NULL OR booking.state = %(state)s)
    AND (%(booking_id)s::bigint IS NULL OR booking.id = %(booking_id)s)
ORDER BY booking.starts_at DESC, booking.id DESC
LIMIT %(limit)s;
