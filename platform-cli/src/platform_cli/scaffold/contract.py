"""A connector against its contract, without its provider: what the suite would say first, as a list."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from platform_cli.scaffold.connector import PACKAGES, TESTS, Left, list_left
from platform_core.connectors import Capability, Connector, Rejected, load_connector
from platform_core.errors import (
    ConfigurationError,
    ContractDrift,
    PlatformError,
    SecretRejected,
    UnsupportedCapability,
)

_SOME_TIME = datetime(2026, 1, 1, tzinfo=UTC)
_NO_SECRETS: tuple[list[str], ...] = ([], [""], ["your-secret-goes-here-000000000000"])
_EMPTY_HEADING = re.compile(r"^## (.+)\n\s*(?=## |\Z)", re.MULTILINE)


def check_contract(root: Path, name: str) -> list[Left]:
    """What a connector lacks: first what its source says is not written, then what it does wrongly.

    Raises: ConfigurationError when nothing of that name is installed or begun.
    """
    left = list_left(root, name)
    if left:
        return left
    connector = load_connector(name)
    folder = (PACKAGES / name).as_posix()
    wrong = [Left(folder, 0, item, what) for item, what in _wrong(connector)]
    return [*wrong, *_unproved(root, name)]


def _wrong(connector: Connector) -> Iterator[tuple[str, str]]:
    if not connector.capabilities:
        yield "capabilities", "declare at least one: undeclared ones raise"
    if not isinstance(connector.verify([], b"", secrets=[], now=_SOME_TIME), Rejected):
        yield "verify", "a delivery without a signature must be refused"
    if not all(_raises(partial(connector.check_secrets, bad), SecretRejected) for bad in _NO_SECRETS):
        yield "check_secrets", "an empty list, an empty text and a placeholder must be refused"
    if Capability.RECEIVE_WEBHOOK in connector.capabilities and not _raises(
        lambda: connector.to_events(b"{"), (ContractDrift, UnsupportedCapability)
    ):
        yield "to_events", "a damaged body must be ContractDrift"
    if Capability.CHECK_HEALTH in connector.capabilities:
        if connector.config_schema().get("additionalProperties") is not False:
            yield "config_schema", "a field that nobody knows must be refused"
        if not _raises(lambda: connector.open_client({}), ConfigurationError):
            yield "open_client", "an empty configuration must be refused by field"


def _unproved(root: Path, name: str) -> Iterator[Left]:
    tests = TESTS / name
    if not list((root / tests).glob("test_*.py")):
        yield Left(tests.as_posix(), 0, "tests", "subclass the suites of its capabilities")
    readme = PACKAGES / name / "README.md"
    text = (root / readme).read_text(encoding="utf-8") if (root / readme).is_file() else ""
    if not text:
        yield Left(readme.as_posix(), 0, "README", "what is known of the provider, each fact with its source")
    for heading in _EMPTY_HEADING.findall(text):
        yield Left(readme.as_posix(), 0, f"README: {heading}", "write what is known, or take the heading out")


def _raises(deed: Callable[[], object], kind: type[PlatformError] | tuple[type[PlatformError], ...]) -> bool:
    try:
        deed()
    except kind:
        return True
    except PlatformError:
        return False
    return False
