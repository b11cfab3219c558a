"""Hand the log to a recovering server, one file at a time, opened here: the identity is in no other process.

PostgreSQL starts a command for each file it wants; that is `fetch.sh`, which asks through one named pipe and
reads the answer from another.
"""

from __future__ import annotations

import os
import shlex
import shutil
import threading
from pathlib import Path

from platform_core.backups.place import Place
from platform_core.backups.sealing import Identity, unseal
from platform_core.backups.segments import SEGMENT_BYTES, Reach
from platform_core.errors import BackupFailed, PlatformError

_SCRIPT = Path(__file__).with_name("fetch.sh")
_THERE, _NONE, _BROKEN = 0, 1, 200
_PATIENCE_S = 600


class Fetcher:
    """Answers for the segments of one reach, and for nothing else.

    `failure` is why it answered with a stop.
    """

    def __init__(self, place: Place, reach: Reach, identity: Identity, *, data: Path, work: Path) -> None:
        self._place, self._identity, self._data, self._work = place, identity, data, work
        self._system = reach.anchor.system
        self._segments = {segment.name: segment for segment in reach.segments}
        self._histories = place.histories(self._system)
        self.failure: PlatformError | None = None
        self.fetched = 0

    @property
    def command(self) -> str:
        """What PostgreSQL runs. Without an answer in time it is killed, which stops the recovery."""
        words = ["timeout", "--signal=KILL", str(_PATIENCE_S), "/bin/sh", str(self._work / _SCRIPT.name)]
        return f"{shlex.join([*words, str(self._work)])} %f %p"

    def open(self) -> None:
        """Make the pipes and begin to answer, in a thread that ends with the process."""
        shutil.copy(_SCRIPT, self._work)
        self._place.programs().give(self._work / _SCRIPT.name)
        for name in ("asked", "answered"):
            os.mkfifo(self._work / name, 0o600)
            self._place.programs().give(self._work / name)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Let the thread end: nobody asks any more."""
        (self._work / "closed").touch()
        for name in ("asked", "answered"):
            try:
                os.close(os.open(self._work / name, os.O_RDWR | os.O_NONBLOCK))
            except OSError:
                continue

    def _serve(self) -> None:
        while not (self._work / "closed").exists():
            try:
                with (self._work / "asked").open(encoding="utf-8") as asked:
                    name, _, target = asked.readline().strip().partition(" ")
                if not name:
                    continue
                code = self._fetch(name, target)
                with (self._work / "answered").open("w", encoding="utf-8") as answered:
                    answered.write(f"{code}\n")
            except OSError:  # the folder is gone, or the one who asked: nobody is answered any more
                return

    def _fetch(self, name: str, target: str) -> int:
        try:
            path = self._data / target
            if name in self._histories:
                path.write_bytes(self._histories[name].read_bytes())
            elif name in self._segments:
                segment = self._segments[name]
                with path.open("wb") as file:
                    unseal(
                        self._place.wal(self._system) / segment.file_name,
                        segment.sha256,
                        self._identity,
                        file,
                    )
                if path.stat().st_size != SEGMENT_BYTES:
                    raise BackupFailed(f"{segment.file_name} is no whole segment")
            else:
                return _NONE
            self._place.programs().give(path)
        except PlatformError as error:
            self.failure = error
            return _BROKEN
        except OSError as error:
            self.failure = BackupFailed(f"{name} could not be put before PostgreSQL: {error.strerror}")
            return _BROKEN
        self.fetched += 1
        return _THERE
