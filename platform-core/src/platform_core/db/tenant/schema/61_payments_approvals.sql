-- payments.approval_wait: flows in Windmill that wait for a decision about a claim. States and moves:
-- platform_core/payments/lifecycle.py. The decision is never in here: it is taken by payments.claims.decide.

CREATE TABLE payments.approval_wait (
    id            bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT approval_wait_pkey PRIMARY KEY,
    claim_id      bigint      NOT NULL CONSTRAINT approval_wait_claim_fkey REFERENCES payments.claim (id),
    claim_version integer     NOT NULL,
    flow_job      uuid        NOT NULL,
    step_job      uuid        NOT NULL,
    resume_id     bigint      NOT NULL,
    signature     text,
    state         text        NOT NULL DEFAULT 'waiting',
    asked_at      timestamptz NOT NULL,
    ended_at      timestamptz,
    CONSTRAINT approval_wait_state CHECK (state IN ('waiting', 'settling', 'answered', 'lapsed', 'settled')),
    CONSTRAINT approval_wait_ended_has_time CHECK (
        (state IN ('answered', 'lapsed', 'settled')) = (ended_at IS NOT NULL)
    ),
    CONSTRAINT approval_wait_ended_keeps_no_secret CHECK ((ended_at IS NULL) = (signature IS NOT NULL)),
    CONSTRAINT approval_wait_version_counts CHECK (claim_version > 0),
    CONSTRAINT approval_wait_resume_id_bounded CHECK (resume_id BETWEEN 0 AND 4294967295),
    CONSTRAINT approval_wait_signature_is_hex CHECK (signature ~ '^[0-9a-f]{64}$'),
    CONSTRAINT approval_wait_flow_once UNIQUE (flow_job)
);
COMMENT ON CONSTRAINT approval_wait_flow_once ON payments.approval_wait IS
    'A flow waits for one answer; a step that is tried again replaces what the attempt before it left.';
COMMENT ON COLUMN payments.approval_wait.signature IS
    'Whoever has it can resume the flow once, without a token. Read by approval_signature only; gone with the wait.';
CREATE INDEX approval_wait_open ON payments.approval_wait (claim_id) WHERE ended_at IS NULL;
COMMENT ON INDEX payments.approval_wait_open IS 'The flows that wait for one claim.';

-- What lets a flow go on, once its claim was decided elsewhere; nothing before that, nothing after it ended.
CREATE FUNCTION payments.approval_signature(wait bigint) RETURNS text
    LANGUAGE sql STABLE
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.signature
    FROM payments.approval_wait AS w
    INNER JOIN payments.claim AS c ON c.id = w.claim_id
    WHERE w.id = approval_signature.wait AND w.state = 'settling' AND c.version > w.claim_version
$$;
COMMENT ON FUNCTION payments.approval_signature(bigint) IS
    'The only way to read a signature: of a wait whose claim has moved on.';
REVOKE EXECUTE ON FUNCTION payments.approval_signature(bigint) FROM PUBLIC;

GRANT SELECT (id, claim_id, claim_version, flow_job, step_job, resume_id, state, asked_at, ended_at),
    INSERT (claim_id, claim_version, flow_job, step_job, resume_id, signature, asked_at),
    UPDATE (claim_version, step_job, resume_id, signature, state, ended_at)
    ON payments.approval_wait TO api_tenant;
GRANT EXECUTE ON FUNCTION payments.approval_signature(bigint) TO api_tenant;
