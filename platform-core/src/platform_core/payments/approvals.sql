-- approvals: the flows that wait for a decision about a claim, and letting them go.
--
-- Locks: whoever moves a claim, or asks about one, holds the claim first and its waits after it.

-- name: approval_ask
-- purpose: A flow waits for this version of a claim; a step that is tried again brings its own number and signature.
-- locks: the wait row; the caller holds the claim
-- replay: the same row, with what the newest attempt brought; no row when the wait has ended
INSERT INTO payments.approval_wait AS wait (
    claim_id, claim_version, flow_job, step_job, resume_id, signature, asked_at
)
VALUES (
    %(claim_id)s, %(version)s, %(flow_job)s, %(step_job)s, %(resume_id)s, %(signature)s, %(now)s
)
ON CONFLICT ON CONSTRAINT approval_wait_flow_once DO UPDATE
SET
    step_job = %(step_job)s,
    resume_id = %(resume_id)s,
    signature = %(signature)s
WHERE
    wait.state = 'waiting'
    AND wait.claim_id = %(claim_id)s
    AND wait.claim_version = %(version)s
RETURNING wait.id;

-- name: approval_release
-- purpose: The claim has moved: the flows that wait for it have nothing left to ask.
-- moves: waiting -> settling
-- locks: the wait rows; the caller holds the claim
-- replay: no row once they were released
UPDATE payments.approval_wait AS wait
SET state = 'settling'
WHERE
    wait.claim_id = %(claim_id)s
    AND wait.state = 'waiting'
RETURNING wait.id;

-- name: approval_answer
-- purpose: The flow itself was answered; the caller decides in the same transaction.
-- moves: waiting -> answered
-- locks: the wait row; the caller holds the claim
-- replay: no row when it does not wait any more
UPDATE payments.approval_wait AS wait
SET
    state = 'answered',
    signature = NULL,
    ended_at = %(now)s
WHERE
    wait.flow_job = %(flow_job)s
    AND wait.state = 'waiting'
RETURNING wait.id;

-- name: approval_lapse
-- purpose: Nobody answered the flow in time, or somebody sent it away: it ends and nothing is decided.
-- moves: waiting -> lapsed
-- locks: the wait row
-- replay: no row when it does not wait any more
UPDATE payments.approval_wait AS wait
SET
    state = 'lapsed',
    signature = NULL,
    ended_at = %(now)s
WHERE
    wait.flow_job = %(flow_job)s
    AND wait.state = 'waiting'
RETURNING wait.id;

-- name: approval_find
-- purpose: One wait and what lets its flow go on, if that may be read.
-- locks: none
-- replay: reads only
SELECT
    wait.claim_id,
    wait.state,
    wait.flow_job,
    wait.step_job,
    wait.resume_id,
    payments.approval_signature(wait.id) AS signature
FROM payments.approval_wait AS wait
WHERE wait.id = %(wait_id)s;

-- name: approval_settle
-- purpose: The flow was let go, or is gone: what could resume it is forgotten.
-- moves: settling -> settled
-- locks: the wait row
-- replay: no row when it was settled before
UPDATE payments.approval_wait AS wait
SET
    state = 'settled',
    signature = NULL,
    ended_at = %(now)s
WHERE
    wait.id = %(wait_id)s
    AND wait.state = 'settling'
RETURNING wait.id;
