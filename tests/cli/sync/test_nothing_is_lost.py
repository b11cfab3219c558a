"""Whatever two people do, in whatever order it is deployed and pulled: no edit of either is ever lost."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from platform_cli.sync.items import Item, Key, Tree
from platform_cli.sync.plan import Act
from tests.support.sync_edits import Office, Pen, forked_by_both, locked, one_of_each, plan

_MOVES = st.lists(
    st.sampled_from(["git", "git", "windmill", "windmill", "deploy", "pull"]), min_size=2, max_size=20
)
_STOPPED = {Act.CONFLICT, Act.UNMANAGED, Act.KEPT}


def _text(*trees: Tree) -> str:
    return "".join(one.text for tree in trees for one in tree.values())


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=True), _MOVES)
def test_a_word_that_nobody_took_out_is_in_git_or_in_windmill(random: Random, moves: list[str]) -> None:
    """After every deploy and every pull, however the edits before them fell."""
    start = {key: locked(one) for key, one in one_of_each().items()}
    office, pen = Office(dict(start), dict(start), dict(start)), Pen(random)

    for move in moves:
        match move:
            case "git":
                office.git = pen.edit(office.git)
            case "windmill":
                office.live = pen.edit(office.live)
            case "deploy":
                office.deploy()
            case _:
                office.pull()
        everything = _text(office.git, office.live)
        assert {word for word in pen.written - pen.struck if word not in everything} == set()


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=True), st.integers(0, 4), st.integers(0, 4), st.booleans())
def test_after_both_directions_were_carried_out_nothing_is_left(
    random: Random, in_git: int, in_windmill: int, pull_first: bool
) -> None:
    """Deploy and pull in either order leave only what a person must decide, and that is named.

    That may be a flow of which both changed one fork: branches have no names, so which is which is found by
    what is in them, and after a pull there may be too little left to find them by.
    """
    start = {key: locked(one) for key, one in one_of_each().items()}
    office, pen = Office(dict(start), dict(start), dict(start)), Pen(random)
    for _ in range(in_git):
        office.git = pen.edit(office.git)
    for _ in range(in_windmill):
        office.live = pen.edit(office.live)
    clashing = {change.key for change in office.plan().of(Act.CONFLICT)}
    for tree in (office.base, office.git, office.live):
        for key in clashing:
            tree.pop(key, None)

    forked = forked_by_both(office.base, office.git, office.live)
    for move in (office.pull, office.deploy) if pull_first else (office.deploy, office.pull, office.deploy):
        move()
    office.pull()  # the locks that the server made
    office.deploy()

    left = office.plan()
    if undecided := {change.key for change in left.of(Act.CONFLICT)}:
        assert undecided <= forked
        return
    assert {change.act for change in left.changes} <= {Act.UNMANAGED}
    managed = {key: one for key, one in office.live.items() if key not in {c.key for c in left.changes}}
    assert {key: one.digest for key, one in managed.items()} == {
        key: one.digest for key, one in office.git.items()
    }


@settings(max_examples=100, deadline=None)
@given(st.randoms(use_true_random=True), st.integers(0, 4), st.integers(0, 4))
def test_a_merge_accepts_the_same_whoever_is_who(random: Random, in_git: int, in_windmill: int) -> None:
    """With the sides exchanged the same items conflict, and the others come to the same.

    Of a flow of which both changed one fork, one order of the sides may find its branches and the other not.
    """
    start, pen = one_of_each(), Pen(random)
    git, live = dict(start), dict(start)
    for _ in range(in_git):
        git = pen.edit(git)
    for _ in range(in_windmill):
        live = pen.edit(live)

    there, back = plan(start, git, live), plan(start, live, git)
    both = [key for key in start if key in git and key in live]

    def outcome(changes: dict[Key, Item | None], key: Key) -> str | None:
        found = changes.get(key)
        return found.digest if found else None

    ours = {change.key: change.after for change in there.changes}
    mirrored = {change.key: change.after for change in back.changes}
    outcomes = {key: (outcome(ours, key), outcome(mirrored, key)) for key in both}
    differing = {key for key, (one, other) in outcomes.items() if one != other}
    assert differing <= forked_by_both(start, git, live)
    assert [outcomes[key] for key in differing if None not in outcomes[key]] == []


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=True), st.integers(0, 3), st.integers(0, 3))
def test_the_order_in_which_trees_are_read_is_nothing(random: Random, in_git: int, in_windmill: int) -> None:
    """Trees and mappings in another order give the same plan, and equal trees give none."""
    start, pen = one_of_each(), Pen(random)
    git, live = dict(start), dict(start)
    for _ in range(in_git):
        git = pen.edit(git)
    for _ in range(in_windmill):
        live = pen.edit(live)

    def turned(tree: Tree) -> dict[Key, Item]:
        return {key: Item(key, _turned(dict(tree[key].value))) for key in reversed(list(tree))}

    assert plan(turned(start), turned(git), turned(live)) == plan(start, git, live)
    assert plan(start, git, git).of(*Act) == tuple(
        change for change in plan(start, git, git).changes if change.act is Act.ADOPT
    )
    assert plan(git, turned(git), git).changes == ()


def _turned(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _turned(value[name]) for name in reversed(list(value))}
    return [_turned(item) for item in value] if isinstance(value, list) else value
