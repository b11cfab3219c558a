"""One customer's folder and its Windmill: what differs, and bringing it there."""

from __future__ import annotations

from pathlib import Path

from platform_cli.customers.health import Finding, Mark
from platform_cli.sync import apply
from platform_cli.sync.carrying import How
from platform_cli.sync.client import Client
from platform_cli.sync.events import Say
from platform_cli.sync.journal import Status
from platform_cli.sync.plan import WRITING, Act
from platform_cli.sync.session import Seen, Session
from platform_cli.sync.targets import Target
from platform_core.errors import StateConflict

_MOST_TOLD = 3


async def _look(client: Client, target: Target, folder: Path) -> tuple[Session, Seen]:
    session = Session(folder.parent.parent, target, client)
    (seen,) = await session.look([folder])
    return session, seen


async def ship(client: Client, target: Target, folder: Path, say: Say) -> bool:
    """Deploy a customer's folder; false when there was nothing to write.

    Raises: StateConflict when the deploy did not end well; as `apply.deploy`.
    """
    session, seen = await _look(client, target, folder)
    if not seen.plan.of(*WRITING, Act.ADOPT, Act.CONFLICT, Act.PULL_DELETE):
        return False
    done = await apply.deploy(client, seen.plan, seen.state, How(actor=await session.actor(), say=say))
    if done.status is not Status.DONE:
        left = "; ".join(f"{key}: {why}" for key, why in list(done.left.items())[:_MOST_TOLD])
        raise StateConflict(
            f"The deploy of {folder.name} did not end well: {done.reason or done.status.value} ({left})",
            next_step="Look at what it says, then run this again.",
        )
    return bool(done.written)


async def look_at_items(client: Client, target: Target, folder: Path) -> Finding:
    """Whether Windmill has what the folder says, as one finding. Changes nothing."""
    _, seen = await _look(client, target, folder)
    counts = {
        "to deploy": len(seen.plan.of(*WRITING)),
        "edited in Windmill": len(seen.plan.of(Act.PULL, Act.PULL_DELETE)),
        "in conflict": len(seen.plan.of(Act.CONFLICT)),
    }
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    if not said:
        return Finding("items", Mark.OK, f"{seen.plan.counts.get('equal', 0)} are as the folder says")
    mark = Mark.BROKEN if counts["in conflict"] else Mark.WARNING
    return Finding("items", mark, said, f"See `wmctl plan {folder.name}`.")
