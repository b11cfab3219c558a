"""What the environment says, read once and judged: the only module that knows its variables.

A secret is refused when it is missing, a placeholder, a well-known default or too simple, and the refusal
names the variable, never the value. This module is on the path of every webhook: standard library only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import time
from hmac import compare_digest
from pathlib import Path
from typing import NoReturn, Self
from urllib.parse import parse_qs, unquote, urlsplit

from platform_core.errors import ConfigurationError, SecretRejected

PREFIX = "PLATFORM_"
MIN_SECRET_CHARS = 16
MIN_PASSWORD_CHARS = 12  # of a database login: typed by people on small installations
MAX_SECRET_CHARS = 8192
_MIN_DIFFERENT_CHARS = 6
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

_NEXT_STEP = "Set it to the real value; credentials.example.env says what belongs there."

# Values that stand in manuals, images and compose files. Compared without case and without trailing digits.
_DEFAULTS = frozenset({
    "admin", "administrator", "changeit", "changeme", "default", "demo", "dev", "docker", "example",
    "foobar", "guest", "hunter", "letmein", "master", "minio", "minioadmin", "mysql", "pass", "passw0rd",
    "password", "platform", "postgres", "postgresql", "private", "qwerty", "redis", "root", "secret",
    "superadmin", "superuser", "supersecret", "system", "temp", "test", "testing", "tester", "token",
    "toor", "user", "welcome", "windmill",
})  # fmt: skip
_PLACEHOLDER = re.compile(
    r"""<[a-z][^<>]*> | \$\{?[a-z_]+\}? | \{\{.*\}\}   # <password>, ${PASSWORD}, {{ password }}
      | change[ _-]?(me|it|this) | replace[ _-]?(me|this|with) | place[ _-]?holder | fill[ _-]?(me|in)
      | \byour[ _-] | ^your | insert[ _-] | put[ _-]?your | example | dummy | sample
      | x{4,} | ^x+$ | \*{3,} | \.{3,} | ^(todo|tbd|none|null|nil|undefined|unset|n/a|empty|true|false)$
    """,
    re.IGNORECASE | re.VERBOSE,
)
_KEYWORD_PASSWORD = re.compile(r"(?:^|\s)password\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*)", re.IGNORECASE)


class Secret:
    """A value that shows itself only when asked: not printed, formatted, pickled, dumped or measured."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value. Every call is a place to look at when a secret leaked."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")

    def __getstate__(self) -> NoReturn:
        raise TypeError("a secret has no state to show")


@dataclass(frozen=True, slots=True)
class Settings:
    """What this installation is told from outside.

    `database_url` administers the cluster; absent, the embedded PostgreSQL is used. `log_key` keys the
    pseudonyms in logs; absent, each process has its own and lines of two processes cannot be matched.
    `ingest_*` is the always-on door's: its folder of files, the password of its login (absent, it is
    taken from this installation's secrets), and the Windmill whose runners it wakes (absent, only cron does).
    `backup_*` is the backup's: the folder of copies, room for plain data while a copy is opened, the
    database's own folder, that of its secret files, PostgreSQL's programs, the cluster that is copied (a
    connection string without a password) and when, as UTC.
    """

    database_url: Secret | None = None
    state_dir: Path | None = None
    log_level: str = "INFO"
    log_key: Secret | None = None
    ingest_folder: Path | None = None
    ingest_database_password: Secret | None = None
    ingest_windmill_url: str | None = None
    ingest_windmill_workspace: str | None = None
    ingest_windmill_token: Secret | None = None
    backup_folder: Path | None = None
    backup_scratch: Path | None = None
    backup_data: Path | None = None
    backup_secrets: Path | None = None
    backup_programs: Path | None = None
    backup_source: str | None = None
    backup_at: time = time(3, 10)


@dataclass(frozen=True, slots=True)
class TargetVariables:
    """Which Windmill the environment names for `wmctl`: one by its `target` name, or one whole.

    `config_home` is the folder of the user's configuration: `XDG_CONFIG_HOME`, else `~/.config`.
    """

    config_home: Path
    target: str | None = None
    url: str | None = None
    workspace: str | None = None
    token: Secret | None = None
    kind: str | None = None
    insecure: bool = False


TARGET_VARIABLES = (
    "WMCTL_TARGET",
    "WMCTL_URL",
    "WMCTL_WORKSPACE",
    "WMCTL_TOKEN",
    "WMCTL_KIND",
    "WMCTL_INSECURE",
)
_NOT_TARGETS = "WMCTL_TEST_"
"""What the project's own tests are told; no command reads it."""

VARIABLES = tuple(PREFIX + field.name.upper() for field in fields(Settings))


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read and judge the platform's variables.

    Raises: SecretRejected, ConfigurationError; naming the variable, never the value of a secret.
    """
    found = os.environ if environment is None else environment
    _refuse_misspelled(found, PREFIX, VARIABLES)
    return Settings(
        database_url=_database_url(found, "PLATFORM_DATABASE_URL"),
        state_dir=_folder(found, "PLATFORM_STATE_DIR"),
        log_level=_log_level(found, "PLATFORM_LOG_LEVEL"),
        log_key=_secret(found, "PLATFORM_LOG_KEY"),
        ingest_folder=_folder(found, "PLATFORM_INGEST_FOLDER"),
        ingest_database_password=_secret(found, "PLATFORM_INGEST_DATABASE_PASSWORD"),
        ingest_windmill_url=_address(found, "PLATFORM_INGEST_WINDMILL_URL"),
        ingest_windmill_workspace=_workspace(found, "PLATFORM_INGEST_WINDMILL_WORKSPACE"),
        ingest_windmill_token=_secret(found, "PLATFORM_INGEST_WINDMILL_TOKEN"),
        backup_folder=_folder(found, "PLATFORM_BACKUP_FOLDER"),
        backup_scratch=_folder(found, "PLATFORM_BACKUP_SCRATCH"),
        backup_data=_folder(found, "PLATFORM_BACKUP_DATA"),
        backup_secrets=_folder(found, "PLATFORM_BACKUP_SECRETS"),
        backup_programs=_folder(found, "PLATFORM_BACKUP_PROGRAMS"),
        backup_source=_source(found, "PLATFORM_BACKUP_SOURCE"),
        backup_at=_time_of_day(found, "PLATFORM_BACKUP_AT"),
    )


def load_target_variables(environment: Mapping[str, str] | None = None) -> TargetVariables:
    """Read and judge what names a Windmill for `wmctl`; an empty variable is an absent one.

    Raises: SecretRejected, ConfigurationError; naming the variable, never the token.
    """
    found = {
        name: value
        for name, value in (os.environ if environment is None else environment).items()
        if value or not name.startswith("WMCTL_")
    }
    _refuse_misspelled(found, "WMCTL_", TARGET_VARIABLES)
    home = found.get("XDG_CONFIG_HOME") or ""
    return TargetVariables(
        # The specification says that a path which is not absolute is to be ignored.
        Path(home) if home.startswith("/") else Path(found.get("HOME") or "~").expanduser() / ".config",
        found.get("WMCTL_TARGET"),
        _address(found, "WMCTL_URL"),
        _workspace(found, "WMCTL_WORKSPACE"),
        _secret(found, "WMCTL_TOKEN"),
        found.get("WMCTL_KIND"),
        found.get("WMCTL_INSECURE", "").lower() in ("1", "true", "yes"),
    )


def check_secret(name: str, value: object, *, min_chars: int = MIN_SECRET_CHARS) -> Secret:
    """Judge one secret; the same rules for variables, resources and files.

    `name` says where it stands, such as a variable or a resource's field. Raises: SecretRejected.
    """
    reason = _unusable(value, min_chars)
    if reason or not isinstance(value, str):
        raise SecretRejected(f"{name} {reason}", next_step=_NEXT_STEP, variable=name)
    return Secret(value)


def _unusable(value: object, min_chars: int) -> str:
    """Why a value is no secret; empty when it may be one. Says nothing that helps to guess it."""
    if not isinstance(value, str):
        return "is not set" if value is None else "is not text"
    judged = (
        (not value.strip(), "is empty"),
        (
            value != value.strip() or not value.isprintable(),
            "has white space around it or characters that cannot be printed",
        ),
        (value.casefold().rstrip("0123456789!.") in _DEFAULTS, "is a well-known default"),
        (_PLACEHOLDER.search(value) is not None, "is still a placeholder"),
        (len(value) < min_chars, f"is shorter than {min_chars} characters"),
        (len(value) > MAX_SECRET_CHARS, f"is longer than {MAX_SECRET_CHARS} characters"),
        (len(set(value)) < _MIN_DIFFERENT_CHARS, "is too simple"),
    )
    return next((reason for bad, reason in judged if bad), "")


def _secret(environment: Mapping[str, str], name: str) -> Secret | None:
    return check_secret(name, environment[name]) if name in environment else None


def _database_url(environment: Mapping[str, str], name: str) -> Secret | None:
    if name not in environment:
        return None
    value = environment[name]
    if not value.strip() or _PLACEHOLDER.search(value):
        check_secret(name, value)
    try:
        passwords = _passwords(value)
    except ValueError:
        raise SecretRejected(
            f"{name} is not a PostgreSQL connection string", next_step=_NEXT_STEP, variable=name
        ) from None
    for password in passwords:
        check_secret(f"The password in {name}", password, min_chars=MIN_PASSWORD_CHARS)
    return Secret(value)


def _passwords(dsn: str) -> list[str]:
    """Every password a connection string carries, in either of PostgreSQL's two forms.

    None is fine: sockets, certificates and password files need none.
    """
    if "://" not in dsn:
        if "=" not in dsn:
            raise ValueError("neither form")
        return [_unquoted(quoted) for quoted in _KEYWORD_PASSWORD.findall(dsn)]
    parts = urlsplit(dsn)
    if parts.scheme not in ("postgresql", "postgres"):
        raise ValueError("another protocol")
    _ = parts.port  # raises when it is no number
    written = [] if parts.password is None else [unquote(parts.password)]
    return written + parse_qs(parts.query, keep_blank_values=True).get("password", [])


def _unquoted(value: str) -> str:
    inner = value[1:-1] if value.startswith("'") else value
    return re.sub(r"\\(.)", r"\1", inner)


def _folder(environment: Mapping[str, str], name: str) -> Path | None:
    if name not in environment:
        return None
    text = environment[name]
    if not text.strip() or "\x00" in text:
        raise ConfigurationError(f"{name} is empty", next_step="Set it to a folder, or remove the variable.")
    path = Path(text).expanduser()
    if path.exists() and not path.is_dir():
        raise ConfigurationError(f"{name} names {path}, which is not a folder", next_step="Choose a folder.")
    return path.absolute()


def _address(environment: Mapping[str, str], name: str) -> str | None:
    if name not in environment:
        return None
    value = environment[name].strip()
    try:
        parts = urlsplit(value)
        fits = parts.scheme in ("http", "https") and parts.hostname and not (parts.username or parts.query)
        _ = parts.port  # raises when it is no number
    except ValueError:
        fits = False
    if not fits or _PLACEHOLDER.search(value):
        raise ConfigurationError(
            f"{name} is not an address",
            next_step="Use one such as http://windmill:8000, without a login in it.",
        )
    return value


def _workspace(environment: Mapping[str, str], name: str) -> str | None:
    if name not in environment:
        return None
    value = environment[name]
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,50}", value):
        raise ConfigurationError(f"{name} is not the name of a workspace", next_step="Use one such as prod.")
    return value


def _source(environment: Mapping[str, str], name: str) -> str | None:
    value = environment.get(name)
    if value is not None and ("=" not in value or _passwords(value)):
        raise ConfigurationError(
            f"{name} is not a connection string of keywords without a password",
            next_step="Use one such as host=postgres user=backup sslmode=verify-full.",
        )
    return value


def _time_of_day(environment: Mapping[str, str], name: str) -> time:
    value = environment.get(name, "03:10")
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise ConfigurationError(f"{name} is no time of day", next_step="Use one such as 03:10; it is UTC.")
    return time(int(value[:2]), int(value[3:]))


def _log_level(environment: Mapping[str, str], name: str) -> str:
    level = environment.get(name, "INFO").strip().upper()
    if level not in LOG_LEVELS:
        raise ConfigurationError(
            f"{name} is {level[:20]!r}, which is no level", next_step=f"Use one of {', '.join(LOG_LEVELS)}."
        )
    return level


def _refuse_misspelled(environment: Mapping[str, str], prefix: str, known: Sequence[str]) -> None:
    unknown = sorted(
        name
        for name in environment
        if name.startswith(prefix) and name not in known and not name.startswith(_NOT_TARGETS)
    )
    if not unknown:
        return
    from difflib import get_close_matches  # noqa: PLC0415 - only a surprise pays for it

    for name in unknown:
        for meant in get_close_matches(name, known, n=1, cutoff=0.85):
            raise ConfigurationError(
                f"{name[:60]} is set, and no setting has that name", next_step=f"Did you mean {meant}?"
            )
