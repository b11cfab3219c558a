"""How long a new customer's database and login take, beside an empty CREATE DATABASE on the same server."""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from platform_cli.local import postgres
from platform_core.tenancy.cluster import prepare_cluster
from platform_core.tenancy.provision import provision
from tests.support.databases import MemorySecrets

GOAL_S = 1.0


def main(customers: int = 10) -> int:
    """Measure turn by turn and print one line each."""
    ours: list[float] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        cluster_folder = Path(folder) / "cluster"
        try:
            with postgres.running(cluster_folder) as cluster:
                began = time.perf_counter()
                prepare_cluster(cluster.admin_dsn)
                prepared_s = time.perf_counter() - began
                with psycopg.connect(cluster.admin_dsn, autocommit=True) as admin:
                    for number in range(customers):
                        began = time.perf_counter()
                        admin.execute(f"CREATE DATABASE bare_{number}")
                        middle = time.perf_counter()
                        provision(
                            cluster.admin_dsn,
                            f"customer_{number}",
                            display_name="A customer",
                            timezone="America/Lima",
                            currency="PEN",
                            secrets=MemorySecrets(),
                        )
                        ours.append(time.perf_counter() - middle)
                        bare.append(middle - began)
        finally:
            with contextlib.suppress(OSError):
                postgres.destroy(cluster_folder)
    median_s = statistics.median(ours)
    out = sys.stdout.write
    out(f"prepare a cluster, once {prepared_s * 1000:>9.0f} ms\n")
    slowest_ms = max(ours) * 1000
    out(f"provision a customer    {median_s * 1000:>9.0f} ms   slowest {slowest_ms:.0f} ms   (goal 1,000)\n")
    out(f"bare CREATE DATABASE    {statistics.median(bare) * 1000:>9.0f} ms\n")
    out(f"ratio                   {median_s / statistics.median(bare):>9.2f}\n")
    return 0 if max(ours) < GOAL_S else 1


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
