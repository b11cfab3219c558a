from __future__ import annotations

from datetime import timedelta

import pytest

from platform_core import errors
from platform_core.errors import ConnectorError, PlatformError
from platform_core.messaging.settlement import PAUSE, Lost, PutBack, Refusal, Settlement, decide_settlement
from platform_core.values import Retry, Snooze

PAUSED = PutBack(Snooze("waits for a person", PAUSE), pause=True)
EXPECTED: dict[type[PlatformError], Settlement] = {
    errors.RateLimited: PutBack(Snooze("the provider asks to wait", timedelta(seconds=1))),
    errors.TransientFailure: PutBack(Retry("the provider was not reached")),
    errors.ConnectorMisconfigured: PAUSED,
    errors.AuthRejected: PAUSED,
    errors.PreconditionUnmet: PAUSED,
    errors.UnsupportedCapability: PAUSED,
    errors.ConfigurationError: PAUSED,
    errors.SecretRejected: PAUSED,
    errors.PermanentRefusal: Refusal(),
    errors.RecipientOptedOut: Refusal(opt_out=True),
    errors.RecipientRefused: Refusal(),
    errors.AmbiguousOutcome: Lost(),
    errors.ContractDrift: Lost(),
    errors.NeedsReconciliation: Lost(),
    errors.ConnectorError: Lost(),
    errors.PlatformError: Lost(),
    errors.InvalidInput: Lost(),
    errors.DatabaseUnavailable: Lost(),
}


def _leaves(kind: type[PlatformError]) -> list[type[PlatformError]]:
    return [kind, *(leaf for child in kind.__subclasses__() for leaf in _leaves(child))]


@pytest.mark.parametrize("kind", EXPECTED, ids=lambda kind: kind.__name__)
def test_each_error_settles_a_call_as_the_table_says(kind: type[PlatformError]) -> None:
    """Only what proves that nothing was done lets a message be sent again."""
    settled, expected = decide_settlement(kind()), EXPECTED[kind]

    if isinstance(expected, PutBack) and expected.pause:
        assert settled == PutBack(Snooze(f"waits for a person: {kind.code}", PAUSE), pause=True)
    else:
        assert settled == expected


def test_the_table_knows_every_connector_error() -> None:
    """A new leaf of the tree must be weighed here before it is Lost by default."""
    assert [kind.__name__ for kind in _leaves(ConnectorError) if kind not in EXPECTED] == []


def test_the_providers_own_wait_is_kept() -> None:
    """Retry-After is the floor of the next attempt."""
    settled = decide_settlement(errors.RateLimited(retry_after_s=42.5))

    assert settled == PutBack(Snooze("the provider asks to wait", timedelta(seconds=42.5)))
