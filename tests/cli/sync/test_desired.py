"""A customer's folder read as items, and all that is refused: by file, line, reason and next step."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_cli.sync.checkout.problems import problems_of
from platform_cli.sync.customer_file import Ignore, Selector
from platform_cli.sync.desired import as_official, read_desired
from platform_cli.sync.items import Key, Kind, Scope
from platform_cli.sync.official.tree import files_of
from platform_core.errors import FolderRefused, InvalidInput, NotFound
from tests.support.folders import FILES, write_files, write_folder
from tests.support.refused_folders import REFUSED

REPOSITORY = Path(__file__).parents[3]


def _said(folder: Path) -> list[str]:
    """The problems of a folder, each with its file below the folder."""
    with pytest.raises(FolderRefused) as refused:
        read_desired(folder)
    return [str(problem).removeprefix(f"{folder}/") for problem in problems_of(refused.value)]


def test_each_file_is_part_of_the_item_that_its_place_and_name_say(tmp_path: Path) -> None:
    """The main file comes first; what is no item is in none."""
    folder = write_folder(tmp_path)

    found = read_desired(folder)

    assert {
        str(key): [file.relative_to(folder).as_posix() for file in found.files[key]] for key in found.tree
    } == {
        "folder f/acme": ["config/folder.meta.yaml"],
        "resource_type c_ycloud": ["config/c_ycloud.resource-type.yaml"],
        "variable f/acme/plain": ["config/plain.variable.yaml"],
        "resource f/acme/account": ["config/account.resource.yaml"],
        "script f/acme/hello": [
            "scripts/hello.script.yaml",
            "scripts/hello.py",
            "scripts/hello.script.lock",
        ],
        "flow f/acme/review": [
            "flows/review__flow/flow.yaml",
            "flows/review__flow/ask.lock",
            "flows/review__flow/ask.py",
        ],
        "schedule f/acme/nightly": ["config/nightly.schedule.yaml"],
        "http_trigger f/acme/hook": ["config/hook.http_trigger.yaml"],
    }
    assert found.scope == Scope("acme", frozenset({"c_ycloud"}))
    assert found.warnings == ()


def test_an_item_has_the_texts_of_the_files_beside_its_main_one(tmp_path: Path) -> None:
    """A script its program and lock, a flow those of its steps; what is left out is filled in."""
    tree = read_desired(write_folder(tmp_path)).tree

    script = tree[Key(Kind.SCRIPT, "f/acme/hello")].value
    flow = tree[Key(Kind.FLOW, "f/acme/review")].value["value"]
    assert (script["content"], script["lock"], script["language"]) == (
        FILES["scripts/hello.py"],
        FILES["scripts/hello.script.lock"],
        "python3",
    )
    assert isinstance(flow, dict)
    assert isinstance(flow["modules"], list)
    assert flow["modules"][1] == {
        "id": "ask",
        "summary": "Ask staff",
        "value": {
            "type": "rawscript",
            "language": "python3",
            "content": FILES["flows/review__flow/ask.py"],
            "lock": FILES["flows/review__flow/ask.lock"],
            "input_transforms": {},
        },
    }


def test_the_folder_is_rendered_with_every_item_below_the_name_of_the_customer(tmp_path: Path) -> None:
    """As the official command line has them: kinds side by side, resource types at the root."""
    tree = as_official(write_folder(tmp_path))

    assert sorted(name for item in tree.values() for name in files_of(item)) == [
        "c_ycloud.resource-type.yaml",
        "f/acme/account.resource.yaml",
        "f/acme/folder.meta.yaml",
        "f/acme/hello.py",
        "f/acme/hello.script.lock",
        "f/acme/hello.script.yaml",
        "f/acme/hook.http_trigger.yaml",
        "f/acme/nightly.schedule.yaml",
        "f/acme/plain.variable.yaml",
        "f/acme/review__flow/ask_staff.lock",
        "f/acme/review__flow/ask_staff.py",
        "f/acme/review__flow/flow.yaml",
    ]


@pytest.mark.parametrize(
    "folder", sorted((REPOSITORY / "customers").glob("[!_.]*")), ids=lambda path: path.name
)
def test_every_customer_of_this_repository_reads_clean(folder: Path) -> None:
    """Nothing in it is refused, and nothing warned of."""
    found = read_desired(folder)

    assert found.warnings == ()
    assert found.tree


def test_the_platforms_own_folder_needs_no_customer_file(tmp_path: Path) -> None:
    """And may hold runbooks and rules beside its items."""
    folder = write_files(
        tmp_path / "ops",
        {
            "slo.toml": "",
            "runbooks/restore.md": "# Restore\n",
            "config/here.variable.yaml": "value: v\n",
        },
    )

    found = read_desired(folder)

    assert (list(found.tree), found.scope, found.customer.name) == (
        [Key(Kind.VARIABLE, "f/ops/here")],
        Scope("ops"),
        "ops",
    )


def test_what_customer_toml_protects_and_ignores_is_told(tmp_path: Path) -> None:
    """Protected are the items that there are; a star stands for any text."""
    toml = """\
name = "acme"
[sync]
protect = ["flow f/acme/*"]
ignore = ["schedule f/acme/nightly: args.limit"]
"""
    found = read_desired(write_folder(tmp_path, **{"customer.toml": toml}))

    ignored = Ignore(Selector(Kind.SCHEDULE, "f/acme/nightly"), "args.limit")
    assert (found.protect, found.ignore) == (frozenset({Key(Kind.FLOW, "f/acme/review")}), (ignored,))
    assert ignored.matches(Key(Kind.SCHEDULE, "f/acme/nightly"), "args.limit.most")
    assert not ignored.matches(Key(Kind.SCHEDULE, "f/acme/nightly"), "args.limits")


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_folder_is_refused_with_file_line_reason_and_next_step(case: str, tmp_path: Path) -> None:
    """One problem each, since everything else of the folder is right."""
    refusal = REFUSED[case]
    folder = write_folder(tmp_path, **refusal.changed)

    with pytest.raises(FolderRefused) as refused:
        read_desired(folder)

    assert [
        (problem.file.relative_to(folder).as_posix(), problem.line, problem.reason, problem.next_step)
        for problem in problems_of(refused.value)
    ] == [(refusal.file, refusal.line, refusal.reason, refusal.next_step)]


def test_links_are_refused_and_never_followed(tmp_path: Path) -> None:
    """Neither a file nor a folder may be one; where it leads out it says so."""
    folder = write_folder(tmp_path)
    (tmp_path / "outside.py").write_text("not-a-real-secret")
    (folder / "scripts" / "out.py").symlink_to(tmp_path / "outside.py")
    (folder / "flows" / "again__flow").symlink_to(folder / "flows" / "review__flow")

    assert _said(folder) == [
        "flows/again__flow: it is a symbolic link. Put the file itself here.",
        "scripts/out.py: it is a symbolic link out of the folder. Put the file itself here.",
    ]


def test_all_problems_of_a_folder_are_named_at_once(tmp_path: Path) -> None:
    """By file; beyond forty they are counted."""
    many: dict[str, str | bytes | None] = {
        f"config/v{number:02}.variable.yaml": "value: [\n" for number in range(60)
    }
    folder = write_folder(tmp_path, **many, **{"scripts/hello.py": "\r\n"})

    with pytest.raises(FolderRefused) as refused:
        read_desired(folder)

    lines = refused.value.message.split("\n")
    assert (lines[0], len(lines), lines[-1]) == (f"{folder}: 61 problems", 42, "- and 21 more")
    assert len(problems_of(refused.value)) == 61


def test_a_broken_script_is_not_said_to_be_missing_by_what_starts_it(tmp_path: Path) -> None:
    """One cause is one problem."""
    said = _said(write_folder(tmp_path, **{"scripts/hello.py": "\r\n"}))

    assert len(said) == 1


def test_what_is_of_another_folder_is_warned_of(tmp_path: Path) -> None:
    """It may be there; the robot may not be allowed to run it."""
    flow = "value:\n  modules:\n  - id: a\n    value: {type: script, path: f/other/x}\n"
    hub = "value:\n  modules:\n  - id: a\n    value: {type: script, path: hub/1/x}\n"

    found = read_desired(
        write_folder(tmp_path, **{"flows/b__flow/flow.yaml": flow, "flows/c__flow/flow.yaml": hub})
    )

    assert [(warning.file.parent.name, warning.line, warning.reason) for warning in found.warnings] == [
        ("b__flow", 4, "value.modules.0.value.path: script f/other/x is not of this folder")
    ]


def test_cron_signs_that_only_a_server_knows_are_warned_of(tmp_path: Path) -> None:
    """The last working day of a month is no business of the local runtime."""
    schedule = "schedule: 0 0 3 LW * *\ntimezone: Etc/UTC\nscript_path: f/acme/hello\n"

    found = read_desired(write_folder(tmp_path, **{"config/b.schedule.yaml": schedule}))

    assert [(warning.file.name, warning.line) for warning in found.warnings] == [("b.schedule.yaml", 1)]


def test_hidden_files_and_caches_are_nobodys(tmp_path: Path) -> None:
    """An editor's leavings and Python's stop nothing."""
    folder = write_folder(
        tmp_path,
        **{"scripts/.hello.py.swp": b"\0", "scripts/__pycache__/hello.pyc": b"\0", ".DS_Store": b"\0"},
    )

    assert len(read_desired(folder).tree) == 8


def test_a_folder_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    """Not an empty one, which would delete everything."""
    with pytest.raises(NotFound, match="There is no folder"):
        read_desired(tmp_path / "acme")


def test_a_folder_is_not_read_as_that_of_another_scope(tmp_path: Path) -> None:
    """A wrong pair would plan the deletion of everything."""
    with pytest.raises(InvalidInput, match="is not the folder of other"):
        read_desired(write_folder(tmp_path), Scope("other"))
