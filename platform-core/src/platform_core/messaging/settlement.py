"""What a failed call of the provider means for the message. Pure: tested as a table over the error tree."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from platform_core.errors import (
    ConfigurationError,
    ConnectorMisconfigured,
    PermanentRefusal,
    PlatformError,
    PreconditionUnmet,
    RateLimited,
    RecipientOptedOut,
    TransientFailure,
    UnsupportedCapability,
)
from platform_core.values import Retry, Snooze

PAUSE = timedelta(minutes=5)
"""How long a send waits before it asks again whether a key, a balance or a policy was put right."""


@dataclass(frozen=True, slots=True)
class PutBack:
    """The provider surely did nothing: the message goes back to the queue, the job ends as `outcome`.

    `pause` says that a person must put something right first: they are told once.
    """

    outcome: Snooze | Retry
    pause: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """The provider will not send this message, or not to this person."""

    opt_out: bool = False


@dataclass(frozen=True, slots=True)
class Lost:
    """Nobody knows whether the provider acted."""


Settlement = PutBack | Refusal | Lost


def decide_settlement(error: PlatformError) -> Settlement:
    """What a failed call means for the message. Pure: what does not prove that nothing was done is Lost."""
    match error:
        case RateLimited():
            return PutBack(Snooze("the provider asks to wait", timedelta(seconds=error.retry_after_s)))
        case TransientFailure():
            return PutBack(Retry("the provider was not reached"))
        case ConnectorMisconfigured() | PreconditionUnmet() | UnsupportedCapability() | ConfigurationError():
            return PutBack(Snooze(f"waits for a person: {error.code}", PAUSE), pause=True)
        case RecipientOptedOut():
            return Refusal(opt_out=True)
        case PermanentRefusal():
            return Refusal()
        case _:
            return Lost()
