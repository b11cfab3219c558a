"""How fast the panel is and what its pages weigh, with 100,000 claims and a year of runs.

Server time is from the request handed over to the whole page, with its own transaction and all statements;
connecting is the edge's. Weight is of the page as it leaves, and as a proxy sends it compressed.
"""

from __future__ import annotations

import contextlib
import gzip
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from platform_cli.local import postgres
from platform_core.dashboards import claim_sheet
from platform_core.dashboards.refresh import rebuild, refresh
from tests.support.databases import Databases
from tests.support.panel import WORST, frame, heaviest_picture, sheet_of
from tests.support.payments import Treasury
from tests.support.visitors import ZONE, Visitor
from tests.support.years import fill, forget_old_runs

GOAL_MS = 50.0
GOAL_BYTES = 100_000
PAGES = {
    "home": "",
    "claims to decide": "claims",
    "claims decided": "claims?state=settled",
    "a page further on": "claims?state=settled&before=C50000",
    "one claim": "claims/C99990",
    "attendance": "attendance",
    "messages": "messages",
    "runs": "runs",
    "alerts": "errors",
    "use, twelve months": "use",
}


def main(claims: int = 100_000, runs: int = 730_000, rounds: int = 60) -> int:
    """Fill a year, count it, open every page many times, and print one line each."""
    with tempfile.TemporaryDirectory() as folder:
        cluster_folder = Path(folder) / "cluster"
        try:
            with (
                postgres.running(cluster_folder) as cluster,
                Databases(cluster).tenant() as db,
                db.connect() as connection,
            ):
                return _measure(Treasury(db, connection), claims=claims, runs=runs, rounds=rounds)
        finally:
            with contextlib.suppress(OSError):
                postgres.destroy(cluster_folder)


def _measure(treasury: Treasury, *, claims: int, runs: int, rounds: int) -> int:
    now = treasury.clock.at = datetime.now(UTC)
    with treasury.tenant_db.admin() as admin:
        fill(admin, now=now, claims=claims, runs=runs)
    _say(f"count everything        {_ms(lambda: _count(treasury, whole=True)):>9,.0f} ms")
    with treasury.tenant_db.admin() as admin:
        forget_old_runs(admin, now)
        admin.execute("VACUUM ANALYZE")
    treasury.clock.move(timedelta(minutes=5))
    treasury.receipt_from()
    _say(f"refresh after a receipt {_ms(lambda: _count(treasury, whole=False)):>9,.0f} ms\n")
    _say(f"{'page':<22}{'p50':>9}{'p95':>9}{'raw':>12}{'gzip':>12}")
    visitor, missed = Visitor(treasury), 0
    for name, path in PAGES.items():
        times = sorted(_ms(partial(visitor.look, path)) for _ in range(rounds))
        missed += _line(name, times, visitor.page.html)
    heavy = claim_sheet.page(frame(path="claims/C123"), sheet_of(sample=WORST, drawn=heaviest_picture()))
    missed += _line("the heaviest claim", None, heavy.html)
    return 1 if missed else 0


def _count(treasury: Treasury, *, whole: bool) -> None:
    with treasury.tx() as tx:
        (rebuild if whole else refresh)(tx, timezone=ZONE, now=treasury.clock.now())


def _line(name: str, times: list[float] | None, html: str) -> bool:
    raw, packed = len(html.encode()), len(gzip.compress(html.encode(), 6))
    speed = f"{'':>9}{'':>9}"
    p95 = 0.0
    if times:
        p95 = times[int(len(times) * 0.95)]
        speed = f"{statistics.median(times):>6.1f} ms{p95:>6.1f} ms"
    _say(f"{name:<22}{speed}{raw:>10,} B{packed:>10,} B")
    return p95 >= GOAL_MS or raw >= GOAL_BYTES


def _ms(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1000


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
