"""The benchmarks run and their page renders, whatever is fast: small runs of ours and of the plain loop."""

from __future__ import annotations

from io import FileIO
from pathlib import Path

import pytest

from platform_cli.local import postgres
from tests.benchmarks import page
from tests.benchmarks.ground import PEERS, Ground, Scale
from tests.benchmarks.payload import Ran, WrittenRan, written_ids
from tests.benchmarks.report import Goal, Table, as_markdown, as_text, filled, ratio, spread
from tests.benchmarks.settings import SETTINGS, TITLES
from tests.support.databases import Databases

TINY = Scale(
    rounds=1,
    drained=400,
    enqueued_singly=20,
    enqueued_at_once=(100,),
    future=(50, 100),
    due=100,
    picked_up=10,
    crashed=2_000,
    bloated=100,
    knocked=800,
    quiet_s=0.0,
)


@pytest.mark.timeout(300)
def test_a_small_run_without_peers_fills_every_block_of_the_page(
    cluster: postgres.Cluster, databases: Databases
) -> None:
    """Each measurement counts its jobs itself and fails when one is missing, doubled or left behind."""
    ground = Ground(cluster, databases, (), TINY)
    sections = [measure(ground) for measure in page.MEASURES]
    text = filled(page.PAGE.read_text(encoding="utf-8"), page.tables(ground, sections))
    figures = {section.name: section.table for section in sections}

    assert [section.name for section in sections if not section.table.rows] == []
    assert all(as_markdown(table) in text for table in figures.values())
    assert [row[0] for row in figures["drain"].rows] == ["ours", "plain loop"]
    assert ("jobs lost", "0") in figures["crash"].rows
    assert ground.commit_s > 0


def test_the_page_lists_the_settings_that_are_in_force() -> None:
    """Whoever changes one measures again."""
    assert as_markdown(page.settings_table()) in page.PAGE.read_text(encoding="utf-8")
    assert {one.side for one in SETTINGS} == set(TITLES)
    assert set(PEERS) < set(TITLES)


@pytest.mark.parametrize(
    ("goal", "met", "verdict"),
    [
        (Goal("rate", 3.0, least=3.0), True, "met"),
        (Goal("rate", 1.5, least=3.0), False, "missed by 50%"),
        (Goal("wait", 8.0, most=8.0), True, "met"),
        (Goal("wait", 10.0, most=8.0), False, "missed by 25%"),
        (Goal("lost", 0, most=0), True, "met"),
        (Goal("lost", 1, most=0), False, "missed"),
    ],
)
def test_a_goal_says_whether_it_is_met_or_by_how_much_not(goal: Goal, met: bool, verdict: str) -> None:
    """In both directions, and at its bound."""
    assert (goal.met, goal.verdict) == (met, verdict)


def test_a_ratio_compares_round_by_round() -> None:
    """A slow moment slows both sides of one round; it must not decide between them."""
    assert ratio([300.0, 30.0, 280.0], [100.0, 10.0, 100.0]) == 3.0


def test_a_figure_shows_its_spread() -> None:
    """One round has none."""
    assert spread([3.0, 1.0, 20_000.0]) == "3 (1..20,000)"
    assert spread([2.5], 1) == "2.5"


def test_a_table_is_aligned_for_a_terminal_and_ruled_for_a_page() -> None:
    """Names to the left, figures to the right."""
    table = Table(("side", "jobs/s"), (("ours", "1"), ("PgQueuer", "20")))

    assert as_text(table) == "side      jobs/s\nours           1\nPgQueuer      20\n"
    assert as_markdown(table) == "| side | jobs/s |\n| --- | --- |\n| ours | 1 |\n| PgQueuer | 20 |\n"


def test_only_what_is_between_the_marks_is_replaced() -> None:
    """And a block that nobody measured, or a figure without a block, is an error."""
    text = "before\n<!-- measured: a -->\nold\n<!-- end -->\nafter\n"
    table = Table(("x",), (("1",),))

    assert filled(text, {"a": table}) == (
        "before\n<!-- measured: a -->\n\n| x |\n| --- |\n| 1 |\n\n<!-- end -->\nafter\n"
    )
    with pytest.raises(ValueError, match="blocks"):
        filled(text, {"a": table, "b": table})
    with pytest.raises(ValueError, match="blocks"):
        filled(text, {})


def test_runs_are_remembered_and_written_down(tmp_path: Path) -> None:
    """By a worker that is going to be killed, at once; half a number at the end is not one."""
    full: list[Ran] = []
    path = tmp_path / "runs"
    with FileIO(path, "a") as file:
        ran = WrittenRan(file, 2, full.append)
        ran(7)
        unfinished = ran.complete
        ran(2**40)
        file.write(b"\0\0\0")

    assert (unfinished, ran.complete, full) == (False, True, [ran])
    assert len(ran.longest_waits_s(5)) == 1
    assert written_ids(path) == [7, 2**40]
    assert written_ids(tmp_path / "none") == []
