"""`wmctl connector`: which connectors are installed, whether they keep their contract, and a new one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from platform_cli import render
from platform_cli.options import AsJson, noun
from platform_cli.root import find_root
from platform_cli.scaffold.connector import list_left, write_connector
from platform_cli.scaffold.contract import check_contract
from platform_core.connectors import list_connectors, load_connector

app = noun("Connectors to providers: list them, check their contract, begin a new one.")

FAULTY = 4
ConnectorName = Annotated[str, typer.Argument(metavar="NAME", help="The connector's name, such as calendly.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Show the installed connectors and what each declares to do.

    Example: wmctl connector list
    """
    root = find_root(Path.cwd())
    found = [_Listed.of(root, name) for name in list_connectors()]
    if as_json:
        render.document(found)
        return
    rows = [(one.name, one.version, ", ".join(one.capabilities), one.left or "") for one in found]
    render.table("Connectors", ("connector", "version", "can", "left to write"), rows)


@dataclass(frozen=True, slots=True)
class _Listed:
    """One line of the list; `left` counts what is not written yet."""

    name: str
    version: str
    capabilities: list[str]
    left: int

    @classmethod
    def of(cls, root: Path, name: str) -> _Listed:
        """An installed connector."""
        one = load_connector(name)
        return cls(one.name, one.version, sorted(one.capabilities), len(list_left(root, name)))


@app.command("check")
def check(name: ConnectorName, as_json: AsJson = False) -> int:
    """Say what a connector lacks of its contract, without calling its provider.

    Exit 4 when something is left.

    Example: wmctl connector check calendly
    """
    root = find_root(Path.cwd())
    found = check_contract(root, name)
    if as_json:
        render.document({"connector": name, "left": found})
    elif found:
        rows = [(one.item, one.what, f"{one.file}:{one.line}" if one.line else one.file) for one in found]
        render.table(f"{name} lacks", ("item", "what to write", "where"), rows)
        render.note(f"{len(found)} things are left; then `pytest tests/connectors/{name}` says the rest.")
    else:
        render.good(
            f"{name} has everything of its contract; tests/connectors/{name} proves that it keeps it."
        )
    return FAULTY if found else 0


@app.command("new")
def new(name: ConnectorName) -> None:
    """Write a connector that declares itself and does nothing, with a suite that fails until it does.

    Example: wmctl connector new mercado_pago
    """
    root = find_root(Path.cwd())
    for path in write_connector(root, name):
        render.note(f"wrote {path}")
    left = list_left(root, name)
    rows = [(number, one.item, one.what) for number, one in enumerate(left, 1)]
    render.table(f"Left to write of {name}", ("", "item", "what to write"), rows)
    render.good(f"Run `make setup`, then `pytest tests/connectors/{name}`: it fails by this list.")
