"""The long proofs of the queue: `make soak`, about twenty minutes; `make soak-short`, under three.

Each proof has one name and two lengths: `--short` makes it small enough for every push, the full length is
for a change of the queue. What each proves:

- `test_kills`: a worker of two threads over lanes, killed at random moments and at every statement, reruns
  at most the batch it held, loses nothing and keeps every order; one that was only stopped past its lease, at
  any statement, changes nothing that is another's by then, and says what it lost.
- `test_database`: a drain goes on through sessions that PostgreSQL ends at random and through crashes of the
  whole server; every job ends once.
- `test_rounds`: of one noisy customer and fifty quiet ones, the quiet ones hardly wait.
- `test_size`: with old statistics and a million waiting jobs every statement of the queue still reads its
  batch and no more, claims stay HOT, and an old snapshot makes no claim dearer.
- `test_model`: the model of `tests/core/jobs`, with many more histories.
- `test_load`: ten minutes of everything at once, with a worker killed every few seconds; memory and the
  size of the table stay flat, and at the end every job is in one place, every order was kept and no cap
  was passed.

- `test_dying_deploys`: a deploy to Windmill that dies after any of its writes is undone byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from platform_cli.local import postgres
from tests.support.databases import Databases, TenantDatabase


def pytest_addoption(parser: pytest.Parser) -> None:
    """The length."""
    parser.addoption("--short", action="store_true", help="every proof in its short form")


@pytest.fixture(scope="session")
def is_short(pytestconfig: pytest.Config) -> bool:
    """Whether the short form is asked for."""
    return bool(pytestconfig.getoption("--short", default=False))


@pytest.fixture
def mortal_db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TenantDatabase]:
    """A customer on a server of its own, which keeps what it confirmed and may be crashed."""
    folder: Path = tmp_path_factory.mktemp("mortal")
    try:
        with postgres.running(folder) as cluster, Databases(cluster).tenant() as found:
            yield found
    finally:
        postgres.destroy(folder)
