"""The attack table as a page for people: `python -m tests.isolation.page > docs/reference/isolation.md`."""

from __future__ import annotations

import sys

from tests.isolation.attacks import FIRST_HALF
from tests.isolation.attacks_door import DOOR
from tests.isolation.attacks_second import SECOND_HALF
from tests.isolation.weakenings import WEAKENINGS

ATTACKS = (*FIRST_HALF, *SECOND_HALF, *DOOR)

_INTRODUCTION = """\
# What one customer can do to another

Each customer has a database and a login of its own. This page is the list of attacks that a hostile script of
customer A, holding A's own login, may try against customer B, with what PostgreSQL really answers. It is
written by the isolation suite (`tests/isolation/`), which runs every row against two customers made by the
real provisioning; a test fails when page and suite differ. The last rows are about the login of the always-on
door, which is one for all customers.

- **closed**: PostgreSQL refuses; the SQLSTATE is the one the suite expects.
- **not applicable**: the channel needs something two customers share, and they share nothing; the suite
  attacks the nearest thing there is.
- **residual**: PostgreSQL cannot close it; the suite shows how far it goes and that the mitigation works.

Known to hold on PostgreSQL 15 to 18. Run the suite after every restore and every major upgrade.
"""

_WEAKENINGS = """
## The suite is tested too

Each of these deliberate mistakes makes the named row fail. A check that would not notice is no check.

| Mistake | Row that notices |
|---|---|
"""


def render() -> str:
    """The whole page."""
    counts = {
        outcome: sum(attack.outcome == outcome for attack in ATTACKS)
        for outcome in ("closed", "not applicable", "residual")
    }
    summary = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    lines = [
        _INTRODUCTION,
        f"{sum(counts.values())} rows: {summary}.\n",
        "| # | Attack or channel | Outcome | What happens | What stands against it |",
        "|---|---|---|---|---|",
        *(
            f"| {row.number} | {row.channel} | {row.outcome} | {row.result} | {row.mitigation} |"
            for row in ATTACKS
        ),
    ]
    mistakes = "".join(f"| {weakening.name} | {weakening.row} |\n" for weakening in WEAKENINGS)
    return "\n".join(lines) + "\n" + _WEAKENINGS + mistakes


if __name__ == "__main__":
    sys.stdout.write(render())
