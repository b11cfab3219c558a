"""What can be run and served right now: the customers' folders as they are at this moment.

A shelf that follows its folders looks at every file's time, size and number before each use, which takes a
fraction of a millisecond, and reads a customer again when one of them differs. So a change is there at the
next request and never later. A broken item is refused with its file and reason, and keeps nothing of what it
was before; the others go on.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from platform_cli.local.windmill import items
from platform_cli.local.windmill.flows.model import Flow
from platform_cli.local.windmill.items import Broken, CustomerItems, HttpRoute, Schedule, Script
from platform_cli.local.windmill.jsonb import Json
from platform_cli.local.windmill.references import Store
from platform_core.errors import NotFound

_Looked = tuple[int, int, int]
_READ = ("scripts", "config", "flows")


@dataclass(frozen=True, slots=True)
class Shelved:
    """One moment's items. `broken` are those that exist and cannot be used, by path."""

    scripts: Mapping[str, Script]
    flows: Mapping[str, Flow]
    routes: tuple[HttpRoute, ...]
    schedules: tuple[Schedule, ...]
    broken: Mapping[str, Broken]
    store: Store = field(repr=False)

    def script(self, path: str) -> Script:
        """A script by its path. Raises: NotFound, or what is wrong with its files."""
        found = self.scripts.get(path)
        if found is not None:
            return found
        self.require_whole(path, "script")
        known = ", ".join(sorted(self.scripts)) or "none"
        raise NotFound(f"There is no script {path}", next_step=f"Known: {known}.")

    def flow(self, path: str) -> Flow:
        """A flow by its path. Raises: NotFound, or what is wrong with its files."""
        found = self.flows.get(path)
        if found is not None:
            return found
        self.require_whole(path, "flow")
        known = ", ".join(sorted(self.flows)) or "none"
        raise NotFound(f"There is no flow {path}", next_step=f"Known: {known}.")

    def require_whole(self, path: str, *kinds: str) -> None:
        """Raise what is wrong with an item, when something is."""
        if (found := self.broken.get(path)) is not None and found.kind in kinds:
            raise found.error


class Shelf:
    """The folders below `root`. `resources` and `variables` stand beside theirs, and win over them.

    Without `follow` everything is read once, and what is broken is raised at once. Safe for threads.
    """

    def __init__(
        self,
        root: Path,
        workspace: str,
        *,
        resources: Mapping[str, Json],
        variables: Mapping[str, str],
        follow: bool,
    ) -> None:
        self._root, self._workspace, self._follow = root, workspace, follow
        self._resources, self._variables = resources, variables
        self._lock = threading.Lock()
        self._seen: dict[Path, Mapping[str, _Looked]] = {}
        self._customers: dict[Path, CustomerItems] = {}
        if not follow:
            self._customers = {one.folder: one for one in items.load_customers(root, workspace=workspace)}
        self._shelved = self._gathered()

    def current(self) -> Shelved:
        """What there is now."""
        if self._follow:
            with self._lock:
                if self._look():
                    self._shelved = self._gathered()
        return self._shelved

    def give(self, path: str, value: Json) -> None:
        """One more resource beside those of the folders."""
        with self._lock:
            self._resources = {**self._resources, path: value}
            self._shelved = self._gathered()

    def _look(self) -> bool:
        """Read again whatever differs. True when something did."""
        folders = items.customer_folders(self._root)
        gone = set(self._seen) - set(folders)
        for folder in gone:
            del self._seen[folder], self._customers[folder]
        changed = bool(gone)
        for folder in folders:
            looked = dict(_files(folder))
            if self._seen.get(folder) != looked:
                self._customers[folder] = items.read_customer(folder, workspace=self._workspace)
                self._seen[folder] = looked
                changed = True
        return changed

    def _gathered(self) -> Shelved:
        loaded = [self._customers[folder] for folder in sorted(self._customers)]
        whole, clashing = items.without_clashes([route for one in loaded for route in one.routes])
        return Shelved(
            scripts={path: script for one in loaded for path, script in one.scripts.items()},
            flows={path: flow for one in loaded for path, flow in one.flows.items()},
            routes=whole,
            schedules=tuple(schedule for one in loaded for schedule in one.schedules),
            broken={broken.path: broken for one in loaded for broken in (*one.broken, *clashing)},
            store=Store(
                resources={
                    **{path: value for one in loaded for path, value in one.resources.items()},
                    **self._resources,
                },
                variables={
                    **{path: text for one in loaded for path, text in one.variables.items()},
                    **self._variables,
                },
            ),
        )


def _files(folder: Path) -> Iterator[tuple[str, _Looked]]:
    """Every file of a customer with what changes when it is written."""
    waiting = [os.path.join(folder, name) for name in _READ]  # noqa: PTH118 - scandir is ten times faster
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir():
                        waiting.append(entry.path)
                    elif not entry.name.startswith("."):
                        found = entry.stat()
                        yield entry.path, (found.st_mtime_ns, found.st_size, found.st_ino)
        except OSError:  # it was there a moment ago; reading says what is wrong
            continue
