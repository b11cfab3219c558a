-- messaging: contacts, what they wrote, what we send them, and what the provider says became of it.

CREATE SCHEMA messaging;

-- A person as the provider knows them: a phone number, a business-scoped id, or both. Two rows that turn out to
-- be one person are merged: the one found by phone stays, the other gives up its identities and points to it, so
-- that rows of other packages that refer to either keep their meaning.
CREATE TABLE messaging.contact (
    id              bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT contact_pkey PRIMARY KEY,
    phone           text,
    user_id         text,
    name            text        NOT NULL DEFAULT '',
    last_inbound_at timestamptz,
    opted_out_at    timestamptz,
    opt_changed_at  timestamptz,
    merged_into     bigint CONSTRAINT contact_merged_into_fkey REFERENCES messaging.contact (id),
    created_at      timestamptz NOT NULL,
    CONSTRAINT contact_phone_is_e164 CHECK (phone ~ '^\+[1-9][0-9]{6,14}$'),
    CONSTRAINT contact_user_id_bounded CHECK (length(user_id) BETWEEN 1 AND 160),
    CONSTRAINT contact_identified_or_merged CHECK (
        (merged_into IS NULL) = (phone IS NOT NULL OR user_id IS NOT NULL)
    ),
    CONSTRAINT contact_not_merged_into_itself CHECK (merged_into <> id),
    CONSTRAINT contact_phone_once UNIQUE (phone),
    CONSTRAINT contact_user_id_once UNIQUE (user_id)
);
COMMENT ON CONSTRAINT contact_phone_once ON messaging.contact IS 'One phone number is one contact.';
COMMENT ON CONSTRAINT contact_user_id_once ON messaging.contact IS 'One provider user id is one contact.';
COMMENT ON COLUMN messaging.contact.last_inbound_at IS 'Opens the 24 h window in which free text may be sent.';
COMMENT ON COLUMN messaging.contact.opt_changed_at IS 'When the contact last said stop or resume; older news is ignored.';

CREATE INDEX contact_merged ON messaging.contact (merged_into) WHERE merged_into IS NOT NULL;
COMMENT ON INDEX messaging.contact_merged IS 'Finds the rows that were merged into a contact.';

-- What a contact wrote. The wamid is stable over redeliveries and event ids: it guards the business act.
CREATE TABLE messaging.message (
    id                  bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT message_pkey PRIMARY KEY,
    provider            text        NOT NULL,
    wamid               text        NOT NULL,
    contact_id          bigint      NOT NULL CONSTRAINT message_contact_fkey REFERENCES messaging.contact (id),
    event_id            bigint      NOT NULL CONSTRAINT message_event_fkey REFERENCES inbox.event (id),
    business_phone      text        NOT NULL,
    type                text        NOT NULL,
    text                text        NOT NULL DEFAULT '',
    button_payload      text        NOT NULL DEFAULT '',
    reply_to            text        NOT NULL DEFAULT '',
    attachment_link     text,
    attachment_mime     text        NOT NULL DEFAULT '',
    attachment_filename text        NOT NULL DEFAULT '',
    attachment_caption  text        NOT NULL DEFAULT '',
    attachment_sha256   text        NOT NULL DEFAULT '',
    sent_at             timestamptz NOT NULL,
    received_at         timestamptz NOT NULL,
    CONSTRAINT message_once UNIQUE (provider, wamid)
);
COMMENT ON CONSTRAINT message_once ON messaging.message IS
    'One message of a contact is stored once, also when the provider sends it again under a new event id.';
COMMENT ON COLUMN messaging.message.attachment_sha256 IS 'The provider''s claim (base64); our own hash is made from the bytes.';

CREATE INDEX message_of_contact ON messaging.message (contact_id, id);
COMMENT ON INDEX messaging.message_of_contact IS 'A contact''s conversation in order.';

-- What we send. The row exists before the provider is called; one row is one message a person sees.
--   queued      a job will send it             sending   the call is being made, or its worker died in it
--   accepted    the provider took it           delivered, read   the provider says so
--   failed      surely not delivered           ambiguous nobody knows; waits for a report, then a person
--   suppressed  the contact wants no messages  cancelled it was not needed any more
CREATE TABLE messaging.outbox (
    id                  bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT outbox_pkey PRIMARY KEY,
    dedupe_key          text        NOT NULL,
    purpose             text        NOT NULL,
    contact_id          bigint      NOT NULL CONSTRAINT outbox_contact_fkey REFERENCES messaging.contact (id),
    values              jsonb       NOT NULL DEFAULT '{}',
    subject_type        text        NOT NULL DEFAULT '',
    subject_id          text        NOT NULL DEFAULT '',
    obligation_id       bigint,
    recheck             text,
    state               text        NOT NULL DEFAULT 'queued',
    form                text,
    external_key        text        NOT NULL,
    generation          integer     NOT NULL DEFAULT 1,
    external_id         text        NOT NULL GENERATED ALWAYS AS (external_key || '.' || generation::text) STORED,
    provider_message_id text,
    wamid               text,
    error_code          text        NOT NULL DEFAULT '',
    paused_code         text        NOT NULL DEFAULT '',
    late_failure        boolean     NOT NULL DEFAULT false,
    attempts            integer     NOT NULL DEFAULT 0,
    queued_at           timestamptz NOT NULL,
    sending_at          timestamptz,
    accepted_at         timestamptz,
    delivered_at        timestamptz,
    read_at             timestamptz,
    failed_at           timestamptz,
    ambiguous_at        timestamptz,
    suppressed_at       timestamptz,
    cancelled_at        timestamptz,
    CONSTRAINT outbox_state CHECK (state IN (
        'queued', 'sending', 'accepted', 'delivered', 'read', 'failed', 'ambiguous', 'suppressed', 'cancelled'
    )),
    CONSTRAINT outbox_form CHECK (form IN ('text', 'template')),
    CONSTRAINT outbox_sending_has_time CHECK (
        state NOT IN ('sending', 'ambiguous') OR (sending_at IS NOT NULL AND form IS NOT NULL)
    ),
    CONSTRAINT outbox_accepted_has_time CHECK (
        state NOT IN ('accepted', 'delivered', 'read') OR accepted_at IS NOT NULL
    ),
    CONSTRAINT outbox_delivered_has_time CHECK ((state IN ('delivered', 'read')) = (delivered_at IS NOT NULL)),
    CONSTRAINT outbox_read_has_time CHECK ((state = 'read') = (read_at IS NOT NULL)),
    CONSTRAINT outbox_failed_has_time CHECK ((state = 'failed') = (failed_at IS NOT NULL)),
    CONSTRAINT outbox_ambiguous_has_time CHECK ((state = 'ambiguous') = (ambiguous_at IS NOT NULL)),
    CONSTRAINT outbox_suppressed_has_time CHECK ((state = 'suppressed') = (suppressed_at IS NOT NULL)),
    CONSTRAINT outbox_cancelled_has_time CHECK ((state = 'cancelled') = (cancelled_at IS NOT NULL)),
    CONSTRAINT outbox_late_failure_was_delivered CHECK (NOT late_failure OR state IN ('delivered', 'read')),
    CONSTRAINT outbox_recheck_has_subject CHECK (recheck IS NULL OR subject_id <> ''),
    CONSTRAINT outbox_counted CHECK (generation >= 1 AND attempts >= 0),
    CONSTRAINT outbox_dedupe_key_bounded CHECK (length(dedupe_key) BETWEEN 1 AND 200),
    CONSTRAINT outbox_once UNIQUE (dedupe_key),
    CONSTRAINT outbox_external_key_once UNIQUE (external_key),
    CONSTRAINT outbox_external_id_once UNIQUE (external_id),
    CONSTRAINT outbox_provider_message_id_once UNIQUE (provider_message_id)
);
COMMENT ON CONSTRAINT outbox_once ON messaging.outbox IS 'One reason to write to somebody is one message, however often it is asked for.';
COMMENT ON CONSTRAINT outbox_external_key_once ON messaging.outbox IS 'A report finds its message by this, under any generation.';
COMMENT ON CONSTRAINT outbox_external_id_once ON messaging.outbox IS 'What the provider hands back in reports names one message.';
COMMENT ON CONSTRAINT outbox_provider_message_id_once ON messaging.outbox IS 'One message of the provider is one of ours.';
COMMENT ON COLUMN messaging.outbox.generation IS 'Goes up when a person says an ambiguous send never happened.';
COMMENT ON COLUMN messaging.outbox.paused_code IS 'Why sending waits for a person (bad key, no balance); alerted once per reason.';
COMMENT ON COLUMN messaging.outbox.late_failure IS 'The provider reported a failure after it had reported delivery.';
COMMENT ON COLUMN messaging.outbox.recheck IS 'Name of the question asked at send time; no means the message is cancelled.';

CREATE INDEX outbox_open ON messaging.outbox (state, id) WHERE state IN ('queued', 'sending', 'ambiguous');
COMMENT ON INDEX messaging.outbox_open IS 'What is not decided yet: few rows, looked at often.';
CREATE INDEX outbox_of_subject ON messaging.outbox (subject_type, subject_id, id);
COMMENT ON INDEX messaging.outbox_of_subject IS 'The messages about one thing, to show or cancel them.';
CREATE INDEX outbox_of_contact ON messaging.outbox (contact_id, id);
COMMENT ON INDEX messaging.outbox_of_contact IS 'The messages to one contact.';
CREATE INDEX outbox_by_wamid ON messaging.outbox (wamid) WHERE wamid IS NOT NULL;
COMMENT ON INDEX messaging.outbox_by_wamid IS 'Finds the message a contact answered.';

-- Every observation the provider reports, also late, out of order, contradicting or about messages we do not
-- know (yet). The outbox row's state is a projection of these rows; see messaging/reports.py.
CREATE TABLE messaging.delivery_report (
    id                  bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT delivery_report_pkey PRIMARY KEY,
    provider_message_id text        NOT NULL,
    wamid               text        NOT NULL DEFAULT '',
    external_id         text        NOT NULL DEFAULT '',
    status              text        NOT NULL,
    error_code          text        NOT NULL DEFAULT '',
    error_message       text        NOT NULL DEFAULT '',
    updated_at          timestamptz NOT NULL,
    outbox_id           bigint CONSTRAINT delivery_report_outbox_fkey REFERENCES messaging.outbox (id),
    generation          integer,
    event_id            bigint      NOT NULL CONSTRAINT delivery_report_event_fkey REFERENCES inbox.event (id),
    received_at         timestamptz NOT NULL,
    deliveries          integer     NOT NULL DEFAULT 1,
    CONSTRAINT delivery_report_status CHECK (status IN ('accepted', 'sent', 'delivered', 'read', 'failed')),
    CONSTRAINT delivery_report_deliveries_counted CHECK (deliveries >= 1),
    CONSTRAINT delivery_report_generation_of_outbox CHECK (generation IS NULL OR outbox_id IS NOT NULL),
    CONSTRAINT delivery_report_once UNIQUE (provider_message_id, status, updated_at, error_code)
);
COMMENT ON CONSTRAINT delivery_report_once ON messaging.delivery_report IS
    'The same observation sent again is counted, not kept twice.';

CREATE INDEX delivery_report_of_outbox ON messaging.delivery_report (outbox_id, id) WHERE outbox_id IS NOT NULL;
COMMENT ON INDEX messaging.delivery_report_of_outbox IS 'All that is known about one of our messages.';
CREATE INDEX delivery_report_unmatched ON messaging.delivery_report (provider_message_id) WHERE outbox_id IS NULL;
COMMENT ON INDEX messaging.delivery_report_unmatched IS 'Reports that came before the answer that tells their message.';
CREATE INDEX delivery_report_unmatched_wamid ON messaging.delivery_report (wamid) WHERE outbox_id IS NULL;
COMMENT ON INDEX messaging.delivery_report_unmatched_wamid IS 'The same, by the WhatsApp id: the provider''s own id is not always stable.';

GRANT USAGE ON SCHEMA messaging TO api_tenant;
GRANT SELECT (id, phone, user_id, name, last_inbound_at, opted_out_at, opt_changed_at, merged_into, created_at),
    INSERT (phone, user_id, name, last_inbound_at, opted_out_at, opt_changed_at, created_at),
    UPDATE (phone, user_id, name, last_inbound_at, opted_out_at, opt_changed_at, merged_into)
    ON messaging.contact TO api_tenant;
GRANT SELECT (
        id, provider, wamid, contact_id, event_id, business_phone, type, text, button_payload, reply_to,
        attachment_link, attachment_mime, attachment_filename, attachment_caption, attachment_sha256, sent_at,
        received_at
    ),
    INSERT (
        provider, wamid, contact_id, event_id, business_phone, type, text, button_payload, reply_to,
        attachment_link, attachment_mime, attachment_filename, attachment_caption, attachment_sha256, sent_at,
        received_at
    )
    ON messaging.message TO api_tenant;
GRANT SELECT (
        id, dedupe_key, purpose, contact_id, values, subject_type, subject_id, obligation_id, recheck, state, form,
        external_key, generation, external_id, provider_message_id, wamid, error_code, paused_code, late_failure,
        attempts, queued_at, sending_at, accepted_at, delivered_at, read_at, failed_at, ambiguous_at,
        suppressed_at, cancelled_at
    ),
    INSERT (
        dedupe_key, purpose, contact_id, values, subject_type, subject_id, obligation_id, recheck, external_key,
        queued_at
    ),
    UPDATE (
        state, form, generation, provider_message_id, wamid, error_code, paused_code, late_failure, attempts,
        queued_at, sending_at, accepted_at, delivered_at, read_at, failed_at, ambiguous_at, suppressed_at,
        cancelled_at
    )
    ON messaging.outbox TO api_tenant;
GRANT SELECT (
        id, provider_message_id, wamid, external_id, status, error_code, error_message, updated_at, outbox_id,
        generation, event_id, received_at, deliveries
    ),
    INSERT (
        provider_message_id, wamid, external_id, status, error_code, error_message, updated_at, event_id,
        received_at
    ),
    UPDATE (outbox_id, generation, deliveries)
    ON messaging.delivery_report TO api_tenant;
