"""How the program on the host judges containers after it started them: one line of `docker inspect` each."""

from __future__ import annotations

import pytest

from tests.support.host_parts import said_by

RAW = "{service} {state} {restarts} {health} {started} 0123456789ab"


def judged(*lines: str, began: str = "2026-03-01T10:00:00") -> str:
    """What keeps these containers from being well, for a run that began at a time."""
    script = f"""
        BEGAN_AT={began}
        docker() {{ cat <<<"$LINES_OF_DOCKER"; }}
        condition any | complaint
    """
    return said_by("health", script, LINES_OF_DOCKER="\n".join(lines))


def line(
    service: str, state: str = "running", restarts: int = 0, health: str = "healthy", *, new: bool = False
) -> str:
    """What Docker says of a container that this run started, or that was there before."""
    started = "2026-03-01T10:00:07.123456789Z" if new else "2026-02-01T08:00:00.5Z"
    return RAW.format(service=service, state=state, restarts=restarts, health=health, started=started)


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([line("postgres"), line("caddy")], ""),
        ([line("postgres"), line("caddy", new=True)], "started"),
        ([line("postgres", restarts=3)], ""),
        ([line("caddy", new=True), line("door", restarts=1, new=True)], "door crashed"),
        ([line("door", "exited", health="none", new=True)], "door crashed"),
        ([line("door", health="unhealthy")], "door is unhealthy by its own check"),
        ([line("backup", health="unhealthy")], ""),
        ([line("door", health="starting", new=True)], "door did not become healthy"),
        ([line("door", "created", health="none")], "door did not become healthy"),
        ([line("door", health="starting", new=True), line("caddy", "exited")], "caddy crashed"),
    ],
)
def test_a_crash_of_long_ago_is_no_complaint_and_one_of_this_run_is(lines: list[str], complaint: str) -> None:
    """All are looked at together, and what cannot get better by waiting is said before what may."""
    assert judged(*lines) == complaint
