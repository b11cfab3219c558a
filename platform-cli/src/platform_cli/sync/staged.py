"""What git means on a staging target: every route stands below the name of its workspace.

Two workspaces of one server share its addresses, and the server refuses a route that another workspace
has. So on staging `/api/r/acme/in` is `/api/r/staging/acme/in` (`workspaced_route`), and git says nothing of
it: the field is put in before a plan is made, and taken out again of what is pulled or promoted.
"""

from __future__ import annotations

from platform_cli.sync.items import Item, Kind, Tree
from platform_cli.sync.targets import TargetKind

FIELD = "workspaced_route"


def meant_for(kind: TargetKind, tree: Tree) -> Tree:
    """The items as that kind of target is to have them."""
    if kind is not TargetKind.STAGING:
        return tree
    return {
        key: _with(item, own=True) if key.kind is Kind.HTTP_TRIGGER else item for key, item in tree.items()
    }


def in_git(tree: Tree, item: Item | None) -> Item | None:
    """An item of a target as git is to have it: a route's field as in git's `tree`, off where it is new."""
    if item is None or item.key.kind is not Kind.HTTP_TRIGGER:
        return item
    known = tree.get(item.key)
    return _with(item, own=known is not None and known.value.get(FIELD) is True)


def _with(item: Item, *, own: bool) -> Item:
    return item if item.value.get(FIELD) is own else Item(item.key, {**item.value, FIELD: own})
