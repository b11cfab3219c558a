"""Running the door: uvicorn with our protocol, the folder watched, signals, an orderly end.

uvicorn because it is the most used and best kept ASGI server, and its loop and parser (uvloop, httptools)
are C; what it lacks toward strangers is in `protocol`. See docs/decisions/0013-two-doors.md.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import uvicorn

from platform_core.errors import ConfigurationError, PlatformError
from platform_core.inbox.judging import facts_of_failure
from platform_core.ingest.door import Door
from platform_core.ingest.files import CustomerDoor, door_files, read_door
from platform_core.ingest.limits import Limits
from platform_core.ingest.protocol import DoorProtocol, Gate, protocol_of
from platform_core.ingest.store import DoorLogin
from platform_core.ingest.waking import Waker

RELOAD_S = 1.0
_SWEEP_TICKS = 3  # uvicorn ticks ten times a second
_LOOKED = tuple[int, int, int]

Placed = Callable[[CustomerDoor], CustomerDoor]


@dataclass(frozen=True, slots=True)
class Serving:
    """What `serve` is told. `placed` may change where a customer's database is: an embedded server moves."""

    folder: Path
    login: DoorLogin
    waker: Callable[[], Waker | None]
    host: str = "127.0.0.1"
    port: int = 8787
    limits: Limits = field(default_factory=Limits)
    on_open: Callable[[str], None] = lambda _: None
    placed: Placed = lambda door: door


def serve(told: Serving) -> None:
    """Serve until SIGTERM or SIGINT, then answer everything accepted and return. A second signal ends it.

    Raises: ConfigurationError when the address cannot be used; UnreadableFile when the folder cannot be read.
    """
    door_files(told.folder)
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        runner.run(_serve(told))


def _new_loop() -> asyncio.AbstractEventLoop:
    import uvloop  # noqa: PLC0415 - the command line imports this module on machines that never serve

    return uvloop.new_event_loop()


async def _serve(told: Serving) -> None:
    door = Door(told.login, told.waker(), told.limits)
    if door.waker is None:
        door.journal.log.warning(
            "door.wakes_nobody", message="No Windmill is named: only cron starts runners."
        )
    watch = Folder(told.folder, door, told.placed)
    watch.look()
    server = _Server(_config(told, door), door, told.limits)
    watching = asyncio.get_running_loop().create_task(_watch(watch))
    try:
        await server.open(told)
        gc.collect()
        gc.freeze()  # what was imported stays for ever: not to be walked again by each collection under load
        await server.serve_until_told()
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await asyncio.wait_for(door.close(), told.limits.stop_s)
    door.journal.log.info("door.closed")


def _config(told: Serving, door: Door) -> uvicorn.Config:
    limits = told.limits
    return uvicorn.Config(
        door,
        host=told.host,
        port=told.port,
        http=protocol_of(Gate(limits, door.refused)),
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=1024,
        timeout_keep_alive=limits.keep_alive_s,
        timeout_graceful_shutdown=limits.stop_s,
    )


class _Server(uvicorn.Server):
    """uvicorn's server with our signals, our sweep, and a moment of not being ready before it closes."""

    def __init__(self, config: uvicorn.Config, door: Door, limits: Limits) -> None:
        super().__init__(config)
        self._door, self._limits = door, limits
        self._told_s: float | None = None

    async def open(self, told: Serving) -> None:
        """Listen. Raises: ConfigurationError."""
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        try:
            await self.startup()
        except SystemExit:  # what uvicorn makes of an address it cannot have
            raise ConfigurationError(
                f"{told.host}:{told.port} cannot be listened on", next_step="Choose another port."
            ) from None
        port = self.servers[0].sockets[0].getsockname()[1]
        self._door.journal.log.info("door.opened", port=port, customers=len(self._door.customers))
        told.on_open(f"http://{told.host}:{port}")

    async def serve_until_told(self) -> None:
        """Serve, then stop in order."""
        with self.capture_signals():
            await self.main_loop()
            await self.shutdown()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: sweep the connections; when told to stop, say so before closing."""
        if counter % _SWEEP_TICKS == 0:
            now_s = time.monotonic()
            for connection in list(self.server_state.connections):
                if isinstance(connection, DoorProtocol):
                    connection.sweep(now_s)
        await super().on_tick(counter)
        return self._told_s is not None and time.monotonic() - self._told_s >= self._limits.drain_s

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The first signal stops in order, the second at once. uvicorn would then die of the first one."""
        kept = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note the first signal; leave at the second."""
        del frame
        if self._told_s is not None:
            os._exit(128 + sig)
        self._told_s = time.monotonic()
        self._door.stopping = True
        self._door.journal.log.info("door.stopping", signal=signal.Signals(sig).name)


class Folder:
    """The customers' files as they are now. A file that is broken leaves its last good content in force."""

    def __init__(self, folder: Path, door: Door, placed: Placed) -> None:
        self._folder, self._door, self._placed = folder, door, placed
        self._seen: dict[Path, _LOOKED] = {}
        self._trouble = ""

    def look(self) -> None:
        """Take over every file that is new or changed; dismiss customers whose file is gone."""
        try:
            files = door_files(self._folder)
        except PlatformError as error:
            if self._trouble != str(error):
                self._refused(error)
            self._trouble = str(error)
            return
        self._trouble = ""
        for path in set(self._seen) - set(files):
            del self._seen[path]
            if path.stem in self._door.customers:
                self._door.dismiss(path.stem)
                self._door.journal.log.info("door.customer_removed", tenant=path.stem)
        for path in files:
            with suppress(FileNotFoundError):
                found = path.stat()
                looked = (found.st_mtime_ns, found.st_ino, found.st_mode)
                if self._seen.get(path) != looked:
                    self._seen[path] = looked
                    self._take(path)

    def _refused(self, error: PlatformError) -> None:
        """The error's own words name the file and the reason."""
        self._door.journal.log.error("door.file_refused", **facts_of_failure(error))

    def _take(self, path: Path) -> None:
        try:
            found = self._placed(read_door(path))
        except PlatformError as error:
            self._refused(error)
            return
        self._door.admit(found)
        self._door.journal.log.info("door.file_loaded", tenant=found.customer, endpoints=len(found.endpoints))


async def _watch(folder: Folder) -> None:
    while True:
        try:
            await asyncio.sleep(RELOAD_S)
        except asyncio.CancelledError:
            return
        folder.look()
