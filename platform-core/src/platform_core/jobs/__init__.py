"""The queue and its runner: at-least-once work that survives being killed at any moment.

Read this page before the first function. It says what the model is, who may do what, and what becomes of a
job in every way things can fail. `lifecycle.py` has the states and their moves as a table; the schema files
`30_jobs.sql` to `35_jobs_upkeep.sql` are the other half of this package.

The model
    A *job* is a kind, a payload and a time. While it lives it is a row of `jobs.job`; when it has ended it
    is a row of `jobs.done` or `jobs.dead`. It is never in two places. A *key* names one job for good, also
    after that job ended: that is how a verb that runs twice queues once.

    A *lease* is one worker's right to the jobs it claimed. A worker proves every few seconds that it lives
    (`lease.py`); its completions count only while its lease does. The lease's number is the fencing token.

    A *runner* (`runner.py`) has a few threads, *shifts* (`shift.py`). A shift claims a batch under its
    lease, runs it, and in one commit settles what ran and claims the next (`settlement.py`). The time under
    one lease is an *era* (`era.py`).

    Most jobs stand in the *open line*: the next due one of the highest priority is anybody's. Jobs that
    share a limit or an order stand in a *lane*: a kind and a key, such as the messages to one contact. What
    holds in a lane is declared with the handler (`contracts.py: HandlerSpec`) and kept by the claim, in
    PostgreSQL, for all workers together (`rules.py`, `lookout.py`).

    One process can work many customers' queues in turns (`rounds.py`); cron's runner works one and leaves.

Authority
    Whether a job may run, whose it is and when: PostgreSQL, on its clock. No worker compares its own clock
    with a stored time. Whether it succeeded: its handler, by one of five answers (`values.py: Outcome`).
    What an answer means: `execution.py: judge`. Whether it was settled: the fenced statement, and nothing
    before its commit. That a job must not be run again after a crash: its kind (`after_crash`). Everything
    else that moves a job is a person's order with an entry in the audit trail (`orders.py`).

What fails, and what becomes of it
    The handler raises            `outcome_of` decides: retry with backoff, wait as long as asked, or dead.
    It answers nonsense           dead letter `invalid_outcome`; its batch is unharmed.
    Its payload cannot be read    dead letter `unreadable_payload`, unrun; its batch is unharmed.
    Nobody knows its kind         dead letter `unknown_kind`; redrive it after the deploy that brings it.
    It takes too long             asked to stop; its transactions are refused; its statement or coroutine is
                                  cancelled; after the grace its thread is given up, the job settled anyway.
    Its outcome cannot be stored  settled one by one; the one that cannot be written waits for a person.
    The worker is killed          its lease expires; whoever ticks next makes its jobs suspects, which run one
                                  by one, alone in their process. At most one batch is run again.
    A job kills its worker        found by that: a suspect runs alone, and is dead when its attempts are
                                  used up, or at once when its kind must not be repeated.
    The worker is only slow       its completion changes nothing and is counted as lost: the job is another's.
    The connection breaks         the era ends on a new one: a commit whose answer never came is found out.
    PostgreSQL restarts           the same; what cannot be told at once waits for the lease to expire.
    The disk is full              nothing is settled; StorageFull ends the run, leases expire, jobs come back.
    Nobody wants the job          queued: ended at once; running: told by the next heartbeat, never retried.
    An old snapshot stays open    dead entries pile up; floors keep a claim from reading them again, and
                                  `wmctl job health` names who holds it.
    A limit is reached            its lane waits; the open line and the other lanes do not notice.

What is not promised
    Exactly once: a handler is a verb that can be repeated. Order, except within an ordered lane. That a
    rate is used up: a token is taken at the claim, and a worker that dies wastes it.
"""
