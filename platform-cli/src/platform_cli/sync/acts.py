"""Decides what follows for one item: what git has, what Windmill has, and what both last agreed on.

The table is that of a three-way merge. What one side alone changed stands; what both changed is merged, and
what cannot be merged is a person's to decide. What Windmill alone has, and git never owned, is nobody's here.
"""

from __future__ import annotations

from dataclasses import replace

from platform_cli.sync.items import Item, Kind
from platform_cli.sync.merge import compare, merge_items, relocked
from platform_cli.sync.plan import Act, Change, FieldChange, Side


def decide(base: Item | None, ours: Item | None, theirs: Item | None, prefer: Side | None) -> Change | None:
    """What follows for an item of git (`ours`) and Windmill (`theirs`); None when it is nothing at all.

    `prefer` is a person's word for this one item: where both sides changed the same field that side counts,
    and where nothing clashes the whole of that side does.
    """
    if ours is not None and theirs is not None:
        return _on_both_sides(base, ours, theirs, prefer)
    if theirs is not None:
        return _absent_in_git(base, theirs, prefer)
    if ours is not None:
        return _absent_in_windmill(base, ours, prefer)
    return Change(base.key, Act.ADOPT, base, reason="gone on both sides") if base is not None else None


def _absent_in_git(base: Item | None, live: Item, prefer: Side | None) -> Change:
    change = Change(live.key, Act.UNMANAGED, base, None, live, live, live, reason="git never had it")
    if prefer is Side.THEIRS:
        return replace(change, act=Act.PULL, reason="taken into git, as asked")
    if base is None:
        return change
    if prefer is None and base.digest != live.digest:
        return replace(
            change,
            act=Act.CONFLICT,
            after=None,
            pulled=None,
            fields=_as_conflicts(compare(base, base, live), gone=True),
            reason="deleted in git, edited in Windmill",
        )
    if live.key.kind is Kind.FOLDER:
        return replace(
            change, act=Act.KEPT, reason="a folder is never deleted: what stands in it would be orphaned"
        )
    return replace(change, act=Act.DELETE, after=None, pulled=None, reason="deleted in git")


def _absent_in_windmill(base: Item | None, wanted: Item, prefer: Side | None) -> Change:
    change = Change(wanted.key, Act.CREATE, base, wanted, None, wanted, wanted, reason="new in git")
    if base is None and prefer is not Side.THEIRS:
        return change
    if prefer is Side.OURS:
        return replace(change, reason="deleted in Windmill, made again as asked")
    gone = replace(change, after=None, pulled=None)
    if base is None or base.digest == wanted.digest or prefer is Side.THEIRS:
        return replace(gone, act=Act.PULL_DELETE, reason="deleted in Windmill")
    return replace(
        gone,
        act=Act.CONFLICT,
        fields=_as_conflicts(compare(base, wanted, base), gone=False),
        reason="deleted in Windmill, edited in git",
    )


def _as_conflicts(fields: tuple[FieldChange, ...], *, gone: bool) -> tuple[FieldChange, ...]:
    """The edits of the side that still has the item; on the other the fields are absent."""
    return tuple(
        replace(field, conflict=True, ours=None) if gone else replace(field, conflict=True, theirs=None)
        for field in fields
    )


def _on_both_sides(base: Item | None, ours: Item, theirs: Item, prefer: Side | None) -> Change | None:
    if ours.text == theirs.text:
        known = base is not None and base.text == ours.text
        return None if known else _change(Act.ADOPT, base, ours, theirs, reason="the same on both sides")
    if ours.digest == theirs.digest:
        return _locks_only(base, ours, theirs)
    if prefer is None or base is None:
        return _merged(base, ours, theirs, prefer)
    plain = merge_items(base, ours, theirs)
    if plain.item is None:
        return _merged(base, ours, theirs, prefer)
    return _one_side(base, ours, theirs, prefer)


def _merged(base: Item | None, ours: Item, theirs: Item, prefer: Side | None) -> Change:
    """Both sides, or the one that changed; a conflict where they clash and nobody said which side counts."""
    merged = merge_items(base, ours, theirs, prefer=prefer)
    if merged.item is None:
        reason = "edited in git and in Windmill" if base else "differs, and the two never agreed on anything"
        return replace(
            _change(Act.CONFLICT, base, ours, theirs, reason), after=None, pulled=None, fields=merged.fields
        )
    if merged.item.digest == theirs.digest:
        return replace(_change(Act.PULL, base, ours, theirs, "edited in Windmill"), fields=merged.fields)
    both = merged.item.digest != ours.digest
    return replace(
        _change(
            Act.UPDATE,
            base,
            ours,
            theirs,
            "edited in git and in Windmill, merged" if both else "edited in git",
        ),
        after=merged.item,
        pulled=merged.item,
        fields=merged.fields,
    )


def _one_side(base: Item, ours: Item, theirs: Item, prefer: Side) -> Change:
    fields = compare(base, ours, theirs)
    if prefer is Side.THEIRS:
        return replace(_change(Act.PULL, base, ours, theirs, "Windmill's version, as asked"), fields=fields)
    change = _change(Act.UPDATE, base, ours, theirs, "git's version, as asked")
    return replace(change, after=ours, pulled=ours, fields=fields)


def _locks_only(base: Item | None, ours: Item, theirs: Item) -> Change | None:
    """Equal scripts with other locks: Windmill's are taken, but for those that git was given anew."""
    locked = relocked(base, ours, theirs)
    if locked == theirs:
        return _change(Act.RELOCK, base, ours, theirs, "locked anew by Windmill")
    if relocked(None, ours, theirs) == ours:  # the locks that Windmill lacks are still being made
        known = base is not None and base.digest == ours.digest
        return None if known else _change(Act.ADOPT, base, ours, theirs, "the same on both sides")
    change = _change(Act.UPDATE, base, ours, theirs, "locked anew in git")
    digests = [item.lock_digest if item is not None else None for item in (base, ours, theirs)]
    fields = (FieldChange("lock", digests[0], digests[1], digests[2]),)
    return replace(change, after=locked, pulled=locked, fields=fields)


def _change(act: Act, base: Item | None, ours: Item, theirs: Item, reason: str) -> Change:
    """A change after which both sides have what Windmill has."""
    return Change(theirs.key, act, base, ours, theirs, theirs, theirs, reason=reason)
