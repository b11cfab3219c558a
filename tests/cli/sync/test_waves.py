"""The order in which writes are carried out."""

from __future__ import annotations

from platform_cli.sync.items import Item, Kind
from platform_cli.sync.waves import importers, imports_of, waves
from platform_cli.sync.writes import Write
from tests.support.deploys import flow, folder, item, one_of_each, route, schedule, script


def _make(one: Item) -> Write:
    return Write(one.key, None, one)


def _drop(one: Item) -> Write:
    return Write(one.key, one, None)


def _order(*writes: Write) -> list[tuple[str, list[str]]]:
    return [(wave.name, [f"{w.verb} {w.key.path}" for w in wave.writes]) for wave in waves(writes)]


def test_what_is_made_comes_kind_by_kind_and_the_folder_first() -> None:
    """Each kind stands when the next one begins."""
    assert [wave.name for wave in waves(map(_make, one_of_each().values()))] == [
        "folders",
        "resource_types",
        "variables",
        "resources",
        "scripts",
        "scripts",
        "flows",
        "schedules",
        "http_triggers",
    ]


def test_what_is_deleted_goes_last_and_backwards() -> None:
    """Nothing ever points at what is gone."""
    gone = [folder(), script("hello"), flow(), schedule()]

    assert _order(*map(_drop, gone), _make(script("new"))) == [
        ("scripts", ["create f/acme/new"]),
        ("delete schedules", ["delete f/acme/cron"]),
        ("delete flows", ["delete f/acme/review"]),
        ("delete scripts", ["delete f/acme/hello"]),
        ("delete folders", ["delete f/acme"]),
    ]


def test_a_script_comes_after_those_it_imports_and_goes_before_them() -> None:
    """Whichever way the import is written."""
    low = script("low")
    middle = script("middle", "from .low import x\n\n\ndef main():\n    return x\n")
    high = script("high", "from f.acme import (\n    middle,\n)\nimport f.acme.low\n\n\ndef main(): ...\n")

    assert _order(*map(_make, [high, low, middle])) == [
        ("scripts", ["create f/acme/low"]),
        ("scripts", ["create f/acme/middle"]),
        ("scripts", ["create f/acme/high"]),
    ]
    assert [names for _, names in _order(*map(_drop, [high, low, middle]))] == [
        ["delete f/acme/high"],
        ["delete f/acme/middle"],
        ["delete f/acme/low"],
    ]


def test_scripts_that_import_each_other_in_a_circle_come_together() -> None:
    """No order would be right; waiting for ever would be wrong."""
    one = script("one", "import f.acme.two\n")
    two = script("two", "import f.acme.one\n")

    assert _order(_make(one), _make(two)) == [("scripts", ["create f/acme/one", "create f/acme/two"])]


def test_imports_are_found_as_python_writes_them() -> None:
    """Absolute, relative, of a module and of a name in it."""
    content = (
        "import os\nfrom f.acme.shared import a\nfrom . import b\nfrom ..other.c import d\n\n\n"
        "def main():\n    import f.x.y\n"
    )

    found = imports_of(script("hello", content))

    assert {"f/acme/shared", "f/acme/b", "f/other/c", "f/x/y"} <= found
    assert "f/acme/other" not in found


def test_importers_are_found_over_any_number_of_steps() -> None:
    """They are locked anew when what they import changes."""
    tree = {
        one.key: one
        for one in (
            script("a"),
            script("b", "import f.acme.a\n"),
            script("c", "from .b import x\n"),
            script("d"),
        )
    }

    assert [key.path for key in importers(tree, ["f/acme/a"])] == ["f/acme/b", "f/acme/c"]


def test_routes_that_change_places_are_taken_away_first() -> None:
    """The server refuses a route while another trigger holds it."""
    one, two = route("one", "acme/a/:x"), route("two", "acme/b")
    swapped = [
        Write(one.key, one, route("one", "acme/b")),
        Write(two.key, two, route("two", "acme/a/:y")),
    ]

    assert _order(*swapped) == [
        ("make way among http_triggers", ["delete f/acme/one", "delete f/acme/two"]),
        ("http_triggers again", ["create f/acme/one", "create f/acme/two"]),
    ]


def test_a_route_that_is_given_up_goes_before_the_trigger_that_takes_it_over() -> None:
    """A renamed trigger is one deleted and one made."""
    old, new = route("old", "acme/in"), route("new", "acme/in")

    assert _order(_drop(old), _make(new)) == [
        ("make way among http_triggers", ["delete f/acme/old"]),
        ("http_triggers", ["create f/acme/new"]),
    ]


def test_a_switched_route_that_makes_way_comes_back_as_it_was_switched() -> None:
    """The switch belongs to ops."""
    off = item(Kind.HTTP_TRIGGER, "f/acme/one", **{**route("one", "acme/a").value, "mode": "disabled"})
    found = waves(
        [
            Write(off.key, off, route("one", "acme/b")),
            _make(route("two", "acme/a")),
        ]
    )

    assert [wave.name for wave in found] == [
        "make way among http_triggers",
        "http_triggers",
        "http_triggers again",
    ]
    assert found[2].writes[0].expected == Item(off.key, {**route("one", "acme/b").value, "mode": "disabled"})
