"""kill -9 at every move of a flow loses nothing and doubles nothing.

The runtime is a process of its own. A trigger in its database holds it at the chosen move: either inside the
transaction, which is then lost with the process, or while it commits, which then holds although nobody heard
of it. There it is killed; the next one goes on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import psycopg
import pytest

from platform_cli.local import postgres
from tests.support.windmill import add_script
from tests.support.written_flows import add_flow, identity, new_state, step, until

PATIENCE_S = 60.0
MOST_MOVES = 200
STRIDE = 6
"""Of the moves, each so manieth is tried in `make test`, those of the two fates between each other."""
HELD = 77
Fate = Literal["lost", "kept"]
RUNTIME = """
import sys
from pathlib import Path
from platform_cli.local.windmill.flows import shapes
from platform_cli.local.windmill.flows.approvals import Answer
from platform_cli.local.windmill.runtime import Runtime
root, dsn = Path(sys.argv[1]), sys.argv[2]
with Runtime(root, {}, mode="cold", state_dsn=dsn) as runtime:
    begun = shapes.list_jobs(runtime.engine.state, path="f/acme/day", limit=1)
    flow = begun[0].id if begun else runtime.start_flow("f/acme/day", {"log": sys.argv[3]})
    runtime.engine.answer(flow, Answer(1, "ana", True, "yes"))
    assert runtime.engine.wait(flow)
"""
WRITE = """
def main(log, word):
    with open(log, "a") as file:
        file.write(word + "\\n")
    return word
"""
DAY = {
    "modules": [
        {
            **step("first", "f/acme/write", log="=flow_input.log", word="first"),
            "suspend": {"required_events": 1},
        },
        step("answer", "f/acme/write", log="=flow_input.log", word="=resume"),
        {
            "id": "each",
            "value": {
                "type": "forloopflow",
                "iterator": {"type": "static", "value": ["a", "b"]},
                "parallel": True,
                "skip_failures": False,
                "modules": [
                    step("turn", "f/acme/write", log="=flow_input.log", word="=flow_input.iter.value")
                ],
            },
        },
        {
            "id": "way",
            "value": {
                "type": "branchone",
                "branches": [{"expr": "results.each.length == 2", "modules": [identity("inside")]}],
                "default": [],
            },
        },
    ]
}
DONE = {
    (None, "flow", "success"): 1,
    ("first", "script", "success"): 1,
    ("answer", "script", "success"): 1,
    ("each", "flownode", "success"): 2,
    ("turn", "script", "success"): 2,
    ("way", "flownode", "success"): 1,
    ("inside", "identity", "success"): 1,
}
HOLD = """
CREATE SEQUENCE public.moves;
CREATE TABLE public.hold (at bigint NOT NULL);
INSERT INTO public.hold VALUES (0);
CREATE FUNCTION public.hold_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('hold.move', true) IS DISTINCT FROM txid_current()::text THEN
        PERFORM set_config('hold.move', txid_current()::text, false);
        IF nextval('public.moves') = (SELECT at FROM public.hold) THEN
            PERFORM pg_advisory_xact_lock(77);
        END IF;
    END IF;
    RETURN NULL;
END $$;
"""
TRIGGER = """
CREATE CONSTRAINT TRIGGER hold_move AFTER INSERT OR UPDATE ON flows.{table}
DEFERRABLE INITIALLY {when} FOR EACH ROW EXECUTE FUNCTION public.hold_move();
"""


class Scene:
    """A flow, its state, and the processes that run it one after the other."""

    def __init__(self, root: Path, dsn: str, log: Path) -> None:
        self.root, self.dsn, self.log = root, dsn, log
        self.db = psycopg.connect(dsn, autocommit=True)
        self.kills = 0

    def start(self) -> subprocess.Popen[bytes]:
        """A runtime that runs the day, or goes on with it."""
        command = [sys.executable, "-c", RUNTIME, str(self.root), self.dsn, str(self.log)]
        return subprocess.Popen(command)

    def prepare(self) -> None:
        """Let the runtime make its tables, and forget what it did in them."""
        process = self.start()
        assert process.wait(PATIENCE_S) == 0
        self.db.execute("TRUNCATE flows.job, flows.resume")
        self.log.unlink()

    def hold(self, fate: Fate) -> None:
        """Make moves hold, inside the transaction or while it commits."""
        self.db.execute(HOLD)
        for table in ("job", "resume"):
            when = "IMMEDIATE" if fate == "lost" else "DEFERRED"
            self.db.execute(TRIGGER.format(table=table, when=when))

    def forget(self) -> None:
        """Begin again with nothing."""
        self.db.execute("TRUNCATE flows.job, flows.resume")
        self.log.unlink(missing_ok=True)
        self.kills = 0

    def run_until(self, move: int) -> bool:
        """Run until the move, counted from now, and kill there; False when the day ended before."""
        self.db.execute("SELECT setval('public.moves', 1, false)")
        self.db.execute("UPDATE public.hold SET at = %s", (move,))
        with psycopg.connect(self.dsn, autocommit=True) as holder:
            holder.execute("SELECT pg_advisory_lock(%s)", (HELD,))
            process = self.start()
            give_up_at = time.monotonic() + PATIENCE_S
            while process.poll() is None and not self._is_held():
                assert time.monotonic() < give_up_at, f"move {move} never came"
                threading.Event().wait(0.01)
            if process.poll() is not None:
                assert process.returncode == 0
                return False
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            self.kills += 1
        until(self._is_alone, "the session of the dead runtime to end")
        return True

    def _is_alone(self) -> bool:
        row = self.db.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'local-windmill'"
        ).fetchone()
        return row is not None and row[0] == 0

    def _is_held(self) -> bool:
        row = self.db.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            (HELD,),
        ).fetchone()
        return bool(row and row[0])

    def finish(self) -> None:
        """Run to the end with nothing in the way."""
        self.db.execute("UPDATE public.hold SET at = 0")
        assert self.start().wait(PATIENCE_S) == 0

    def check(self) -> None:
        """Each step is stored once; a word was written once, or again when its process was killed."""
        rows = self.db.execute("SELECT step_id, kind, outcome FROM flows.job").fetchall()
        assert Counter(rows) == DONE
        written = Counter(self.log.read_text(encoding="utf-8").split())
        assert written.keys() == {"first", "yes", "a", "b"}
        assert max(written.values()) <= 1 + self.kills


@pytest.fixture
def scene(cluster: postgres.Cluster, tmp_path: Path) -> Iterator[Scene]:
    """One customer with one flow."""
    root = tmp_path / "customers"
    add_script(root, "write", WRITE)
    add_flow(root, "day", DAY)
    with _closing(Scene(root, new_state(cluster), tmp_path / "log")) as found:
        found.prepare()
        yield found


@contextmanager
def _closing(scene: Scene) -> Iterator[Scene]:
    try:
        yield scene
    finally:
        scene.db.close()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("fate", ["lost", "kept"])
def test_a_runtime_killed_at_any_move_of_a_flow_loses_and_doubles_nothing(
    scene: Scene, fate: Fate, is_thorough: bool
) -> None:
    """A day for each move: killed there, and ended by the next process as if nothing had been."""
    scene.hold(fate)
    stride = 1 if is_thorough else STRIDE
    move = 1 if is_thorough or fate == "lost" else 1 + STRIDE // 2

    while scene.run_until(move):
        scene.finish()
        scene.check()
        scene.forget()
        move += stride
        assert move < MOST_MOVES

    scene.check()
    assert move > sum(DONE.values())
