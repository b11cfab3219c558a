"""The official CLI's own tree of a workspace, and ours of the same export, are one and the same.

`recorded_export.json` and `recorded_tree.json` are the first workspace that was recorded.
`official_shapes.json` holds items of every shape, exported by a server 1.743.0 and pulled from it by the
official CLI 1.819.0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from platform_cli.sync.items import Tree
from platform_cli.sync.official import tree
from platform_cli.sync.official.export import read_export
from tests.support.official import tar_of

HERE = Path(__file__).parent


def _read(name: str) -> dict[str, dict[str, str]]:
    read: dict[str, dict[str, str]] = json.loads((HERE / name).read_text(encoding="utf-8"))
    return read


SHAPES = _read("official_shapes.json")
RECORDED = {
    "export": json.loads((HERE / "recorded_export.json").read_text(encoding="utf-8")),
    "tree": json.loads((HERE / "recorded_tree.json").read_text(encoding="utf-8")),
}
BOTH = pytest.mark.parametrize("workspace", [RECORDED, SHAPES], ids=["recorded", "shapes"])


def _exported(workspace: Mapping[str, Mapping[str, str]]) -> Tree:
    return read_export(tar_of(workspace["export"])).items


def _on_disk(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes().decode()
        for path in folder.rglob("*")
        if path.is_file()
    }


@BOTH
def test_an_export_becomes_the_tree_that_the_official_cli_wrote(
    workspace: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    """Byte for byte: names of files, texts, YAML and `wmill-lock.yaml`."""
    tree.write_tree(_exported(workspace), tmp_path)

    assert _on_disk(tmp_path) == {"wmill.yaml": tree.WMILL_YAML, **workspace["tree"]}


@BOTH
def test_the_official_tree_is_read_as_the_export(
    workspace: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    """So that a plan after an official pull is empty."""
    for name, text in workspace["tree"].items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())

    assert tree.read_tree(tmp_path) == _exported(workspace)


def test_what_is_no_item_is_told_apart() -> None:
    """Secrets by their ciphertext, and kinds that are not kept in step by name."""
    found = read_export(tar_of(SHAPES["export"]))

    assert (list(found.secret_ciphertexts), found.others) == (["f/formats/sec"], ("app f/formats/classic",))
    assert found.emails["f/formats/s_min"] == "superadmin_secret@windmill.dev"


def test_only_what_is_wanted_is_read() -> None:
    """An item of somebody else that nobody here can read does not stop this one."""
    strange = {"f/other/x.script.json": "{}", "f/other/y.flow.json": "not JSON"}

    found = read_export(tar_of(RECORDED["export"] | strange), lambda key: key.path == "f/acme/hello")

    assert [str(key) for key in found.items] == ["script f/acme/hello"]
