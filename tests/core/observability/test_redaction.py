"""No secret and no phone number comes out of any log or error path."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo

from platform_core import errors
from platform_core.db import open_connection
from platform_core.errors import PlatformError
from platform_core.messaging.contracts import Party
from platform_core.observability import logs
from platform_core.observability.redaction import HIDDEN, Redactor, is_secret_name
from platform_core.settings import Secret, Settings, load_settings
from platform_core.values import Actor, Money
from tests.hygiene.canaries import CANARIES, PASSWORD, random_text
from tests.support.databases import TenantDatabase

DIGITS = "56900000001"
PHONES = [
    "+56900000001",
    "56900000001",
    "tel:+56900000001",
    "+56 9 0000 0001",
    "+56-9-0000-0001",
    "(56) 9 0000 0001",
    "56 9 0000 0001",
    "https://wa.me/56900000001",
    "%2B56900000001",
    "to=56900000001&x=1",
    "contact_56900000001_new",
    "+1 (415) 555-0100 ext",
    "wamid.HBgLNTY5MDAwMDAwMDEVAgASGBQzQTAwAA==",
]
OTHER_SECRETS = {
    "webhook secret of the tests": "whsec_platform_core_test",
    "login of psycopg": f"connection failed: host=db password={PASSWORD},;)] user=app",
    "quoted password with spaces": f"password='two words {PASSWORD}' host=db",
    "URL with an unescaped @": f"postgresql://app:{PASSWORD}@x@db/platform",
    "URL in quotes": f'could not open "amqps://app:{PASSWORD}@queue:5671/x" now',
    "JSON": json.dumps({"api_key": PASSWORD, "password": PASSWORD + " x"}),
    "JSON inside JSON": json.dumps({"body_of": json.dumps({"password": PASSWORD, "x": 1})}),
    "a dictionary shown": repr({"db_password": f"a {PASSWORD}", "signing_key": PASSWORD}),
    "headers shown": repr([("X-API-Key", PASSWORD), ("Authorization", f"Bearer {PASSWORD}")]),
    "header lines": f"GET / HTTP/1.1\r\nCookie: a=1; session={PASSWORD}\r\nX-Api-Key: {PASSWORD}",
    "basic login": "Authorization: Basic " + "YXBwOkg5aDN5WklZcTEyMw==",
    "command line": f"wmctl tenant add --password {PASSWORD} --api-key={PASSWORD}",
    "token without a name": f"refused {random_text(32)} for this job",
    "provider key without a name": f"refused {random_text(32, 'hex')} for this job",
}
SECRETS = {name: make() for name, (_, make) in CANARIES.items()} | OTHER_SECRETS
CORES = [
    PASSWORD,
    random_text(8, "hex"),
    random_text(8, "bech32"),
    random_text(640)[64:80],
    "whsec_platform",
    "YXBwOkg5",
]
NOT_SHOWN = [
    *((f"secret: {name}", text) for name, text in SECRETS.items()),
    *((p, f"hello {p}") for p in PHONES),
]


def _leaks(output: str) -> list[str]:
    digits = re.sub(r"[\s().-]", "", output)
    found = [core for core in CORES if core in output]
    return found + [number for number in (DIGITS, "14155550100", "NTY5MDAwMDAwMDE") if number in digits]


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Logging as a service sets it up, into memory."""
    written = io.StringIO()
    root, hooks = logging.getLogger(), (sys.excepthook, threading.excepthook)
    handlers = list(root.handlers)
    logs.configure("test", stream=written, key=Secret("a key for the marks"))
    yield written
    structlog.reset_defaults()
    root.handlers[:] = handlers
    logging.captureWarnings(capture=False)
    sys.excepthook, threading.excepthook = hooks


@dataclass(frozen=True)
class Carrier:
    """A value of ours with something in it."""

    note: str
    password: str = PASSWORD


def _raise(error: Exception) -> None:
    raise error


def _raise_chained(text: str) -> None:
    try:
        try:
            _raise(ValueError(text))
        except ValueError as inner:
            raise errors.DatabaseUnavailable(f"outer: {text}", hint=text) from inner
    except PlatformError as middle:
        raise RuntimeError("while closing") from middle


def _log_chained(text: str) -> None:
    try:
        _raise_chained(text)
    except RuntimeError:
        logs.get_logger().exception("job.failed", reason=text)


def _log_group(text: str) -> None:
    group = ExceptionGroup("many", [ValueError(text), errors.PermanentRefusal(text, provider_code=text)])
    group.add_note(text)
    logs.get_logger().error("job.failed", exc_info=group)


def _bound(text: str) -> None:
    with logs.bind(tenant="einstein_kids", request_id=text):
        logs.get_logger().info("claim.opened")


def _log_wrongly(text: str) -> None:
    root = logging.getLogger()
    everybody = list(root.handlers)
    # pytest's own handler raises where the standard library's rule is to go on.
    root.handlers[:] = [found for found in everybody if type(found).__module__ == logs.__name__]
    logging.getLogger("x").error(f"{text} %d", "no number")  # noqa: G004 - the mistake itself
    root.handlers[:] = everybody


def _in_thread(text: str) -> None:
    thread = threading.Thread(target=_raise_chained, args=(text,))
    thread.start()
    thread.join()


PATHS: dict[str, Callable[[str], object]] = {
    "value": lambda text: logs.get_logger().info("claim.opened", reason=text),
    "event": lambda text: logs.get_logger().warning(text),
    "logger name": lambda text: logs.get_logger(text).info("claim.opened"),
    "bound logger": lambda text: logs.get_logger().bind(reason=text).info("claim.opened"),
    "bound around": _bound,
    "bytes": lambda text: logs.get_logger().info("claim.opened", reason=text.encode()),
    "bytearray": lambda text: logs.get_logger().info("claim.opened", reason=bytearray(text.encode())),
    "nested": lambda text: logs.get_logger().info("claim.opened", a={"b": [{"c": (text, {text})}]}),
    "key of a mapping": lambda text: logs.get_logger().info("claim.opened", a={text: 1, ("t", text): 2}),
    "dataclass": lambda text: logs.get_logger().info("claim.opened", a=Carrier(text)),
    "actor": lambda text: logs.get_logger().info("claim.opened", a=Actor("user", text)),
    "exception as a value": lambda text: logs.get_logger().info("claim.opened", a=ValueError(text)),
    "chained causes": _log_chained,
    "group with notes": _log_group,
    "path": lambda text: logs.get_logger().info("claim.opened", a=Path("media") / text),
    "standard logging": lambda text: logging.getLogger("httpx").warning("GET %s", text),
    "standard logging, wrong format": _log_wrongly,
    "standard logging of an exception": lambda text: logging.getLogger("x").error(
        "x", exc_info=ValueError(text)
    ),
    "warning": lambda text: warnings.warn(text, stacklevel=1),
    "thread": _in_thread,
    "crash": lambda text: sys.excepthook(ValueError, ValueError(text), None),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.filterwarnings("always")
def test_nothing_that_is_fed_into_a_log_path_comes_out(lines: io.StringIO, path: str) -> None:
    """Every kind of secret and every form of a phone number, one line or more each."""
    leaked = {}
    for name, text in NOT_SHOWN:
        lines.seek(0)
        lines.truncate()
        PATHS[path](text)
        written = lines.getvalue()
        assert written, name
        for line in written.splitlines():
            json.loads(line)
        if _leaks(written):
            leaked[name] = written

    assert leaked == {}


def _all_leaves(kind: type[PlatformError] = PlatformError) -> Iterator[type[PlatformError]]:
    if kind.__module__.startswith("platform_core."):  # other tests may have imported others' errors too
        yield kind
    for below in kind.__subclasses__():
        yield from _all_leaves(below)


LEAVES = {kind.code: kind for kind in _all_leaves()}


@pytest.mark.parametrize("code", sorted(LEAVES))
def test_no_error_shows_the_facts_it_carries(lines: io.StringIO, code: str) -> None:
    """Facts are for tests and for code; neither its text, its one line nor its log line shows them."""
    for name, text in NOT_SHOWN:
        error = LEAVES[code](phone=text, token=text, dsn=text, note=text)
        said = f"{error} {error!r} {error.one_line()} {error.args}"
        assert _leaks(said) == [], name
        lines.seek(0)
        lines.truncate()
        logs.get_logger().error("job.failed", error=error, facts=error.facts, exc_info=error)
        logs.get_logger().error("job.failed", message=LEAVES[code](text).one_line())
        assert _leaks(lines.getvalue()) == [], name


def test_no_error_a_database_gives_holds_its_password(tenant_db: TenantDatabase, lines: io.StringIO) -> None:
    """Real ones: a wrong password, a wrong port, a wrong database, a broken string, a row refused."""
    wrong = [
        make_conninfo(tenant_db.dsn, password=PASSWORD),
        make_conninfo(tenant_db.dsn, password=PASSWORD, port=1),
        make_conninfo(tenant_db.dsn, password=PASSWORD, dbname="none"),
        f"postgresql://app:{PASSWORD}@127.0.0.1:1/x",
        f"host=127.0.0.1 port=nine password={PASSWORD}",
        f"password={PASSWORD} what",
    ]
    for dsn in wrong:
        with pytest.raises((PlatformError, psycopg.Error)) as ours:
            open_connection(dsn, application="x")
        with pytest.raises(psycopg.Error) as theirs:
            psycopg.connect(dsn)
        for error in (ours.value, theirs.value):
            logs.get_logger().error("database.refused", exc_info=error, dsn=dsn, note=dsn)
    with tenant_db.admin() as admin:
        admin.execute("CREATE TABLE public.contact (phone text UNIQUE, name text CHECK (name <> 'x'))")
        admin.execute("INSERT INTO public.contact VALUES ('+56900000001', 'y')")
        for statement in (
            "INSERT INTO public.contact VALUES ('+56900000001', 'y')",
            "INSERT INTO public.contact VALUES ('+56900000002', 'x')",
        ):
            with pytest.raises(psycopg.IntegrityError) as refused:
                admin.execute(statement.encode())
            logs.get_logger().error("database.refused", exc_info=refused.value)

    assert _leaks(lines.getvalue()) == []
    assert "Failing row contains" in lines.getvalue()
    assert "+56" not in lines.getvalue()


def test_values_of_ours_show_what_they_should(lines: io.StringIO) -> None:
    """Money, actors, times and amounts stay readable; settings and people do not."""
    logs.get_logger().info(
        "claim.opened",
        amount=Money(45000, "CLP"),
        amount_minor=12345678901,
        rate=Decimal("0.5"),
        at=datetime(2026, 3, 1, 9, tzinfo=UTC),
        actor=Actor("user", "ana", "owner"),
        settings=Settings(database_url=Secret(PASSWORD), log_key=Secret(PASSWORD)),
        party=Party(phone="+56900000001", name="Ana Pérez"),
        sha256="0123456789abcdef" * 4,
        trace_id="0123456789abcdef" * 2,
        number=56900000001,
        broken=float("nan"),
    )
    line = json.loads(lines.getvalue())

    assert (line["amount"], line["amount_minor"], line["rate"]) == ("CLP 45000", 12345678901, "0.5")
    assert (line["at"], line["actor"]) == (
        "2026-03-01T09:00:00+00:00",
        {"type": "user", "id": "ana", "role": "owner", "via": ""},
    )
    assert (line["settings"]["database_url"], line["settings"]["log_key"]) == ("***", HIDDEN)
    assert (line["party"], line["sha256"]) == ("[Party]", "0123456789abcdef" * 4)
    assert (line["trace_id"], line["broken"]) == ("0123456789abcdef" * 2, "nan")
    assert line["number"].startswith("[phone ")
    assert _leaks(lines.getvalue()) == []


def test_a_process_that_crashes_does_not_print_what_it_knew() -> None:
    """Its last words go through the same redaction, settings included."""
    program = (
        "from platform_core.observability import logs\n"
        "from platform_core.settings import load_settings\n"
        "logs.configure('test')\n"
        f"settings = load_settings({{'PLATFORM_DATABASE_URL': 'host=x password=long-{PASSWORD}'}})\n"
        "raise ValueError(f'{settings} {settings.database_url.reveal()} +56900000001')\n"
    )
    ended = subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True, check=False)

    assert ended.returncode == 1
    assert json.loads(ended.stderr)["event"] == "process.crashed"
    assert _leaks(ended.stdout + ended.stderr) == []


def test_one_number_has_one_mark_under_one_key() -> None:
    """So lines about one person can be matched; another key, another mark; no key, no mark."""
    first, second = Redactor(b"one key"), Redactor(b"another key")

    assert first.text("a +56900000001 b") == first.text("a 56900000001 b")
    assert first.text("+56 9 0000 0001") == first.text("+56900000001") != first.text("+56900000002")
    assert first.text("+56900000001") != second.text("+56900000001")
    assert Redactor().text("+56900000001") == "[phone]"


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T19:51:41.004091+00:00",
        "2026-11-22 19:51:41",
        "took 0.1234567890123 s",
        "9c905d9a-528a-42f5-89e1-3fe82575565d",
        "the database d_0123456789abcdef at 127.0.0.1:5432",
        "Claim C12 is approved already. Look at it with `wmctl claim show C12`.",
        "dedupe_key=claim:12:approved",
        "platform_core.errors.SecretRejected: The database refuses the password of this login",
        'File "platform_core/payments/decisions.py", line 120, in require_a_second_approver_above_the_limit',
        "Set the login's current password in the customer's database resource.",
        "CLP 45000",
        "primary_key=12",
        "The secret tenant/einstein_kids/database_password may be read by others on this machine",
        "",
        "¿Nos lo envía de nuevo como foto o PDF? 🧾",
    ],
)
def test_what_is_no_secret_stays_readable(text: str) -> None:
    """A log that hides everything is not read."""
    assert Redactor().text(text) == text


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("password", True),
        ("db_password", True),
        ("PGPASSWORD", True),
        ("apiKey", True),
        ("X-API-Key", True),
        ("Authorization", True),
        ("windmillToken", True),
        ("ycloud_key", True),
        ("signing_key", True),
        ("dsn", True),
        ("dedupe_key", False),
        ("idempotency_key", False),
        ("key", False),
        ("claim", False),
        ("SecretRejected", False),
        ("", False),
        ("monkey", False),
    ],
)
def test_names_that_hide_their_value(name: str, *, expected: bool) -> None:
    """In every spelling people use."""
    assert is_secret_name(name) is expected


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=12,
    )
)
def test_anything_becomes_json(value: object) -> None:
    """Logging never raises, whatever it is given."""
    json.dumps(Redactor().value(value), allow_nan=False)


@given(st.text(max_size=200))
def test_what_was_hidden_stays_hidden(text: str) -> None:
    """Hiding twice adds nothing new to hide: marks are not taken for secrets."""
    once = Redactor(b"k").text(f"{text} +56900000001")

    assert DIGITS not in once
    assert DIGITS not in Redactor(b"k").text(once)


def test_hostile_text_costs_no_more_than_its_length() -> None:
    """Long runs of what the patterns look for are scanned in bounded time."""
    redact = Redactor().text
    started = datetime.now(UTC)
    for piece in (
        "a" * 50,
        "token",
        "1 ",
        "+1 ",
        "eyJ.",
        "://a:",
        "password='",
        "{'password': '",
        "-----BEGIN ",
        "key ",
    ):
        assert len(redact(piece * 20_000)) < 20_000

    assert (datetime.now(UTC) - started).total_seconds() < 10


def test_a_value_hidden_in_depth_or_number_stays_bounded() -> None:
    """Depth and length are cut, cycles end."""
    cycle: list[object] = [1]
    cycle.append(cycle)

    assert "[too deep]" in json.dumps(Redactor().value(cycle))
    assert len(json.dumps(Redactor().value(list(range(10_000))))) < 2_000
    assert Redactor().value({"headers": [("X-API-Key", "abc"), (b"cookie", b"abc")]}) == {
        "headers": [["X-API-Key", HIDDEN], ["cookie", HIDDEN]]
    }


def test_settings_errors_never_quote_the_environment(lines: io.StringIO) -> None:
    """Refused values are not in the error, its cause or its log line."""
    for name in ("PLATFORM_DATABASE_URL", "PLATFORM_LOG_KEY"):
        for _, text in NOT_SHOWN:
            try:
                load_settings({name: text})
            except PlatformError as error:
                said = error.one_line()
                logs.get_logger().error("settings.refused", exc_info=error)
            else:
                said = ""
            assert _leaks(said) == []

    assert _leaks(lines.getvalue()) == []
