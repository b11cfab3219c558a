"""Says what became of a deploy or a rollback, and what to do next."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NoReturn

from platform_cli import render
from platform_cli.options import Ended
from platform_cli.sync.apply import Deployed
from platform_cli.sync.counting import count_of
from platform_cli.sync.items import Key
from platform_cli.sync.journal import Status
from platform_cli.sync.undo import PutBack
from platform_core.errors import DeployFailed

INTERRUPTED = 130
_MOST_NAMED = 5


def deployed_document(name: str, target: str, done: Deployed) -> dict[str, object]:
    """A deploy for a program."""
    return {
        "scope": name,
        "target": target,
        "deploy": done.number,
        "status": done.status,
        "written": [str(key) for key in done.written],
        "put_back": [str(key) for key in done.put_back],
        "left": {str(key): why for key, why in done.left.items()},
        "reason": done.reason,
        "notes": list(done.notes),
    }


def tell_deploy(name: str, done: Deployed) -> None:
    """In words, on stderr. Raises: DeployFailed, or Ended after Ctrl-C."""
    for note in done.notes:
        render.warning(f"{name}: {note}")
    _tell_left(name, done.left)
    if done.status is Status.DONE:
        render.good(f"{name}: {_written(name, done)}")
        return
    on = f"`wmctl plan {name}` shows what is left"
    if done.status is Status.INTERRUPTED:
        _stop(name, done, on)
    raise DeployFailed(_failure(name, done), next_step=_after_failure(name, done, on))


def _written(name: str, done: Deployed) -> str:
    if not done.written:
        return "nothing to write." if done.number is None else "nothing to write; both sides noted as equal."
    return f"{_items(done.written)} written and read back. Undo: wmctl rollback {name} {done.number}"


def _stop(name: str, done: Deployed, on: str) -> NoReturn:
    names = ", ".join(str(key) for key in done.written[:_MOST_NAMED]) or "nothing"
    render.broken(
        f"Stopped. Deploy {done.number} of {name} wrote {_items(done.written)} ({names}), which stay; "
        f"{on}, `wmctl deploy {name}` goes on, `wmctl rollback {name} {done.number}` undoes it."
    )
    raise Ended(INTERRUPTED)


def _failure(name: str, done: Deployed) -> str:
    if done.status is Status.ROLLED_BACK:
        return f"Deploy {done.number} of {name} failed and everything is as it was before: {done.reason}"
    stays = f"; {_items(done.written)} written stay" if done.written else ""
    return f"Deploy {done.number} of {name} did not end well: {done.reason}{stays}"


def _after_failure(name: str, done: Deployed, on: str) -> str:
    if done.status is Status.ROLLED_BACK:
        return "Correct the item and deploy again."
    return f"{on}; `wmctl rollback {name} {done.number}` undoes the rest."


def put_back_document(name: str, target: str, back: PutBack) -> dict[str, object]:
    """A rollback for a program."""
    return {
        "scope": name,
        "target": target,
        "deploy": back.number,
        "there": [str(key) for key in back.there],
        "left": {str(key): why for key, why in back.left.items()},
        "stopped": back.stopped,
    }


def tell_rollback(name: str, back: PutBack) -> None:
    """In words, on stderr. Raises: DeployFailed when not everything is as before, Ended after Ctrl-C."""
    _tell_left(name, back.left)
    again = f"wmctl rollback {name} {back.number}"
    if back.stopped:
        render.broken(
            f"Stopped. {_items(back.there)} of deploy {back.number} are as before; `{again}` goes on."
        )
        raise Ended(INTERRUPTED)
    if not back.whole:
        raise DeployFailed(
            f"{_items(back.left)} of deploy {back.number} of {name} could not be put back",
            next_step=f"See above for each; `{again}` tries once more.",
        )
    render.good(f"{name}: deploy {back.number} is undone, {_items(back.there)} are as before it.")


def _tell_left(name: str, left: Mapping[Key, str]) -> None:
    """Items by what became of them, the first ones by name."""
    reasons: dict[str, list[Key]] = {}
    for key, why in left.items():
        reasons.setdefault(why, []).append(key)
    for why, keys in reasons.items():
        more = f" and {len(keys) - _MOST_NAMED} more" if len(keys) > _MOST_NAMED else ""
        render.warning(f"{name}: {', '.join(map(str, keys[:_MOST_NAMED]))}{more}: {why}")


def _items(keys: Collection[Key]) -> str:
    return count_of(len(keys), "item")
