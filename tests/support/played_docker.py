"""Plays `docker` for the host's program, as far as restores go: containers are names, a volume is a folder.

Its folder, $PLAYED, holds `volume/` (what the database's volume would), `running` (services, a line each),
`events` (what happened, a line each), and what a test wishes: `fail` names an event that fails (once, or each
time where there is `again`), `kill` one at which the whole program is killed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

PLAYED = Path(os.environ["PLAYED"])
VOLUME = PLAYED / "volume"
RUNNING = PLAYED / "running"
SERVICES = (
    "postgres",
    "server_blue",
    "server_green",
    "worker_default",
    "worker_webhook",
    "worker_ops",
    "door",
    "backup",
)


def say(text: str) -> None:
    """One answer on stdout."""
    sys.stdout.write(f"{text}\n")


def lines(name: str) -> list[str]:
    """A file of the folder; empty when there is none."""
    file = PLAYED / name
    return file.read_text().split("\n") if file.exists() else []


def event(words: str) -> None:
    """Note it; fail or kill where the test wishes so."""
    with (PLAYED / "events").open("a") as file:
        file.write(f"{words}\n")
    if words in lines("kill"):
        (PLAYED / "kill").unlink()
        os.killpg(os.getpgid(0), signal.SIGKILL)
    if words in lines("fail"):
        if not (PLAYED / "again").exists():
            (PLAYED / "fail").unlink()
        sys.exit(1)


def running() -> list[str]:
    """The services that run."""
    return [name for name in lines("running") if name]


def run(names: list[str]) -> None:
    """These run from now on. A database without its folder makes an empty one, unless it is told to wait."""
    if "postgres" in names:
        if (VOLUME / "restoring").exists():
            sys.exit(1)
        if not (VOLUME / "data").exists():
            (VOLUME / "data").mkdir()
            (VOLUME / "data/content").write_text("empty")
    RUNNING.write_text("\n".join(dict.fromkeys([*running(), *names])))


def stop(names: list[str]) -> None:
    """These stop."""
    RUNNING.write_text("\n".join(name for name in running() if name not in names))


def compose(words: list[str]) -> None:
    """`docker compose ... COMMAND ...`."""
    while words[0].startswith("--"):
        words = words[2:]
    command, words = words[0], words[1:]
    if command == "config":
        say("\n".join(SERVICES))
    elif command in {"up", "stop"}:
        names = [word for word in words if word in SERVICES]
        event(f"{command} {' '.join(names)}")
        (run if command == "up" else stop)(names)
    elif command == "run":
        task(words)
    elif command == "exec":
        event(f"exec {words[-1]}")


def task(words: list[str]) -> None:
    """A container of one task; where there is `no-tasks` none starts."""
    if (PLAYED / "no-tasks").exists():
        sys.exit(125)
    at = words.index("backup")
    options, words = words[:at], words[at + 1 :]
    entry = options[options.index("--entrypoint") + 1] if "--entrypoint" in options else "backup"
    if entry == "sh":
        script = words[1].replace("/var/lib/postgresql", str(VOLUME))
        code = subprocess.run(["sh", "-euc", script, *words[2:]], check=False).returncode
        if "mv data" in script:
            event("exchanged")
        sys.exit(code)
    if entry == "python3":
        given = sys.stdin.buffer.read() if words[2] == "place" else b""
        event(f"restores {' '.join(words[2:])}")
        if words[2] == "place" and given != b"a dump":
            sys.exit(1)
        say(json.dumps({"verb": words[2]}))
        return
    identity = sys.stdin.read()
    event(f"recover {' '.join(words[1:])}")
    if "AGE-SECRET-KEY" not in identity:
        sys.exit(1)
    (VOLUME / "data.coming").mkdir()
    (VOLUME / "data.coming/content").write_text("restored")
    say(json.dumps({"copy": "20260301T031000Z-daily", "to": "2026-03-01T10:14:59Z"}))


def inside(words: list[str]) -> None:
    """`docker exec CONTAINER PROGRAM ...`."""
    if words[0] == "psql":
        statement = words[-1].removeprefix("--command=")
        if "pg_switch_wal" in statement:
            event(f"psql {statement}")
        say("0/3000000" if "pg_switch_wal" in statement else "1")
    elif words[:2] == ["backup", "customer"]:
        identity = sys.stdin.read()
        event(f"dump {' '.join(words[2:])}")
        if "AGE-SECRET-KEY" not in identity:
            sys.exit(1)
        sys.stdout.write("a dump")
    elif words[:2] == ["backup", "list"]:
        say((PLAYED / "list.json").read_text())
    elif words[:2] == ["backup", "drill"]:
        (PLAYED / "drilled").write_text(sys.stdin.read())
        say((PLAYED / "drill.json").read_text())
        sys.exit(int((PLAYED / "drill.code").read_text()))
    else:
        event(" ".join(words))
        say("20260301T031000Z-byhand")


def main() -> None:
    """What the host's program says."""
    words = sys.argv[1:]
    match words[0]:
        case "compose" if words[1] == "version":
            say("2.26.1")
        case "compose":
            compose(words[1:])
        case "version":
            say("26.1.5")
        case "info":
            say("/")
        case "ps" if "--format" in words:
            say("\n".join(f"{name} c-{name}" for name in SERVICES if name != "server_green"))
        case "image":
            say("sha256:0")
        case "inspect":
            inspect(words)
        case "exec":
            inside(words[3:] if words[1] == "--interactive" else words[2:])


def inspect(words: list[str]) -> None:
    """State, restarts, health; an address; an image."""
    form, service = words[2], words[-1].removeprefix("c-")
    if "NetworkSettings" in form:
        say("sha256:0 127.0.0.1" if ".Image" in form else "127.0.0.1")
    elif ".Image" in form:
        say("sha256:0")
    elif form == "{{.State.Running}}":
        say(str(service in running()).lower())
    else:
        for name in (word.removeprefix("c-") for word in words[3:]):
            state = "running 0 healthy" if name in running() else "exited 0 none"
            say(f"{name} {state} 2026-03-01T10:00:00Z host")


if __name__ == "__main__":
    main()
