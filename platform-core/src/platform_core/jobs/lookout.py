"""Where the next claim looks: how far each line was read, and which lanes have something to start.

Floors spare reading what this worker has already taken: an old snapshot elsewhere can keep those entries in
the index for hours. They are dropped every few seconds, and always before the queue is believed to be
empty, because a job that was committed late lies below them. Lanes are asked for once a second and when
claims come back short; each claim takes the next few in turn, so every lane gets its turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from platform_core.db.connect import Tx
from platform_core.db.queries import load_queries
from platform_core.jobs.execution import ClaimedRow
from platform_core.jobs.settlement import Floor, Lane, Reach

Q = load_queries(__file__)

LANES_A_CLAIM = 50
LANES_A_SURVEY = 500
LOWEST_FIRST_EVERY = 10
"""One claim in so many starts from the lowest priority, so that urgent work cannot starve it."""

_BEGINNING: Lane = ("", "")


class Lookout:
    """One shift's view of the queue. `held_back_s`: when a lane opens that only a rate holds back."""

    def __init__(self) -> None:
        self.held_back_s: float | None = None
        self._floors: dict[int, Floor] = {}
        self._lanes: deque[Lane] = deque()
        self._asked: list[Lane] = []
        self._after = _BEGINNING
        self._claims = 0

    @property
    def sees_lanes(self) -> bool:
        """Whether a lane is known that may have something to start."""
        return bool(self._lanes)

    def reach(self, batch: int) -> Reach:
        """Where the next claim looks. A claim of a single job takes turns between lanes and the open line."""
        self._claims += 1
        self._asked = []
        if batch > 1 or self._claims % 2:
            self._asked = [self._lanes.popleft() for _ in range(min(LANES_A_CLAIM, len(self._lanes)))]
        return Reach(self._floors, self._asked, lowest_first=self._claims % LOWEST_FIRST_EVERY == 0)

    def took(self, rows: Sequence[ClaimedRow]) -> None:
        """What that claim brought: raises the floors, and keeps the lanes that gave something."""
        if self._asked:
            gave = {(row.kind, row.lane) for row in rows if row.lane is not None}
            self._lanes.extend(lane for lane in self._asked if lane in gave)
        highest = None
        for row in reversed(rows):  # in the order of priority, so the first of each level is its last
            if row.lane is not None:
                break
            if row.priority != highest:
                highest = row.priority
                self._floors[highest] = (row.run_at, row.id)

    def drop_floors(self) -> None:
        """Read from the beginning again."""
        self._floors = {}

    def survey(self, tx: Tx, *, thorough: bool = False) -> None:
        """Ask which lanes are open: the next page of them, or all."""
        self.held_back_s = None
        if thorough:
            self._after = _BEGINNING
        known = set(self._lanes)
        more = True
        while more:
            kind, lane = self._after
            page = tx.execute(
                Q["lane_list_open"], {"after_kind": kind, "after_lane": lane, "most": LANES_A_SURVEY}
            ).fetchall()
            more = bool(page) and page[-1][2] is None
            self._after = (page[-1][0], page[-1][1]) if more else _BEGINNING
            self._note(page[:-1] if more else page, known)
            more = more and thorough

    def _note(self, page: Sequence[tuple[str, str, float]], known: set[Lane]) -> None:
        for kind, lane, ready_in_s in page:
            if ready_in_s > 0:
                self.held_back_s = min(ready_in_s, self.held_back_s or ready_in_s)
            elif (kind, lane) not in known:
                self._lanes.append((kind, lane))
