"""What wmctl relies on, looked at on every server there is: as recorded, the stand-in, and a real one.

With WMCTL_TEST_WINDMILL_URL and WMCTL_TEST_WINDMILL_TOKEN the suite also asks that server, in a scratch
folder of the workspace WMCTL_TEST_WINDMILL_WORKSPACE (prod), as `wmctl instance check` does.
"""

from __future__ import annotations

import asyncio

import pytest

from platform_cli.instances import probes
from platform_cli.instances.probe import Probe, Report
from platform_cli.instances.server import Server
from platform_core.settings import Secret
from tests.support.real_windmill import get_real_windmill
from tests.support.windmill_probes import load_recording
from tests.support.windmill_workspace import standing

RUNNING = {
    *("scripts.callable_at_once", "scripts.failed_lock_runs_old", "scripts.archived_runs"),
    *("routes.served", "routes.text_left_alone", "routes.references_resolved"),
    *("jobs.failure", "jobs.number", "jobs.resume"),
    *("isolation.environment", "isolation.processes", "isolation.cache", "flows.drafts", "workers.lock_jobs"),
}
GROUNDS = ("as recorded", "the stand-in", "a real server")


@pytest.fixture(scope="module", params=GROUNDS)
def report(request: pytest.FixtureRequest) -> Report:
    """Everything looked at once on each ground."""
    match request.param:
        case "as recorded":
            return _recorded()
        case "the stand-in":
            return _on_the_standin()
        case _:
            return _on_a_real_server()


def _look(server: Server, *, scratch_name: str = "", pausing: bool = True) -> Report:
    async def look() -> Report:
        async with server:
            return await probes.run(server, scratch_name=scratch_name, pausing=pausing)

    return asyncio.run(look())


def _on_the_standin() -> Report:
    with standing() as windmill:
        return _look(Server(windmill.url, Secret(windmill.admin_token), "prod"))


def _on_a_real_server() -> Report:
    real = get_real_windmill()
    return _look(Server(real.url, Secret(real.token), real.workspace))


def _recorded() -> Report:
    about, replay = load_recording()
    server = Server(
        "http://recorded.invalid", Secret("not-a-real-token"), about["workspace"], transport=replay
    )
    return _look(server, scratch_name=about["name"], pausing=False)


def test_nothing_differs_from_what_wmctl_relies_on(report: Report) -> None:
    """Names each fact with what was seen there instead."""
    assert {one.probe.name: one.seen for one in report.differing} == {}


def test_nothing_is_left_of_the_scratch_folder(report: Report) -> None:
    """The server itself is asked what still bears the run's name."""
    assert report.left == ()


def test_every_probe_was_asked(report: Report) -> None:
    """In the order of the catalogue, also where a server gives nothing to look at."""
    assert [one.probe for one in report.outcomes] == list(probes.PROBES)


def test_what_a_server_gives_no_occasion_to_look_at_is_known() -> None:
    """The stand-in runs no jobs; it was recorded with a person's account, so nothing is left out there."""
    unlooked = {one.probe.name for one in _recorded().unlooked}
    on_the_standin = {one.probe.name for one in _on_the_standin().unlooked}

    assert (unlooked, on_the_standin) == (set(), RUNNING)


@pytest.mark.parametrize("probe", probes.PROBES, ids=lambda probe: probe.name)
def test_a_probe_says_what_is_relied_on_why_and_how_it_is_looked_at(probe: Probe) -> None:
    """The report is read by people who must decide on an upgrade."""
    assert all((probe.relies, probe.why, probe.how))


def test_no_two_probes_bear_one_name() -> None:
    """Reports of two versions are compared by it."""
    names = [probe.name for probe in probes.PROBES]

    assert sorted(set(names)) == sorted(names)
