"""The commands about targets: a line that works with one called `prod`, and what each refuses."""

from __future__ import annotations

from collections.abc import Mapping

from tests.cli.commands.row import Row

OF_A_WINDMILL = ("backup", "host", "instance", "promote", "target")
"""Commands about a Windmill or a machine for one: they need no installation, and have tests of their own."""
OF_A_HOST = ("secret bundle", "secret unbundle")
"""The like, of a noun that is about customers too."""


def about_windmill(name: str) -> bool:
    """Whether a command is one of those, such as `target add`."""
    return name.split(maxsplit=1)[0] in OF_A_WINDMILL or name in OF_A_HOST


ROWS_OF_TARGETS: Mapping[str, Row] = {
    "target add": Row(
        {"name": "prod", "url": "https://windmill.invalid", "workspace": "prod", "token_file": "-"},
        "",
        spoilt=(
            ({"name": "Prod"}, 2, "'Prod' is not a name for a target"),
            ({"url": "windmill"}, 2, "'windmill' is not the address of a server"),
            ({"url": "http://windmill.invalid"}, 2, "is plain HTTP"),
            ({"workspace": "a b"}, 2, "'a b' is not the name of a workspace"),
            ({"token_file": "/nowhere/at/all"}, 2, "cannot be read"),
        ),
    ),
    "target list": Row({}, "", "name url workspace kind in_use"),
    "target use": Row({"name": "prod"}, "", spoilt=(({"name": "other"}, 3, "There is no target 'other'"),)),
    "target remove": Row({"name": "prod"}, "", spoilt=(({"name": ""}, 3, "There is no target"),)),
    "target check": Row(
        {"name": "prod"},
        "",
        "name url workspace kind version tested username email rights token_ends_at warnings",
        spoilt=(({"name": "other"}, 3, "There is no target 'other'"),),
    ),
    "promote": Row(
        {"customers": "acme", "source": "staging", "target": "production", "yes": ""},
        "",
        "scope target deploy status written put_back left reason notes",
        spoilt=(
            ({"source": "production"}, 2, "cannot be promoted to itself"),
            ({"customers": "nobody_of_that_name"}, 3, "There is no folder for a customer"),
        ),
    ),
}
