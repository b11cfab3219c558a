"""`wmctl render`: customers' folders as the tree that the official command line reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from platform_cli import render
from platform_cli.options import AsJson, Customers
from platform_cli.root import find_root
from platform_cli.sync.desired import as_official
from platform_cli.sync.official import tree as official_tree
from platform_cli.sync.session import folders_of
from platform_core.errors import InvalidInput


def app(
    customers: Customers = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="A folder that is empty or not there yet.")] = Path(
        ".local/rendered"
    ),
    as_json: AsJson = False,
) -> None:
    """Write a tree that the official `wmill` command reads.

    Example: wmctl render acme --out rendered
    """
    folders = folders_of(find_root(Path.cwd()), customers or [])
    if out.exists() and any(out.iterdir()):
        raise InvalidInput(f"{out} is not empty", next_step="Remove it, or name another with --out.")
    items = {key: item for folder in folders for key, item in as_official(folder).items()}
    official_tree.write_tree(items, out)
    if as_json:
        render.document({"folder": out.as_posix(), "items": sorted(str(key) for key in items)})
        return
    render.good(f"{len(items)} items are in {out}. There: wmill sync push --dry-run")
