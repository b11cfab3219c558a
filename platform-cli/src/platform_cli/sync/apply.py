"""Carries out a plan on a live Windmill: locked, on record before the first write, read back after the last.

What is live and what git has must be what the plan was made of, else it stops before anything is written.
When something fails, everything that was written is put back, unless good writes are to be kept; a person
who stops it keeps what was written. Whatever happens, each item is named with what became of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from platform_cli.sync import journal, refusals, verifying, waits
from platform_cli.sync import state as remembered
from platform_cli.sync.carrying import Carried, How, Result, carry_out
from platform_cli.sync.client import Client
from platform_cli.sync.current import look
from platform_cli.sync.deploy_lock import Lock
from platform_cli.sync.events import Event, Happened
from platform_cli.sync.items import Item, Key, Kind
from platform_cli.sync.journal import Record, Status
from platform_cli.sync.keeping import Pulse, holding, insisting, mark
from platform_cli.sync.live import Workspace
from platform_cli.sync.plan import WRITING, Act, Plan
from platform_cli.sync.state import Agreed, State
from platform_cli.sync.undo import PutBack, caller_of, checked, put_back, settled
from platform_cli.sync.waves import route
from platform_cli.sync.wire import all_of, both
from platform_cli.sync.workspace import read_workspace
from platform_cli.sync.writes import Write, revision
from platform_core.errors import WindmillError


@dataclass(frozen=True, slots=True)
class Deployed:
    """What a deploy came to. `number` is None when there was nothing to write.

    `written` stand in Windmill now as planned; `put_back` were touched and are as before again. `left` are
    all that are not as planned, with the reason. `reason` says why it did not end well, "" when it did;
    `notes` are things to look at.
    """

    status: Status
    number: int | None = None
    written: tuple[Key, ...] = ()
    put_back: tuple[Key, ...] = ()
    left: Mapping[Key, str] = field(default_factory=dict)
    reason: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """A lock that the caller holds and gives back himself, and what he read of Windmill under it."""

    lock: Lock
    live: Workspace


async def deploy(
    client: Client,
    plan: Plan,
    state: State,
    how: How,
    *,
    held: Held | None = None,
    git_digest: str | None = None,
) -> Deployed:
    """Write what a plan says, all or nothing. Waits for locks, reads back, and moves the base.

    With `held` the plan was made of what was read under that lock; else the lock is taken here, and what the
    plan touches is read again. `git_digest` is what the folder holds now. Raises, with nothing written:
    StalePlan, PlanNotDeployable, DeployRunning, and what the client raises. Once the deploy is on record it
    returns, whatever Windmill does, except for LockLost.
    """
    refusals.require_deployable(plan, force=how.force, git_digest=git_digest)
    if not plan.of(*WRITING, Act.ADOPT) and state.base_id is not None:
        return Deployed(Status.DONE)
    if held is not None:
        return await _deploy(client, plan, state, how, held)
    async with holding(client, state.scope, how, _what(plan)) as lock:
        keys = [change.key for change in plan.of(*WRITING)]
        live = await look(
            client, state.scope, keys, whole=state.base_id is None or refusals.needs_whole(plan)
        )
        return await _deploy(client, plan, state, how, Held(lock, live))


async def _deploy(client: Client, plan: Plan, state: State, how: How, held: Held) -> Deployed:
    refusals.require_current(plan, held.live)
    record = journal.begun(plan, state, actor=how.actor, now=how.now(), switches=how.switches)
    newest = state.deploys[0].number if state.deploys else 0
    number = await remembered.record_deploy(
        client, held.lock, journal.about(record), journal.content(record), after=newest
    )
    how.say(Event(Happened.RECORDED, says=str(number), total=len(record.entries)))
    record = replace(record, number=number)
    deployed = await _Deploy(client, plan, state, how, held, record, Pulse(how.beat_s)).run()
    if len(state.deploys) >= remembered.KEPT_DEPLOYS:
        await remembered.prune(client, state.scope)
    return deployed


@dataclass
class _Deploy:
    """One deploy that is on record."""

    client: Client
    plan: Plan
    state: State
    how: How
    held: Held
    record: Record
    pulse: Pulse
    notes: list[str] = field(default_factory=list)

    async def run(self) -> Deployed:
        """From the first write to the end of the record."""
        carried = Carried({})
        try:
            caller = await caller_of(self.client, self.record)
            writes = [entry.write(self.record, caller=caller) for entry in self.record.entries]
            carried = await carry_out(self.client, writes, self.how, self._check)
            if carried.stopped:
                return await self._stopped(carried)
            if carried.failed and not self.how.keep_going:
                return await self._undone(carried)
            return await self._finished(carried)
        except WindmillError as error:
            return await self._cut_off(carried, error)

    async def _check(self) -> None:
        await self.pulse.beat(self.client, self.held.lock)

    # --- How it can end -----------------------------------------------------------------------------------

    async def _stopped(self, carried: Carried) -> Deployed:
        """A person asked to stop: what is written stays, and the next plan tells."""
        reason = "it was stopped"
        left = _left(carried)
        await self._move(Status.INTERRUPTED, reason, left)
        written = _keys(carried, Result.WRITTEN)
        return Deployed(Status.INTERRUPTED, self.record.number, written, (), left, reason)

    async def _cut_off(self, carried: Carried, error: WindmillError) -> Deployed:
        """Windmill cannot be spoken to any more: what is written stays, and the record says so."""
        reason = error.one_line()
        left = _left(carried)
        await self._move(Status.FAILED, reason, left, best_effort=True)
        written = _keys(carried, Result.WRITTEN)
        return Deployed(Status.FAILED, self.record.number, written, (), left, reason, tuple(self.notes))

    async def _undone(self, carried: Carried) -> Deployed:
        """Something failed: put back what was written, if it can be told what was."""
        reason = _reason(carried)
        left = _left(carried)
        if carried.of(Result.UNKNOWN):
            await self._move(Status.FAILED, reason, left, best_effort=True)
            written = _keys(carried, Result.WRITTEN)
            return Deployed(Status.FAILED, self.record.number, written, (), left, reason)
        self.how.say(Event(Happened.PUTTING_BACK, says=reason))
        back = await self._put_back()
        told = {**back.left, **left}
        status = Status.ROLLED_BACK if back.whole else Status.FAILED
        await self._move(status, reason, told)
        touched = _keys(carried, Result.WRITTEN, Result.FAILED)
        put_back = tuple(key for key in touched if key not in back.left)
        written = tuple(key for key in _keys(carried, Result.WRITTEN) if key in back.left)
        return Deployed(status, self.record.number, written, put_back, told, reason)

    async def _finished(self, carried: Carried) -> Deployed:
        """Everything went well, or the good writes are kept: read back, and move the base."""
        bad = _left(carried)
        put_back: tuple[Key, ...] = ()
        if carried.failed:
            back = await self._put_back(only={outcome.write.key for outcome in carried.failed})
            put_back = back.there
            bad |= back.left
        good = {o.write.key: o.write for o in carried.of(Result.WRITTEN)}
        _, live = await both(self._name_versions(carried), self._read_back(carried, good))
        wanted = {key: write.expected for key, write in good.items()}
        wrong = verifying.differences(live, wanted, switches=self.record.switches)
        wrong |= verifying.identities(live, good.values())
        bad |= wrong
        reason = _reason(carried) if carried.failed else _deviation(wrong)
        done = len(good) - len(wrong)
        self.how.say(Event(Happened.CHECKED, says=reason or "live as written", done=done, total=len(good)))
        status = Status.FAILED if bad else Status.DONE
        await all_of(self._agree(live, good, wrong), self._move(status, reason, bad))
        written = tuple(key for key in sorted(good) if key not in wrong)
        return Deployed(status, self.record.number, written, put_back, bad, reason, tuple(self.notes))

    # --- What they share ----------------------------------------------------------------------------------

    async def _put_back(self, only: set[Key] | None = None) -> PutBack:
        entries = [entry for entry in self.record.entries if only is None or entry.key in only]
        part = replace(self.record, entries=tuple(entries))
        live = await read_workspace(self.client, self.record.scope)
        back = await put_back(self.client, part, live, self.how, check=self._check)
        return checked(part, await read_workspace(self.client, self.record.scope), back)

    async def _read_back(self, carried: Carried, good: Mapping[Key, Write]) -> Workspace:
        """What was written, and what both sides came to by themselves, as Windmill has it once it settled."""
        await self._settle(carried)
        keys = [*good, *(change.key for change in self.plan.of(Act.ADOPT))]
        return await look(self.client, self.record.scope, keys, whole=self.state.base_id is None)

    async def _agree(self, live: Workspace, good: Mapping[Key, Write], wrong: Mapping[Key, str]) -> None:
        tree = verifying.agreed(self.plan, self.state.base, live, good, wrong)
        handles = {**self.state.handles, **self.held.live.handles, **live.handles}
        secrets = live.secrets or self.held.live.secrets or self.state.secrets
        agreed = Agreed(
            deploy=self.record.number,
            commit=self.plan.commit,
            tree=tree,
            handles={key: handles[key] for key in tree if key in handles},
            secrets=secrets,
        )
        await insisting(lambda: remembered.write_base(self.client, self.held.lock, agreed))

    async def _settle(self, carried: Carried) -> None:
        """Wait for relocks and routes, as far as that is wanted."""
        if not self.how.settle or self.how.stopped():
            return
        routes = [*_new_routes(carried)]
        if routes:
            self.how.say(Event(Happened.WAITING, says="routes", total=len(routes)))
            late = await waits.routes(
                self.client, routes, timeout_s=self.how.patience.routes_s, stopped=self.how.stopped
            )
            self.notes += [f"{key} is not served yet" for key in late]
        known = {**self.state.base, **self.held.live.items}
        self.notes += await settled(self.client, self.record, known, self.how)

    async def _name_versions(self, carried: Carried) -> None:
        """Stamp each new version of a script, so that people see in its history where it came from."""
        calls = [
            revision(outcome.write.key.path, outcome.version, self.record.message)
            for outcome in carried.of(Result.WRITTEN)
            if outcome.write.key.kind is Kind.SCRIPT and outcome.version
        ]
        try:
            await all_of(*(self.client.request(call.method, call.tail, call.body) for call in calls))
        except WindmillError as error:
            self.notes.append(f"not every version of a script has its message: {error.message}")

    async def _move(
        self, status: Status, reason: str, left: Mapping[Key, str], *, best_effort: bool = False
    ) -> None:
        told = {str(key): why for key, why in left.items()}
        self.record = self.record.moved(
            status, at=self.how.now(), by=self.how.actor, reason=reason, told=told
        )
        try:
            await mark(self.client, self.record)
        except WindmillError:
            if not best_effort:
                raise


def _deviation(wrong: Mapping[Key, str]) -> str:
    said = [f"{key}: {why}" for key, why in sorted(wrong.items())]
    more = f" (and {len(said) - 1} more)" if len(said) > 1 else ""
    return f"not everything is live as it was written: {said[0]}{more}" if said else ""


def _new_routes(carried: Carried) -> Iterator[Item]:
    for outcome in carried.of(Result.WRITTEN):
        before, after = outcome.write.before, outcome.write.expected
        if outcome.write.key.kind is not Kind.HTTP_TRIGGER or after is None:
            continue
        if (
            before is None
            or before.value.get("mode") != after.value.get("mode")
            or route(before) != route(after)
        ):
            yield after


def _what(plan: Plan) -> str:
    counts = {act: len(plan.of(act)) for act in Act if act in WRITING}
    said = ", ".join(f"{count} {act}" for act, count in counts.items() if count) or "nothing but its base"
    return f"deploy of {plan.commit[:12]}: {said}" if plan.commit else f"deploy: {said}"


def _keys(carried: Carried, *results: Result) -> tuple[Key, ...]:
    return tuple(outcome.write.key for outcome in carried.of(*results))


def _left(carried: Carried) -> dict[Key, str]:
    """What is not as it was to be, with the reason."""
    failed = {outcome.write.key: outcome.says for outcome in carried.failed}
    return {**failed, **dict.fromkeys(_keys(carried, Result.NOT_BEGUN), "it was not begun")}


def _reason(carried: Carried) -> str:
    first = carried.failed[0]
    more = f" (and {len(carried.failed) - 1} more)" if len(carried.failed) > 1 else ""
    return f"{first.write.key}: {first.says}{more}"
