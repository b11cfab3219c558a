"""One pair of customers for the whole folder: an attack that left something behind would fail the next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("tests.isolation.scenes")

from platform_cli.local import postgres  # noqa: E402 - same
from tests.isolation.arena import Arena, arena_of  # noqa: E402 - after the modules whose asserts explain themselves
from tests.support.databases import Databases  # noqa: E402 - same


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """On a server of their own: what other tests leave open on theirs is no hole of ours."""
    folder = tmp_path_factory.mktemp("isolation")
    try:
        with postgres.running(folder, {**postgres.DURABILITY_OFF, "max_connections": "300"}) as cluster:
            yield Databases(cluster)
    finally:
        postgres.destroy(folder)


@pytest.fixture(scope="module")
def arena(databases: Databases) -> Iterator[Arena]:
    """Customer A, who attacks, and customer B."""
    with arena_of(databases) as made:
        yield made
