"""Names stand in the order of the official files, which is that of a dictionary and not of a computer."""

from __future__ import annotations

from platform_cli.sync import yaml12


def test_names_are_sorted_as_the_official_cli_sorts_them() -> None:
    """A few come first; signs before digits before letters; case only decides between equals."""
    names = "lock locks value id type modules summary name description content expr _x $schema b-c b_c bC B_C"
    others = "a1 a10 a2 Z z ñ n o"

    assert " ".join(sorted(f"{names} {others}".split(), key=yaml12.name_order)) == (
        "_x $schema a1 a10 a2 id type summary name description value content modules lock locks "
        "b_c B_C b-c bC expr n ñ o z Z"
    )
