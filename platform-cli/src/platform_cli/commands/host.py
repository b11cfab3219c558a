"""`wmctl host`: the machines that the platform runs on: make ready, deploy, go back, look.

What the host itself decides ends with its own exit code: 1 failed, and what served before serves; 70 refused
before anything was changed; 75 another deploy is running; 80 the way back failed too: look at once.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from platform_cli import render
from platform_cli.hosts import pinning, ready, runs
from platform_cli.hosts.connection import Said, piped, unreachable
from platform_cli.hosts.doorway import door_file, kept_for_door
from platform_cli.hosts.known import keys_in, new_host
from platform_cli.hosts.speaking import connected, known_hosts, require_done, require_word, tell, who
from platform_cli.hosts.speaking import follow as follow_run
from platform_cli.hosts.tunnel import PORT, read_entry, require_free
from platform_cli.hosts.tunnel import tunnel as tunnel_to
from platform_cli.options import Account, AdminKey, AsJson, OnHost, Yes, noun
from platform_cli.root import find_root
from platform_core.errors import InvalidInput, UnreadableFile
from platform_core.values import parse_tenant_slug

app = noun("Hosts: make a machine ready, deploy a release to it, go back, look.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The host's name, such as prod.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Tell what would be done; change nothing.")]
Values = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="SWAP_MB, BALLAST_MB, SSH_PORT or SKIP; may be repeated."
    ),
]


# --- Which hosts there are ----------------------------------------------------------------------------------


@app.command("add")
def add(
    name: Name,
    address: Annotated[str, typer.Option(help="Where it is, such as vps.example.org.")],
    identity: Annotated[Path, typer.Option(help="The private key that may deploy.")],
    port: Annotated[int, typer.Option(help="Where SSH listens.")] = 22,
    host_key: Annotated[
        Path | None, typer.Option(help="A file with the host's public key, as its console shows it.")
    ] = None,
    fingerprint: Annotated[
        str, typer.Option(help="Or its fingerprint, SHA256:...: the key is fetched and must have it.")
    ] = "",
) -> None:
    """Add a host, or change one. Its key is pinned: nothing is learnt from the network unseen.

    Example: wmctl host add prod --address vps.example.org --identity ~/.ssh/deploy --fingerprint SHA256:...
    """
    keys = _keys(address, port, host_key, fingerprint)
    file = known_hosts().add(new_host(name, address, port, identity, keys))
    render.good(f"Host {name} is kept, with {len(keys)} pinned key{'s' if len(keys) > 1 else ''} in {file}.")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Show the hosts.

    Example: wmctl host list
    """
    known = known_hosts().read().values()
    if as_json:
        render.document(list(known))
        return
    render.table(
        "Hosts",
        ("host", "address", "port", "key that may deploy"),
        [(host.name, host.address, host.port, host.identity) for host in known],
    )


@app.command("remove")
def remove(name: Name) -> None:
    """Forget a host; the machine is not touched.

    Example: wmctl host remove old
    """
    host = known_hosts().remove(name)
    render.good(f"Host {name} is forgotten. {host.address} still takes your key: remove it there.")


# --- Making ready -------------------------------------------------------------------------------------------


@app.command("bootstrap")
def bootstrap(
    host: OnHost = None,
    account: Account = "root",
    admin_key: AdminKey = None,
    host_values: Annotated[
        Path | None, typer.Option(help="host.env: the host's names and sizes. Needed the first time.")
    ] = None,
    deploy_keys: Annotated[
        Path | None,
        typer.Option(help="Public keys that may deploy, beside those that may already. Default: your own."),
    ] = None,
    values: Values = None,
) -> None:
    """Make a bare Debian or Ubuntu ready: Docker, firewall, keys only, updates, clock. Again changes nothing.

    Example: wmctl host bootstrap --host prod --as root --admin-key ~/.ssh/id_ed25519 --host-values host.env
    """
    chosen = known_hosts().choose(host)
    wishes = ready.Wishes(
        deploy_keys=_text(deploy_keys or Path(f"{chosen.identity}.pub")),
        host_values=_text(host_values) if host_values else "",
        values={"SSH_PORT": str(chosen.port), **dict(_pair(each) for each in values or ())},
    )
    connection = connected(chosen, account, admin_key)
    with render.working(f"making {chosen.name} ready"):
        said = ready.bootstrap(connection, find_root(Path.cwd()), wishes)
    tell(said)


@app.command("doctor")
def doctor(host: OnHost = None) -> None:
    """Look for what is wrong or would stop a deploy, and change nothing; each line has its way out.

    Whether every service runs and is healthy, copies and drills are young, certificates are renewed, disks
    have room and the ballast lies there; names, ports, secrets, the release's files, and the clock against
    this machine's. It ends with 0, or with 70 when there is something: cron of another machine that says it
    is the host's alarm.

    Example: wmctl host doctor --host prod
    """
    tell(connected(known_hosts().choose(host)).ask("preflight", "--now", runs.now()))


# --- Deploys ------------------------------------------------------------------------------------------------


@app.command("deploy")
def deploy(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="platform-VERSION.tar.gz of a release.")],
    host: OnHost = None,
    dry_run: DryRun = False,
    no_backup: Annotated[
        bool, typer.Option("--no-backup", help="Go on without a backup before; the first deploy has none.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Deploy a release; what serves goes on serving until the new one has proved itself.

    Example: wmctl host deploy platform-1.4.2.tar.gz --host prod
    """
    packed, chosen = runs.read_bundle(bundle), known_hosts().choose(host)
    connection = connected(chosen)
    if dry_run:
        tell(runs.rehearse(connection, packed))
        return
    require_word(chosen, f"Deploy {packed.version}", yes=yes)
    require_done(runs.send(connection, packed))
    options = ("--no-backup",) if no_backup else ()
    follow_run(connection, runs.begin_deploy(connection, packed.version, who(), *options))


@app.command("rollback")
def rollback(
    host: OnHost = None,
    to: Annotated[str, typer.Option(help="The version; default: the one before.")] = "",
    despite_schema: Annotated[
        bool, typer.Option("--despite-schema", help="Although the schema moved and nobody says it fits.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Go back to the release before, in seconds; refused where the schema does not allow it.

    Example: wmctl host rollback --host prod
    """
    chosen = known_hosts().choose(host)
    connection = connected(chosen)
    options = (*(("--to", to) if to else ()), *(("--despite-schema",) if despite_schema else ()))
    if dry_run:
        tell(connection.ask("rollback", "--dry-run", *options))
        return
    require_word(chosen, f"Roll back to {to or 'the release before'}", yes=yes)
    follow_run(connection, runs.begin(connection, "rollback", who(), *options))


@app.command("resume")
def resume(host: OnHost = None) -> None:
    """End what a crash left half done: back before the switch, forward after it. The host does so at boot.

    Example: wmctl host resume --host prod
    """
    connection = connected(known_hosts().choose(host))
    follow_run(connection, runs.begin(connection, "resume", who()))


@app.command("follow")
def follow(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's name, as its deploy printed it.")],
    host: OnHost = None,
) -> None:
    """Follow a run whose connection was lost; ends with the run's exit code.

    Example: wmctl host follow 20260301T101500Z-812-deploy
    """
    follow_run(connected(known_hosts().choose(host)), Said(0, run, ""))


# --- Looking ------------------------------------------------------------------------------------------------


@app.command("status")
def status(host: OnHost = None, as_json: AsJson = False) -> None:
    """Show which release serves, its health, every service, and what was done last.

    Example: wmctl host status --host prod
    """
    tell(connected(known_hosts().choose(host)).ask("status", *(("--json",) if as_json else ())))


@app.command("logs")
def logs(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="Such as caddy, door or worker_ops.")],
    host: OnHost = None,
    lines: Annotated[int, typer.Option(min=1, max=99_999, help="How many of the last lines.")] = 200,
) -> None:
    """Show what a service said last.

    Example: wmctl host logs caddy --lines 50
    """
    tell(connected(known_hosts().choose(host)).ask("logs", service, str(lines)))


@app.command("prune")
def prune(
    host: OnHost = None,
    keep: Annotated[int, typer.Option(min=2, max=99, help="How many releases stay.")] = 5,
) -> None:
    """Forget old releases and the images that only they used; what serves and what served before stay.

    Example: wmctl host prune --keep 3
    """
    tell(connected(known_hosts().choose(host)).ask("prune", "--keep", str(keep)))


# --- An administrator at work -------------------------------------------------------------------------------


@app.command("tunnel")
def tunnel(
    host: OnHost = None,
    account: Account = "root",
    admin_key: AdminKey = None,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Where it begins on this machine.")] = PORT,
) -> None:
    """Lead a port of this machine to the host's database until Ctrl-C, and print the variable wmctl needs.

    Example: wmctl host tunnel --host prod --admin-key ~/.ssh/id_ed25519
    """
    chosen = known_hosts().choose(host)
    require_free(port)
    connection = connected(chosen, account, admin_key)
    said = connection.ask("entry", "--by", who())
    if said.code:
        tell(said)
    with tunnel_to(connection, read_entry(said), port) as (dsn, carrier):
        render.raw(f"export PLATFORM_DATABASE_URL={shlex.quote(dsn)}")
        render.note(f"The database of {chosen.name} is here until Ctrl-C. Say that line in another terminal.")
        with suppress(KeyboardInterrupt):
            _, lost = carrier.communicate()
            raise unreachable(chosen, lost.decode("utf-8", "replace"))


@app.command("door")
def door(
    customers: Annotated[list[str], typer.Argument(metavar="CUSTOMER", help="Customers' folder names.")],
    host: OnHost = None,
    account: Account = "root",
    admin_key: AdminKey = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="Let the door forget them: for customers that were erased.")
    ] = False,
) -> None:
    """Give the host's door what this installation keeps for customers' webhooks; it serves them at once.

    Example: wmctl host door acme --host prod --admin-key ~/.ssh/id_ed25519
    """
    chosen = known_hosts().choose(host)
    asked: dict[str, tuple[Sequence[str], bytes]]
    if remove:
        asked = {parse_tenant_slug(name): (("--remove",), b"") for name in customers}
    else:
        folder = kept_for_door()
        asked = {name: ((), door_file(folder, name)) for name in customers}
    connection = connected(chosen, account, admin_key)
    for name, (what, content) in asked.items():
        require_done(connection.ask("door", name, *what, "--by", who(), given=piped(content)))
    render.good(f"The door of {chosen.name} knows {', '.join(customers)}{' no more' if remove else ''}.")


# --- What the commands share --------------------------------------------------------------------------------


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[A-Z][A-Z_]*", name) or not re.fullmatch(r"[A-Za-z0-9 _.-]*", value):
        raise InvalidInput(
            f"{text[:60]!r} is not NAME=VALUE", next_step="Say for example --set SWAP_MB=4096."
        )
    return name, value


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UnreadableFile(f"{file} cannot be read: {reason}", next_step="Check the path.") from None


def _keys(address: str, port: int, file: Path | None, fingerprint: str) -> tuple[str, ...]:
    """The host's keys, from a file, or from the network if one has the fingerprint that was given."""
    if file is not None:
        return keys_in(_text(file))
    if not fingerprint:
        raise InvalidInput(
            "The host's key is not known, and none is trusted unseen",
            next_step="Give --host-key FILE, or --fingerprint as its console shows it: "
            "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
        )
    return pinning.fetched(address, port, fingerprint)
