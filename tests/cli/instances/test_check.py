"""`wmctl instance check` works in a folder of its own, leaves nothing behind, and says what differs."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from platform_cli.instances import probes
from platform_cli.instances.probe import Outcome, Report, Verdict
from platform_cli.instances.report import BEGIN, END, write_page
from platform_cli.instances.server import Server
from platform_cli.instances.sweep import sweep_abandoned
from platform_cli.local.windmill.loopback import Asked
from platform_core.errors import PermissionDenied, Unavailable
from platform_core.settings import Secret
from tests.support.windmill_workspace import Api, Fault, Person, StandIn, failing, html_page, standing
from tests.support.wmctl import Said, Terminal

FEW = tuple(probe for probe in probes.PROBES if probe.area in {"values", "schedules", "flows"})


@pytest.fixture
def windmill() -> Iterator[StandIn]:
    """A workspace in which somebody works."""
    with standing() as one:
        ours = Api(one)
        ours.post("folders/create", {"name": "acme"})
        ours.post(
            "variables/create",
            {"path": "f/acme/plain", "value": "v", "is_secret": False, "description": ""},
        )
        ours.close()
        yield one


def _server(windmill: StandIn, token: str = "") -> Server:
    return Server(windmill.url, Secret(token or windmill.admin_token), "prod")


def _any(_asked: object) -> bool:
    return True


def _users(windmill: StandIn) -> list[str]:
    ours = Api(windmill)
    found = [user["email"] for user in ours.get("users/list")]
    ours.close()
    return found


async def _run(windmill: StandIn, told: probes.Told | None = None) -> Report:
    async with _server(windmill) as server:
        return await probes.run(server, probes=FEW, told=told)


def _check(windmill: StandIn, folder: Path, *options: str) -> Said:
    token = folder / "token"
    token.write_text(windmill.admin_token, encoding="utf-8")
    where = ("--url", windmill.url, "--token-from", str(token), "--workspace", "prod")
    return Terminal({}, folder).say("instance", "check", *where, *options)


def test_a_run_leaves_the_workspace_as_it_was(windmill: StandIn) -> None:
    """Byte for byte in the export, and no user more."""
    before, users = windmill.export_bytes(), _users(windmill)

    report = asyncio.run(_run(windmill))

    assert report.differing == []
    assert (windmill.export_bytes(), _users(windmill)) == (before, users)


@pytest.mark.parametrize("after", [1, 10, 20])
def test_a_run_that_is_interrupted_leaves_the_workspace_as_it_was(windmill: StandIn, after: int) -> None:
    """Cancelled while probes are in the middle of their items."""
    before = windmill.export_bytes()

    async def interrupted() -> None:
        task = asyncio.current_task()

        def told(_outcome: Outcome, done: int, _total: int) -> None:
            if done == after and task is not None:
                task.cancel()

        await _run(windmill, told)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(interrupted())
    assert windmill.export_bytes() == before


def test_what_the_server_makes_after_a_run_was_interrupted_is_removed_too() -> None:
    """The flow is made half a second after its request was given up: the folder is swept after that."""
    made: list[str] = []

    async def interrupted(windmill: StandIn) -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()

        def first_flow(asked: Asked) -> bool:
            is_one = asked.path.endswith("flows/create")
            if is_one and not made and task is not None:
                loop.call_soon_threadsafe(task.cancel)
            made.extend([asked.path] if is_one else [])
            return is_one

        windmill.plan(Fault(wait_s=0.5), at=1, only=first_flow)
        await _run(windmill)

    with standing() as one:  # left when every request has been carried out
        before = one.export_bytes()
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(interrupted(one))
    assert made
    assert one.export_bytes() == before


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_process_that_is_told_to_end_cleans_up_first(
    windmill: StandIn, tmp_path: Path, sent: signal.Signals
) -> None:
    """Ctrl-C at a terminal, and what a supervisor sends."""
    before = windmill.export_bytes()
    token = tmp_path / "token"
    token.write_text(windmill.admin_token, encoding="utf-8")
    where = ("--url", windmill.url, "--token-from", str(token), "--workspace", "prod")
    process = Terminal({}, tmp_path).start("instance", "check", *where)
    windmill_has_a_scratch_folder = False
    while process.poll() is None and not windmill_has_a_scratch_folder:
        windmill_has_a_scratch_folder = b"wmctl_probe_" in windmill.export_bytes()
    process.send_signal(sent)
    process.communicate(timeout=30)

    assert (windmill_has_a_scratch_folder, process.returncode) == (True, 130)
    assert windmill.export_bytes() == before


def test_what_a_killed_run_left_goes_after_an_hour_and_not_before(windmill: StandIn) -> None:
    """A run that is under way beside this one keeps its folder."""
    ours = Api(windmill)
    ours.post("folders/create", {"name": "wmctl_probe_0badcafe"})
    ours.close()

    async def sweep_at(now: datetime) -> tuple[str, ...]:
        async with _server(windmill) as server:
            return await sweep_abandoned(server, now)

    found = [asyncio.run(sweep_at(datetime.now(UTC) + timedelta(minutes=after))) for after in (30, 90, 120)]

    assert found == [(), ("wmctl_probe_0badcafe",), ()]


def test_a_fact_that_differs_is_named_with_what_was_expected_and_seen(
    windmill: StandIn, tmp_path: Path
) -> None:
    """Exit 3: an upgrade that would do this is not made."""
    windmill.plan(
        failing(400, "gone"),
        at=1,
        only=lambda asked: asked.path.endswith("variables/encrypt"),
        ever_after=True,
    )

    said = _check(windmill, tmp_path, "--json")

    found = {one["name"]: one for one in json.loads(said.out)["probes"] if one["verdict"] == "differs"}
    assert said.code == 3
    assert found["values.ciphertext"]["seen"] == {"equal": False, "readable": False}
    assert found["values.ciphertext"]["expected"] == {"equal": True, "readable": False}


def test_a_server_that_is_as_it_must_be_is_said_in_one_screen(windmill: StandIn, tmp_path: Path) -> None:
    """Counts by area, then that nothing differs."""
    said = _check(windmill, tmp_path)

    assert said.code == 0
    assert [line.split()[0] for line in said.out.splitlines()[:3]] == ["Windmill", "area", "server"]
    assert "Nothing of" in said.err


def test_a_proxys_page_is_one_line(windmill: StandIn, tmp_path: Path) -> None:
    """Nothing was made, so nothing is left."""
    windmill.plan(html_page(), at=1, only=_any, ever_after=True)

    said = _check(windmill, tmp_path)

    assert (said.code, len(said.lines)) == (5, 2)
    assert "answered GET /api/w/prod/users/whoami with a web page" in said.lines[1]


def test_a_server_that_goes_away_names_the_folder_that_may_be_left(windmill: StandIn) -> None:
    """The next run removes it."""
    windmill.plan(html_page(), at=100, only=_any, ever_after=True)

    with pytest.raises(Unavailable, match=r"f/wmctl_probe_[0-9a-f]{8} may still be there"):
        asyncio.run(_run(windmill))


def test_a_member_who_may_not_make_folders_is_told_so(windmill: StandIn) -> None:
    """An operator's token looks at nothing."""

    async def run() -> None:
        async with _server(windmill, "not-a-real-token") as server:
            await probes.run(server, probes=FEW)

    with pytest.raises(PermissionDenied, match="does not take the token for the workspace prod"):
        asyncio.run(run())


def test_a_persons_draft_is_looked_at_with_a_persons_token(windmill: StandIn) -> None:
    """The superadmin's secret has no account, and so no drafts."""
    person = Person(windmill, "ana")
    person.api.close()
    drafts = tuple(probe for probe in probes.PROBES if probe.name == "flows.drafts")

    async def run(token: str) -> list[Verdict]:
        async with _server(windmill, token) as server:
            report = await probes.run(server, probes=drafts)
        return [one.verdict for one in report.outcomes]

    assert [asyncio.run(run(token)) for token in ("", person.token)] == [
        [Verdict.NOT_APPLICABLE],
        [Verdict.OK],
    ]


def test_the_page_keeps_what_people_wrote_and_one_report(windmill: StandIn, tmp_path: Path) -> None:
    """Written twice, it holds the report once, at the end."""
    page = tmp_path / "page.md"
    page.write_text("# What a real server did\n\nBy hand.\n", encoding="utf-8")
    report = asyncio.run(_run(windmill))

    for _ in range(2):
        write_page(report, page)

    text = page.read_text(encoding="utf-8")
    assert text.startswith("# What a real server did\n\nBy hand.\n\n" + BEGIN)
    assert (text.count(BEGIN), text.count(END), text.endswith(END + "\n")) == (1, 1, True)
