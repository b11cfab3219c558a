"""A deploy that dies after any of its writes is undone byte for byte: all of them, one after the other."""

from __future__ import annotations

from tests.support.deploys import deploying_desk, died_and_undone, one_of_each


def test_a_deploy_that_died_after_any_write_can_be_undone(*, is_short: bool) -> None:
    """Until it lived to its end; in short, after each eighth."""
    step = 8 if is_short else 1
    with deploying_desk(one_of_each()) as desk:
        assert 30 < died_and_undone(desk, range(1, 100, step)) * step < 108
