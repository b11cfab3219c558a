"""The door's configuration: a folder with one file a customer, written by `wmctl ingest endpoint`.

A file holds webhook secrets, so it is refused when anybody but its owner may read it. What is wrong is said
with the file and the field, never with a value.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from platform_core.connectors import Capability, Connector, load_connector
from platform_core.errors import ConfigurationError, PlatformError, SecretRejected, UnreadableFile

SUFFIX = ".json"
MAX_FILE_BYTES = 64 * 1024
MAX_SECRETS = 3
_CLOSED = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)
_Segment = r"[A-Za-z0-9_-]{1,60}"
_Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,59}$")]


class EndpointFile(BaseModel):
    """One endpoint: the path after `/api/r/`, what receives there, and by which secrets."""

    model_config = _CLOSED
    route: Annotated[str, Field(pattern=rf"^{_Segment}(/{_Segment}){{0,7}}$")]
    source: _Word
    endpoint: _Word
    secrets: Annotated[list[str], Field(min_length=1, max_length=MAX_SECRETS)] = Field(repr=False)


class DatabaseFile(BaseModel):
    """Where the customer's database is. The login and its password are the door's own, for all customers."""

    model_config = _CLOSED
    host: Annotated[str, Field(min_length=1, max_length=255)]
    port: Annotated[int, Field(ge=1, le=65535)]
    dbname: Annotated[str, Field(min_length=1, max_length=63)]


class WakeFile(BaseModel):
    """The customer's script that works its queue."""

    model_config = _CLOSED
    path: Annotated[str, Field(pattern=r"^f/[a-z][a-z0-9_]{0,59}/[A-Za-z0-9_]{1,80}$")]


class CustomerFile(BaseModel):
    """A customer's file as a whole."""

    model_config = _CLOSED
    customer: _Word
    database: DatabaseFile
    endpoints: Annotated[list[EndpointFile], Field(min_length=1, max_length=50)]
    wake: WakeFile


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint ready to judge deliveries."""

    customer: str
    route: str
    connector: Connector
    name: str
    secrets: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class CustomerDoor:
    """A customer's file, checked: every secret may verify, every connector is installed."""

    customer: str
    database: DatabaseFile
    endpoints: tuple[Endpoint, ...]
    wake_path: str


def read_door(path: Path) -> CustomerDoor:
    """Read and judge one file.

    Raises: UnreadableFile, ConfigurationError, SecretRejected; each names the file, none a value of it.
    """
    return _checked(path, _parsed(path, _content(path)))


_NEXT_STEP = "Write it with `wmctl ingest endpoint`, then look with `wmctl ingest check`."


def write_door(folder: Path, found: CustomerFile) -> Path:
    """Put a customer's file in place, whole, for its owner only. What it says is checked first.

    Raises: as `read_door`; UnreadableFile when the folder refuses.
    """
    path = folder / f"{found.customer}{SUFFIX}"
    _checked(path, found)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        staging = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        handle = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(json.dumps(found.model_dump(), indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        staging.replace(path)
    except OSError as error:
        raise UnreadableFile(f"{path} cannot be written: {error.strerror}") from error
    return path


def set_endpoint(  # noqa: PLR0913 - whose, where, what receives, and by which secrets
    folder: Path,
    customer: str,
    database: DatabaseFile,
    *,
    source: str,
    endpoint: str,
    secrets: Sequence[str],
    keep: bool = False,
) -> tuple[EndpointFile, Path]:
    """Put an endpoint's secrets into the customer's file, which is made when there is none.

    `keep` leaves the secret in force as a second one, so that both hold while the provider's is replaced.
    Raises: as `read_door`.
    """
    path = folder / f"{customer}{SUFFIX}"
    known = _parsed(path, _content(path)).endpoints if path.exists() else []
    route = f"{customer}/{source}/{endpoint}"
    kept = [one.secrets[0] for one in known if keep and one.route == route]
    changed = {
        "route": route,
        "source": source,
        "endpoint": endpoint,
        "secrets": list(dict.fromkeys([*secrets, *kept])),
    }
    others = [one.model_dump() for one in known if one.route != route]
    whole = {
        "customer": customer,
        "database": database.model_dump(),
        "endpoints": [*others, changed],
        "wake": {"path": f"f/{customer}/job_runner_cron"},
    }
    found = _parsed(path, json.dumps(whole).encode())
    return found.endpoints[-1], write_door(folder, found)


def door_files(folder: Path) -> list[Path]:
    """The customers' files, by name. Raises: UnreadableFile."""
    try:
        return sorted(path for path in folder.iterdir() if re.fullmatch(r"[a-z0-9_]+\.json", path.name))
    except OSError as error:
        raise UnreadableFile(f"The folder {folder} cannot be read: {error.strerror}") from error


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise SecretRejected(
                    f"{path.name} may be read by others on this machine",
                    next_step="Run `chmod 600` on it and replace its secrets.",
                )
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UnreadableFile(f"{path.name} cannot be read: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise ConfigurationError(f"{path.name} is larger than {MAX_FILE_BYTES} bytes", next_step=_NEXT_STEP)
    return content


def _parsed(path: Path, content: bytes) -> CustomerFile:
    try:
        return CustomerFile.model_validate_json(content)
    except ValidationError as error:
        raise ConfigurationError(f"{path.name}: {_first(error)}", next_step=_NEXT_STEP) from None


def _checked(path: Path, found: CustomerFile) -> CustomerDoor:
    if path.name != f"{found.customer}{SUFFIX}":
        raise ConfigurationError(f"{path.name} is the file of another customer", next_step="Rename it.")
    if not found.wake.path.startswith(f"f/{found.customer}/"):
        raise ConfigurationError(f"{path.name}: wake.path is not in the customer's own folder")
    routes = [one.route for one in found.endpoints]
    if len(set(routes)) != len(routes) or any(not route.startswith(f"{found.customer}/") for route in routes):
        raise ConfigurationError(
            f"{path.name}: a route is there twice or does not begin with the customer's name"
        )
    return CustomerDoor(
        customer=found.customer,
        database=found.database,
        endpoints=tuple(_endpoint(path, found.customer, one) for one in found.endpoints),
        wake_path=found.wake.path,
    )


def _endpoint(path: Path, customer: str, one: EndpointFile) -> Endpoint:
    connector = load_connector(one.source)
    try:
        connector.require(Capability.RECEIVE_WEBHOOK)
        connector.check_secrets(one.secrets)
    except PlatformError as error:
        raise type(error)(f"{path.name}: {one.route}: {error.one_line()}") from None
    return Endpoint(customer, one.route, connector, one.endpoint, tuple(one.secrets))


def _first(error: ValidationError) -> str:
    """The first thing that is wrong: where and what, without the value."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the file"
    more = f" ({error.error_count()} such things)" if error.error_count() > 1 else ""
    return f"{where}: {first['msg']}{more}"
