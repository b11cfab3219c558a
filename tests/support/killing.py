"""Kill a process at an exact statement, from outside: a relay before PostgreSQL counts the statements.

The process under test runs unchanged and is ended by SIGKILL, as a power cut would. `before` drops the n-th
statement on the floor; `during` hands it to the server first and does not wait for the answer.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext
from typing import Any, Literal

from psycopg.conninfo import conninfo_to_dict, make_conninfo

Moment = Literal["before", "during"]
_STATEMENT_MESSAGES = (b"Q", b"B")  # a simple query, or the bind of an extended one


@dataclass
class Relay:
    """Passes every byte between a process and the server, and kills the process at one statement.

    `kill_at` counts from one; zero only counts. `seen` is how many statements passed. With `meanwhile` the
    process is not killed but stopped before that statement, until what happens meanwhile has happened.
    """

    admin_dsn: str
    kill_at: int = 0
    moment: Moment = "before"
    victim_pid: int = 0
    seen: int = 0
    meanwhile: Callable[[], object] | None = None
    _counting: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def listening(self) -> Iterator[str]:
        """The connection string to give to the process."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            thread = threading.Thread(target=self._accept, args=(server,), daemon=True)
            thread.start()
            facts = conninfo_to_dict(self.admin_dsn)
            changes = {"host": "127.0.0.1", "port": str(server.getsockname()[1])}
            yield make_conninfo(
                **{**{k: str(v) for k, v in facts.items()}, **changes},
                sslmode="disable",
                gssencmode="disable",
            )
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            facts = conninfo_to_dict(self.admin_dsn)
            upstream = socket.create_connection((str(facts["host"]), int(str(facts["port"]))))
            for pump in (self._to_server, self._to_client):
                threading.Thread(target=pump, args=(client, upstream), daemon=True).start()

    def _to_server(self, client: socket.socket, upstream: socket.socket) -> None:
        # A process that dies on another connection may have sent half of a message on this one.
        ended = contextlib.suppress(OSError, struct.error)
        with ended, client.makefile("rb") as stream, _hanging_up(upstream):
            upstream.sendall(_startup(stream))
            while kind := stream.read(1):
                length = stream.read(4)
                message = kind + length + stream.read(struct.unpack("!I", length)[0] - 4)
                if kind in _STATEMENT_MESSAGES and self._is_the_one():
                    if self.meanwhile is not None:
                        self._stop_for(self.meanwhile)
                        upstream.sendall(message)
                        continue
                    if self.moment == "during":
                        upstream.sendall(message + _rest_of_batch(kind, stream))
                    os.kill(self.victim_pid, signal.SIGKILL)
                    return
                upstream.sendall(message)

    def _is_the_one(self) -> bool:
        with self._counting:
            self.seen += 1
            return self.seen == self.kill_at

    def _stop_for(self, meanwhile: Callable[[], object]) -> None:
        os.kill(self.victim_pid, signal.SIGSTOP)
        try:
            meanwhile()
        finally:
            os.kill(self.victim_pid, signal.SIGCONT)

    @staticmethod
    def _to_client(client: socket.socket, upstream: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            while block := upstream.recv(65536):
                client.sendall(block)


@contextlib.contextmanager
def _hanging_up(upstream: socket.socket) -> Iterator[None]:
    """The server must see the end at once; closing alone waits for the other direction's read."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            upstream.shutdown(socket.SHUT_RDWR)
        upstream.close()


def _startup(stream: Any) -> bytes:  # a buffered reader; socket.makefile has no public type for it
    length: bytes = stream.read(4)
    rest: bytes = stream.read(struct.unpack("!I", length)[0] - 4)
    return length + rest


def _rest_of_batch(kind: bytes, stream: Any) -> bytes:  # same
    """What follows a bind up to its sync: without it the server would not begin."""
    batch = b""
    while kind != b"Q":
        kind = stream.read(1)
        length = stream.read(4)
        batch += kind + length + stream.read(struct.unpack("!I", length)[0] - 4)
        if kind == b"S":
            break
    return batch


_context: ForkServerContext = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    ["tests.support.provisioning", "tests.support.killing", "tests.support.queues"]
)


def run_and_kill(
    admin_dsn: str,
    work: Callable[..., object],
    arguments: tuple[object, ...],
    *,
    kill_at: int,
    moment: Moment,
) -> int:
    """Run `work(dsn, *arguments)` in a process of its own and kill it at one statement; statements seen.

    Fails when the process ends in any way but the kill, or (`kill_at` zero) success.
    """
    relay = Relay(admin_dsn, kill_at, moment)
    expected = -signal.SIGKILL if kill_at else 0
    return _run(relay, work, arguments, expected)


def run_and_stop(
    admin_dsn: str,
    work: Callable[..., object],
    arguments: tuple[object, ...],
    *,
    stop_at: int,
    meanwhile: Callable[[], object],
) -> int:
    """Run `work(dsn, *arguments)` in a process of its own, stopped before one statement; statements seen.

    Fails when the process does not end well: a stopped one must find out by itself what it has lost.
    """
    return _run(Relay(admin_dsn, stop_at, meanwhile=meanwhile), work, arguments, 0)


def _run(relay: Relay, work: Callable[..., object], arguments: tuple[object, ...], expected: int) -> int:
    kill_at = relay.kill_at
    with relay.listening() as dsn:
        gate = _context.Event()
        victim = _context.Process(target=_wait_then, args=(gate, work, dsn, *arguments))
        victim.start()
        relay.victim_pid = victim.pid or 0
        gate.set()
        victim.join(60)
        if victim.is_alive():
            victim.kill()
            victim.join()
            raise AssertionError(f"statement {kill_at} of the process never came")
        if victim.exitcode != expected and not (kill_at and relay.seen < kill_at):
            raise AssertionError(f"the process ended with {victim.exitcode}, not {expected}")
    return relay.seen


def _wait_then(gate: Any, work: Callable[..., object], dsn: str, *arguments: object) -> None:  # an mp event
    gate.wait(30)
    work(dsn, *arguments)
