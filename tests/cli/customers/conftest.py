"""A checkout with the template, an installation and a Windmill: what `wmctl customer` works on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from platform_cli.local.postgres import Cluster
from tests.support.customers import Agency, git
from tests.support.windmill_workspace import standing

FEW = (
    "template.toml",
    "config/policy.toml",
    "config/ycloud_*",
    "config/reader_feed.*",
    "config/job_runner.*",
    "scripts/ycloud_webhook_*",
    "scripts/attendance_feed.*",
    "scripts/job_runner_cron.*",
)
"""Items of each kind that a customer's own steps need; all of them are deployed by the journeys."""

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def agency(installation: Cluster, tmp_path: Path) -> Iterator[Agency]:
    """An agency without customers."""
    checkout = tmp_path / "checkout"
    for pattern in FEW:
        for file in (ROOT / "customers" / "_template").glob(pattern):
            target = checkout / "customers" / "_template" / file.relative_to(ROOT / "customers" / "_template")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    (checkout / "platform-core").mkdir()
    git(checkout, "init", "-b", "main")
    git(checkout, "add", ".")
    git(checkout, "commit", "-m", "the template")
    with standing() as windmill:
        found = Agency(installation, checkout, tmp_path / "state", windmill)
        yield found
        found.api.close()
