"""The rows of the commands that keep git and Windmill in step: they talk to the office's own Windmill."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.cli.commands.row import Row
from tests.support.offices import SLUG, Office

PLAN = (
    "version scope target made_at base_id commit git_digest windmill_digest exit_code summary counts changes "
    "notices unsafe"
)
_ON = {"customers": SLUG, "yes": ""}
_UNKNOWN = (({"customers": "einstein_kid"}, 3, f"Did you mean {SLUG}?"),)
_NO_TARGET = (({"target": "elsewhere"}, 3, "There is no target 'elsewhere'"),)
_WRONG = (*_UNKNOWN, *_NO_TARGET)


def _deployed(office: Office) -> None:
    office.say("deploy", SLUG, "--yes", "--no-wait")


def _out(office: Office) -> str:
    folder = office.state / "rendered"
    shutil.rmtree(folder, ignore_errors=True)
    return str(folder)


ROWS_OF_SYNC = {
    "status": Row(
        {"customers": SLUG},
        "Git and Windmill",
        "scope says to_deploy to_pull conflicts unmanaged uncommitted alarms deploy deploy_status "
        "deployed_at deployed_by deploying",
        before=_deployed,
        spoilt=_WRONG,
    ),
    "plan": Row({"customers": SLUG}, "Nothing differs", PLAN, before=_deployed, spoilt=_WRONG),
    "deploy": Row(
        _ON,
        f"✓ {SLUG}: nothing to write.",
        "scope target deploy status written put_back left reason notes",
        before=_deployed,
        spoilt=(
            *_WRONG,
            ({"customers": "nowhere.json"}, 2, "No such file"),
            ({"customers": str(Path("uv.lock").with_suffix(".json"))}, 2, "No such file"),
        ),
    ),
    "pull": Row(
        {"customers": SLUG},
        "nothing to pull",
        "scope target items files conflicts",
        before=_deployed,
        spoilt=_WRONG,
    ),
    "sync": Row(
        _ON,
        f"✓ {SLUG}: nothing to write.",
        "scope target deploy status written put_back left reason notes",
        before=_deployed,
        spoilt=_WRONG,
    ),
    "drift": Row(
        {"customers": SLUG},
        "since deploy",
        "scope deploy deployed_at read_at facts",
        before=_deployed,
        spoilt=_WRONG,
    ),
    "history": Row(
        {"customers": SLUG},
        "done",
        "scope deploy status actor began_at changed_at changed_by commit items acts reason",
        before=_deployed,
        spoilt=_WRONG,
    ),
    "rollback": Row(
        {"customer": SLUG, "yes": ""},
        "is undone",
        "scope target deploy there left stopped",
        before=_deployed,
        spoilt=(*_NO_TARGET, ({"force": "nonsense"}, 2, "is no item"), ({"deploy": "x"}, 2, "DEPLOY")),
    ),
    "render": Row(
        {"customers": SLUG, "out": _out},
        "items are in",
        "folder items",
        spoilt=(*_UNKNOWN, ({"out": "docs"}, 2, "docs is not empty")),
    ),
}
