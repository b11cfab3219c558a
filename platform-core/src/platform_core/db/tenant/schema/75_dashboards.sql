-- dashboards: what the customer's panel shows of the past, counted by day of the customer's zone.
--
-- A tally is never added to: a day that was touched is counted again from the rows it comes from, so a repeat, a late
-- change and a crash end in the same numbers. What marks a day as touched is written in the transaction of the change
-- itself: there is no change that a refresh can miss, and no clock that must be believed.

CREATE SCHEMA dashboards;
COMMENT ON SCHEMA dashboards IS 'Read models of the customer''s panel: counts by day, kept up to date by the job dashboard.refresh.';

CREATE TABLE dashboards.tally (
    noun         text   NOT NULL,
    day          date   NOT NULL,
    label        text   NOT NULL,
    outcome      text   NOT NULL,
    count        bigint NOT NULL,
    amount_minor bigint NOT NULL DEFAULT 0,
    CONSTRAINT tally_pkey PRIMARY KEY (noun, day, label, outcome),
    CONSTRAINT tally_noun CHECK (noun IN ('run', 'incoming', 'outgoing', 'claim', 'payment', 'reminder', 'session')),
    CONSTRAINT tally_counts CHECK (count >= 0)
);
COMMENT ON TABLE dashboards.tally IS 'How many things of a kind a day had, by what became of them.';
COMMENT ON CONSTRAINT tally_pkey ON dashboards.tally IS 'One number a day; counting again replaces it.';
COMMENT ON COLUMN dashboards.tally.day IS 'A day of the customer''s zone.';
COMMENT ON COLUMN dashboards.tally.label IS
    'Job kind, message type, purpose, origin of a claim, currency, or empty: what the noun is told apart by.';
COMMENT ON COLUMN dashboards.tally.amount_minor IS 'Of payments: their sum in the minor unit of the currency in `label`.';

CREATE TABLE dashboards.latency (
    kind   text     NOT NULL,
    day    date     NOT NULL,
    bucket smallint NOT NULL,
    count  bigint   NOT NULL,
    CONSTRAINT latency_pkey PRIMARY KEY (kind, day, bucket),
    CONSTRAINT latency_bucket_is_one CHECK (bucket BETWEEN 0 AND 119),
    CONSTRAINT latency_counts CHECK (count >= 0)
);
COMMENT ON TABLE dashboards.latency IS 'How long jobs that are due at once took from being asked for to being done: a histogram a day.';
COMMENT ON COLUMN dashboards.latency.bucket IS
    'A quarter of a doubling of milliseconds: bucket b holds 2^(b/4) up to 2^((b+1)/4).';

CREATE TABLE dashboards.refreshed (
    singleton boolean     NOT NULL DEFAULT true,
    as_of     timestamptz NOT NULL,
    timezone  text        NOT NULL,
    CONSTRAINT refreshed_pkey PRIMARY KEY (singleton),
    CONSTRAINT refreshed_is_one_row CHECK (singleton),
    CONSTRAINT refreshed_timezone_bounded CHECK (length(timezone) BETWEEN 1 AND 60)
);
COMMENT ON TABLE dashboards.refreshed IS
    'Up to when the tallies are complete, and of which zone their days are. Its lock lets one refresh run at a time.';

-- No unique key: whoever changes something never waits for somebody else who does.
CREATE TABLE dashboards.touched (
    noun text        NOT NULL,
    at   timestamptz NOT NULL,
    CONSTRAINT touched_noun CHECK (noun IN ('incoming', 'outgoing', 'claim', 'payment', 'reminder', 'session'))
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE dashboards.touched IS 'Instants whose days must be counted again; a refresh takes them away.';

-- Marks ---------------------------------------------------------------------------------------------------

CREATE FUNCTION dashboards.touch_incoming() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO dashboards.touched (noun, at)
    SELECT DISTINCT 'incoming', date_trunc('hour', changed.received_at) FROM changed;
    RETURN NULL;
END;
$$;
CREATE TRIGGER message_touches_dashboards
AFTER INSERT ON messaging.message
REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION dashboards.touch_incoming();

CREATE FUNCTION dashboards.touch_outgoing() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO dashboards.touched (noun, at)
        SELECT DISTINCT 'outgoing', date_trunc('hour', former.queued_at) FROM former;
    END IF;
    INSERT INTO dashboards.touched (noun, at)
    SELECT DISTINCT 'outgoing', date_trunc('hour', changed.queued_at) FROM changed;
    RETURN NULL;
END;
$$;
CREATE TRIGGER outbox_asked_touches_dashboards
AFTER INSERT ON messaging.outbox
REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION dashboards.touch_outgoing();
CREATE TRIGGER outbox_moved_touches_dashboards
AFTER UPDATE ON messaging.outbox
REFERENCING OLD TABLE AS former NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION dashboards.touch_outgoing();

CREATE FUNCTION dashboards.touch_claim() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO dashboards.touched (noun, at)
    SELECT DISTINCT 'claim', date_trunc('hour', changed.opened_at) FROM changed;
    INSERT INTO dashboards.touched (noun, at)
    SELECT DISTINCT 'payment', date_trunc('hour', changed.approved_at) FROM changed
    WHERE changed.approved_at IS NOT NULL;
    RETURN NULL;
END;
$$;
CREATE TRIGGER claim_opened_touches_dashboards
AFTER INSERT ON payments.claim
REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION dashboards.touch_claim();
CREATE TRIGGER claim_moved_touches_dashboards
AFTER UPDATE ON payments.claim
REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION dashboards.touch_claim();

-- A reminder that is no longer sent may make a later one of its debt the first: all of them are counted again.
CREATE FUNCTION dashboards.touch_reminder() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO dashboards.touched (noun, at)
    SELECT DISTINCT 'reminder', date_trunc('hour', former.state_at) FROM former WHERE former.state = 'queued';
    INSERT INTO dashboards.touched (noun, at)
    SELECT DISTINCT 'reminder', date_trunc('hour', sent.state_at)
    FROM changed
    INNER JOIN payments.reminder AS sent ON sent.obligation_id = changed.obligation_id
    WHERE sent.state = 'queued';
    RETURN NULL;
END;
$$;
CREATE TRIGGER reminder_touches_dashboards
AFTER UPDATE ON payments.reminder
REFERENCING OLD TABLE AS former NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION dashboards.touch_reminder();

CREATE FUNCTION dashboards.touch_obligation() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO dashboards.touched (noun, at)
    SELECT DISTINCT 'reminder', date_trunc('hour', sent.state_at)
    FROM changed
    INNER JOIN payments.reminder AS sent ON sent.obligation_id = changed.id
    WHERE sent.state = 'queued';
    RETURN NULL;
END;
$$;
CREATE TRIGGER obligation_touches_dashboards
AFTER UPDATE ON payments.obligation
REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION dashboards.touch_obligation();

CREATE FUNCTION dashboards.touch_session() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO dashboards.touched (noun, at)
    SELECT DISTINCT 'session', date_trunc('hour', changed.starts_at) FROM changed;
    RETURN NULL;
END;
$$;
CREATE TRIGGER session_touches_dashboards
AFTER UPDATE ON attendance.session
REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION dashboards.touch_session();

CREATE FUNCTION dashboards.touch_result() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO dashboards.touched (noun, at)
    SELECT DISTINCT 'session', date_trunc('hour', held.starts_at)
    FROM changed
    INNER JOIN attendance.session AS held ON held.id = changed.session_id;
    RETURN NULL;
END;
$$;
CREATE TRIGGER result_touches_dashboards
AFTER INSERT ON attendance.result
REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION dashboards.touch_result();

-- Taking rows away needs a privilege on the whole table, which would also let a login lock it.
CREATE FUNCTION dashboards.take_touched() RETURNS TABLE (noun text, at timestamptz)
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH taken AS (DELETE FROM dashboards.touched AS t RETURNING t.noun, t.at)
    SELECT DISTINCT taken.noun, taken.at FROM taken
$$;
COMMENT ON FUNCTION dashboards.take_touched IS
    'The instants marked so far, once: taken away in the transaction that counts their days.';

-- Lists of the panel --------------------------------------------------------------------------------------

CREATE INDEX claim_to_decide ON payments.claim (id) WHERE state IN ('pending_review', 'awaiting_second');
COMMENT ON INDEX payments.claim_to_decide IS 'What staff must decide, the oldest claim first.';
CREATE INDEX claim_asked ON payments.claim (id) WHERE state IN ('received', 'needs_info', 'evidence_failed');
COMMENT ON INDEX payments.claim_asked IS 'What waits for the contact.';
CREATE INDEX claim_settled ON payments.claim (id) WHERE state IN (
    'approved', 'reconciled', 'rejected', 'duplicate', 'withdrawn', 'expired', 'reversed'
);
COMMENT ON INDEX payments.claim_settled IS 'What is decided, to look back.';
CREATE INDEX claim_by_opening ON payments.claim (opened_at);
COMMENT ON INDEX payments.claim_by_opening IS 'The claims of a day.';
CREATE INDEX claim_by_approval ON payments.claim (approved_at) WHERE approved_at IS NOT NULL;
COMMENT ON INDEX payments.claim_by_approval IS 'The payments of a day.';
CREATE INDEX reminder_by_sending ON payments.reminder (state_at) WHERE state = 'queued';
COMMENT ON INDEX payments.reminder_by_sending IS 'The reminders sent on a day.';
CREATE INDEX message_by_arrival ON messaging.message (received_at);
COMMENT ON INDEX messaging.message_by_arrival IS 'What came in on a day.';
CREATE INDEX outbox_by_asking ON messaging.outbox (queued_at);
COMMENT ON INDEX messaging.outbox_by_asking IS 'What was to be sent on a day.';
CREATE INDEX outbox_troubled ON messaging.outbox (id) WHERE state IN ('failed', 'ambiguous');
COMMENT ON INDEX messaging.outbox_troubled IS 'What did not arrive, or nobody knows.';
CREATE INDEX session_by_start ON attendance.session (starts_at, id);
COMMENT ON INDEX attendance.session_by_start IS 'The classes of a day, and the newest ones.';
CREATE INDEX alert_unresolved ON alerts.alert (severity, last_at DESC, id DESC) WHERE state <> 'resolved';
COMMENT ON INDEX alerts.alert_unresolved IS 'What needs a person, the gravest first.';

-- Grants --------------------------------------------------------------------------------------------------

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA dashboards FROM PUBLIC;
GRANT USAGE ON SCHEMA dashboards TO api_tenant;
GRANT EXECUTE ON FUNCTION dashboards.take_touched() TO api_tenant;
GRANT SELECT (noun, day, label, outcome, count, amount_minor),
    INSERT (noun, day, label, outcome, count, amount_minor),
    UPDATE (count, amount_minor)
    ON dashboards.tally TO api_tenant;
GRANT SELECT (kind, day, bucket, count),
    INSERT (kind, day, bucket, count),
    UPDATE (count)
    ON dashboards.latency TO api_tenant;
GRANT SELECT (singleton, as_of, timezone),
    INSERT (singleton, as_of, timezone),
    UPDATE (as_of, timezone)
    ON dashboards.refreshed TO api_tenant;
