"""The environment is read once and judged; what it says of secrets is never repeated."""

from __future__ import annotations

import base64
import copy
import dataclasses
import json
import pickle
import subprocess
import sys
import traceback
from datetime import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_core import settings
from platform_core.errors import ConfigurationError, PlatformError, SecretRejected
from platform_core.settings import Secret, Settings, check_secret, load_settings

GOOD = "k7Qv-2mZp_9sTfLw4"


def _dsn(password: str) -> str:
    return f"host=127.0.0.1 dbname=platform_control user=platform_admin password={password}"


def _url(password: str, scheme: str = "postgresql") -> str:
    return f"{scheme}://platform_admin:{password}@127.0.0.1:5432/platform_control"


def test_an_empty_environment_means_the_embedded_default() -> None:
    """Nothing needs to be set to try the platform."""
    assert load_settings({}) == Settings(database_url=None, state_dir=None, log_level="INFO", log_key=None)


def test_what_is_set_is_read(tmp_path: Path) -> None:
    """Every variable, once."""
    found = load_settings(
        {
            "PLATFORM_DATABASE_URL": _dsn(GOOD),
            "PLATFORM_STATE_DIR": str(tmp_path),
            "PLATFORM_LOG_LEVEL": "debug",
            "PLATFORM_LOG_KEY": GOOD,
            "PATH": "/usr/bin",
        }
    )

    assert found == Settings(Secret(_dsn(GOOD)), tmp_path, "DEBUG", Secret(GOOD))


def test_the_process_environment_is_the_default_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service calls it without arguments."""
    for name in settings.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PLATFORM_LOG_LEVEL", "ERROR")

    assert load_settings().log_level == "ERROR"


BAD_SECRETS = [
    "",
    " ",
    "\t\n",
    "changeme",
    "ChangeMe123",
    "change-me-please-now",
    "change_this_password",
    "password",
    "Password1",
    "postgres",
    "postgres123",
    "admin",
    "windmill",
    "minioadmin",
    "secret",
    "root",
    "letmein1",
    "<password>",
    "<your password here>",
    "prefix-<password>-suffix",
    "${DB_PASSWORD}",
    "$DB_PASSWORD",
    "{{ database_password }}",
    "your-password-goes-here",
    "your_api_key_goes_here",
    "YOUR-API-KEY-123456",
    "put-your-key-here-123",
    "insert-key-here-12345",
    "example-password-1234",
    "dummy-password-12345",
    "xxx",
    "XXXX",
    "xxxxxxxxxxxxxxxxxxxx",
    "whsec_" + "x" * 16,
    "****************",
    "................",
    "todo",
    "TBD",
    "none",
    "null",
    "placeholder-for-the-key",
    "replace_me_before_deploy",
    "aaaaaaaaaaaaaaaaaaaa",
    "1212121212121212",
    "short",
    "k7Qv-2mZp",
    f" {GOOD}",
    f"{GOOD}\n",
    f"{GOOD}\x00",
    f"{GOOD} \x1b[31m",
    "a" * 9000,
]


@pytest.mark.parametrize("value", BAD_SECRETS)
def test_a_secret_that_is_none_is_refused_by_name(value: str) -> None:
    """The line names the variable and the next step, and holds nothing of the value."""
    with pytest.raises(SecretRejected) as refused:
        load_settings({"PLATFORM_LOG_KEY": value})

    said = refused.value.one_line() + repr(vars(refused.value))
    assert refused.value.one_line().startswith("PLATFORM_LOG_KEY ")
    assert refused.value.exit_code == 6
    assert "credentials.example.env" in refused.value.one_line()
    if len(value.strip()) > 8:  # shorter ones are words a sentence may hold
        assert value.strip() not in said


@pytest.mark.parametrize("value", [None, 12345678901234567890, b"bytes-that-are-long", ["list"], {}, True])
def test_a_secret_of_another_type_is_refused(value: object) -> None:
    """Resources are JSON: anything may stand where a secret should."""
    with pytest.raises(SecretRejected, match=r"^the key of ycloud is not"):
        check_secret("the key of ycloud", value)


@pytest.mark.parametrize(
    "value",
    [
        GOOD,
        "whsec_platform_core_test",
        "correct horse battery staple",
        "contraseña-larga-ñandú",
        "a1b2c3d4e5f60718",
    ],
)
def test_a_real_secret_is_taken_as_it_is(value: str) -> None:
    """Not trimmed, not changed."""
    assert check_secret("x", value).reveal() == value


@given(st.binary(min_size=24, max_size=24))
def test_random_secrets_are_not_mistaken_for_placeholders(raw: bytes) -> None:
    """What a generator makes is accepted, unless it is one character repeated."""
    value = base64.urlsafe_b64encode(raw).decode()
    if len(set(value)) < 6 or "xxxx" in value.lower():
        return

    assert check_secret("x", value).reveal() == value


@pytest.mark.parametrize(
    "make",
    [
        _dsn,
        _url,
        lambda p: _url(p, "postgres"),
        lambda p: f"password = '{p}' host=db",
        lambda p: f"postgresql://db/x?user=app&password={p}",
    ],
)
@pytest.mark.parametrize(
    "password", ["postgres", "changeme", "password", "admin", "short", "", "xxxxxxxxxxxxxxx"]
)
def test_a_known_password_inside_a_connection_string_is_found(make: object, password: str) -> None:
    """In both of PostgreSQL's forms, wherever it stands; the string is not quoted."""
    value = make(password)  # type: ignore[operator]  # parametrised functions have no common type
    with pytest.raises(SecretRejected) as refused:
        load_settings({"PLATFORM_DATABASE_URL": value})

    assert "PLATFORM_DATABASE_URL" in refused.value.one_line()
    assert value not in refused.value.one_line()


@pytest.mark.parametrize(
    "value",
    [
        _dsn(GOOD),
        _url(GOOD),
        _url("k7Qv%402mZp%2F9sTf"),
        "host=/var/run/postgresql dbname=platform_control",
        "postgresql:///platform_control",
        rf"host=db password='{GOOD} \' {GOOD}'",
    ],
)
def test_a_usable_connection_string_is_taken(value: str) -> None:
    """A socket needs no password."""
    assert load_settings({"PLATFORM_DATABASE_URL": value}).database_url == Secret(value)


@pytest.mark.parametrize(
    "value",
    [
        f"mysql://a:{GOOD}@db/x",
        GOOD,
        f"postgresql://a:{GOOD}@db:port/x",
        "<connection string>",
        "",
        "postgresql://[::1",
        "host=db password=<password>",
    ],
)
def test_what_is_no_connection_string_is_refused_without_quoting_it(value: str) -> None:
    """It holds a password all the same, perhaps."""
    with pytest.raises(SecretRejected) as refused:
        load_settings({"PLATFORM_DATABASE_URL": value})

    assert "k7Qv" not in "".join(traceback.format_exception(refused.value))


def test_every_value_the_example_file_shows_for_a_secret_is_refused(repository: Path) -> None:
    """Copying the file without editing it stops at the first command."""
    shown = dict(
        line.lstrip("#").split("=", 1)
        for line in (repository / "credentials.example.env").read_text(encoding="utf-8").splitlines()
        if line.lstrip("#").startswith("PLATFORM_")
    )

    assert set(shown) == set(settings.VARIABLES)
    for name in ("PLATFORM_DATABASE_URL", "PLATFORM_LOG_KEY"):
        with pytest.raises(SecretRejected, match=f"^{name} is still a placeholder"):
            load_settings({name: shown[name]})
    assert load_settings({"PLATFORM_LOG_LEVEL": shown["PLATFORM_LOG_LEVEL"]}).log_level == "INFO"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"PLATFORM_LOG_LEVEL": "loud"}, "'LOUD', which is no level. Use one of DEBUG"),
        ({"PLATFORM_LOG_LEVEL": ""}, "PLATFORM_LOG_LEVEL is ''"),
        ({"PLATFORM_STATE_DIR": " "}, "PLATFORM_STATE_DIR is empty"),
        ({"PLATFORM_STATE_DIR": "/etc/hostname"}, "not a folder"),
        ({"PLATFORM_LOGLEVEL": "INFO"}, "Did you mean PLATFORM_LOG_LEVEL?"),
        ({"PLATFORM_DATABASE_URI": "x"}, "Did you mean PLATFORM_DATABASE_URL?"),
    ],
)
def test_a_wrong_setting_is_named_with_the_way_out(environment: dict[str, str], said: str) -> None:
    """A misspelt variable is a surprise worth stopping for."""
    with pytest.raises(ConfigurationError) as refused:
        load_settings(environment)

    assert said in refused.value.one_line()


def test_variables_of_others_are_left_alone() -> None:
    """Hosts set names of their own."""
    assert load_settings({"PLATFORM_BRANCH": "main", "PLATFORMS": "x"}) == Settings()


SHOWN = [
    repr,
    str,
    ascii,
    "{}".format,
    "{:>40}".format,
    "{!r}".format,
    lambda s: f"{s}",
    lambda s: "%s" % s,  # noqa: UP031 - old formatting is one of the ways
    lambda s: repr(Settings(database_url=s)),
    lambda s: str([s]) + str({"k": s}),
    lambda s: repr(dataclasses.asdict(Settings(log_key=s))),
    lambda s: json.dumps({"k": s}, default=str),
    lambda s: repr(copy.copy(s)) + repr(copy.deepcopy(s)),
    lambda s: " ".join(dir(s)),
    lambda s: str(SecretRejected("x", secret=s).facts),
]


@pytest.mark.parametrize("show", SHOWN)
def test_a_secret_never_shows_itself(show: object) -> None:
    """Whatever prints it."""
    assert GOOD not in show(Secret(GOOD))  # type: ignore[operator]  # parametrised functions have no common type


@pytest.mark.parametrize(
    "take",
    [
        pickle.dumps,
        json.dumps,
        vars,
        len,
        bytes,
        list,
        lambda s: "x" + s,
        lambda s: s + "x",
        lambda s: s.__getstate__(),
        lambda s: s.encode(),
        lambda s: s[0],
        ",".join,
    ],
)
def test_a_secret_cannot_be_taken_by_accident(take: object) -> None:
    """The failure does not show it either."""
    with pytest.raises((TypeError, AttributeError)) as refused:
        take(Secret(GOOD))  # type: ignore[operator]  # parametrised functions have no common type

    assert GOOD not in str(refused.value)


def test_secrets_compare_by_value() -> None:
    """Equal settings are equal; a secret equals no text."""
    assert Secret(GOOD) == Secret(GOOD)
    assert Secret(GOOD) != Secret(GOOD + "x")
    assert Secret(GOOD) != GOOD
    assert len({Secret(GOOD), Secret(GOOD)}) == 1


def test_importing_settings_brings_nothing_heavy() -> None:
    """It is on the path of every webhook."""
    listed = subprocess.run(
        [sys.executable, "-c", "import sys, platform_core.settings; print(' '.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    assert not {"psycopg", "pydantic", "structlog", "httpx", "asyncio", "importlib.metadata"} & set(listed)
    assert issubclass(SecretRejected, PlatformError)


def test_the_backup_is_told_its_folders_its_source_and_its_hour(tmp_path: Path) -> None:
    """The source without a password: that is in a file."""
    found = load_settings(
        {
            "PLATFORM_BACKUP_FOLDER": str(tmp_path),
            "PLATFORM_BACKUP_SOURCE": "host=postgres user=backup",
            "PLATFORM_BACKUP_AT": "23:05",
        }
    )

    assert (found.backup_folder, found.backup_source, found.backup_at) == (
        tmp_path,
        "host=postgres user=backup",
        time(23, 5),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PLATFORM_BACKUP_SOURCE", "postgres"),
        ("PLATFORM_BACKUP_SOURCE", "host=postgres password=platform_core_test"),
        ("PLATFORM_BACKUP_AT", "25:00"),
        ("PLATFORM_BACKUP_AT", "3:10"),
    ],
)
def test_what_the_backup_cannot_use_is_refused_by_name(name: str, value: str) -> None:
    """And a password is not shown."""
    with pytest.raises(ConfigurationError, match=f"^{name} is ") as refused:
        load_settings({name: value})

    assert "platform_core_test" not in refused.value.one_line()
