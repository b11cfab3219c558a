"""`wmctl dev`: a whole customer at work on this machine, and the commands that talk to it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from platform_cli import render
from platform_cli.commands.panel import make_link
from platform_cli.local.dev import view
from platform_cli.local.dev.control import ask, controlled
from platform_cli.local.dev.happenings import Happenings
from platform_cli.local.dev.machine import Machine, Wanted, started
from platform_cli.local.dev.place import Running, find_running, is_running
from platform_cli.local.dev.sending import PARENT, PARENT_NAME
from platform_cli.local.dev.signals import ended_in_order
from platform_cli.local.dev.watching import watching
from platform_cli.local.windmill.items import customer_folders
from platform_cli.local.windmill.workspace.keeping import at_hand
from platform_cli.options import AsJson
from platform_cli.root import find_root
from platform_cli.site import STATE_FOLDER, open_site
from platform_core.errors import InvalidInput, UnreadableFile
from platform_core.payments.contracts import claim_ref
from platform_core.payments.views import find_claim_of_message
from platform_core.settings import load_settings
from platform_core.tenancy.members import Role, list_members
from platform_core.values import SystemClock

FAILED = 1
_DRAW_S = 0.25
_CLAIM_S, _POLL_S = 10.0, 0.1


class _Dev(TyperGroup):
    """A first word that is no command is a customer: `wmctl dev CUSTOMER` starts it."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # Any: as the base class types them
        """Put `start` in front of a customer's name."""
        return super().resolve_command(
            ctx, args if args[:1] and args[0] in self.commands else ["start", *args]
        )


app = typer.Typer(
    cls=_Dev,
    help="A whole customer at work on this machine: `wmctl dev CUSTOMER` starts it, the rest talks to it.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
webhook = typer.Typer(
    help="Webhooks of providers, signed as theirs.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(webhook, name="webhook")


@app.command("start")
def start(
    folder: Annotated[str, typer.Argument(metavar="CUSTOMER", help="Its folder in customers/.")],
    cold: Annotated[bool, typer.Option("--cold", help="A fresh interpreter for each script.")] = False,
) -> None:
    """Start a customer and show what runs, until Ctrl-C: scripts, schedules, routes, the door, YCloud.

    Example: wmctl dev start acme
    """
    settings = load_settings(os.environ)
    root = find_root(Path.cwd())
    state = settings.state_dir or root / STATE_FOLDER
    wanted = Wanted(root, state, settings, folder, "cold" if cold else "warm")
    with render.screen() as screen:
        happenings = Happenings(SystemClock(), lambda one: screen.line(view.line(one)))
        with (
            ended_in_order() as told,
            started(wanted, happenings, render.note) as machine,
            watching(root / "customers" / folder, machine.stage.runtime, happenings),
            controlled(machine) as (url, token),
        ):
            running = machine.running(url, token)
            machine.place.announce(running)
            _say_where(screen, running)
            _show(screen, machine, running, told)
    render.good(f"{folder} has ended; its data stays in {state}.")


def _say_where(screen: render.Screen, running: Running) -> None:
    for line in _heading(running):
        screen.line(line)


def _heading(running: Running) -> list[str]:
    return [
        f"{running.customer} is at work (pid {running.pid}); Ctrl-C ends it.",
        f"parents' phones  {running.phones_url}",
        f"routes           {running.windmill_url}/api/r/{running.customer}/",
        f"door             {running.door_url}/api/r/{running.customer}/",
        "elsewhere        wmctl dev webhook send receipt.jpg | run PATH | tick | messages | open | stop",
    ]


def _show(screen: render.Screen, machine: Machine, running: Running, told: Mapping[str, bool]) -> None:
    heading = _heading(running)
    while not machine.ending.wait(_DRAW_S) and not told:
        now = machine.clock.now()
        ticks = machine.scheduler.next_ticks()
        screen.draw(view.live(heading, machine.happenings, ticks, now, screen.height))


@app.command("workspace")
def workspace(
    port: Annotated[int, typer.Option(help="Where it listens on this machine.")] = 8077,
    pace: Annotated[
        float, typer.Option(help="How long locks and routes take: 1 as on a server, 0 not at all.")
    ] = 1.0,
) -> None:
    """Stand in for Windmill until Ctrl-C, to try plan, deploy and pull: it keeps items and runs none.

    Example: wmctl dev workspace
    """
    with at_hand(_state(), port, pace=pace) as (standin, token_file), ended_in_order() as told:
        for customer in customer_folders(find_root(Path.cwd()) / "customers"):
            for name in ("prod", "staging"):  # what `wmctl customer new` does on a server
                standin.add_robot(name, customer.name)
        render.good(f"A stand-in of Windmill is at {standin.url}, with the workspaces prod and staging.")
        added = f"--url {standin.url} --workspace prod --token-file {token_file}"
        render.note(f"To use it: wmctl target add offline {added}")
        while not told:
            time.sleep(_POLL_S)
    render.good(f"It has ended; what it holds stays in {_state()}.")


@app.command("run")
def run(
    path: Annotated[str, typer.Argument(help="The script, such as cancel_jobs or f/acme/cancel_jobs.")],
    arg: Annotated[
        list[str] | None,
        typer.Option("--arg", help="name=value; the value is JSON when it can be, else text."),
    ] = None,
    cold: Annotated[bool, typer.Option("--cold", help="In a fresh interpreter, as on the server.")] = False,
    as_json: AsJson = False,
) -> int:
    """Run a script of the customer that is at work; exit 1 when it fails.

    Example: wmctl dev run cancel_jobs --arg staff=bruno --arg key=no-such-key
    """
    arguments = dict(_argument(one) for one in arg or ())
    ended = ask(_running(), "run", json.dumps(arguments).encode(), path=path, cold="yes" if cold else "")
    return _tell_ended([ended], as_json=as_json)


@app.command("tick")
def tick(
    schedule: Annotated[
        str, typer.Argument(help="One schedule; without it, every one that is enabled.")
    ] = "",
    as_json: AsJson = False,
) -> int:
    """Fire schedules now, as if their time had come, and wait for the runs; exit 1 when one fails.

    Example: wmctl dev tick job_runner
    """
    return _tell_ended(ask(_running(), "tick", schedule=schedule), as_json=as_json)


@app.command("messages")
def messages(as_json: AsJson = False) -> None:
    """Show what parents wrote and got, as their phones show it.

    Example: wmctl dev messages
    """
    found = ask(_running(), "messages")
    if as_json:
        render.document(found)
        return
    rows = [_row(one) for one in found]
    render.table("Messages", ("at", "phone", "", "text", "status"), rows)


def _row(said: Mapping[str, Any]) -> tuple[str, ...]:
    arrow = "→" if said["by_contact"] else "←"
    return said["at"][11:19], said["phone"], arrow, said["text"] or said["mime_type"], said["status"]


@app.command("open")
def open_() -> None:
    """Print a link into the customer's panel, for its owner, and open it when there is a browser.

    Example: wmctl dev open
    """
    running = _running()
    with open_site() as site, site.app(running.customer) as platform:
        with platform.tx() as tx:
            members = list_members(tx)
        owner = next(one.handle for one in members if one.role == Role.OWNER)
        made = make_link(site, running.customer, owner)
    render.raw(made.url)
    render.good(f"It lets {owner} in as {made.role} until {made.expires_at:%Y-%m-%d %H:%M}Z.")
    typer.launch(made.url)


@app.command("stop")
def stop() -> None:
    """End the `wmctl dev` that runs, in order, and wait until it has ended.

    Example: wmctl dev stop
    """
    running = _running()
    ask(running, "stop")
    while is_running(_state()):
        time.sleep(_POLL_S)
    render.good(f"{running.customer} has ended.")


@webhook.command("send")
def send(
    file: Annotated[
        str, typer.Argument(metavar="[FILE]", help="A picture or document; none for a text.")
    ] = "",
    phone: Annotated[str, typer.Option("--from", help="The parent's number, such as +56900000011.")] = PARENT,
    name: Annotated[str, typer.Option(help="The name WhatsApp shows.")] = PARENT_NAME,
    text: Annotated[str, typer.Option(help="What the parent writes, or the picture's caption.")] = "",
    as_json: AsJson = False,
) -> None:
    """Send a parent's WhatsApp message through YCloud's stand-in, signed, and tell what came of it.

    Example: wmctl dev webhook send receipt.jpg --text "pago marzo"
    """
    running = _running()
    content = _content(file)
    sent = ask(running, "send", content, phone=phone, name=name, text=text, file=Path(file).name)
    claim = _claim_of(running.customer, sent["wamid"]) if content else None
    if as_json:
        render.document({**sent, "claim": claim})
        return
    render.good(f"{sent['phone']} sent one {sent['kind']}: {', '.join(sent['answers'])}.")
    if claim:
        render.good(f"It is evidence for claim {claim}: `wmctl claim show {claim}`.")
    elif content:
        render.note(f"No claim within {_CLAIM_S:.0f} s: `wmctl inbox list` and `wmctl job list` say why.")


def _running() -> Running:
    return find_running(_state())


def _state() -> Path:
    root = find_root(Path.cwd())
    return load_settings(os.environ).state_dir or root / STATE_FOLDER


def _argument(given: str) -> tuple[str, object]:
    name, equals, value = given.partition("=")
    if not equals or not name.isidentifier():
        raise InvalidInput(f"{given!r} is not name=value", next_step="Write it like --arg seconds=5.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _content(file: str) -> bytes:
    if not file:
        return b""
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise UnreadableFile(
            f"{file} cannot be read: {error.strerror}", next_step="Check the path."
        ) from error


def _tell_ended(ended: list[dict[str, Any]], *, as_json: bool) -> int:
    if as_json:
        render.document(ended)
    else:
        for one in ended:
            _tell_one(one)
    return 0 if all(one["ok"] for one in ended) else FAILED


def _tell_one(one: Mapping[str, Any]) -> None:
    if one["logs"]:
        render.note(one["logs"].rstrip())
    render.document(one["result"])
    seconds = one["duration_ms"] / 1000
    if one["ok"]:
        render.good(f"{one['path']} took {seconds:.2f} s.")
    else:
        render.broken(f"{one['path']} failed after {seconds:.2f} s. {one['hint']}".strip())


def _claim_of(customer: str, wamid: str) -> str | None:
    """The claim a message became evidence for, waiting a little for it."""
    with open_site() as site, site.app(customer) as platform:
        until = time.monotonic() + _CLAIM_S
        while time.monotonic() < until:
            with platform.tx() as tx:
                found = find_claim_of_message(tx, wamid)
            if found is not None:
                return claim_ref(found)
            time.sleep(_POLL_S)
    return None
