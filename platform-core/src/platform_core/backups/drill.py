"""A drill: the newest copy and all of the log in a throw-away cluster, looked at, and taken away again.

What it found stands in `drill.json`, which the health check reads: a drill that failed, or that nobody
made for eight days, makes the service unhealthy, which `wmctl host doctor` and `wmctl backup list` tell.
"""

from __future__ import annotations

import json
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime

from platform_core.backups.checks import Check, look, survey
from platform_core.backups.contents import last_commit
from platform_core.backups.place import Place
from platform_core.backups.recovery import LATEST, decide_goal, recovered
from platform_core.backups.sealing import Identity, write_whole
from platform_core.backups.segments import said
from platform_core.db import open_connection
from platform_core.errors import PlatformError
from platform_core.settings import Secret
from platform_core.values import Clock


@dataclass(frozen=True, slots=True)
class Drilled:
    """What a drill found. `to` is the newest commit that came back."""

    at: datetime
    copy: str | None
    to: datetime | None
    took_s: int
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether everything held."""
        return all(check.ok for check in self.checks)

    def as_json(self) -> dict[str, object]:
        """As it is written and printed."""
        return {
            "at": said(self.at),
            "copy": self.copy,
            "to": None if self.to is None else said(self.to),
            "took_s": self.took_s,
            "ok": self.ok,
            "checks": [asdict(check) for check in self.checks],
        }


def drill(place: Place, identity: Identity, salt: Secret | None, clock: Clock) -> Drilled:
    """Recover, look, take everything away, and write down what was found; also that it failed.

    Raises: FolderBusy while another drill runs; then nothing is written.
    """
    at, began = clock.now(), time.monotonic()
    copy: str | None = None
    to: datetime | None = None
    checks: list[Check] = []
    with place.room("drill") as work:
        try:
            goal = decide_goal(place, name=None, to=LATEST)
            copy = goal.copy.name
            with recovered(place, goal, identity, data=work / "data", work=work) as server:
                checks.append(Check("open", True, f"{copy}, and {server.fetched} files of the log after it"))
                with closing(open_connection(server.dsn, application="drill")) as admin:
                    to = last_commit(admin)
                checks += look(survey(server.dsn, goal, at, salt))
        except PlatformError as error:
            checks.append(Check("close" if checks else "open", False, error.one_line()))
        except Exception as error:
            checks.append(Check("close" if checks else "open", False, f"it broke ({type(error).__name__})"))
            raise
        finally:
            found = Drilled(at, copy, to, round(time.monotonic() - began), tuple(checks))
            write_whole(place.drill, json.dumps(found.as_json(), indent=2) + "\n")
    return found
