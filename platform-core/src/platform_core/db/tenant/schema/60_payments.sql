-- payments: what contacts owe, what they say they paid, what staff saw at the bank, and what followed.
--
-- Money is an integer of the currency's minor unit beside its currency. Decisions, allocations, credits, history
-- and stored bytes only grow: the customer's login may insert and read them, never change or remove them.

CREATE SCHEMA payments;

-- The bytes of receipts, once, by our own hash of them.
CREATE TABLE payments.receipt_media (
    sha256     bytea       NOT NULL CONSTRAINT receipt_media_pkey PRIMARY KEY,
    content    bytea       NOT NULL,
    mime_type  text        NOT NULL,
    size_bytes integer     NOT NULL,
    stored_at  timestamptz NOT NULL,
    CONSTRAINT receipt_media_sha256_is_of_content CHECK (sha256 = sha256(content)),
    CONSTRAINT receipt_media_size_is_of_content CHECK (size_bytes = octet_length(content) AND size_bytes > 0),
    CONSTRAINT receipt_media_mime_bounded CHECK (length(mime_type) BETWEEN 3 AND 100)
);
COMMENT ON TABLE payments.receipt_media IS 'One row per distinct file; many receipts may show the same bytes.';

-- What a contact owes. Partly paid is open with something in paid_minor.
--   open -> paid (covered in full), paid -> open (an approval was reversed), open -> cancelled (nothing paid yet)
CREATE TABLE payments.obligation (
    id           bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT obligation_pkey PRIMARY KEY,
    reference    text        NOT NULL,
    contact_id   bigint      NOT NULL CONSTRAINT obligation_contact_fkey REFERENCES messaging.contact (id),
    pupil        text        NOT NULL,
    concept      text        NOT NULL,
    due_on       date        NOT NULL,
    amount_minor bigint      NOT NULL,
    currency     text        NOT NULL,
    paid_minor   bigint      NOT NULL DEFAULT 0,
    state        text        NOT NULL DEFAULT 'open',
    reason       text        NOT NULL DEFAULT '',
    opened_at    timestamptz NOT NULL,
    paid_at      timestamptz,
    cancelled_at timestamptz,
    reminders_stopped_at timestamptz,
    CONSTRAINT obligation_state CHECK (state IN ('open', 'paid', 'cancelled')),
    CONSTRAINT obligation_amount_positive CHECK (amount_minor BETWEEN 1 AND 1000000000000000),
    CONSTRAINT obligation_never_overpaid CHECK (paid_minor BETWEEN 0 AND amount_minor),
    CONSTRAINT obligation_paid_is_covered CHECK ((state = 'paid') = (paid_minor = amount_minor)),
    CONSTRAINT obligation_paid_has_time CHECK ((state = 'paid') = (paid_at IS NOT NULL)),
    CONSTRAINT obligation_cancelled_has_time CHECK ((state = 'cancelled') = (cancelled_at IS NOT NULL)),
    CONSTRAINT obligation_cancelled_owes_nobody CHECK (state <> 'cancelled' OR (paid_minor = 0 AND reason <> '')),
    CONSTRAINT obligation_currency_is_a_code CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT obligation_texts_bounded CHECK (
        length(reference) BETWEEN 1 AND 80 AND length(pupil) BETWEEN 1 AND 120
        AND length(concept) BETWEEN 1 AND 120 AND length(reason) <= 500
    ),
    CONSTRAINT obligation_reference_once UNIQUE (reference)
);
COMMENT ON CONSTRAINT obligation_reference_once ON payments.obligation IS
    'The customer''s own reference names one debt, however often it is loaded.';
COMMENT ON COLUMN payments.obligation.paid_minor IS
    'The sum of its allocations; both change in one statement, and ledger_difference proves it.';
COMMENT ON COLUMN payments.obligation.reminders_stopped_at IS
    'A person said that nobody shall be reminded of this debt any more; nothing is planned for it again.';
CREATE INDEX obligation_of_contact ON payments.obligation (contact_id, id);
COMMENT ON INDEX payments.obligation_of_contact IS 'What one contact owes.';
CREATE INDEX obligation_open ON payments.obligation (due_on, id) WHERE state = 'open';
COMMENT ON INDEX payments.obligation_open IS 'What is owed now, oldest first.';

-- A claim says "I paid". States and moves: platform_core/payments/lifecycle.py.
CREATE TABLE payments.claim (
    id                 bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT claim_pkey PRIMARY KEY,
    open_key           text        NOT NULL,
    origin             text        NOT NULL,
    contact_id         bigint      NOT NULL CONSTRAINT claim_contact_fkey REFERENCES messaging.contact (id),
    creator_type       text        NOT NULL,
    creator_id         text        NOT NULL,
    creator_role       text        NOT NULL DEFAULT '',
    currency           text        NOT NULL,
    claimed_minor      bigint,
    verified_minor     bigint,
    note               text        NOT NULL DEFAULT '',
    state              text        NOT NULL DEFAULT 'received',
    version            integer     NOT NULL DEFAULT 1,
    reason             text        NOT NULL DEFAULT '',
    first_approver_id  text,
    approver_id        text,
    supersedes         bigint CONSTRAINT claim_supersedes_fkey REFERENCES payments.claim (id),
    duplicate_of       bigint CONSTRAINT claim_duplicate_of_fkey REFERENCES payments.claim (id),
    opened_at          timestamptz NOT NULL,
    state_at           timestamptz NOT NULL,
    awaiting_second_at timestamptz,
    approved_at        timestamptz,
    reconciled_at      timestamptz,
    closed_at          timestamptz,
    CONSTRAINT claim_state CHECK (state IN (
        'received', 'evidence_failed', 'pending_review', 'needs_info', 'awaiting_second', 'approved',
        'reconciled', 'rejected', 'duplicate', 'withdrawn', 'expired', 'reversed'
    )),
    CONSTRAINT claim_closed_has_time CHECK (
        (state IN ('rejected', 'duplicate', 'withdrawn', 'expired', 'reversed')) = (closed_at IS NOT NULL)
    ),
    CONSTRAINT claim_approved_has_time CHECK (
        (state IN ('approved', 'reconciled', 'reversed')) = (approved_at IS NOT NULL)
    ),
    CONSTRAINT claim_approved_is_verified CHECK (
        approved_at IS NULL OR (approver_id IS NOT NULL AND verified_minor IS NOT NULL)
    ),
    CONSTRAINT claim_awaiting_second_has_first CHECK (
        state <> 'awaiting_second'
        OR (awaiting_second_at IS NOT NULL AND first_approver_id IS NOT NULL AND verified_minor IS NOT NULL)
    ),
    CONSTRAINT claim_reconciled_has_time CHECK (state <> 'reconciled' OR reconciled_at IS NOT NULL),
    CONSTRAINT claim_duplicate_names_other CHECK ((state = 'duplicate') = (duplicate_of IS NOT NULL)),
    CONSTRAINT claim_refusal_has_reason CHECK (state NOT IN ('rejected', 'reversed') OR reason <> ''),
    CONSTRAINT claim_names_no_later_one CHECK (supersedes < id AND duplicate_of <> id),
    CONSTRAINT claim_approver_is_not_creator CHECK (approver_id <> creator_id AND first_approver_id <> creator_id),
    CONSTRAINT claim_second_is_not_first CHECK (approver_id <> first_approver_id),
    CONSTRAINT claim_amounts_positive CHECK (
        claimed_minor BETWEEN 1 AND 1000000000000000 AND verified_minor BETWEEN 1 AND 1000000000000000
    ),
    CONSTRAINT claim_currency_is_a_code CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT claim_origin CHECK (origin IN ('whatsapp', 'desk')),
    CONSTRAINT claim_creator_type CHECK (creator_type IN ('user', 'contact', 'system', 'support')),
    CONSTRAINT claim_version_counts CHECK (version > 0),
    CONSTRAINT claim_texts_bounded CHECK (
        length(open_key) BETWEEN 1 AND 300 AND length(creator_id) BETWEEN 1 AND 200
        AND length(reason) <= 500 AND length(note) <= 500
    ),
    CONSTRAINT claim_open_once UNIQUE (open_key)
);
COMMENT ON CONSTRAINT claim_open_once ON payments.claim IS
    'One message, or one request at the desk, opens one claim however often it is handled.';
COMMENT ON COLUMN payments.claim.version IS 'Goes up with every move; a decision names the version it looked at.';
COMMENT ON COLUMN payments.claim.approver_id IS 'The member whose approval moved the money; the second, when two were needed.';
CREATE INDEX claim_waiting ON payments.claim (state_at, id)
    WHERE state IN ('received', 'pending_review', 'needs_info', 'awaiting_second');
COMMENT ON INDEX payments.claim_waiting IS 'What staff owe an answer to, oldest first.';
CREATE INDEX claim_of_contact ON payments.claim (contact_id, id);
COMMENT ON INDEX payments.claim_of_contact IS 'What one contact claimed.';

-- The history of a claim: one row per move, written by the statement that moves it.
CREATE TABLE payments.claim_event (
    id          bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT claim_event_pkey PRIMARY KEY,
    claim_id    bigint      NOT NULL CONSTRAINT claim_event_claim_fkey REFERENCES payments.claim (id),
    version     integer     NOT NULL,
    from_state  text,
    to_state    text        NOT NULL,
    actor_type  text        NOT NULL,
    actor_id    text        NOT NULL,
    actor_role  text        NOT NULL DEFAULT '',
    decision_id text,
    note        text        NOT NULL DEFAULT '',
    at          timestamptz NOT NULL,
    CONSTRAINT claim_event_move CHECK (
        (from_state IS NULL AND to_state = 'received' AND version = 1)
        OR (from_state, to_state) IN (
            ('received', 'evidence_failed'),
            ('received', 'pending_review'),
            ('evidence_failed', 'pending_review'),
            ('evidence_failed', 'withdrawn'),
            ('pending_review', 'needs_info'),
            ('pending_review', 'awaiting_second'),
            ('pending_review', 'approved'),
            ('pending_review', 'rejected'),
            ('pending_review', 'duplicate'),
            ('pending_review', 'withdrawn'),
            ('needs_info', 'pending_review'),
            ('needs_info', 'rejected'),
            ('needs_info', 'duplicate'),
            ('needs_info', 'withdrawn'),
            ('needs_info', 'expired'),
            ('awaiting_second', 'approved'),
            ('awaiting_second', 'rejected'),
            ('awaiting_second', 'duplicate'),
            ('awaiting_second', 'withdrawn'),
            ('approved', 'reconciled'),
            ('approved', 'reversed'),
            ('reconciled', 'reversed')
        )
    ),
    CONSTRAINT claim_event_note_bounded CHECK (length(note) <= 500),
    CONSTRAINT claim_event_once UNIQUE (claim_id, version)
);
COMMENT ON CONSTRAINT claim_event_once ON payments.claim_event IS 'A version of a claim is reached once.';

-- What a member decided, on what evidence, after checking what. Never changes.
CREATE TABLE payments.decision (
    id              text        NOT NULL CONSTRAINT decision_pkey PRIMARY KEY,
    claim_id        bigint      NOT NULL CONSTRAINT decision_claim_fkey REFERENCES payments.claim (id),
    claim_version   integer     NOT NULL,
    action          text        NOT NULL,
    outcome         text        NOT NULL,
    actor_type      text        NOT NULL,
    actor_id        text        NOT NULL,
    actor_role      text        NOT NULL,
    verified_minor  bigint,
    currency        text        NOT NULL,
    method          text,
    rail            text        NOT NULL DEFAULT '',
    bank_reference  text        NOT NULL DEFAULT '',
    reference_key   text        NOT NULL DEFAULT '',
    value_date      date,
    note            text        NOT NULL DEFAULT '',
    reason          text        NOT NULL DEFAULT '',
    evidence_sha256 bytea[]     NOT NULL,
    allocations     jsonb,
    request_sha256  bytea       NOT NULL,
    result          jsonb       NOT NULL,
    decided_at      timestamptz NOT NULL,
    CONSTRAINT decision_action CHECK (action IN (
        'approve', 'reject', 'needs_info', 'duplicate', 'withdraw', 'reverse', 'reconcile'
    )),
    CONSTRAINT decision_method CHECK (method IN ('bank_app', 'statement', 'cep', 'cash', 'other')),
    CONSTRAINT decision_approval_was_checked CHECK (
        action <> 'approve' OR (method IS NOT NULL AND verified_minor IS NOT NULL)
    ),
    CONSTRAINT decision_reconciled_to_a_movement CHECK (action <> 'reconcile' OR bank_reference <> ''),
    CONSTRAINT decision_refusal_has_reason CHECK (
        action NOT IN ('reject', 'needs_info', 'reverse') OR reason <> ''
    ),
    CONSTRAINT decision_amount_positive CHECK (verified_minor BETWEEN 1 AND 1000000000000000),
    CONSTRAINT decision_texts_bounded CHECK (
        length(id) BETWEEN 1 AND 120 AND length(rail) <= 40 AND length(bank_reference) <= 60
        AND length(reference_key) <= 60 AND length(note) <= 500 AND length(reason) <= 500
    ),
    CONSTRAINT decision_request_is_sha256 CHECK (octet_length(request_sha256) = 32),
    CONSTRAINT decision_version_once UNIQUE (claim_id, claim_version)
);
COMMENT ON CONSTRAINT decision_pkey ON payments.decision IS
    'The decider''s own id: asking again with it answers the stored result and changes nothing.';
COMMENT ON CONSTRAINT decision_version_once ON payments.decision IS 'A version of a claim is decided once.';
COMMENT ON COLUMN payments.decision.evidence_sha256 IS 'The receipts of the claim at the version that was looked at.';
COMMENT ON COLUMN payments.decision.reference_key IS 'bank_reference in capitals and digits only, to compare.';
CREATE INDEX decision_by_movement ON payments.decision (reference_key, claim_id) WHERE reference_key <> '';
COMMENT ON INDEX payments.decision_by_movement IS 'Finds other claims that name the same bank movement.';

ALTER TABLE payments.claim_event ADD CONSTRAINT claim_event_decision_fkey
    FOREIGN KEY (decision_id) REFERENCES payments.decision (id) DEFERRABLE INITIALLY DEFERRED;

-- A bank movement that an approval named. Its row makes two approvals of one movement wait for each other, so that
-- the second sees the first and asks for a second approver.
CREATE TABLE payments.movement (
    key            text        NOT NULL CONSTRAINT movement_pkey PRIMARY KEY,
    first_named_at timestamptz NOT NULL,
    last_named_at  timestamptz NOT NULL,
    CONSTRAINT movement_key_bounded CHECK (length(key) BETWEEN 1 AND 200)
);
COMMENT ON TABLE payments.movement IS 'One row per rail, reference, currency, amount and value date ever approved.';

-- Verified money put to a debt. A reversal adds the same amount with a minus sign.
CREATE TABLE payments.allocation (
    id            bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT allocation_pkey PRIMARY KEY,
    claim_id      bigint      NOT NULL CONSTRAINT allocation_claim_fkey REFERENCES payments.claim (id),
    obligation_id bigint      NOT NULL CONSTRAINT allocation_obligation_fkey REFERENCES payments.obligation (id),
    decision_id   text        NOT NULL CONSTRAINT allocation_decision_fkey
        REFERENCES payments.decision (id) DEFERRABLE INITIALLY DEFERRED,
    amount_minor  bigint      NOT NULL,
    currency      text        NOT NULL,
    reverses      bigint CONSTRAINT allocation_reverses_fkey REFERENCES payments.allocation (id),
    at            timestamptz NOT NULL,
    CONSTRAINT allocation_sign CHECK (amount_minor <> 0 AND (amount_minor < 0) = (reverses IS NOT NULL)),
    CONSTRAINT allocation_reversed_once UNIQUE (reverses)
);
COMMENT ON CONSTRAINT allocation_reversed_once ON payments.allocation IS 'An allocation is taken back once.';
CREATE UNIQUE INDEX allocation_once ON payments.allocation (claim_id, obligation_id) WHERE reverses IS NULL;
COMMENT ON INDEX payments.allocation_once IS 'A claim is approved once, so it pays a debt once.';
CREATE INDEX allocation_of_obligation ON payments.allocation (obligation_id, id);
COMMENT ON INDEX payments.allocation_of_obligation IS 'What paid a debt.';

-- Verified money that no debt took. The balance of a contact is the sum.
CREATE TABLE payments.credit (
    id           bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT credit_pkey PRIMARY KEY,
    contact_id   bigint      NOT NULL CONSTRAINT credit_contact_fkey REFERENCES messaging.contact (id),
    claim_id     bigint      NOT NULL CONSTRAINT credit_claim_fkey REFERENCES payments.claim (id),
    decision_id  text        NOT NULL CONSTRAINT credit_decision_fkey
        REFERENCES payments.decision (id) DEFERRABLE INITIALLY DEFERRED,
    amount_minor bigint      NOT NULL,
    currency     text        NOT NULL,
    reverses     bigint CONSTRAINT credit_reverses_fkey REFERENCES payments.credit (id),
    at           timestamptz NOT NULL,
    CONSTRAINT credit_sign CHECK (amount_minor <> 0 AND (amount_minor < 0) = (reverses IS NOT NULL)),
    CONSTRAINT credit_reversed_once UNIQUE (reverses)
);
COMMENT ON CONSTRAINT credit_reversed_once ON payments.credit IS 'A credit is taken back once.';
CREATE UNIQUE INDEX credit_once ON payments.credit (claim_id) WHERE reverses IS NULL;
COMMENT ON INDEX payments.credit_once IS 'A claim leaves credit once.';
CREATE INDEX credit_of_contact ON payments.credit (contact_id, id);
COMMENT ON INDEX payments.credit_of_contact IS 'The balance of a contact.';

-- The evidence of one message. fetching -> captured | failed, failed -> captured.
CREATE TABLE payments.receipt (
    id          bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT receipt_pkey PRIMARY KEY,
    message_id  bigint      NOT NULL CONSTRAINT receipt_message_fkey REFERENCES messaging.message (id),
    wamid       text        NOT NULL,
    claim_id    bigint      NOT NULL CONSTRAINT receipt_claim_fkey REFERENCES payments.claim (id),
    state       text        NOT NULL DEFAULT 'fetching',
    sha256      bytea CONSTRAINT receipt_media_fkey REFERENCES payments.receipt_media (sha256),
    failure     text        NOT NULL DEFAULT '',
    filename    text        NOT NULL DEFAULT '',
    seen_at     timestamptz NOT NULL,
    captured_at timestamptz,
    failed_at   timestamptz,
    CONSTRAINT receipt_state CHECK (state IN ('fetching', 'captured', 'failed')),
    CONSTRAINT receipt_captured_has_bytes CHECK (
        (state = 'captured') = (sha256 IS NOT NULL) AND (state = 'captured') = (captured_at IS NOT NULL)
    ),
    CONSTRAINT receipt_failed_has_time CHECK ((state = 'failed') = (failed_at IS NOT NULL)),
    CONSTRAINT receipt_failed_says_why CHECK (state <> 'failed' OR failure <> ''),
    CONSTRAINT receipt_texts_bounded CHECK (
        length(wamid) BETWEEN 1 AND 255 AND length(filename) <= 255 AND length(failure) <= 200
    ),
    CONSTRAINT receipt_once UNIQUE (wamid),
    CONSTRAINT receipt_message_once UNIQUE (message_id)
);
COMMENT ON CONSTRAINT receipt_once ON payments.receipt IS 'One WhatsApp message is evidence once.';
COMMENT ON CONSTRAINT receipt_message_once ON payments.receipt IS 'One stored message is evidence once.';
CREATE INDEX receipt_of_claim ON payments.receipt (claim_id, id);
COMMENT ON INDEX payments.receipt_of_claim IS 'The evidence of a claim.';
CREATE INDEX receipt_by_sha256 ON payments.receipt (sha256) WHERE sha256 IS NOT NULL;
COMMENT ON INDEX payments.receipt_by_sha256 IS 'Who else sent the same bytes.';

-- Signs that two claims are about one payment. A sign decides nothing; a person does.
CREATE TABLE payments.flag (
    id             bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT flag_pkey PRIMARY KEY,
    claim_id       bigint      NOT NULL CONSTRAINT flag_claim_fkey REFERENCES payments.claim (id),
    kind           text        NOT NULL,
    other_claim_id bigint      NOT NULL CONSTRAINT flag_other_claim_fkey REFERENCES payments.claim (id),
    raised_at      timestamptz NOT NULL,
    CONSTRAINT flag_kind CHECK (kind IN ('same_movement', 'same_bytes', 'reference_other_amount', 'close_in_time')),
    CONSTRAINT flag_names_another CHECK (other_claim_id <> claim_id),
    CONSTRAINT flag_once UNIQUE (claim_id, kind, other_claim_id)
);
COMMENT ON CONSTRAINT flag_once ON payments.flag IS 'The same sign between two claims is raised once.';
CREATE INDEX flag_of_other ON payments.flag (other_claim_id, id);
COMMENT ON INDEX payments.flag_of_other IS 'The signs seen from the other claim.';

-- A message to send before or after a debt is due. States and moves: platform_core/payments/lifecycle.py.
CREATE TABLE payments.reminder (
    id            bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT reminder_pkey PRIMARY KEY,
    obligation_id bigint      NOT NULL CONSTRAINT reminder_obligation_fkey REFERENCES payments.obligation (id),
    step          text        NOT NULL,
    local_date    date        NOT NULL,
    local_time    time        NOT NULL,
    timezone      text        NOT NULL,
    due_at        timestamptz NOT NULL,
    send_at       timestamptz NOT NULL,
    round         integer     NOT NULL DEFAULT 1,
    state         text        NOT NULL,
    outbox_id     bigint CONSTRAINT reminder_outbox_fkey REFERENCES messaging.outbox (id),
    state_at      timestamptz NOT NULL,
    CONSTRAINT reminder_state CHECK (state IN ('scheduled', 'suspended', 'queued', 'cancelled', 'skipped')),
    CONSTRAINT reminder_queued_has_message CHECK (state <> 'queued' OR outbox_id IS NOT NULL),
    CONSTRAINT reminder_round_counts CHECK (round > 0),
    CONSTRAINT reminder_texts_bounded CHECK (
        length(step) BETWEEN 1 AND 20 AND length(timezone) BETWEEN 1 AND 60
    ),
    CONSTRAINT reminder_once UNIQUE (obligation_id, step)
);
COMMENT ON CONSTRAINT reminder_once ON payments.reminder IS 'A step of the plan reminds of a debt once.';
COMMENT ON COLUMN payments.reminder.due_at IS 'When the plan wants it; the local wall time it comes from stands beside it.';
COMMENT ON COLUMN payments.reminder.send_at IS 'When its job runs: due_at, or later after it was held back.';
COMMENT ON COLUMN payments.reminder.round IS 'Goes up when it is scheduled again; a job of an older round does nothing.';

GRANT USAGE ON SCHEMA payments TO api_tenant;
GRANT SELECT (sha256, content, mime_type, size_bytes, stored_at),
    INSERT (sha256, content, mime_type, size_bytes, stored_at)
    ON payments.receipt_media TO api_tenant;
GRANT SELECT (
        id, reference, contact_id, pupil, concept, due_on, amount_minor, currency, paid_minor, state, reason,
        opened_at, paid_at, cancelled_at, reminders_stopped_at
    ),
    INSERT (reference, contact_id, pupil, concept, due_on, amount_minor, currency, opened_at),
    UPDATE (paid_minor, state, reason, paid_at, cancelled_at, reminders_stopped_at)
    ON payments.obligation TO api_tenant;
GRANT SELECT (
        id, open_key, origin, contact_id, creator_type, creator_id, creator_role, currency, claimed_minor,
        verified_minor, note, state, version, reason, first_approver_id, approver_id, supersedes, duplicate_of,
        opened_at, state_at, awaiting_second_at, approved_at, reconciled_at, closed_at
    ),
    INSERT (
        open_key, origin, contact_id, creator_type, creator_id, creator_role, currency, claimed_minor, note,
        supersedes, opened_at, state_at
    ),
    UPDATE (
        verified_minor, state, version, reason, first_approver_id, approver_id, duplicate_of, state_at,
        awaiting_second_at, approved_at, reconciled_at, closed_at
    )
    ON payments.claim TO api_tenant;
GRANT SELECT (
        id, claim_id, version, from_state, to_state, actor_type, actor_id, actor_role, decision_id, note, at
    ),
    INSERT (claim_id, version, from_state, to_state, actor_type, actor_id, actor_role, decision_id, note, at)
    ON payments.claim_event TO api_tenant;
GRANT SELECT (
        id, claim_id, claim_version, action, outcome, actor_type, actor_id, actor_role, verified_minor, currency,
        method, rail, bank_reference, reference_key, value_date, note, reason, evidence_sha256, allocations,
        request_sha256, result, decided_at
    ),
    INSERT (
        id, claim_id, claim_version, action, outcome, actor_type, actor_id, actor_role, verified_minor, currency,
        method, rail, bank_reference, reference_key, value_date, note, reason, evidence_sha256, allocations,
        request_sha256, result, decided_at
    )
    ON payments.decision TO api_tenant;
GRANT SELECT (key, first_named_at, last_named_at),
    INSERT (key, first_named_at, last_named_at),
    UPDATE (last_named_at)
    ON payments.movement TO api_tenant;
GRANT SELECT (id, claim_id, obligation_id, decision_id, amount_minor, currency, reverses, at),
    INSERT (claim_id, obligation_id, decision_id, amount_minor, currency, reverses, at)
    ON payments.allocation TO api_tenant;
GRANT SELECT (id, contact_id, claim_id, decision_id, amount_minor, currency, reverses, at),
    INSERT (contact_id, claim_id, decision_id, amount_minor, currency, reverses, at)
    ON payments.credit TO api_tenant;
GRANT SELECT (
        id, message_id, wamid, claim_id, state, sha256, failure, filename, seen_at, captured_at, failed_at
    ),
    INSERT (message_id, wamid, claim_id, filename, seen_at),
    UPDATE (claim_id, state, sha256, failure, captured_at, failed_at)
    ON payments.receipt TO api_tenant;
GRANT SELECT (id, claim_id, kind, other_claim_id, raised_at),
    INSERT (claim_id, kind, other_claim_id, raised_at)
    ON payments.flag TO api_tenant;
GRANT SELECT (
        id, obligation_id, step, local_date, local_time, timezone, due_at, send_at, round, state, outbox_id, state_at
    ),
    INSERT (obligation_id, step, local_date, local_time, timezone, due_at, send_at, state, state_at),
    UPDATE (send_at, round, state, outbox_id, state_at)
    ON payments.reminder TO api_tenant;
