"""Every row of the attack table, run as customer A's own login against customer B."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.isolation.arena import Arena
from tests.isolation.attacks import FIRST_HALF
from tests.isolation.attacks_door import DOOR
from tests.isolation.attacks_second import SECOND_HALF
from tests.isolation.judging import Attack
from tests.isolation.page import render

ATTACKS = (*FIRST_HALF, *SECOND_HALF, *DOOR)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: f"row-{attack.number}")
def test_an_attack_has_exactly_the_result_the_table_says(arena: Arena, attack: Attack) -> None:
    """Refused where the row says closed; harmless or bounded where it says residual."""
    assert attack.first_surprise(arena) == ""


def test_the_table_has_every_row_once_and_each_row_attacks() -> None:
    """Rows 1 to 45, in order, none of them words only."""
    assert [attack.number for attack in ATTACKS] == list(range(1, 46))
    assert [attack.number for attack in ATTACKS if not attack.probes and not attack.scenes] == []


def test_the_page_for_people_says_what_the_suite_does(repository: Path) -> None:
    """docs/reference/isolation.md is what `python -m tests.isolation.page` prints."""
    page = (repository / "docs" / "reference" / "isolation.md").read_text(encoding="utf-8")

    assert page == render()
