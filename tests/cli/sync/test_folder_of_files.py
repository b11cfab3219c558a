"""Items that stand in several files: apps, scripts with modules, resources in files of their own."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from platform_cli.sync.desired import read_desired
from platform_cli.sync.folder import write_changes
from platform_cli.sync.items import Item, Json, Key, Kind
from platform_cli.sync.official.canonical import canonical
from platform_core.errors import FolderRefused
from tests.support.folders import contents, write_folder

APP = Key(Kind.RAW_APP, "f/acme/panel")
MODULES = Key(Kind.SCRIPT, "f/acme/parts")
TEXT = Key(Kind.RESOURCE, "f/acme/letter")
_VALUES: dict[Key, dict[str, Json]] = {
    APP: {
        "summary": "Panel",
        "value": {
            "files": {"/index.tsx": "export default 1\n", "/index.css": "a {}\n"},
            "runnables": {
                "load": {
                    "type": "inline",
                    "inlineScript": {"content": "def main(): ...\n", "language": "python3"},
                },
                "save": {"type": "path", "runType": "script", "path": "f/acme/hello"},
            },
        },
    },
    MODULES: {
        "content": "from parts import one\n",
        "language": "python3",
        "lock": "\n",
        "modules": {"one.py": {"content": "ONE = 1\n", "language": "python3"}},
    },
    TEXT: {"resource_type": "letter", "value": {"content": "Dear {name},\n"}},
}
_TYPE = "description: null\nschema: null\nformat_extension: md\nis_fileset: false\n"


def _item(key: Key, value: Json) -> Item:
    return Item(key, canonical(key.kind, value if isinstance(value, dict) else {}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A customer's folder with one of each."""
    folder = write_folder(tmp_path, **{"config/letter.resource-type.yaml": _TYPE})
    write_changes(
        folder, read_desired(folder).scope, {key: _item(key, value) for key, value in _VALUES.items()}
    )
    return folder


def test_each_stands_in_the_folder_of_its_kind_and_reads_as_it_was_written(folder: Path) -> None:
    """In the layout of the official command line."""
    read = read_desired(folder)

    assert {key: read.tree[key] for key in _VALUES} == {
        key: _item(key, value) for key, value in _VALUES.items()
    }
    assert {
        str(key): [file.relative_to(folder).as_posix() for file in read.files[key]] for key in _VALUES
    } == {
        "raw_app f/acme/panel": [
            "apps/panel__raw_app/raw_app.yaml",
            "apps/panel__raw_app/backend/load.py",
            "apps/panel__raw_app/backend/load.yaml",
            "apps/panel__raw_app/backend/save.yaml",
            "apps/panel__raw_app/index.css",
            "apps/panel__raw_app/index.tsx",
        ],
        "script f/acme/parts": [
            "scripts/parts__mod/script.yaml",
            "scripts/parts__mod/one.py",
            "scripts/parts__mod/script.lock",
            "scripts/parts__mod/script.py",
        ],
        "resource f/acme/letter": ["config/letter.resource.yaml", "config/letter.resource.file.md"],
    }


def test_an_edit_changes_the_file_that_it_belongs_to(folder: Path) -> None:
    """Comments in an app's other files stay."""
    save = folder / "apps/panel__raw_app/backend/save.yaml"
    save.write_text(f"# keeps\n{save.read_text()}")
    read, before = read_desired(folder), contents(folder)

    def edited(key: Key, *way: str, text: str) -> Item:
        value: Any = copy.deepcopy(dict(read.tree[key].value))
        *steps, last = way
        inner = value
        for step in steps:
            inner = inner[step]
        inner[last] = text
        return Item(key, value)

    changes = [
        edited(APP, "value", "files", "/index.css", text="b {}\n"),
        edited(MODULES, "modules", "one.py", "content", text="ONE = 2\n"),
        edited(TEXT, "value", "content", text="Dear {name}!\n"),
    ]
    write_changes(folder, read.scope, {item.key: item for item in changes}, read=read)

    after = contents(folder)
    assert {name: text for name, text in after.items() if before[name] != text} == {
        "apps/panel__raw_app/index.css": "b {}\n",
        "scripts/parts__mod/one.py": "ONE = 2\n",
        "config/letter.resource.file.md": "Dear {name}!\n",
    }
    assert [read_desired(folder).tree[item.key] for item in changes] == changes


def test_what_tools_leave_in_an_apps_folder_is_nobodys(folder: Path) -> None:
    """The packages and what was built from them."""
    app = folder / "apps/panel__raw_app"
    for name in ("node_modules/x/index.js", "dist/index.js", "package-lock.json", "AGENTS.md"):
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_text("x")

    assert read_desired(folder).tree[APP] == _item(APP, _VALUES[APP])


def test_a_file_of_an_app_that_nothing_runs_is_refused(folder: Path) -> None:
    """It would be lost at the first deploy."""
    (folder / "apps/panel__raw_app/backend/old.py").write_text("x = 1\n")

    with pytest.raises(FolderRefused, match=r"backend/old.py: it belongs to nothing of raw_app f/acme/panel"):
        read_desired(folder)
