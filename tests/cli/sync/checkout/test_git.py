"""What git says of a customer's folder."""

from __future__ import annotations

import subprocess
from pathlib import Path

from platform_cli.sync.checkout.git import head_commit, uncommitted


def _git(folder: Path, *words: str) -> str:
    name = ["-c", "user.name=Ana", "-c", "user.email=ana@example.org"]
    done = subprocess.run(["git", "-C", folder, *name, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_changed_new_moved_and_deleted_files_are_named_and_others_are_not(tmp_path: Path) -> None:
    """Those below the folder only, whatever their names."""
    folder = tmp_path / "customers" / "acme"
    folder.mkdir(parents=True)
    for name in ("same.yaml", "changed.yaml", "deleted.yaml", "moved.yaml"):
        (folder / name).write_text(f"name: {name}\nmuch: of\nit: is\nthe: same\n")
    _git(tmp_path, "init", "--quiet")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "--quiet", "-m", "first")
    (folder / "changed.yaml").write_text("a: 2\n")
    (folder / "deleted.yaml").unlink()
    _git(folder, "mv", "moved.yaml", "here.yaml")
    (folder / "sub").mkdir()
    (folder / "sub" / "ñew \n one.yaml").write_text("")
    (tmp_path / "customers" / "other.yaml").write_text("")

    top = tmp_path.resolve() / "customers" / "acme"
    assert uncommitted(folder) == sorted(
        top / name
        for name in ("changed.yaml", "deleted.yaml", "here.yaml", "moved.yaml", "sub/ñew \n one.yaml")
    )
    assert head_commit(folder) == _git(tmp_path, "rev-parse", "HEAD")


def test_a_folder_outside_of_a_repository_has_nothing_to_commit(tmp_path: Path) -> None:
    """And no commit."""
    (tmp_path / "x").write_text("")

    assert (uncommitted(tmp_path), head_commit(tmp_path)) == ([], None)


def test_a_repository_without_commits_has_no_commit(tmp_path: Path) -> None:
    """Its files are uncommitted."""
    _git(tmp_path, "init", "--quiet")
    (tmp_path / "x").write_text("")

    assert (uncommitted(tmp_path), head_commit(tmp_path)) == ([tmp_path.resolve() / "x"], None)
