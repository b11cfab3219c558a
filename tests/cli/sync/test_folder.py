"""Items written into a customer's folder: only what was edited changes, all files at once or none."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platform_cli.sync.checkout import staging
from platform_cli.sync.checkout.problems import problems_of
from platform_cli.sync.desired import read_desired
from platform_cli.sync.folder import write_changes
from platform_cli.sync.items import Item, Json, Key, Kind
from platform_cli.sync.official.canonical import canonical
from platform_cli.sync.official.tree import files_of
from platform_core.errors import FolderBusy, FolderChanged, FolderRefused, InvalidInput
from tests.support.folders import FILES, NAMES, TEXTS, contents, items, write_folder

HELLO = Key(Kind.SCRIPT, "f/acme/hello")
REVIEW = Key(Kind.FLOW, "f/acme/review")
NIGHTLY = Key(Kind.SCHEDULE, "f/acme/nightly")
ACCOUNT = Key(Kind.RESOURCE, "f/acme/account")
PLAIN = Key(Kind.VARIABLE, "f/acme/plain")


def _edited(folder: Path, key: Key, edit: Callable[[Any], object]) -> Item:
    """The folder's item with an edit made to a copy of its value."""
    value = copy.deepcopy(dict(read_desired(folder).tree[key].value))
    edit(value)
    return Item(key, canonical(key.kind, value))


def _write(folder: Path, *changes: Item) -> dict[str, str | None]:
    """Write items; the files that are not as before, with their new text."""
    before = contents(folder)
    read = read_desired(folder)
    written = write_changes(folder, read.scope, {item.key: item for item in changes}, read=read)
    after = contents(folder)
    changed = {
        name: after.get(name) for name in sorted({*before, *after}) if before.get(name) != after.get(name)
    }
    assert [file.relative_to(folder).as_posix() for file in written] == list(changed)
    return changed


# --- What git diff shows ----------------------------------------------------------------------------------


def test_an_edited_field_changes_its_own_line_and_keeps_the_comment_behind_it(tmp_path: Path) -> None:
    """Quotes, order and comments of everything else are the person's own."""
    folder = write_folder(tmp_path)
    item = _edited(folder, NIGHTLY, lambda value: value.update(enabled=False, schedule="0 0 4 * * *"))

    assert _write(folder, item) == {
        "config/nightly.schedule.yaml": FILES["config/nightly.schedule.yaml"]
        .replace("enabled: true #", "enabled: false #")
        .replace("'0 0 3 * * *'", "'0 0 4 * * *'")
    }


def test_a_new_field_stands_where_the_official_order_has_it(tmp_path: Path) -> None:
    """And the fields around it stay."""
    folder = write_folder(tmp_path)
    item = _edited(folder, NIGHTLY, lambda value: value["args"].update(after="12:30", zone="yes"))

    assert _write(folder, item) == {
        "config/nightly.schedule.yaml": FILES["config/nightly.schedule.yaml"].replace(
            "  limit: 5\n", "  after: 12:30\n  limit: 5\n  zone: yes\n"
        )
    }


def test_a_removed_field_takes_its_line_and_leaves_the_comments_around_it(tmp_path: Path) -> None:
    """What is left is what there was."""
    folder = write_folder(tmp_path)
    item = _edited(folder, ACCOUNT, lambda value: value["value"].pop("base_url"))

    assert _write(folder, item) == {
        "config/account.resource.yaml": FILES["config/account.resource.yaml"].replace(
            "  base_url: https://example.org\n", ""
        )
    }


def test_an_edited_step_changes_inside_its_own_lines(tmp_path: Path) -> None:
    """Steps are found by their id; a text in a block stays one."""
    folder = write_folder(tmp_path)

    def edit(value: Any) -> None:
        value["description"] = "Ask staff,\nnobody else.\n"
        value["value"]["modules"][0]["value"]["input_transforms"]["name"]["expr"] = "flow_input.who"

    assert _write(folder, _edited(folder, REVIEW, edit)) == {
        "flows/review__flow/flow.yaml": FILES["flows/review__flow/flow.yaml"]
        .replace("  then tell the parent.", "  nobody else.")
        .replace("{type: javascript, expr: flow_input.name}", "{type: javascript, expr: flow_input.who}")
    }


def test_moved_new_and_removed_steps_take_their_comments_along(tmp_path: Path) -> None:
    """The comment above a step belongs to it."""
    folder = write_folder(tmp_path)

    def edit(value: Any) -> None:
        look, ask, _ = value["value"]["modules"]
        value["value"]["modules"] = [ask, {"id": "new", "value": {"type": "identity"}}, look]

    changed = _write(folder, _edited(folder, REVIEW, edit))["flows/review__flow/flow.yaml"]

    assert changed is not None
    assert (
        changed.partition("  modules:\n")[2]
        == """\
  # then they decide
  - id: ask
    summary: Ask staff
    value:
      type: rawscript
      language: python3
      content: !inline ask.py
      lock: '!inline ask.lock'
      input_transforms: {}
  - id: new
    value:
      type: identity
  # first somebody looks
  - id: look
    value:
      type: script
      path: f/acme/hello   # ours
      input_transforms:
        name: {type: javascript, expr: flow_input.name}
"""
    )


def test_an_edited_program_changes_its_own_file_alone(tmp_path: Path) -> None:
    """A script's, and that of a step under the name that people gave its file."""
    folder = write_folder(tmp_path)

    def edit(value: Any) -> None:
        value["value"]["modules"][1]["value"]["content"] = "def main() -> int:\n    return 2\n"

    changes = (
        _edited(folder, HELLO, lambda value: value.update(content="def main(): ...\n")),
        _edited(folder, REVIEW, edit),
    )
    assert _write(folder, *changes) == {
        "flows/review__flow/ask.py": "def main() -> int:\n    return 2\n",
        "scripts/hello.py": "def main(): ...\n",
    }


def test_a_new_summary_gives_the_files_of_a_step_their_new_names(tmp_path: Path) -> None:
    """As the official command line would call them; the old ones go."""
    folder = write_folder(tmp_path)
    item = _edited(
        folder, REVIEW, lambda value: value["value"]["modules"][1].update(summary="Ask the parent")
    )

    assert _write(folder, item) == {
        "flows/review__flow/ask.lock": None,
        "flows/review__flow/ask.py": None,
        "flows/review__flow/ask_the_parent.lock": FILES["flows/review__flow/ask.lock"],
        "flows/review__flow/ask_the_parent.py": FILES["flows/review__flow/ask.py"],
        "flows/review__flow/flow.yaml": FILES["flows/review__flow/flow.yaml"]
        .replace("summary: Ask staff", "summary: Ask the parent")
        .replace("!inline ask.py", "'!inline ask_the_parent.py'")
        .replace("!inline ask.lock", "!inline ask_the_parent.lock"),
    }


def test_a_new_item_stands_in_the_official_style_in_the_folder_of_its_kind(tmp_path: Path) -> None:
    """A path of several parts becomes folders."""
    folder = write_folder(tmp_path)
    key = Key(Kind.FLOW, "f/acme/deep/other")
    flow = Item(key, canonical(Kind.FLOW, read_desired(folder).tree[REVIEW].value))

    assert _write(folder, flow) == {
        f"flows/deep/other__flow/{name.rpartition('/')[2]}": content.decode()
        for name, content in files_of(flow).items()
    }


def test_a_deleted_item_takes_all_its_files_and_its_own_folder_along(tmp_path: Path) -> None:
    """The folders of the kinds stay."""
    folder = write_folder(tmp_path)
    scope = read_desired(folder).scope

    write_changes(folder, scope, {REVIEW: None, NIGHTLY: None})

    assert sorted(set(FILES) - set(contents(folder))) == [
        "config/nightly.schedule.yaml",
        "flows/review__flow/ask.lock",
        "flows/review__flow/ask.py",
        "flows/review__flow/flow.yaml",
    ]
    assert [path.name for path in (folder / "flows").iterdir()] == []


def test_items_as_they_are_leave_every_byte(tmp_path: Path) -> None:
    """However people wrote them."""
    folder = write_folder(tmp_path)

    assert _write(folder, *read_desired(folder).tree.values()) == {}


# --- Random edits -----------------------------------------------------------------------------------------

_KEYS = [HELLO, REVIEW, NIGHTLY, ACCOUNT, PLAIN]
_EACH_FOLDER_IS_ITS_OWN = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@_EACH_FOLDER_IS_ITS_OWN
@given(
    st.sampled_from(_KEYS).flatmap(lambda key: st.lists(items(key.kind, key.path), min_size=1, max_size=3))
)
def test_an_item_reads_as_it_was_written_and_is_then_left_alone(
    tmp_path_factory: pytest.TempPathFactory, edits: list[Item]
) -> None:
    """Whatever was there before: first what a person wrote, then what was written over it."""
    folder = write_folder(tmp_path_factory.mktemp("folder"))
    for item in edits:
        _write(folder, item)

        assert read_desired(folder).tree[item.key] == item
        assert _write(folder, item) == {}


_PLACES: list[tuple[Key, tuple[str | int, ...]]] = [
    (HELLO, ("summary",)),
    (HELLO, ("description",)),
    (REVIEW, ("summary",)),
    (REVIEW, ("description",)),
    (REVIEW, ("value", "modules", 0, "value", "input_transforms", "name", "expr")),
    (NIGHTLY, ("args", "limit")),
    (NIGHTLY, ("args", "other")),
    (ACCOUNT, ("value", "base_url")),
]


@_EACH_FOLDER_IS_ITS_OWN
@given(st.sampled_from(_PLACES), TEXTS)
def test_every_comment_outside_of_an_edited_text_survives(
    tmp_path_factory: pytest.TempPathFactory, place: tuple[Key, tuple[str | int, ...]], text: str
) -> None:
    """All of the files' comments, since none stands inside of these texts."""
    folder = write_folder(tmp_path_factory.mktemp("folder"))
    key, (*way, last) = place

    def edit(value: Any) -> None:
        for step in way:
            value = value[step]
        value[last] = text

    _write(folder, _edited(folder, key, edit))

    comments = [
        line.partition("# ")[2] for file in FILES.values() for line in file.split("\n") if "# " in line
    ]
    now = "\n".join(contents(folder).values())
    assert [comment for comment in comments if f"# {comment}" not in now] == []


@_EACH_FOLDER_IS_ITS_OWN
@given(st.dictionaries(NAMES, TEXTS, max_size=4), st.permutations(["look", "ask", "wait"]))
def test_fields_and_steps_in_any_order_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, str], order: list[str]
) -> None:
    """Steps are moved with their lines, and what does not change of them stays as it was written."""
    folder = write_folder(tmp_path_factory.mktemp("folder"))

    def edit(value: Any) -> None:
        steps: dict[Json, Any] = {step["id"]: step for step in value["value"]["modules"]}
        steps["look"]["value"]["input_transforms"] = {
            name: {"type": "static", "value": text} for name, text in values.items()
        }
        value["value"]["modules"] = [steps[name] for name in order]

    item = _edited(folder, REVIEW, edit)
    changed = _write(folder, item).get("flows/review__flow/flow.yaml", "") or ""

    assert read_desired(folder).tree[REVIEW] == item
    assert [
        line for line in ("path: f/acme/hello   # ours", "content: !inline ask.py") if line not in changed
    ] in (
        [],
        ["path: f/acme/hello   # ours", "content: !inline ask.py"] if not changed else [],
    )


# --- What is not written ----------------------------------------------------------------------------------


def test_nothing_is_written_over_a_file_that_changed_since_it_was_read(tmp_path: Path) -> None:
    """Nor is any other file of the same command."""
    folder = write_folder(tmp_path)
    read = read_desired(folder)
    changes: dict[Key, Item | None] = {
        PLAIN: _edited(folder, PLAIN, lambda value: value.update(value="w")),
        NIGHTLY: _edited(folder, NIGHTLY, lambda value: value.update(enabled=False)),
    }
    (folder / "config/plain.variable.yaml").write_text("value: mine\n")
    before = contents(folder)

    with pytest.raises(FolderChanged, match=r"plain.variable.yaml was changed meanwhile"):
        write_changes(folder, read.scope, changes, read=read)

    assert contents(folder) == before


def test_nothing_is_written_over_a_file_that_appeared_since_the_folder_was_read(tmp_path: Path) -> None:
    """It may be the very item that somebody just made."""
    folder = write_folder(tmp_path)
    read = read_desired(folder)
    new = Item(Key(Kind.VARIABLE, "f/acme/new"), canonical(Kind.VARIABLE, {"value": "theirs"}))
    (folder / "config/new.variable.yaml").write_text("value: mine\n")

    with pytest.raises(FolderChanged, match=r"new.variable.yaml was changed meanwhile"):
        write_changes(folder, read.scope, {new.key: new}, read=read)


REFUSED: dict[str, tuple[Key, dict[str, Json], str]] = {
    "a secret variable": (
        Key(Kind.VARIABLE, "f/acme/s"),
        {"value": "not-a-real-secret", "is_secret": True},
        "a secret is never written to git",
    ),
    "a secret in a resource": (
        Key(Kind.RESOURCE, "f/acme/r"),
        {"resource_type": "t", "value": {"auth": {"client_secret": "not-a-real-secret"}}},
        "value.auth.client_secret: this looks like a secret in clear, which is never written to git",
    ),
    "a script whose lock is not made yet": (
        Key(Kind.SCRIPT, "f/acme/new"),
        {"content": "def main(): ...\n", "language": "python3", "lock": None},
        "Windmill has not made its lock yet",
    ),
    "a name that differs in case only": (
        Key(Kind.VARIABLE, "f/acme/PLAIN"),
        {"value": "v"},
        "it differs from plain.variable.yaml only in upper and lower case",
    ),
    "a name with a dot": (Key(Kind.VARIABLE, "f/acme/a.b"), {"value": "v"}, "the name 'a.b' has a dot"),
    "a way out of the folder": (
        Key(Kind.VARIABLE, "f/acme/../../x"),
        {"value": "v"},
        "the name '..' has a dot",
    ),
    "a program that a push lost": (
        Key(Kind.SCRIPT, "f/acme/new"),
        {"content": "!inline f/acme/new.py", "language": "python3", "lock": "\n"},
        "script f/acme/new: its text in Windmill is `!inline f/acme/new.py`, not a script",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_may_not_stand_in_git_is_refused_by_name(case: str, tmp_path: Path) -> None:
    """No file changes, those of other items neither, and no secret is in the message."""
    key, value, reason = REFUSED[case]
    folder = write_folder(tmp_path)
    read = read_desired(folder)
    other = _edited(folder, PLAIN, lambda value: value.update(value="w"))
    before = contents(folder)

    with pytest.raises(FolderRefused) as refused:
        write_changes(
            folder, read.scope, {PLAIN: other, key: Item(key, canonical(key.kind, value))}, read=read
        )

    assert [problem.reason for problem in problems_of(refused.value)] == [reason]
    assert contents(folder) == before
    assert "not-a-real" not in f"{refused.value.one_line()}"


def test_an_item_of_another_folder_is_not_written(tmp_path: Path) -> None:
    """Not even below the right name."""
    folder = write_folder(tmp_path)
    key = Key(Kind.VARIABLE, "f/other/x")

    with pytest.raises(InvalidInput, match="variable f/other/x does not belong to"):
        write_changes(
            folder, read_desired(folder).scope, {key: Item(key, canonical(key.kind, {"value": "v"}))}
        )


def test_a_folder_that_another_program_writes_into_is_left_alone(tmp_path: Path) -> None:
    """It is read when that program is done."""
    folder = write_folder(tmp_path)
    item = _edited(folder, PLAIN, lambda value: value.update(value="w"))
    read = read_desired(folder)
    place = folder / staging.PLACE

    with staging.alone(folder), pytest.raises(FolderBusy, match="Another program is writing into"):
        write_changes(folder, read.scope, {PLAIN: item}, read=read)

    assert not place.exists()
    assert _write(folder, item) == {
        "config/plain.variable.yaml": "value: w\nis_secret: false\ndescription: d\n"
    }
