"""What a host says of its copies, and what a person reads out of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from platform_core.errors import HostUnreachable

DRILL_DUE = timedelta(days=8)
COPY_DUE = timedelta(hours=26)
LOG_DUE = timedelta(minutes=10)
"""How long a drill, a copy and the end of the log may be ago. The first two are those of the service's own
health, which is stricter about the log: to a desk with a clock of its own two minutes say nothing.
"""

_UNITS = ("B", "KB", "MB", "GB", "TB")
_KILO, _MEGA = 1000, 2

Row = tuple[str, str, str, str]
"""Mark, what it is about, what was seen, what to do: as `render.findings` takes it."""


@dataclass(frozen=True, slots=True)
class Span:
    """An unbroken time that one can go back to any instant of. `system` names the cluster that wrote it."""

    begin: datetime
    end: datetime
    system: str


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a host holds: copies, the times they cover, dumps, bundles, the last drill, what is aside."""

    document: Mapping[str, object]
    copies: tuple[Mapping[str, object], ...]
    spans: tuple[Span, ...]
    dumps: tuple[Mapping[str, object], ...]
    bundles: tuple[Mapping[str, object], ...]
    drill: Mapping[str, object] | None
    aside: tuple[str, ...]


def read_holdings(answer: str) -> Holdings:
    """The document that `backup list` answers. Raises: HostUnreachable when it is none."""
    try:
        found = json.loads(answer)
        return Holdings(
            found,
            tuple(found["copies"]),
            tuple(
                Span(_instant(span["from"]), _instant(span["to"]), str(span.get("system", "")))
                for span in found["covered"]
            ),
            tuple(found["dumps"]),
            tuple(found["bundles"]),
            found["drill"],
            tuple(map(str, found["aside"])),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise HostUnreachable(
            "The host answers something that is no list of copies",
            next_step="Deploy the release that this wmctl belongs to.",
        ) from None


def findings(held: Holdings, now: datetime) -> Iterator[Row]:
    """What a person must know first: the newest copy, how far back, the drill, secrets, what is aside."""
    yield _newest(held, now)
    newest = max((span.end for span in held.spans), default=now)
    yield from (_span(span, now, is_last=span.end == newest) for span in held.spans)
    if not held.spans:
        yield ("broken", "time", "no instant can be gone back to", "Run `wmctl backup now`.")
    yield _drilled(held, now)
    yield _bundled(held.bundles, now)
    for name in held.aside:
        yield (
            "warning",
            "aside",
            f"{name}: what a restore replaced",
            "When it is not needed: wmctl backup forget.",
        )


def copy_rows(held: Holdings) -> Sequence[Sequence[object]]:
    """A line a copy, newest last."""
    return [
        (copy.get("name"), size(copy.get("bytes")), copy.get("ended_at"), copy.get("timeline"))
        for copy in held.copies
    ]


def drill_rows(answer: str) -> list[Row]:
    """What a drill found, a line a look; empty when the answer is none of a drill."""
    try:
        checks = _checks(json.loads(answer))
    except ValueError:
        return []
    return [
        ("ok" if one.get("ok") else "broken", str(one.get("name")), str(one.get("said")), "")
        for one in checks
    ]


def size(count: object) -> str:
    """Bytes as people read them."""
    if not isinstance(count, int):
        return "?"
    steps = 0
    while count >= _KILO ** (steps + 1) and steps < len(_UNITS) - 1:
        steps += 1
    return f"{count / _KILO**steps:.{0 if steps < _MEGA else 1}f} {_UNITS[steps]}"


def age(at: datetime, now: datetime) -> str:
    """How long ago, in the one unit that says it."""
    past = now - at
    if past < timedelta(hours=2):
        return f"{max(past // timedelta(minutes=1), 0)} min ago"
    if past < timedelta(days=2):
        return f"{past // timedelta(hours=1)} h ago"
    return f"{past // timedelta(days=1)} days ago"


def _newest(held: Holdings, now: datetime) -> Row:
    if not held.copies:
        return ("broken", "copies", "there is none", "Run `wmctl backup now`.")
    newest = max((_instant(copy["ended_at"]) for copy in held.copies), default=now)
    total = sum(int(str(copy.get("bytes", 0))) for copy in held.copies)
    says = f"{len(held.copies)}, {size(total)}, the newest {age(newest, now)}"
    if now - newest > COPY_DUE:
        return ("broken", "copies", says, "Run `wmctl backup now`; see ops/runbooks/backup-stale.md.")
    return ("ok", "copies", says, "")


def _span(span: Span, now: datetime, *, is_last: bool) -> Row:
    says = f"any instant from {_said(span.begin)} to {_said(span.end)}"
    if span.system:
        says += f" (system {span.system})"
    if is_last and now - span.end > LOG_DUE:
        return ("broken", "time", says, "Nothing newer comes in; see ops/runbooks/backup-stale.md.")
    return ("ok", "time", says, "")


def _drilled(held: Holdings, now: datetime) -> Row:
    """A host whose first copy is young may have made no drill yet, as its own health says too."""
    next_step = "Run `wmctl backup drill`; see ops/runbooks/backup-stale.md."
    drill = held.drill
    if drill is None:
        oldest = min((_instant(copy["ended_at"]) for copy in held.copies), default=now)
        is_late = now - oldest > DRILL_DUE
        return ("broken" if is_late else "warning", "drill", "no copy was ever tried", next_step)
    at = _instant(drill["at"])
    says = f"{age(at, now)}, of {drill.get('copy')}, in {drill.get('took_s')} s"
    if not drill.get("ok"):
        failed = [str(one.get("name")) for one in _checks(drill) if not one.get("ok")]
        return ("broken", "drill", f"{says}: FAILED in {', '.join(failed) or 'the whole'}", next_step)
    if now - at > DRILL_DUE:
        return ("broken", "drill", says, next_step)
    return ("ok", "drill", says, "")


def _bundled(bundles: Sequence[Mapping[str, object]], now: datetime) -> Row:
    next_step = "Run `wmctl backup fetch` after it was made; docs/guides/secrets.md says how."
    if not bundles:
        return ("warning", "secrets", "no bundle of them is on the host", next_step)
    newest = max(_instant(one["at"]) for one in bundles)
    return ("ok", "secrets", f"the newest bundle is of {age(newest, now)}", "")


def _checks(drill: object) -> list[Mapping[str, object]]:
    found = drill.get("checks") if isinstance(drill, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _instant(text: object) -> datetime:
    at = datetime.fromisoformat(str(text))
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _said(at: datetime) -> str:
    """As `--to` takes it, to the last digit."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
