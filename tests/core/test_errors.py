"""The error tree: what scripts, exit codes and dashboards rely on."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator

import pytest

import platform_cli
import platform_connectors
import platform_core
from platform_cli.local.windmill.answers import RequestRefused
from platform_core import errors
from platform_core.errors import ConnectorError, PlatformError, RateLimited


def _below(kind: type[PlatformError]) -> Iterator[type[PlatformError]]:
    for inner in kind.__subclasses__():
        yield inner
        yield from _below(inner)


def _whole_tree() -> list[type[PlatformError]]:
    """Every error of the code, also those that are raised in one module only and live there."""
    for package in (platform_core, platform_connectors, platform_cli):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith(("__main__", ".warm", ".child")):
                importlib.import_module(module.name)
    mine = ("platform_core", "platform_connectors", "platform_cli")
    found: list[type[PlatformError]] = [PlatformError, *_below(PlatformError)]
    return [kind for kind in found if kind.__module__.startswith(mine)]


TREE = _whole_tree()
EXIT_CODES = {1: "failed", 2: "bad input", 3: "not found", 4: "refused", 5: "unavailable", 6: "misconfigured"}


def _named(kind: type[PlatformError]) -> str:
    return kind.__name__


def test_the_tree_lives_in_one_module() -> None:
    """The few errors elsewhere belong to the Windmill and the demo of this machine."""
    elsewhere = {kind.__module__ for kind in TREE if kind.__module__ != errors.__name__}

    assert len(TREE) > 25
    assert all(module.startswith("platform_cli.local.") for module in elsewhere)


def test_every_error_has_a_code_of_its_own() -> None:
    """Two errors under one code could not be told apart by whoever reads the log."""
    codes = [kind.code for kind in TREE]

    assert sorted(codes) == sorted(set(codes))
    assert [kind for kind in TREE if "code" not in vars(kind)] == []


@pytest.mark.parametrize("kind", TREE, ids=_named)
def test_an_error_is_complete(kind: type[PlatformError]) -> None:
    """A stable slug, a status, an exit code of the list, a word about what it is."""
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)
    assert 400 <= kind.http_status < 600
    assert kind.exit_code in EXIT_CODES
    assert kind.__doc__
    assert kind.__doc__ != PlatformError.__doc__ or kind is PlatformError


@pytest.mark.parametrize("kind", TREE, ids=_named)
def test_exit_code_and_status_say_the_same(kind: type[PlatformError]) -> None:
    """What a person must repair is no 503, and what may pass is no 4xx."""
    if kind.exit_code in (2, 3, 4) and not issubclass(kind, ConnectorError):
        assert kind.http_status < 500
    if kind.exit_code in (5, 6):
        assert kind.http_status >= 500
    if kind.http_status == 503:
        assert kind.exit_code == 5


@pytest.mark.parametrize("kind", [kind for kind in TREE if kind is not RequestRefused], ids=_named)
@pytest.mark.parametrize("message", ["", "A message", "Two\nlines\tand  spaces", "Ends with a dot."])
@pytest.mark.parametrize("next_step", ["", "Do this.", "Do\nthis"])
def test_one_line_is_one_line(kind: type[PlatformError], message: str, next_step: str) -> None:
    """Whatever it was made with; the message comes first, the next step after it."""
    said = kind(message, next_step=next_step).one_line()

    assert said == said.strip()
    assert said.splitlines() == [said]
    assert "  " not in said
    assert ".." not in said
    assert said.startswith(" ".join(message.split()).rstrip(".")) or not message
    assert " ".join(next_step.split()) in said


def test_an_error_without_a_message_says_what_it_is() -> None:
    """The first line of its docstring."""
    assert errors.StorageFull().one_line().startswith("The database has no space left. Free space")


def test_facts_are_kept_for_logs_and_are_not_shown() -> None:
    """What a message must not hold stands beside it."""
    error = errors.PermissionDenied("No.", actor="ana")

    assert error.facts == {"actor": "ana"}
    assert "ana" not in error.one_line()


@pytest.mark.parametrize(("given", "kept"), [(2.5, 2.5), (0.0, 0.0), (-3.0, 0.0)])
def test_a_provider_that_asks_to_wait_never_asks_for_the_past(given: float, kept: float) -> None:
    """A clock of theirs that is ahead."""
    assert RateLimited("wait", retry_after_s=given).retry_after_s == kept


def test_a_connectors_error_keeps_what_support_asks_for() -> None:
    """The provider's own code and the id of the request."""
    error = ConnectorError("refused", provider_code="131047", request_id="req_1")

    assert (error.provider_code, error.request_id) == ("131047", "req_1")
