-- name: contact_lock
-- purpose: The contacts that have either identity, held until the transaction ends.
-- locks: those contact rows, in id order
-- replay: reads only
SELECT
    c.id,
    c.phone,
    c.user_id,
    c.name,
    c.last_inbound_at,
    c.opted_out_at,
    c.merged_into
FROM messaging.contact AS c
WHERE
    c.phone = %(phone)s::text
    OR c.user_id = %(user_id)s::text
ORDER BY c.id
LIMIT 2
FOR UPDATE;

-- name: contact_insert
-- purpose: A contact nobody has met.
-- locks: waits for another worker inserting the same identity
-- replay: no row when an identity is known
INSERT INTO messaging.contact (phone, user_id, name, created_at)
VALUES (%(phone)s, %(user_id)s, %(name)s, %(now)s)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: contact_complete
-- purpose: Give a contact the identities and the name it is now known by.
-- locks: the contact row
-- replay: writes nothing new
UPDATE messaging.contact AS c
SET
    phone = %(phone)s,
    user_id = %(user_id)s,
    name = COALESCE(NULLIF(%(name)s, ''), c.name)
WHERE
    c.id = %(contact)s
    AND (c.phone, c.user_id, c.name) IS DISTINCT FROM (
        %(phone)s::text, %(user_id)s::text, COALESCE(NULLIF(%(name)s, ''), c.name)
    );

-- name: contact_strip_user_id
-- purpose: Take the user id from a contact whose phone is another.
-- locks: the contact row
-- replay: writes nothing new
UPDATE messaging.contact AS c
SET user_id = NULL
WHERE
    c.id = %(contact)s
    AND c.phone IS NOT NULL;

-- name: contact_merge
-- purpose: Point a contact, and all merged into it, to the one that is the same person.
-- locks: the rows of both contacts
-- replay: writes nothing new
WITH loser AS (
    SELECT
        l.last_inbound_at,
        l.opted_out_at,
        l.opt_changed_at
    FROM messaging.contact AS l
    WHERE
        l.id = %(loser)s
        AND l.merged_into IS NULL
), pointed AS (
    UPDATE messaging.contact AS p
    SET
        merged_into = %(winner)s,
        phone = NULL,
        user_id = NULL
    WHERE p.id = %(loser)s OR p.merged_into = %(loser)s
)
UPDATE messaging.contact AS w
SET
    last_inbound_at = GREATEST(w.last_inbound_at, loser.last_inbound_at),
    opted_out_at = CASE
        WHEN loser.opt_changed_at > w.opt_changed_at OR w.opt_changed_at IS NULL THEN loser.opted_out_at
        ELSE w.opted_out_at
    END,
    opt_changed_at = GREATEST(w.opt_changed_at, loser.opt_changed_at)
FROM loser
WHERE w.id = %(winner)s;

-- name: contact_find
-- purpose: One contact, or the one it was merged into.
-- locks: none
-- replay: reads only
SELECT
    w.id,
    w.phone,
    w.user_id,
    w.name,
    w.last_inbound_at,
    w.opted_out_at,
    w.merged_into
FROM messaging.contact AS c
INNER JOIN messaging.contact AS w ON w.id = COALESCE(c.merged_into, c.id)
WHERE c.id = %(contact)s;

-- name: contact_list_merged
-- purpose: The ids that stand for one contact: its own and those merged into it.
-- locks: none
-- replay: reads only
SELECT c.id
FROM messaging.contact AS c
WHERE
    c.id = %(contact)s
    OR c.merged_into = %(contact)s
ORDER BY c.id
LIMIT %(limit)s;

-- name: contact_note_inbound
-- purpose: Remember when the contact last wrote; it opens the window for free text.
-- locks: the contact row
-- replay: writes nothing new
UPDATE messaging.contact AS c
SET last_inbound_at = %(sent_at)s
WHERE
    c.id = %(contact)s
    AND (c.last_inbound_at IS NULL OR c.last_inbound_at < %(sent_at)s);

-- name: contact_set_opt_out
-- purpose: Remember that the contact wants no messages, or wants them again.
-- locks: the contact row
-- replay: no row when the same or newer news is known
UPDATE messaging.contact AS c
SET
    opted_out_at = CASE WHEN %(opted_out)s::boolean THEN %(changed_at)s::timestamptz END,
    opt_changed_at = %(changed_at)s::timestamptz
WHERE
    c.id = %(contact)s
    AND (c.opt_changed_at IS NULL OR c.opt_changed_at < %(changed_at)s::timestamptz)
RETURNING c.id;

-- name: message_insert
-- purpose: What a contact wrote, once per provider and wamid.
-- locks: waits for another worker inserting the same wamid
-- replay: no row when the message is known
INSERT INTO messaging.message (
    provider, wamid, contact_id, event_id, business_phone, type, text, button_payload, reply_to,
    attachment_link, attachment_mime, attachment_filename, attachment_caption, attachment_sha256,
    sent_at, received_at
)
VALUES (
    %(provider)s, %(wamid)s, %(contact)s, %(event)s, %(business_phone)s, %(type)s, %(text)s,
    %(button_payload)s, %(reply_to)s, %(attachment_link)s, %(attachment_mime)s, %(attachment_filename)s,
    %(attachment_caption)s, %(attachment_sha256)s, %(sent_at)s, %(now)s
)
ON CONFLICT ON CONSTRAINT message_once DO NOTHING
RETURNING id;

-- name: message_find
-- purpose: One message a contact wrote.
-- locks: none
-- replay: reads only
SELECT
    m.id,
    m.provider,
    m.wamid,
    COALESCE(c.merged_into, c.id) AS contact_id,
    m.event_id,
    m.business_phone,
    m.type,
    m.text,
    m.button_payload,
    m.reply_to,
    m.attachment_link,
    m.attachment_mime,
    m.attachment_filename,
    m.attachment_caption,
    m.attachment_sha256,
    m.sent_at,
    m.received_at
FROM messaging.message AS m
INNER JOIN messaging.contact AS c ON c.id = m.contact_id
WHERE m.id = %(message)s;

-- name: message_list
-- purpose: What a contact wrote, newest first.
-- locks: none
-- replay: reads only
SELECT
    m.id,
    m.provider,
    m.wamid,
    COALESCE(c.merged_into, c.id) AS contact_id,
    m.event_id,
    m.business_phone,
    m.type,
    m.text,
    m.button_payload,
    m.reply_to,
    m.attachment_link,
    m.attachment_mime,
    m.attachment_filename,
    m.attachment_caption,
    m.attachment_sha256,
    m.sent_at,
    m.received_at
FROM messaging.message AS m
INNER JOIN messaging.contact AS c ON c.id = m.contact_id
WHERE
    %(contact)s::bigint IS NULL
    OR c.id = %(contact)s
    OR c.merged_into = %(contact)s
ORDER BY m.id DESC
LIMIT %(limit)s;

-- name: message_is_known
-- purpose: Whether a message came before, under any event id.
-- locks: none
-- replay: reads only
SELECT m.id
FROM messaging.message AS m
WHERE
    m.provider = %(provider)s
    AND m.wamid = %(wamid)s;

-- name: outbox_insert
-- purpose: Ask for a message, once per dedupe key.
-- locks: waits for another transaction asking under the same key
-- replay: no row when it was asked for before
INSERT INTO messaging.outbox (
    dedupe_key, purpose, contact_id, values, subject_type, subject_id, obligation_id, recheck, external_key,
    queued_at
)
VALUES (
    %(dedupe_key)s, %(purpose)s, %(contact)s, %(values)s, %(subject_type)s, %(subject_id)s, %(obligation)s,
    %(recheck)s, %(external_key)s, %(now)s
)
ON CONFLICT ON CONSTRAINT outbox_once DO NOTHING
RETURNING id;

-- name: outbox_find_asked
-- purpose: What was asked for under a dedupe key.
-- locks: none
-- replay: reads only
SELECT
    o.id,
    o.purpose,
    o.contact_id
FROM messaging.outbox AS o
WHERE o.dedupe_key = %(dedupe_key)s;

-- name: outbox_lock
-- purpose: One message with what is known about its contact now, held until the transaction ends.
-- locks: the outbox row
-- replay: reads only
SELECT
    o.id,
    o.purpose,
    o.values,
    o.subject_id,
    o.recheck,
    o.state,
    o.form,
    o.external_id,
    o.generation,
    o.paused_code,
    c.id AS contact_id,
    c.phone,
    c.user_id,
    c.last_inbound_at,
    c.opted_out_at
FROM messaging.outbox AS o
INNER JOIN messaging.contact AS a ON a.id = o.contact_id
INNER JOIN messaging.contact AS c ON c.id = COALESCE(a.merged_into, a.id)
WHERE o.id = %(outbox)s
FOR UPDATE OF o;

-- name: outbox_start
-- purpose: Commit to one call of the provider, before it is made.
-- moves: queued -> sending
-- locks: the outbox row
-- replay: no row when it is not queued any more
UPDATE messaging.outbox AS o
SET
    state = 'sending',
    form = %(form)s,
    sending_at = %(now)s,
    attempts = o.attempts + 1
WHERE
    o.id = %(outbox)s
    AND o.state = 'queued'
RETURNING o.id;

-- name: outbox_suppress
-- purpose: Not send what the contact does not want.
-- moves: queued -> suppressed
-- locks: the outbox row
-- replay: no row when it is not queued any more
UPDATE messaging.outbox AS o
SET
    state = 'suppressed',
    suppressed_at = %(now)s
WHERE
    o.id = %(outbox)s
    AND o.state = 'queued'
RETURNING o.id;

-- name: outbox_cancel
-- purpose: Not send what is not needed any more.
-- moves: queued -> cancelled
-- locks: the outbox row
-- replay: no row when it is not queued any more
UPDATE messaging.outbox AS o
SET
    state = 'cancelled',
    cancelled_at = %(now)s
WHERE
    o.id = %(outbox)s
    AND o.state = 'queued'
RETURNING o.id;

-- name: outbox_list_queued
-- purpose: What could still be cancelled about one thing, or under one key.
-- locks: those outbox rows, in id order; a send that starts meanwhile waits, and then finds them cancelled
-- replay: reads only
SELECT o.id
FROM messaging.outbox AS o
WHERE
    o.state = 'queued'
    AND (
        o.dedupe_key = %(dedupe_key)s::text
        OR (o.subject_type = %(subject_type)s::text AND o.subject_id = %(subject_id)s::text)
    )
ORDER BY o.id
LIMIT 1000
FOR UPDATE;

-- name: outbox_return
-- purpose: Put a message back because the provider surely did nothing.
-- moves: sending -> queued
-- locks: the outbox row
-- replay: no row when it is not being sent any more
UPDATE messaging.outbox AS o
SET
    state = 'queued',
    form = NULL
WHERE
    o.id = %(outbox)s
    AND o.state = 'sending'
RETURNING o.id;

-- name: outbox_pause
-- purpose: Remember why a message waits for a person.
-- locks: the outbox row
-- replay: no row when it waits for the same reason already, so that it is alerted once
UPDATE messaging.outbox AS o
SET paused_code = %(code)s
WHERE
    o.id = %(outbox)s
    AND o.paused_code <> %(code)s
RETURNING o.attempts;

-- name: outbox_refuse
-- purpose: The message cannot be sent as it is: we cannot write it, or the provider refused it for good.
-- moves: queued, sending -> failed
-- locks: the outbox row
-- replay: no row when it is neither queued nor being sent
UPDATE messaging.outbox AS o
SET
    state = 'failed',
    failed_at = %(now)s,
    error_code = %(code)s,
    paused_code = ''
WHERE
    o.id = %(outbox)s
    AND o.state IN ('queued', 'sending')
RETURNING o.id;

-- name: outbox_mark_ambiguous
-- purpose: Nobody knows whether the provider acted: never call again, wait for its report.
-- moves: sending -> ambiguous
-- locks: the outbox row
-- replay: no row when a report or an answer was faster
UPDATE messaging.outbox AS o
SET
    state = 'ambiguous',
    ambiguous_at = %(now)s,
    error_code = %(code)s,
    paused_code = ''
WHERE
    o.id = %(outbox)s
    AND o.state = 'sending'
RETURNING o.id;

-- name: outbox_hold
-- purpose: After the database was put back to an earlier instant: what was about to be sent then may have been
--          sent since, and nobody here knows.
-- moves: queued, sending -> ambiguous
-- locks: those outbox rows
-- replay: no row when they were held before
UPDATE messaging.outbox AS o
SET
    state = 'ambiguous',
    form = COALESCE(o.form, 'text'),
    sending_at = COALESCE(o.sending_at, %(now)s),
    ambiguous_at = %(now)s,
    error_code = %(code)s,
    paused_code = ''
WHERE
    o.state IN ('queued', 'sending')
RETURNING o.id;

-- name: outbox_list_unreported
-- purpose: Sends begun before an instant whose outcome nobody knows: interrupted ones, and ambiguous ones.
-- locks: those outbox rows, in id order
-- replay: reads only
SELECT
    o.id,
    o.state,
    o.generation,
    o.external_id
FROM messaging.outbox AS o
WHERE
    o.state IN ('sending', 'ambiguous')
    AND o.sending_at < %(begun_before)s
ORDER BY o.id
LIMIT 1000
FOR UPDATE;

-- name: outbox_accept
-- purpose: The provider answered that it took the message. An answer may come after the send was given up.
-- moves: queued, sending, ambiguous -> accepted
-- locks: the outbox row
-- replay: no row when a report already said more
UPDATE messaging.outbox AS o
SET
    state = 'accepted',
    accepted_at = %(now)s,
    ambiguous_at = NULL,
    error_code = '',
    paused_code = ''
WHERE
    o.id = %(outbox)s
    AND o.state IN ('queued', 'sending', 'ambiguous')
RETURNING o.id;

-- name: outbox_identify
-- purpose: Remember the provider's ids of a message, by which later reports find it.
-- locks: the outbox row
-- replay: writes nothing new
-- An id that another message already has is not taken: it would make both unreachable for reports.
UPDATE messaging.outbox AS o
SET
    provider_message_id = COALESCE(
        o.provider_message_id,
        (
            SELECT NULLIF(%(provider_message_id)s::text, '')
            WHERE NOT EXISTS (
                SELECT 1
                FROM messaging.outbox AS other
                WHERE other.provider_message_id = %(provider_message_id)s::text
            )
        )
    ),
    wamid = COALESCE(o.wamid, NULLIF(%(wamid)s::text, ''))
WHERE
    o.id = %(outbox)s
    AND o.generation = %(generation)s
    AND (o.provider_message_id IS NULL OR o.wamid IS NULL);

-- name: outbox_confirm
-- purpose: A person saw that an ambiguous message was sent.
-- moves: ambiguous -> accepted
-- locks: the outbox row
-- replay: no row when it is not ambiguous any more
UPDATE messaging.outbox AS o
SET
    state = 'accepted',
    accepted_at = %(now)s,
    ambiguous_at = NULL,
    error_code = ''
WHERE
    o.id = %(outbox)s
    AND o.state = 'ambiguous'
RETURNING o.id;

-- name: outbox_send_again
-- purpose: A person saw that an ambiguous message was not sent: send it under a new external id.
-- moves: ambiguous -> queued
-- locks: the outbox row
-- replay: no row when it is not ambiguous any more
UPDATE messaging.outbox AS o
SET
    state = 'queued',
    queued_at = %(now)s,
    generation = o.generation + 1,
    form = NULL,
    ambiguous_at = NULL,
    error_code = ''
WHERE
    o.id = %(outbox)s
    AND o.state = 'ambiguous'
RETURNING o.generation;

-- name: outbox_find
-- purpose: One message we send.
-- locks: none
-- replay: reads only
SELECT
    o.id,
    o.dedupe_key,
    o.purpose,
    o.contact_id,
    o.values,
    o.subject_type,
    o.subject_id,
    o.obligation_id,
    o.state,
    o.form,
    o.external_id,
    o.generation,
    o.provider_message_id,
    o.wamid,
    o.error_code,
    o.paused_code,
    o.late_failure,
    o.attempts,
    o.queued_at,
    o.sending_at,
    o.accepted_at,
    o.delivered_at,
    o.read_at,
    o.failed_at,
    o.ambiguous_at,
    o.suppressed_at,
    o.cancelled_at
FROM messaging.outbox AS o
WHERE o.id = %(outbox)s;

-- name: outbox_list
-- purpose: Messages we send, newest first, of one state or about one thing.
-- locks: none
-- replay: reads only
SELECT
    o.id,
    o.dedupe_key,
    o.purpose,
    o.contact_id,
    o.values,
    o.subject_type,
    o.subject_id,
    o.obligation_id,
    o.state,
    o.form,
    o.external_id,
    o.generation,
    o.provider_message_id,
    o.wamid,
    o.error_code,
    o.paused_code,
    o.late_failure,
    o.attempts,
    o.queued_at,
    o.sending_at,
    o.accepted_at,
    o.delivered_at,
    o.read_at,
    o.failed_at,
    o.ambiguous_at,
    o.suppressed_at,
    o.cancelled_at
FROM messaging.outbox AS o
WHERE
    (%(state)s::text IS NULL OR o.state = %(state)s)
    AND (
        %(subject_type)s::text IS NULL
        OR (o.subject_type = %(subject_type)s AND o.subject_id = %(subject_id)s::text)
    )
ORDER BY o.id DESC
LIMIT %(limit)s;

-- name: report_insert
-- purpose: Keep one observation; the same one again is counted.
-- locks: the report's row, when it is known
-- replay: deliveries goes up, nothing else
INSERT INTO messaging.delivery_report AS r (
    provider_message_id, wamid, external_id, status, error_code, error_message, updated_at, event_id, received_at
)
VALUES (
    %(provider_message_id)s, %(wamid)s, %(external_id)s, %(status)s, %(error_code)s, %(error_message)s,
    %(updated_at)s, %(event)s, %(now)s
)
ON CONFLICT ON CONSTRAINT delivery_report_once DO UPDATE SET deliveries = r.deliveries + 1
RETURNING r.id;

-- name: report_find_outbox
-- purpose: The message a report is about: by our own id first, then by the provider's.
-- locks: the outbox row
-- replay: reads only
SELECT
    o.id,
    o.external_key,
    o.generation
FROM messaging.outbox AS o
WHERE
    o.external_key = %(external_key)s::text
    OR o.provider_message_id = %(provider_message_id)s::text
    OR o.wamid = NULLIF(%(wamid)s::text, '')
ORDER BY
    (o.external_key IS NOT DISTINCT FROM %(external_key)s::text) DESC,
    (o.provider_message_id IS NOT DISTINCT FROM %(provider_message_id)s::text) DESC,
    o.id
LIMIT 1
FOR UPDATE;

-- name: outbox_await_answers
-- purpose: Wait for answers that are being written, before a report is called unmatched.
-- locks: the rows being sent, in id order: an answer is either seen here, or waits and then sees the report
-- replay: reads only
SELECT o.id
FROM messaging.outbox AS o
WHERE o.state IN ('sending', 'ambiguous')
ORDER BY o.id
LIMIT 1000
FOR UPDATE;

-- name: outbox_lock_contact
-- purpose: Hold a message while its reports are weighed; its contact, as merged.
-- locks: the outbox row
-- replay: reads only
SELECT COALESCE(c.merged_into, c.id) AS contact_id
FROM messaging.outbox AS o
INNER JOIN messaging.contact AS c ON c.id = o.contact_id
WHERE o.id = %(outbox)s
FOR UPDATE OF o;

-- name: report_match
-- purpose: Say which message, and which sending of it, a report is about.
-- locks: the report's row
-- replay: writes nothing when it is matched
UPDATE messaging.delivery_report AS r
SET
    outbox_id = %(outbox)s,
    generation = %(generation)s
WHERE
    r.id = %(report)s
    AND r.outbox_id IS NULL;

-- name: report_adopt
-- purpose: Match the reports that came before the provider's answer told its id.
-- locks: those report rows
-- replay: no row when there are none left
UPDATE messaging.delivery_report AS r
SET
    outbox_id = o.id,
    generation = o.generation
FROM messaging.outbox AS o
WHERE
    o.id = %(outbox)s
    AND (r.provider_message_id = o.provider_message_id OR (r.wamid = o.wamid AND r.wamid <> ''))
    AND r.outbox_id IS NULL
RETURNING r.id;

-- name: report_totals
-- purpose: All that was reported about a message, one row per status. Failures of an earlier sending do not count.
-- locks: none
-- replay: reads only
SELECT
    r.status,
    min(r.updated_at) AS first_at,
    max(r.updated_at) AS last_at,
    (array_agg(r.error_code ORDER BY r.updated_at DESC, r.error_code DESC))[1] AS last_error_code
FROM messaging.delivery_report AS r
INNER JOIN messaging.outbox AS o ON o.id = r.outbox_id
WHERE
    r.outbox_id = %(outbox)s
    AND (r.status <> 'failed' OR r.generation = o.generation)
GROUP BY r.status
ORDER BY r.status
LIMIT 5;

-- name: outbox_report_accepted
-- purpose: The provider reports that it has the message.
-- moves: queued, sending, ambiguous, failed -> accepted
-- locks: the outbox row
-- replay: no row when the state is another
UPDATE messaging.outbox AS o
SET
    state = 'accepted',
    accepted_at = LEAST(o.accepted_at, %(accepted_at)s),
    failed_at = NULL,
    ambiguous_at = NULL,
    error_code = '',
    paused_code = ''
WHERE
    o.id = %(outbox)s
    AND o.state IN ('queued', 'sending', 'ambiguous', 'failed')
RETURNING o.id;

-- name: outbox_report_delivered
-- purpose: The provider reports that the message reached the phone.
-- moves: queued, sending, accepted, ambiguous, failed -> delivered
-- locks: the outbox row
-- replay: no row when the state is another
UPDATE messaging.outbox AS o
SET
    state = 'delivered',
    accepted_at = LEAST(o.accepted_at, %(accepted_at)s),
    delivered_at = %(delivered_at)s,
    failed_at = NULL,
    ambiguous_at = NULL,
    error_code = %(error_code)s,
    paused_code = '',
    late_failure = %(late_failure)s
WHERE
    o.id = %(outbox)s
    AND o.state IN ('queued', 'sending', 'accepted', 'ambiguous', 'failed')
RETURNING o.id;

-- name: outbox_report_read
-- purpose: The provider reports that the message was read.
-- moves: queued, sending, accepted, delivered, ambiguous, failed -> read
-- locks: the outbox row
-- replay: no row when the state is another
UPDATE messaging.outbox AS o
SET
    state = 'read',
    accepted_at = LEAST(o.accepted_at, %(accepted_at)s),
    delivered_at = %(delivered_at)s,
    read_at = %(read_at)s,
    failed_at = NULL,
    ambiguous_at = NULL,
    error_code = %(error_code)s,
    paused_code = '',
    late_failure = %(late_failure)s
WHERE
    o.id = %(outbox)s
    AND o.state IN ('queued', 'sending', 'accepted', 'delivered', 'ambiguous', 'failed')
RETURNING o.id;

-- name: outbox_report_failed
-- purpose: The provider reports that the message was not delivered.
-- moves: sending, accepted, ambiguous -> failed
-- locks: the outbox row
-- replay: no row when the state is another
UPDATE messaging.outbox AS o
SET
    state = 'failed',
    accepted_at = LEAST(o.accepted_at, %(accepted_at)s),
    failed_at = %(failed_at)s,
    ambiguous_at = NULL,
    error_code = %(error_code)s,
    paused_code = ''
WHERE
    o.id = %(outbox)s
    AND o.state IN ('sending', 'accepted', 'ambiguous')
RETURNING o.id;

-- name: outbox_note_reports
-- purpose: Keep the times and flags of a message equal to its reports while its state stays.
-- locks: the outbox row
-- replay: writes nothing new
UPDATE messaging.outbox AS o
SET
    accepted_at = LEAST(o.accepted_at, %(accepted_at)s),
    delivered_at = %(delivered_at)s,
    read_at = %(read_at)s,
    failed_at = %(failed_at)s,
    error_code = %(error_code)s,
    late_failure = %(late_failure)s
WHERE
    o.id = %(outbox)s
    AND o.state = %(state)s
    AND (
        LEAST(o.accepted_at, %(accepted_at)s), o.delivered_at, o.read_at, o.failed_at, o.error_code,
        o.late_failure
    ) IS DISTINCT FROM (
        o.accepted_at, %(delivered_at)s::timestamptz, %(read_at)s::timestamptz, %(failed_at)s::timestamptz,
        %(error_code)s::text, %(late_failure)s::boolean
    );

-- name: report_list
-- purpose: What was reported about one message, or about none we know, in the provider's order.
-- locks: none
-- replay: reads only
SELECT
    r.id,
    r.outbox_id,
    r.generation,
    r.provider_message_id,
    r.status,
    r.error_code,
    r.updated_at,
    r.received_at,
    r.deliveries
FROM messaging.delivery_report AS r
WHERE r.outbox_id IS NOT DISTINCT FROM %(outbox)s::bigint
ORDER BY r.updated_at, r.id
LIMIT %(limit)s;
