"""Two edits of one item: fields, steps, locks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from platform_cli.sync.items import Item, Kind
from platform_cli.sync.merge import merge_items
from platform_cli.sync.plan import FieldChange, Side
from tests.support.sync_edits import Value, flow, item, raw, resource, script, step

Edit = Callable[[Any], object]


def edited(base: Item, *edits: Edit) -> Item:
    """The item after edits of its value."""
    value: Value = copy.deepcopy(dict(base.value))
    for edit in edits:
        edit(value)
    return Item(base.key, value)


def steps(value: Any) -> Any:
    """The flow's own list of steps."""
    return value["value"]["modules"]


LOOP: Value = {"id": "d", "value": {"type": "forloopflow", "modules": [step("d1"), step("d2")]}}
FORK: Value = {
    "id": "c",
    "value": {
        "type": "branchone",
        "default": [step("c9")],
        "branches": [{"expr": "ok", "modules": [step("c1")]}, {"expr": "no", "modules": [step("c2")]}],
    },
}
FLOW = flow(step("a"), raw("b"), FORK, LOOP)


def ids(merged: Item | None) -> list[str]:
    """The ids of a merged flow's own steps."""
    assert merged is not None
    return [one["id"] for one in steps(merged.value)]


CLEAN: list[tuple[str, Edit, Edit, list[str]]] = [
    (
        "put in at two places",
        lambda v: steps(v).insert(0, step("n")),
        lambda v: steps(v).append(step("m")),
        ["n", "a", "b", "c", "d", "m"],
    ),
    (
        "taken out and edited elsewhere",
        lambda v: steps(v).pop(0),
        lambda v: v.update(summary="S"),
        ["b", "c", "d"],
    ),
    ("taken out on both sides", lambda v: steps(v).pop(0), lambda v: steps(v).pop(0), ["b", "c", "d"]),
    (
        "moved, and put in beside",
        lambda v: steps(v).insert(0, steps(v).pop(3)),
        lambda v: steps(v).insert(2, step("n")),
        ["d", "a", "b", "n", "c"],
    ),
    (
        "exchanged, and one put in before them",
        lambda v: steps(v).insert(0, steps(v).pop(1)),
        lambda v: steps(v).insert(0, step("n")),
        ["n", "b", "a", "c", "d"],
    ),
    (
        "exchanged, and one moved between them out of the loop",
        lambda v: steps(v).insert(0, steps(v).pop(1)),
        lambda v: steps(v).insert(1, steps(v)[3]["value"]["modules"].pop(0)),
        ["b", "a", "d1", "c", "d"],
    ),
    (
        "moved into a loop while it was edited",
        lambda v: steps(v)[3]["value"]["modules"].append(steps(v).pop(0)),
        lambda v: steps(v)[0]["value"].update(path="f/acme/other"),
        ["b", "c", "d"],
    ),
    (
        "a branch more, and another branch edited",
        lambda v: steps(v)[2]["value"]["branches"].insert(0, {"expr": "first", "modules": []}),
        lambda v: steps(v)[2]["value"]["branches"][1]["modules"].append(step("n")),
        ["a", "b", "c", "d"],
    ),
]


@pytest.mark.parametrize(
    ("ours", "theirs", "order"), [one[1:] for one in CLEAN], ids=[one[0] for one in CLEAN]
)
def test_edits_of_different_steps_go_together(ours: Edit, theirs: Edit, order: list[str]) -> None:
    """In either order of the sides; and once one side has it, after a pull, it comes to the same again."""
    one, other = edited(FLOW, ours), edited(FLOW, theirs)

    merged, mirrored = merge_items(FLOW, one, other).item, merge_items(FLOW, other, one).item

    assert ids(merged) == ids(mirrored) == order
    assert merged == mirrored
    assert merged is not None
    assert [merge_items(FLOW, merged, side).item for side in (one, other)] == [merged, merged]


def test_a_step_that_moved_takes_along_what_the_other_side_edited_in_it() -> None:
    """It is the same step by its id, wherever it stands."""
    moved = edited(FLOW, lambda v: steps(v)[3]["value"]["modules"].append(steps(v).pop(0)))
    renamed = edited(FLOW, lambda v: steps(v)[0]["value"].update(path="f/acme/other"))

    merged = merge_items(FLOW, moved, renamed).item

    assert merged is not None
    assert steps(merged.value)[2]["value"]["modules"][2] == step("a", path="f/acme/other")


CLASHES: list[tuple[str, Edit, Edit, str]] = [
    (
        "taken out and edited",
        lambda v: steps(v).pop(0),
        lambda v: steps(v)[0]["value"].update(path="f/acme/other"),
        "value.modules.a",
    ),
    (
        "a loop taken out and a step put into it",
        lambda v: steps(v).pop(3),
        lambda v: steps(v)[3]["value"]["modules"].append(step("n")),
        "value.modules.d",
    ),
    ("one id for two new steps", lambda v: steps(v).append(step("n")), lambda v: steps(v).insert(0, raw("n")),
     "value.modules.n"),
    ("two new steps at one spot", lambda v: steps(v).append(step("n")), lambda v: steps(v).append(step("m")),
     "value.modules"),
    (
        "moved to two places",
        lambda v: steps(v)[3]["value"]["modules"].append(steps(v).pop(0)),
        lambda v: steps(v)[2]["value"]["default"].append(steps(v).pop(0)),
        "value.modules.a (where it stands)",
    ),
    ("one field to two values", lambda v: v.update(summary="X"), lambda v: v.update(summary="Y"), "summary"),
    ("one line to two", lambda v: steps(v)[1]["value"].update(content="one = 2\ntwo = 2\n"),
     lambda v: steps(v)[1]["value"].update(content="one = 3\ntwo = 2\n"), "value.modules.b.value.content"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("ours", "theirs", "place"), [one[1:] for one in CLASHES], ids=[one[0] for one in CLASHES]
)
def test_what_clashes_is_named_and_a_persons_word_decides_it(ours: Edit, theirs: Edit, place: str) -> None:
    """The same with the sides exchanged; each word gives that side's version of it."""
    one, other = edited(FLOW, ours), edited(FLOW, theirs)

    clash = merge_items(FLOW, one, other)
    named = [change.place for change in clash.fields if change.conflict]

    assert clash.item is None
    assert place in named
    assert merge_items(FLOW, other, one).item is None
    for side in Side:
        assert merge_items(FLOW, one, other, prefer=side).item is not None


def test_two_moves_that_would_make_a_ring_are_a_clash() -> None:
    """Each loop moved into the other: neither could be reached."""
    base = flow({"id": "x", "value": {"type": "forloopflow", "modules": []}},
                {"id": "y", "value": {"type": "forloopflow", "modules": []}})  # fmt: skip
    ours = edited(base, lambda v: steps(v)[1]["value"]["modules"].append(steps(v).pop(0)))
    theirs = edited(base, lambda v: steps(v)[0]["value"]["modules"].append(steps(v).pop(1)))

    assert merge_items(base, ours, theirs).item is None


def test_steps_that_cannot_be_told_apart_are_merged_as_one_list() -> None:
    """Two steps of one id: nobody knows which is which."""
    base = flow(step("a"), step("a"))
    ours = edited(base, lambda v: steps(v).append(step("n")))

    assert merge_items(base, ours, base).item == ours
    assert merge_items(base, ours, edited(base, lambda v: steps(v).pop())).item is None


def test_true_is_not_one_and_null_is_not_absent() -> None:
    """Python would call the first two equal."""
    base = resource({"a": True, "b": None})
    ours = resource({"a": 1, "b": None})
    theirs = resource({"a": True})

    merged = merge_items(base, ours, theirs)

    assert merged.item == resource({"a": 1})
    assert merged.fields == (FieldChange("value.a", True, 1, True), FieldChange("value.b", None, None, None))


def test_owners_are_a_set_and_a_schemas_required_names_a_list_of_their_own() -> None:
    """Additions and removals of both sides go together."""
    folder = item(Kind.FOLDER, "", {"owners": ["u/ana", "u/ben"]})
    ours, theirs = (
        item(Kind.FOLDER, "", {"owners": names}) for names in (["u/ana"], ["u/ana", "u/ben", "u/cy"])
    )
    base, one, two = (
        script(schema={"required": names, "order": names}) for names in (["a"], ["a", "b"], ["a", "c"])
    )
    merged = merge_items(base, one, two).item

    assert merge_items(folder, ours, theirs).item == item(Kind.FOLDER, "", {"owners": ["u/ana", "u/cy"]})
    assert merged == script(schema={"required": ["a", "b", "c"], "order": ["a", "b", "c"]})


def test_an_app_is_one_piece() -> None:
    """Its files belong together."""
    base, ours, theirs = (
        item(Kind.RAW_APP, "x", {"a": a, "b": b}) for a, b in (("1", "1"), ("2", "1"), ("1", "2"))
    )

    assert merge_items(base, ours, theirs).item is None
    assert merge_items(base, ours, theirs, prefer=Side.THEIRS).item == theirs


@pytest.mark.parametrize(
    ("ours", "theirs", "lock"),
    [
        (("new = 1\n", "git's"), ("old = 1\n", "server's"), "git's"),
        (("old = 1\n", "\n"), ("new = 1\n", "server's"), "server's"),
        (("old = 1\n", "\n"), ("old = 1\n", "server's"), "server's"),
        (("old = 1\n", "git's"), ("old = 1\n", None), "git's"),
        (("old = 1\n", "git's"), ("old = 1\n", "\n"), "git's"),
        (("top = 1\nold = 1\n", "git's"), ("old = 1\nend = 1\n", "server's"), None),
    ],
)
def test_a_lock_comes_with_the_script_that_won(
    ours: tuple[str, str | None], theirs: tuple[str, str | None], lock: str | None
) -> None:
    """A merged script has none: it is made anew."""
    base = script(content="old = 1\n", lock="\n")
    merged = merge_items(
        base, script(content=ours[0], lock=ours[1]), script(content=theirs[0], lock=theirs[1])
    ).item

    assert merged is not None
    assert merged.value["lock"] == lock


def test_two_good_edits_that_make_no_python_are_a_clash() -> None:
    """Lines that go together are not yet a script."""
    base = script(content="if a:\n    x = 1\ny = 1\n")
    ours = script(content="while a:\n    x = 1\ny = 1\n")
    theirs = script(content="if a:\n    x = 1\nelif b:\n    x = 2\ny = 1\n")

    assert merge_items(base, ours, theirs).item is None
