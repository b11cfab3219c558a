"""A flow as it was read: its steps, what each does, when it is skipped, tried again, waited for or ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from platform_cli.local.windmill.jsonb import Json
from platform_cli.sync.yaml12 import Place

MODULES: Place = ("modules",)


@dataclass(frozen=True, slots=True)
class Static:
    """An input that is written in the flow."""

    value: Json


@dataclass(frozen=True, slots=True)
class JavaScript:
    """An input that is an expression."""

    text: str


Transform: TypeAlias = Static | JavaScript


@dataclass(frozen=True, slots=True)
class ScriptStep:
    """Run a deployed script of the customer."""

    path: str
    inputs: Mapping[str, Transform]


@dataclass(frozen=True, slots=True)
class RawScriptStep:
    """Run Python that is written in the flow."""

    content: str = field(repr=False)
    inputs: Mapping[str, Transform]


@dataclass(frozen=True, slots=True)
class FlowStep:
    """Run another flow of the customer."""

    path: str
    inputs: Mapping[str, Transform]


@dataclass(frozen=True, slots=True)
class Identity:
    """Pass on what came."""


@dataclass(frozen=True, slots=True)
class Branch:
    """One way to go. `when` is its condition, for branchone alone; `skip_failure` is for branchall alone."""

    place: Place
    when: str = ""
    skip_failure: bool = False


@dataclass(frozen=True, slots=True)
class BranchOne:
    """Go the first way whose condition holds, or the default."""

    branches: Sequence[Branch]
    default: Branch


@dataclass(frozen=True, slots=True)
class BranchAll:
    """Go every way, one after the other or at once."""

    branches: Sequence[Branch]
    parallel: bool


@dataclass(frozen=True, slots=True)
class ForLoop:
    """Go the same way once for each item, one after the other or at once."""

    place: Place
    iterator: Transform
    skip_failures: bool
    parallel: bool
    parallelism: Transform | None


@dataclass(frozen=True, slots=True)
class WhileLoop:
    """Go the same way until a step says stop."""

    place: Place
    skip_failures: bool


Work: TypeAlias = (
    ScriptStep | RawScriptStep | FlowStep | Identity | BranchOne | BranchAll | ForLoop | WhileLoop
)


@dataclass(frozen=True, slots=True)
class StopIf:
    """End the flow after this step when `when` holds: as skipped, as done, or with an error message."""

    when: str
    skip: bool
    error_message: str | None
    include_result: bool


@dataclass(frozen=True, slots=True)
class Suspend:
    """Wait after the step for `required_events` approvals, at most `timeout_s`."""

    required_events: int
    timeout_s: int
    hide_cancel: bool
    continue_on_disapprove_timeout: bool
    form: Json


@dataclass(frozen=True, slots=True)
class Retry:
    """Try a failed step again: first at a constant distance, then at growing ones."""

    constant_attempts: int
    constant_seconds: int
    exponential_attempts: int
    exponential_multiplier: int
    exponential_seconds: int
    random_factor: int
    when: str

    @property
    def has_attempts(self) -> bool:
        """Whether it tries again at all."""
        return bool(self.constant_attempts or self.exponential_attempts)

    def distance_s(self, failures: int) -> int | None:
        """Seconds until the next try after `failures` earlier tries were repeated; None when it is over."""
        if failures < self.constant_attempts:
            return self.constant_seconds
        if failures - self.constant_attempts < self.exponential_attempts:
            return self.exponential_multiplier * int(self.exponential_seconds ** (failures + 1))
        return None


NO_RETRY = Retry(0, 0, 0, 1, 0, 0, "")


@dataclass(frozen=True, slots=True)
class Module:
    """One step."""

    id: str
    work: Work
    stop_after_if: StopIf | None = None
    stop_after_all_iters_if: StopIf | None = None
    suspend: Suspend | None = None
    retry: Retry = NO_RETRY
    sleep: Transform | None = None
    timeout: Transform | None = None
    skip_if: str = ""
    continue_on_error: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether a loop over this module alone runs it directly, without a flow around each turn."""
        return (
            isinstance(self.work, ScriptStep | RawScriptStep)
            and self.sleep is None
            and self.suspend is None
            and not self.retry.has_attempts
            and not self.retry.when
            and self.stop_after_if is None
            and self.stop_after_all_iters_if is None
            and not self.skip_if
        )


@dataclass(frozen=True, slots=True)
class Flow:
    """A whole flow. `value` is what the file says, as JSON; `parts` are its lists of modules by place."""

    path: str
    summary: str
    value: Mapping[str, Json] = field(repr=False)
    parts: Mapping[Place, tuple[Module, ...]] = field(repr=False)
    failure_module: Module | None = None
    preprocessor_module: Module | None = None
    env: Mapping[str, Json] | None = None
    skip_expression: str = ""

    def modules(self, place: Place = MODULES) -> tuple[Module, ...]:
        """The modules that stand at `place`."""
        return self.parts[place]

    def every_module(self) -> Iterator[Module]:
        """All modules, however deep, with those for failures and for preparing the input."""
        for part in self.parts.values():
            yield from part
        for module in (self.failure_module, self.preprocessor_module):
            if module is not None:
                yield module
