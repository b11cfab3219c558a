"""A plan as a document: what it holds, what it hides, and when a saved one is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from platform_cli.sync import plan_file, plan_text
from platform_cli.sync.items import Item, Kind, tree_of
from platform_cli.sync.live import Handle
from platform_cli.sync.plan import Plan
from platform_cli.sync.plan_file import AskedDocument
from platform_core.errors import InvalidPlan, StalePlan
from tests.support.sync_edits import NOW, flow, item, plan, resource, script, step, workspace

ASKED = AskedDocument(ours=[], theirs=[], switches=False)
SECRET = "not-a-real-key-4711"


def changed(content: str = "new = 1\n") -> Plan:
    """A plan with one update."""
    return plan(tree_of([script()]), tree_of([script(content=content)]), tree_of([script()]))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A plan in a file."""
    file = tmp_path / "plan.json"
    plan_file.save([changed()], ASKED, file)
    return file


def test_a_saved_plan_reads_back_as_it_was(saved: Path) -> None:
    """Whole, and nothing else beside it."""
    found = plan_file.load(saved)

    assert found.plans == [plan_file.document_of(changed())]
    assert [path.name for path in saved.parent.iterdir()] == ["plan.json"]
    plan_file.require_same(found.plans[0], changed())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.update(version=2), "is a plan of version 2, and this wmctl reads version 1"),
        (lambda d: d["plans"][0]["changes"].clear(), "was edited after it was saved"),
        (lambda d: d["asked"].update(switches=True), "was edited after it was saved"),
        (lambda d: d["plans"][0].pop("scope"), "plans.0.scope: Field required"),
        (lambda d: d.update(more=1), "more: Extra inputs are not permitted"),
        (lambda d: d["plans"].clear(), "was edited after it was saved"),
    ],
)
def test_a_file_that_is_no_plan_of_ours_is_refused(
    saved: Path, change: Callable[[dict[str, Any]], object], says: str
) -> None:
    """Another version, an edit, a key too many or too few."""
    document = json.loads(saved.read_text())
    change(document)
    saved.write_text(json.dumps(document))

    with pytest.raises(InvalidPlan) as refused:
        plan_file.load(saved)

    assert says in refused.value.one_line()


def test_a_file_that_is_not_json_is_refused(tmp_path: Path) -> None:
    """Such as a page that a browser saved."""
    (tmp_path / "plan.json").write_bytes(b"\xff<html>")

    with pytest.raises(InvalidPlan):
        plan_file.load(tmp_path / "plan.json")


def test_a_plan_that_would_write_something_else_now_is_stale(saved: Path) -> None:
    """It names the items; another target is not the same plan either."""
    document = plan_file.load(saved).plans[0]

    with pytest.raises(StalePlan, match="What it says of script f/acme/hello is no longer so"):
        plan_file.require_same(document, changed("newer = 1\n"))
    with pytest.raises(StalePlan, match="not acme on prod"):
        plan_file.require_same(document.model_copy(update={"target": "staging"}), changed())


def test_an_edit_in_windmill_elsewhere_leaves_a_saved_plan_good() -> None:
    """A deploy does not write that item."""
    git = tree_of([script(content="new = 1\n"), script("other")])
    before = plan(tree_of([script(), script("other")]), git, tree_of([script(), script("other")]))
    after = plan(tree_of([script(), script("other")]), git, tree_of([script(), script("other", "ui = 1\n")]))

    plan_file.require_same(plan_file.document_of(before), after)

    assert (before.exit_code, after.exit_code) == (2, 3)


def _with_secrets() -> Plan:
    variable = [item(Kind.VARIABLE, "api_key", {"value": f"{SECRET}{n}", "is_secret": False}) for n in (1, 2)]
    held = [
        resource({"api_key": f"{SECRET}{n}", "deep": {"token": f"{SECRET}{n}"}, "url": f"u{n}"})
        for n in (1, 2)
    ]
    return plan(
        tree_of([variable[0], held[0]]), tree_of([variable[1], held[1]]), tree_of([variable[0], held[0]])
    )


def test_what_goes_by_the_name_of_a_secret_is_hidden_everywhere() -> None:
    """In the document, on the terminal, in Markdown; the rest is shown."""
    made = _with_secrets()
    shown = (
        plan_file.document_of(made).model_dump_json(),
        plan_text.screen(made).plain,
        plan_text.markdown([made]),
    )

    assert [text for text in shown if SECRET in text or "u2" not in text] == []


def test_a_plan_on_the_terminal_names_all_that_a_person_needs() -> None:
    """The item, old and new, the other editor and the time, the three ways out, the line that sums it up."""
    base, git, live = (flow(step("a", path=f"f/acme/{name}")) for name in ("x", "y", "z"))
    handles = {base.key: Handle(edited_by="ana", edited_at=NOW)}
    unmanaged = script("mine")
    made = plan(tree_of([base]), tree_of([git]), workspace(tree_of([live, unmanaged]), handles))

    assert plan_text.screen(made).plain.splitlines() == [
        "acme on prod (git without a commit, last deploy 1)",
        "  ! flow f/acme/review  edited in git and in Windmill",
        '      value.modules.a.value.path  git "f/acme/y" → Windmill "f/acme/z"  (both edited it)',
        "      last edited in Windmill by ana at 2026-03-02 09:00Z",
        "      Windmill's counts: wmctl deploy acme --theirs 'flow f/acme/review'",
        "      git's counts: wmctl deploy acme --ours 'flow f/acme/review'",
        "      edit: change the file in customers/acme/ to what both should be, then the line above",
        "  · 1 in Windmill alone, never touched: script f/acme/mine",
        "1 in conflict, 1 unmanaged; 0 equal.",
    ]


def test_markdown_of_a_pull_request_shows_text_as_text() -> None:
    """Nothing that somebody wrote becomes a link, a mention, a tag or the end of a fence."""
    content = "````\n@everyone <img> | `x`\n"
    made = plan(
        tree_of([script(summary="a")]),
        tree_of([script(content=content, summary="@all | <b>`x`")]),
        tree_of([script(summary="a")]),
    )
    text = plan_text.markdown([made])

    assert "`````diff\n" in text
    assert '<code>"&#64;all &#124; &lt;b&gt;&#96;x&#96;"</code>' in text
    assert "1 to update; 0 equal." in text


def test_many_new_items_take_one_line_a_kind() -> None:
    """The first deploy of a customer fits on a screen."""
    items: list[Item] = [script(f"s{number}") for number in range(40)]

    assert len(plan_text.screen(plan({}, tree_of(items), {})).plain.splitlines()) == 3
