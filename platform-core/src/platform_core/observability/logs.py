"""Log lines: one JSON object a line on stderr, with who and what it is about, without secrets and people.

Every line has `ts`, `level`, `event`, `service`, `version`, and what was bound around it: `tenant`,
`request_id`, `job_id`, `event_id`. Events are dotted past-tense constants, listed in
docs/reference/events.md. structlog is imported at the first logger, not with this module: a webhook that logs
nothing does not pay for it.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, TextIO, cast

from platform_core.errors import PlatformError
from platform_core.observability.redaction import Redactor
from platform_core.settings import Secret
from platform_core.values import SystemClock

if TYPE_CHECKING:  # structlog costs what only a process that logs pays
    from structlog.typing import FilteringBoundLogger

_BOUND: ContextVar[Mapping[str, object]] = ContextVar("bound", default=MappingProxyType({}))
_FIRST = ("ts", "level", "event", "service", "version", "tenant", "request_id", "job_id", "event_id")
_LINE_ENDS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}
_DISTRIBUTION = "platform-core"


def get_logger(name: str = "platform", **facts: object) -> FilteringBoundLogger:
    """A logger of that name, with facts on each of its lines. Sets logging up when nobody did."""
    import structlog  # noqa: PLC0415 - see the module

    if not structlog.is_configured():
        configure("platform", own_process=False)
    return cast("FilteringBoundLogger", structlog.get_logger(name, **facts))


def get_logger_later(make: Callable[[], FilteringBoundLogger]) -> FilteringBoundLogger:
    """A logger that is made when its first line is written: for those who are given one and rarely use it."""
    return cast("FilteringBoundLogger", _Later(make))


class _Later:
    """Stands for a logger until somebody asks it for anything."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], FilteringBoundLogger]) -> None:
        self._make = make

    def __getattr__(self, name: str) -> object:
        return getattr(self._make(), name)


def configure(
    service: str,
    *,
    level: str = "INFO",
    key: Secret | None = None,
    stream: TextIO | None = None,
    own_process: bool = True,
) -> None:
    """Set logging up for this process; the last call holds.

    `own_process` also takes over what libraries log, warnings, and the last words of a process or thread that
    crashes: none of those would pass the redaction otherwise. Without `stream` lines go to stderr.
    """
    import structlog  # noqa: PLC0415 - see the module

    lines = _Lines(stream, service)
    writer = _Writer(service, _version(), Redactor(key.reveal().encode() if key else None))
    structlog.configure(
        processors=[writer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=lambda *named: _Lines(stream, *named),
        cache_logger_on_first_use=False,
    )
    if own_process:
        _take_over_libraries(writer, lines)
        _take_over_crashes(writer, lines)


@contextmanager
def bind(**facts: object) -> Iterator[None]:
    """Put facts such as `tenant` and `job_id` on every line written inside the block."""
    token = _BOUND.set(MappingProxyType({**_BOUND.get(), **facts}))
    try:
        yield
    finally:
        _BOUND.reset(token)


class _Writer:
    """The one way a line is made: complete it, hide what must be hidden, order it, turn it into text."""

    def __init__(self, service: str, version: str, redactor: Redactor) -> None:
        self._service, self._version, self._redactor = service, version, redactor

    def __call__(self, lines: _Lines, method: str, event: MutableMapping[str, Any]) -> str:
        """A structlog processor, the only one."""
        return self.line("error" if method == "exception" else method, {"logger": lines.name, **event})

    def line(self, level: str, event: Mapping[str, object]) -> str:
        """One line of JSON, without its line feed."""
        said = dict(event)
        error = said.pop("exc_info", None)
        complete: dict[str, object] = {
            "ts": SystemClock().now().isoformat(timespec="microseconds"),
            "level": level,
            "service": self._service,
            "version": self._version,
            **_BOUND.get(),
            **said,
        }
        if error:
            complete |= _describe(error)
        shown = {name: self._redactor.value(value, name) for name, value in complete.items()}
        first = {name: shown.pop(name) for name in _FIRST if name in shown}
        text = json.dumps({**first, **shown}, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        # Readers that split at every kind of line end must still see one line.
        return text.translate(_LINE_ENDS).encode("utf-8", "backslashreplace").decode()


class _Lines:
    """Writes lines whole. A line that cannot be written is lost: logging never breaks what it tells about."""

    def __init__(self, stream: TextIO | None, name: str = "platform") -> None:
        self._stream, self.name = stream, name

    def msg(self, line: str) -> None:
        """One line, one write, so that two threads do not mix theirs."""
        with suppress(OSError, ValueError):
            stream = self._stream or sys.stderr
            stream.write(line + "\n")
            stream.flush()

    debug = info = warning = error = critical = exception = log = msg


class _Foreign(logging.Handler):
    """What libraries say through the standard library's logging."""

    def __init__(self, writer: _Writer, lines: _Lines) -> None:
        super().__init__(logging.WARNING)
        self._writer, self._lines = writer, lines

    def emit(self, record: logging.LogRecord) -> None:
        """As a line of ours, under one event."""
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - a library's mistake in formatting must not become ours
            message = str(record.msg)
        event = {
            "event": "library.logged",
            "logger": record.name,
            "message": message,
            "exc_info": record.exc_info,
        }
        self._lines.msg(self._writer.line(record.levelname.lower(), event))


def _take_over_libraries(writer: _Writer, lines: _Lines) -> None:
    root = logging.getLogger()
    for handler in [found for found in root.handlers if isinstance(found, _Foreign)]:
        root.removeHandler(handler)
    root.addHandler(_Foreign(writer, lines))
    logging.captureWarnings(capture=True)


def _take_over_crashes(writer: _Writer, lines: _Lines) -> None:
    def crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        lines.msg(writer.line("critical", {"event": "process.crashed", "exc_info": error}))

    def thread_crashed(found: threading.ExceptHookArgs) -> None:
        if found.exc_value is not None:
            lines.msg(writer.line("critical", {"event": "thread.crashed", "exc_info": found.exc_value}))

    sys.excepthook = crashed
    threading.excepthook = thread_crashed


def _describe(error: object) -> dict[str, object]:
    """The kind of an exception and its whole traceback with every cause, as text that the redaction reads."""
    match error:
        case BaseException():
            found: BaseException | None = error
        case (_, BaseException() as inner, _):
            found = inner
        case _:
            found = sys.exc_info()[1]
    if found is None:
        return {}
    described: dict[str, object] = {"error_type": type(found).__name__}
    if isinstance(found, PlatformError):
        described["error_code"] = found.code
    return described | {"exception": "".join(traceback.format_exception(found))}


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - only a process that logs pays

    try:
        return version(_DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"
