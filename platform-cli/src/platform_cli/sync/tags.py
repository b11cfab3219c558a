"""Tags of items: a job goes to the workers that take its tag, so a tag without one is a job that never runs.

Windmill lets nobody but a superadmin run what carries a tag that its setting `custom_tags` lacks, and queues
what carries a tag that no worker takes. Neither is refused at a deploy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from platform_cli.sync.client import Client
from platform_cli.sync.items import Json, Key, Tree
from platform_cli.sync.plan import Level, Notice
from platform_core.errors import WindmillNotFound


@dataclass(frozen=True, slots=True)
class Taken:
    """Of the tags that were asked for: those the server does not know, and those no live worker takes."""

    unknown: frozenset[str] = frozenset()
    idle: frozenset[str] = frozenset()


def tags_of(tree: Tree) -> dict[str, Key]:
    """Each tag that an item or a step of a flow carries, and the first item that does.

    A tag made from arguments (`$args[...]`) is known at a run alone and left out.
    """
    found: dict[str, Key] = {}
    for key in sorted(tree):
        for tag in _tags_in(tree[key].value):
            found.setdefault(tag, key)
    return found


def _tags_in(item: Mapping[str, Json]) -> Iterator[str]:
    yield from _plain(item.get("tag"))
    if isinstance(item.get("value"), dict):
        yield from _of_steps(item["value"])


def _of_steps(value: Json) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("type"), str):
            yield from _plain(value.get("tag"))
            yield from _plain(value.get("tag_override"))
        for inside in value.values():
            yield from _of_steps(inside)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inside in value:
            yield from _of_steps(inside)


def _plain(tag: Json) -> Iterator[str]:
    if isinstance(tag, str) and tag and "$" not in tag:
        yield tag


async def read_taken(client: Client, tags: Sequence[str]) -> Taken:
    """Ask which of these tags the server knows, and which a worker takes now. For none nothing is asked."""
    if not tags:
        return Taken()
    try:
        known, taken = await client.custom_tags(), await client.tags_with_workers(tags)
    except WindmillNotFound:
        return Taken()  # another version, of which the access already warns
    return Taken(
        frozenset(tag for tag in tags if tag not in known),
        frozenset(tag for tag in tags if tag not in taken),
    )


def of_tags(tree: Tree, taken: Taken) -> Iterator[Notice]:
    """What a person should know of the tags in this tree, a notice for each tag."""
    for tag, key in tags_of(tree).items():
        if tag in taken.unknown:
            says = (
                f"carries the tag {tag}, which this Windmill does not know: only a superadmin could run it; "
                "`wmctl instance init` makes the platform's tags known"
            )
            yield Notice(Level.DANGER, str(key), says)
        elif tag in taken.idle:
            says = (
                f"carries the tag {tag}, which no worker takes now: its jobs would wait; "
                f"start one with {tag} in WORKER_TAGS"
            )
            yield Notice(Level.WARNING, str(key), says)
