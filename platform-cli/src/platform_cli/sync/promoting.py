"""Takes to one target what another was deployed with: what was tried is what goes live, and nothing else.

Not what git has by now, and not what somebody edited over there since: a target whose items are not as its
last deploy left them has proven nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from platform_cli.sync.client import Client
from platform_cli.sync.drift import Drifted, find_drift
from platform_cli.sync.items import Scope, Tree
from platform_cli.sync.state import read_state
from platform_cli.sync.workspace import read_workspace
from platform_core.errors import StateConflict

IN_THE_WAY = frozenset({
    Drifted.EDITED,
    Drifted.DELETED,
    Drifted.LOCK_FAILED,
    Drifted.DEPLOY,
    Drifted.STOPPED,
})  # fmt: skip
"""What makes a target prove nothing. Switches, drafts, secrets and new items are not promoted anyway."""
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Proven:
    """What a target was deployed with and still has: the items, which deploy, from which commit."""

    scope: str
    deploy: int
    commit: str | None
    tree: Tree = field(repr=False)


async def read_proven(client: Client, scope: Scope, *, target: str, now: datetime) -> Proven:
    """What a target proves of a scope.

    Raises: StateConflict when nothing was deployed there, or naming what is not as the deploy left it.
    """
    state, live = await asyncio.gather(read_state(client, scope), read_workspace(client, scope))
    if state.base_id is None:
        raise StateConflict(
            f"{scope.name} was never deployed to {target}",
            next_step=f"Run `wmctl deploy {scope.name}` there.",
        )
    found = [fact for fact in find_drift(state, live, now).facts if fact.what in IN_THE_WAY]
    if found:
        said = "; ".join(f"{fact.about} {fact.says}" for fact in found[:_SHOWN])
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise StateConflict(
            f"{target} is not as deploy {state.base_id} of {scope.name} left it: {said}{more}",
            next_step=f"Run `wmctl sync {scope.name} --target {target}` and try it there again.",
        )
    return Proven(scope.name, state.base_id, state.commit, state.base)
