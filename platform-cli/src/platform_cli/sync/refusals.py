"""What stops a deploy before anything is written. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from platform_cli.sync.items import Key, Kind
from platform_cli.sync.live import Workspace
from platform_cli.sync.plan import WRITING, Act, Change, Plan
from platform_cli.sync.writes import alike
from platform_core.errors import PlanNotDeployable, StalePlan

_MOST_NAMED = 5
_RAW_APP_FIELDS = frozenset({"summary", "extra_perms"})


def require_deployable(plan: Plan, *, force: bool = False, git_digest: str | None = None) -> None:
    """Make sure that a plan may be carried out at all.

    Raises: StalePlan when git is not what was planned; PlanNotDeployable for a conflict, for something
    that the API cannot do, and for an unsafe plan that is not forced.
    """
    if git_digest is not None and git_digest != plan.git_digest:
        raise StalePlan(f"The folder of {plan.scope} changed since the plan was made")
    open_ = plan.of(Act.CONFLICT, Act.PULL_DELETE)
    if open_:
        raise PlanNotDeployable(
            f"A person has to decide first: {_named(change.key for change in open_)}",
            next_step="Edit the file, or run `wmctl deploy` with --ours KEY or --theirs KEY.",
        )
    if plan.unsafe and not force:
        raise PlanNotDeployable(
            f"The plan is not safe: {'; '.join(plan.unsafe)}", next_step="If that is meant, use --force."
        )
    impossible = [reason for change in plan.of(*WRITING) if (reason := _impossible(change))]
    if impossible:
        raise PlanNotDeployable("; ".join(impossible[:_MOST_NAMED]))


def require_current(plan: Plan, live: Workspace) -> None:
    """Make sure that Windmill still has what was planned upon.

    Raises: StalePlan naming the items; PlanNotDeployable when a deletion would take something else along.
    """
    moved = [
        change.key for change in plan.of(*WRITING) if not alike(live.items.get(change.key), change.before)
    ]
    if moved:
        raise StalePlan(f"Edited in Windmill since the plan was made: {_named(moved)}")
    along = [*_taken_along(plan, live)]
    if along:
        raise PlanNotDeployable("; ".join(along[:_MOST_NAMED]))


def needs_whole(plan: Plan) -> bool:
    """Whether `require_current` has to see the whole scope, and not only what the plan touches."""
    return any(change.key.kind is Kind.VARIABLE for change in plan.of(Act.DELETE))


def _taken_along(plan: Plan, live: Workspace) -> Iterator[str]:
    """Deletions that Windmill extends to what the plan keeps."""
    gone = {change.key for change in plan.of(Act.DELETE)}
    for key in sorted(gone):
        twin = Key(Kind.RESOURCE, key.path)
        if key.kind is Kind.VARIABLE and twin in live.items and twin not in gone:
            yield f"Windmill deletes {twin} together with {key}: give one of them another path"


def _impossible(change: Change) -> str:
    """Why the API cannot do it; "" when it can."""
    ends = [item.value for item in (change.before, change.after) if item is not None]
    if any(value.get("has_on_behalf_of") for value in ends):
        return (
            f"{change.key} runs on behalf of somebody, which wmctl does not carry over: change it in Windmill"
        )
    if change.key.kind is Kind.RAW_APP and not _only_described(change):
        return (
            f"{change.key} must be built, which wmctl does not do: push it with the official `wmill app push`"
        )
    return ""


def _only_described(change: Change) -> bool:
    if change.act is not Act.UPDATE or change.before is None or change.after is None:
        return False
    before, after = change.before.value, change.after.value
    return all(before.get(n) == after.get(n) for n in {*before, *after} - _RAW_APP_FIELDS)


def _named(keys: Iterable[Key]) -> str:
    names = sorted(keys)
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(map(str, names[:_MOST_NAMED])) + more
