"""What the program says on stdout, as text or as JSON. Nothing else in this package prints."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

from platform_core.backups.drill import Drilled
from platform_core.backups.place import Place
from platform_core.backups.restoring import Restored
from platform_core.backups.segments import covered, said
from platform_core.errors import PlatformError


def say(line: str) -> None:
    """One line."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def say_json(value: Mapping[str, object]) -> None:
    """One object, on one line."""
    say(json.dumps(value))


def complain(error: PlatformError) -> None:
    """Why nothing came of it, and what to do, on stderr."""
    sys.stderr.write(f"backup: {error.one_line()}\n")


def say_copies(place: Place, *, as_json: bool) -> None:
    """Every copy, what time they cover, and every dump."""
    copies = place.list_copies()
    spans = covered(place.reaches())
    dumps = place.list_dumps()
    if as_json:
        rows = [
            {
                "from": said(one.begin),
                "to": said(one.end),
                "timeline": one.timeline,
                "system": one.system,
            }
            for one in spans
        ]
        listed = [copy.as_json() for copy in copies]
        say_json({"copies": listed, "covered": rows, "dumps": [dump.as_json() for dump in dumps]})
        return
    for copy in copies:
        say(f"{copy.name} {copy.bytes}")
    for span in spans:
        say(f"any instant from {said(span.begin)} to {said(span.end)}")
    databases = {dump.database for dump in dumps}
    for database in sorted(databases):
        newest = max((dump for dump in dumps if dump.database == database), key=lambda one: one.at)
        count = sum(dump.database == database for dump in dumps)
        say(f"{count} dumps of {database}, the newest of {said(newest.at)}")


def say_drill(found: Drilled, *, as_json: bool) -> None:
    """What a drill found."""
    if as_json:
        say_json(found.as_json())
        return
    for check in found.checks:
        say(f"{'ok' if check.ok else 'FAILED'}  {check.name}: {check.said}")
    say(f"drill {'ok' if found.ok else 'FAILED'} in {found.took_s} s")


def say_restored(found: Restored, *, as_json: bool) -> None:
    """What is in place now, and what must follow."""
    if as_json:
        say_json(found.as_json())
        return
    say(f"{found.copy} is in place, on timeline {found.timeline}, in {found.took_s} s")
    if found.replaced is not None:
        say(f"the cluster that was there is {found.replaced}: delete it when it is not needed")
    say("empty the workers' caches, then start the database")
