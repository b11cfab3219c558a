"""Where everything is: the folder of copies and what it holds, room for plain data, the cluster's own folder.

In the folder of copies, which may be copied off the host as it is:

    copies/<name>.tar.zst.age, <name>.json      the cluster; the facts are written last, so they say that
    it is whole wal/<system>/<segment>-<time>-<sha256>...   the log after it, and <timeline>.history as
    PostgreSQL wrote it customers/<database>/<time>.dump.zst.age    a portable dump of one database, beside
    its facts drill.json                                  what the last drill found
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, time
from pathlib import Path

from platform_core.backups.programs import Programs, end_left_over
from platform_core.backups.sealing import place, write_whole
from platform_core.backups.segments import SEALED, Anchor, Reach, Segment, instant_of, reaches, said
from platform_core.errors import ConfigurationError, FolderBusy, NotFound
from platform_core.settings import Secret, Settings

NAME = re.compile(r"\d{8}T\d{6}Z-[a-z]{1,20}", re.ASCII)
PARTIAL = ".part"
_HISTORY = re.compile(r"[0-9A-F]{8}\.history", re.ASCII)
_DATABASE = re.compile(r"[a-z_][a-z0-9_]{0,62}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Copy:
    """One physical copy. `last_segment` is the last of the log that it holds itself; `stop` is where it ends.

    `plain_bytes` is what it takes on a disk when it is opened; `postgres` the server's version, as in 170006.
    """

    name: str
    reason: str
    began_at: datetime
    ended_at: datetime
    timeline: int
    system: str
    last_segment: int
    bytes: int
    plain_bytes: int
    sha256: str
    postgres: int

    @property
    def anchor(self) -> Anchor:
        """What of it the log continues."""
        return Anchor(self.name, self.system, self.timeline, self.last_segment, self.ended_at)

    def as_json(self) -> dict[str, object]:
        """Times as text."""
        return {**asdict(self), "began_at": said(self.began_at), "ended_at": said(self.ended_at)}


@dataclass(frozen=True, slots=True)
class Dump:
    """One portable dump of a database, or of the cluster's roles (`globals`)."""

    database: str
    at: datetime
    bytes: int
    sha256: str

    def as_json(self) -> dict[str, object]:
        """Times as text."""
        return {**asdict(self), "at": said(self.at)}


@dataclass(frozen=True, slots=True)
class Place:
    """The folders and programs of one installation, and what stands in them now."""

    folder: Path
    scratch: Path
    data: Path
    secrets: Path
    binaries: Path
    source: str
    daily_at: time
    password: Secret | None = field(default=None, repr=False)

    @classmethod
    def of(cls, settings: Settings) -> Place:
        """As the settings say. Raises: ConfigurationError, naming the variable that is missing."""
        told = {
            "folder": settings.backup_folder,
            "scratch": settings.backup_scratch,
            "data": settings.backup_data,
            "secrets": settings.backup_secrets,
            "programs": settings.backup_programs,
        }
        missing = [name for name, path in told.items() if path is None]
        found = {name: path for name, path in told.items() if path is not None}
        if missing or settings.backup_source is None:
            name = [*missing, "source"][0]
            raise ConfigurationError(f"PLATFORM_BACKUP_{name.upper()} is not set")
        return cls(
            found["folder"],
            found["scratch"],
            found["data"],
            found["secrets"],
            found["programs"],
            settings.backup_source,
            settings.backup_at,
        )

    # --- What it takes to act -------------------------------------------------------------------------------

    @property
    def copies(self) -> Path:
        """The folder of physical copies."""
        return self.folder / "copies"

    @property
    def customers(self) -> Path:
        """The folder of dumps, one folder a database."""
        return self.folder / "customers"

    @property
    def drill(self) -> Path:
        """What the last drill found."""
        return self.folder / "drill.json"

    @property
    def state(self) -> Path:
        """What the running service says of itself."""
        return self.scratch / "serve.json"

    def source_password(self) -> str:
        """The password of the login that copies. Raises: ConfigurationError."""
        path = self.secrets / "backup_database_password"
        try:
            return path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise ConfigurationError(f"{path} cannot be read: no copy can be made") from None

    def programs(self, *, with_password: bool = False) -> Programs:
        """PostgreSQL's programs; with the source's password for those that connect to it."""
        return Programs(self.binaries, self.scratch, self.source_password() if with_password else "")

    def prepare(self) -> None:
        """Make the folders. Idempotency: what is there stays. Raises: ConfigurationError."""
        for path in (self.copies, self.folder / "wal", self.customers, self.scratch):
            try:
                path.mkdir(mode=0o750, parents=True, exist_ok=True)
            except OSError as error:
                raise ConfigurationError(
                    f"{path} cannot be made: {error.strerror}", next_step="Give the folder to user 10002."
                ) from None

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """One maker of copies and dumps; a crash frees it. Raises: FolderBusy."""
        self.prepare()
        with (self.folder / ".lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FolderBusy from None
            yield

    @contextmanager
    def room(self, purpose: str) -> Iterator[Path]:
        """A folder for plain data, gone afterwards. What a killed run of the same purpose left goes first."""
        self.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.scratch / f".{purpose}.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FolderBusy(f"Another {purpose} is running") from None
            for left in self.scratch.glob(f"{purpose}-*"):
                end_left_over(left / "data")
                shutil.rmtree(left, ignore_errors=True)
            path = Path(tempfile.mkdtemp(prefix=f"{purpose}-", dir=self.scratch))
            self.programs().give(path)
            try:
                yield path
            finally:
                shutil.rmtree(path, ignore_errors=True)

    # --- What is there --------------------------------------------------------------------------------------

    def list_copies(self) -> list[Copy]:
        """Every whole copy, oldest first. One that lacks its facts, or its file, is none."""
        found = [copy for path in sorted(self.copies.glob("*.json")) if (copy := _copy(path)) is not None]
        return [copy for copy in found if self.sealed_copy(copy).is_file()]

    def get_copy(self, name: str) -> Copy:
        """The copy of that name. Raises: NotFound."""
        for copy in self.list_copies():
            if copy.name == name:
                return copy
        shape = "" if NAME.fullmatch(name) else "; a name is like 20260131T031000Z-daily"
        raise NotFound(f"There is no copy {name[:60]!r}{shape}")

    def sealed_copy(self, copy: Copy) -> Path:
        """Its file."""
        return self.copies / f"{copy.name}.tar{SEALED}"

    def wal(self, system: str) -> Path:
        """The folder of one cluster's log."""
        return self.folder / "wal" / system

    def list_segments(self) -> dict[str, list[Segment]]:
        """Every stored segment, by system."""
        return {
            path.name: [found for one in path.iterdir() if (found := Segment.parse(one.name)) is not None]
            for path in sorted((self.folder / "wal").glob("*"))
            if path.is_dir()
        }

    def reaches(self) -> tuple[Reach, ...]:
        """How far each copy reaches now, oldest first."""
        return reaches((copy.anchor for copy in self.list_copies()), self.list_segments())

    def list_dumps(self) -> list[Dump]:
        """Every whole dump, by database and age."""
        return [dump for path in sorted(self.customers.glob("*/*.json")) if (dump := _dump(path)) is not None]

    def sealed_dump(self, dump: Dump) -> Path:
        """Its file."""
        return self.customers / dump.database / f"{dump_stem(dump)}{dump_suffix(dump.database)}"

    def histories(self, system: str) -> dict[str, Path]:
        """How each timeline of a cluster began, by the name PostgreSQL asks for."""
        return {path.name: path for path in self.wal(system).glob("*") if _HISTORY.fullmatch(path.name)}

    # --- How a thing gets its name --------------------------------------------------------------------------

    def keep_copy(self, copy: Copy) -> None:
        """Give the copy that stands in the partial file its name; the facts come last and make it one."""
        place(self.copies / PARTIAL, self.sealed_copy(copy))
        write_whole(self.copies / f"{copy.name}.json", json.dumps(copy.as_json(), indent=2) + "\n")

    def forget_copy(self, copy: Copy) -> None:
        """The facts go first: what is half gone is no copy."""
        (self.copies / f"{copy.name}.json").unlink(missing_ok=True)
        self.sealed_copy(copy).unlink(missing_ok=True)

    def sweep_copies(self) -> None:
        """Take away what an interrupted run left: a file without facts."""
        whole = {self.sealed_copy(copy).name for copy in self.list_copies()}
        for path in self.copies.iterdir():
            if path.name not in whole and path.suffix != ".json":
                path.unlink()


def dump_stem(dump: Dump) -> str:
    """What a dump's two files are called, without their endings."""
    return re.sub(r"[-:]", "", said(dump.at))


def dump_suffix(database: str) -> str:
    """What a sealed dump's name ends in."""
    return f".sql{SEALED}" if database == "globals" else f".dump{SEALED}"


def _facts(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _copy(path: Path) -> Copy | None:
    facts = _facts(path)
    try:
        copy = Copy(
            name=str(facts["name"]),
            reason=str(facts["reason"]),
            began_at=datetime.fromisoformat(str(facts["began_at"])),
            ended_at=datetime.fromisoformat(str(facts["ended_at"])),
            timeline=int(str(facts["timeline"])),
            system=str(facts["system"]),
            last_segment=int(str(facts["last_segment"])),
            bytes=int(str(facts["bytes"])),
            plain_bytes=int(str(facts["plain_bytes"])),
            sha256=str(facts["sha256"]),
            postgres=int(str(facts["postgres"])),
        )
    except (KeyError, ValueError):
        return None
    return copy if copy.name == path.stem and NAME.fullmatch(copy.name) else None


def _dump(path: Path) -> Dump | None:
    facts = _facts(path)
    try:
        at = instant_of(path.stem)
        dump = Dump(path.parent.name, at, int(str(facts["bytes"])), str(facts["sha256"]))
    except (KeyError, ValueError):
        return None
    file = path.with_name(f"{path.stem}{dump_suffix(dump.database)}")
    return dump if _DATABASE.fullmatch(dump.database) and file.is_file() else None


def free_bytes(path: Path) -> int:
    """The room left where a folder is, or will be."""
    there = next(step for step in [path, *path.parents] if step.exists())
    found = os.statvfs(there)
    return found.f_bavail * found.f_frsize
