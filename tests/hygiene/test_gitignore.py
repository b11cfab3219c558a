"""What git ignores: secrets, dumps and leavings, and nothing of the project."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("name", "ignored"),
    [
        (".env", True),
        (".env.production", True),
        ("customers/acme/.env.local", True),
        ("credentials.json", True),
        ("ops/credentials-backup.txt", True),
        ("credentials.example.env", False),
        ("node_modules/x/index.js", True),
        ("a/__pycache__/b.pyc", True),
        (".coverage", True),
        ("coverage.xml", True),
        ("htmlcov/index.html", True),
        ("backup.dump", True),
        ("backup.sql.gz", True),
        ("dump-2026.sql", True),
        ("server.key", True),
        ("server.pem", True),
        ("backup.age", True),
        ("superadmin.token", True),
        ("customers/acme/ana.password", True),
        ("id_ed25519", True),
        (".venv/bin/python", True),
        (".tools/bin/uv", True),
        (".local/data/file", True),
        ("platform-core/src/platform_core/payments/queries.sql", False),
        ("platform-core/src/platform_core/db/tenant/schema/10_tenancy.sql", False),
        ("customers/einstein_kids/scripts/cancel_jobs.script.lock", False),
        ("uv.lock", False),
    ],
)
def test_git_ignores_what_must_not_be_committed_and_nothing_else(
    repository: Path, name: str, ignored: bool
) -> None:
    """Checked by git itself, on names that need not exist."""
    answer = subprocess.run(
        ["git", "check-ignore", "--quiet", "--no-index", name], cwd=repository, check=False
    )

    assert answer.returncode == (0 if ignored else 1)
