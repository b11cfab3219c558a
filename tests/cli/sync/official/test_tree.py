"""Items become the official files and are read back from them; what cannot be right is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings

from platform_cli.sync.items import Item, Key, Kind, tree_of
from platform_cli.sync.official import tree
from platform_cli.sync.official.canonical import canonical
from platform_cli.sync.official.export import read_export
from platform_cli.sync.official.resource_files import file_types
from platform_core.errors import InvalidInput
from tests.support.official import Value, exported, items, tar_of

FLOW = Key(Kind.FLOW, "f/acme/x")
SCRIPT = Key(Kind.SCRIPT, "f/acme/x")


@settings(max_examples=200, deadline=None)
@given(items)
def test_an_item_is_the_same_after_its_files_were_read(item: Item) -> None:
    """Whatever its kind and its texts."""
    assert tree.read_item(item.key, tree.files_of(item)) == item


@settings(max_examples=50, deadline=None)
@given(items)
def test_an_item_is_the_same_in_the_export(item: Item) -> None:
    """With everything volatile that the server puts beside it."""
    volatile = {"edited_at": "2026-01-01T00:00:00Z", "edited_by": "ana", "workspace_id": "prod"}

    assert read_export(tar_of(exported(item, **volatile))).items == {item.key: item}


@settings(max_examples=50, deadline=None)
@given(items)
def test_each_file_says_whose_it_is(item: Item) -> None:
    """So that a tree on disk can be read at all."""
    assert {tree.key_of(path) for path in tree.files_of(item)} == {item.key}
    assert tree.main_file(item.key, tree.files_of(item)) in tree.files_of(item)


def test_a_tree_on_disk_is_the_tree_that_was_written(tmp_path: Path) -> None:
    """With `wmill.yaml` and `wmill-lock.yaml` beside it; what belongs to no item is left alone."""
    types = Item(
        Key(Kind.RESOURCE_TYPE, "c_toml"), canonical(Kind.RESOURCE_TYPE, {"format_extension": "toml"})
    )
    conf = Item(
        Key(Kind.RESOURCE, "f/acme/conf"),
        canonical(Kind.RESOURCE, {"resource_type": "c_toml", "value": {"content": "a = 1\n"}}),
    )
    whole = tree_of([types, conf, _script(), _flow({"modules": [_step("a"), _step("b")]})])
    (tmp_path / ".git" / "f").mkdir(parents=True)
    (tmp_path / ".git" / "f" / "y.py").write_text("")
    (tmp_path / "tool.py").write_text("")

    tree.write_tree(whole, tmp_path)

    assert tree.read_tree(tmp_path) == whole
    assert (tmp_path / "f/acme/conf.resource.file.toml").read_text() == "a = 1\n"
    assert sorted(path.name for path in (tmp_path / "f/acme/x__flow").iterdir()) == [
        "a.lock",
        "a.py",
        "b.lock",
        "b.py",
        "flow.yaml",
    ]


def test_a_link_in_a_tree_is_refused(tmp_path: Path) -> None:
    """It may lead anywhere."""
    (tmp_path / "f").symlink_to(tmp_path.parent)

    with pytest.raises(InvalidInput, match="f is a symbolic link"):
        tree.read_tree(tmp_path)


@pytest.mark.parametrize("path", ["x.py", "f/acme/x.md", "f/acme/x__app/app.yaml", "README.md", "wmill.yaml"])
def test_other_files_belong_to_no_item(path: str) -> None:
    """They are not looked at."""
    assert tree.key_of(path) is None


def test_steps_are_named_depth_first_by_one_counter() -> None:
    """Loops, branches before the default, tools of agents; then the failure module and the preprocessor."""
    value: Value = {
        "modules": [
            {
                "id": "a",
                "value": {"type": "forloopflow", "iterator": {"type": "ai"}, "modules": [_step("s")]},
            },
            {
                "id": "b",
                "value": {
                    "type": "branchone",
                    "default": [_step("d")],
                    "branches": [{"expr": "1", "modules": [_step("s")]}],
                },
            },
            {
                "id": "c",
                "value": {
                    "type": "aiagent",
                    "tools": [_step("s"), {"id": "m", "value": {"tool_type": "mcp", "resource_path": "x"}}],
                },
            },
            _step("s"),
        ],
        "preprocessor_module": _step("s"),
        "failure_module": _step("s"),
    }

    names = [
        path.removeprefix("f/acme/x__flow/") for path in tree.files_of(_flow(value)) if path.endswith(".py")
    ]

    assert names == ["s.py", "s_1.py", "d.py", "s_2.py", "s_3.py", "s_4.py", "s_5.py"]


@pytest.mark.parametrize(
    "yaml", ["content: '!inline a.py'", "content: !inline a.py", "content: !inline './a.py'"]
)
def test_a_reference_may_be_a_text_or_a_tag(yaml: str) -> None:
    """The official CLI reads both."""
    files = {
        "f/acme/x__flow/flow.yaml": _flow_yaml(yaml).encode(),
        "f/acme/x__flow/a.py": b"def main():\n    return 1\n",
    }

    assert tree.read_item(FLOW, files) == _flow(
        {"modules": [_step("a", content="def main():\n    return 1\n", lock=None, tool_type=None)]}
    )


@pytest.mark.parametrize(
    ("yaml", "why"),
    [
        ("content: '!inline ../b.py'", "leads out of f/acme/x__flow"),
        ("content: '!inline /etc/passwd'", "leads out of f/acme/x__flow"),
        ("content: '!inline flow.yaml'", "leads to itself"),
        ("content: '!inline gone.py'", "f/acme/x__flow/gone.py, which is not there"),
        ("content: '!inline loop.py'", "loop.py: it holds `!inline a.py` again"),
        ("content: '!inline bytes.py'", "bytes.py: not UTF-8"),
    ],
)
def test_a_reference_that_leads_nowhere_is_refused(yaml: str, why: str) -> None:
    """By file and by what is wrong with it."""
    files = {
        "f/acme/x__flow/flow.yaml": _flow_yaml(yaml).encode(),
        "f/acme/x__flow/loop.py": b"!inline a.py",
        "f/acme/x__flow/bytes.py": b"\xff",
        "f/acme/b.py": b"",
    }

    with pytest.raises(InvalidInput) as refused:
        tree.read_item(FLOW, files)

    assert why in refused.value.one_line()
    assert refused.value.next_step


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: _flow({"modules": [_step("pay", content="!inline pay.py")]}), "flow f/acme/x, step pay"),
        (lambda: _flow({"modules": [_step("pay", lock="!inline pay.lock")]}), "flow f/acme/x, step pay"),
        (lambda: _script(content="!inline x.py"), "script f/acme/x"),
        (
            lambda: Item(Key(Kind.RESOURCE, "f/acme/r"), {"value": {"content": "!inline x"}}),
            "resource f/acme/r",
        ),
    ],
)
def test_a_script_that_the_server_lost_is_refused_by_name(make: Callable[[], Item], named: str) -> None:
    """An earlier push sent the reference instead of the text; files of it would spread the loss."""
    with pytest.raises(InvalidInput, match="not a script") as refused:
        tree.files_of(make())

    assert named in refused.value.one_line()


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"f/acme/x.py": b""}, "f/acme/x.script.yaml is missing"),
        ({"f/acme/x.script.yaml": b"kind: script\n"}, "needs one file with its text; there is none"),
        (
            {"f/acme/x.script.yaml": b"kind: script\n", "f/acme/x.py": b"", "f/acme/x.ts": b""},
            "f/acme/x.py, f/acme/x.ts",
        ),
        (
            {"f/acme/x.script.yaml": b"- 1\n", "f/acme/x.py": b""},
            "f/acme/x.script.yaml: line 1: not a mapping",
        ),
        (
            {"f/acme/x.script.yaml": b"a: 1\nb: c: d\n", "f/acme/x.py": b""},
            "f/acme/x.script.yaml: line 2: not YAML",
        ),
        ({"f/acme/x.script.yaml": b"lock: '!inline ../../x'\n", "f/acme/x.py": b""}, "leads out of the tree"),
    ],
)
def test_a_script_that_is_not_whole_is_refused(files: dict[str, bytes], why: str) -> None:
    """With the file and what was expected."""
    with pytest.raises(InvalidInput) as refused:
        tree.read_item(SCRIPT, files)

    assert why in refused.value.one_line()


def test_an_item_whose_file_would_stand_outside_its_folder_is_refused() -> None:
    """The names of an app's files and of a script's modules come from the server."""
    app = Item(
        Key(Kind.RAW_APP, "f/acme/a"), canonical(Kind.RAW_APP, {"value": {"files": {"/../../x": "y"}}})
    )
    script = _script(modules={"../../x.py": {"content": "y", "language": "python3"}})

    for item in (app, script):
        with pytest.raises(InvalidInput, match=r"outside|leads out"):
            tree.files_of(item)


def test_a_set_of_files_is_written_file_by_file() -> None:
    """For the types that say so."""
    types = {Key(Kind.RESOURCE_TYPE, "c_set"): Item(Key(Kind.RESOURCE_TYPE, "c_set"), {"is_fileset": True})}
    resource = Item(
        Key(Kind.RESOURCE, "f/acme/r"),
        canonical(
            Kind.RESOURCE, {"resource_type": "c_set", "value": {"a.txt": "x", "b/c.sql": "select 1\n"}}
        ),
    )

    files = tree.files_of(resource, file_types(types))

    assert sorted(files) == ["f/acme/r.fileset/a.txt", "f/acme/r.fileset/b/c.sql", "f/acme/r.resource.yaml"]
    assert tree.read_item(resource.key, files) == resource


def _step(name: str, **fields: object) -> Value:
    value: Value = {"type": "rawscript", "language": "python3", "content": "def main():\n    return 1\n"}
    value |= {"lock": "six", "input_transforms": {}, "tool_type": "flowmodule", **fields}
    return {"id": name, "value": {key: part for key, part in value.items() if part is not None}}


def _flow(value: Value) -> Item:
    return Item(FLOW, canonical(Kind.FLOW, {"value": value}))


def _flow_yaml(content: str) -> str:
    return (
        "value:\n  modules:\n    - id: a\n      value:\n        type: rawscript\n        language: python3\n"
        f"        input_transforms: {{}}\n        {content}\n"
    )


def _script(**fields: object) -> Item:
    value: Value = {"content": "def main():\n    return 1\n", "language": "python3", "lock": "\n", **fields}
    return Item(SCRIPT, canonical(Kind.SCRIPT, value))
