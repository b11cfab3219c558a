"""What the code declares of its kinds, told to PostgreSQL so that every worker's claim keeps to it."""

from __future__ import annotations

from collections.abc import Mapping

from platform_core.db.connect import Tx
from platform_core.db.queries import load_queries
from platform_core.jobs.contracts import HandlerSpec

Q = load_queries(__file__)


def declare(tx: Tx, handlers: Mapping[str, HandlerSpec]) -> int:
    """Store the limits and orders of these handlers; how many rules changed.

    The last worker that starts decides, so all of them should run one version of the code. A kind that loses
    its rule loses its limit; jobs already in its lanes are still worked.
    Idempotency: declaring the same again changes nothing and refills no rate.
    """
    ruled = {
        kind: spec for kind, spec in sorted(handlers.items()) if spec.ordered or spec.limit or spec.lane_limit
    }
    limits = [spec.limit for spec in ruled.values()]
    lane_limits = [spec.lane_limit for spec in ruled.values()]
    row = tx.execute(
        Q["rule_declare"],
        {
            "kinds": list(ruled),
            "ordered": [spec.ordered for spec in ruled.values()],
            "max_running": [limit and limit.max_running for limit in limits],
            "per_s": [limit and limit.per_s for limit in limits],
            "burst": [limit and limit.burst for limit in limits],
            "lane_max_running": [limit and limit.max_running for limit in lane_limits],
            "lane_per_s": [limit and limit.per_s for limit in lane_limits],
            "lane_burst": [limit and limit.burst for limit in lane_limits],
        },
    ).fetchone()
    return int(row[0]) if row else 0
