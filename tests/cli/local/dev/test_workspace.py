"""`wmctl dev workspace`: a Windmill to plan and deploy to, on this machine, until Ctrl-C."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from tests.support.dev import checkout, wait_until


def test_it_says_how_it_is_added_answers_and_ends_in_order(tmp_path: Path) -> None:
    """The line it prints is a line that works; what it holds is kept."""
    said = tmp_path / "said"
    (tmp_path / "here").mkdir()
    with checkout(tmp_path / "here") as here, said.open("w", encoding="utf-8") as out:
        process = here.terminal.start("dev", "workspace", "--port", "0", "--pace", "0", out=out, err=out)
        try:
            wait_until(lambda: "wmctl target add" in said.read_text(encoding="utf-8"), limit_s=60)
            [line] = re.findall(r"wmctl (target add offline .*)$", said.read_text("utf-8"), re.MULTILINE)
            added = here.terminal.run(*line.split())
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)

    assert added.code == 0, added.err
    assert process.returncode == 0
    assert "It has ended; what it holds stays in" in said.read_text(encoding="utf-8")
