"""Work in a second process: its result comes back, and whatever happens to it costs no more than time."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from platform_cli.sync.beside import Beside

BEGIN = """
import os, signal
from platform_cli.sync import beside
from platform_cli.sync.beside import Beside
beside._can_fork = lambda: True  # however many processors there are
here = os.getpid()
"""


def _said(*lines: str) -> list[str]:
    """What a program of its own prints: the tests' own process has threads."""
    program = "\n".join([BEGIN, *lines])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_the_work_is_done_in_another_process_and_its_result_comes_back() -> None:
    """Much of it, too: more than a pipe holds at once."""
    assert _said(
        "process, much = Beside(lambda: (os.getpid(), 'x' * 1_000_000)).result()",
        "print(process != here, len(much))",
    ) == ["True", "1000000"]


@pytest.mark.parametrize(
    "end", ["os._exit(0)", "os._exit(3)", "os.kill(os.getpid(), signal.SIGKILL)", "1 / 0", "(lambda: 0)"]
)
def test_when_the_other_process_brings_nothing_back_the_work_is_done_here(end: str) -> None:
    """It ended, was killed, failed, or what it found cannot be sent."""
    assert _said(f"print(Beside(lambda: 'here' if os.getpid() == here else {end}).result())") == ["here"]


def test_an_error_of_the_work_is_raised_here_as_it_is() -> None:
    """With its class and its words, as if there were no second process."""
    assert _said(
        "try: Beside(lambda: [][7]).result()", "except IndexError as error: print(len(error.args))"
    ) == ["1"]


def test_a_result_that_nobody_wants_keeps_nobody_waiting() -> None:
    """The other process is ended, however busy, and leaves nothing behind."""
    assert _said(
        "import time",
        "work = Beside(lambda: time.sleep(3600))",
        "work.drop()",
        "work.drop()",
        "try: os.waitpid(-1, 0)",
        "except ChildProcessError: print('gone')",
    ) == ["gone"]


def test_beside_other_threads_no_copy_of_the_process_is_made() -> None:
    """A lock that one of them holds would be held in the copy for ever."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert Beside(threading.active_count).result() == threading.active_count()
    finally:
        done.set()
        thread.join()
