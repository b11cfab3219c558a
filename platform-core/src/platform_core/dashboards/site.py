"""The panel: a path to a page, a form to what follows. No HTTP here; the edge has done what is HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from platform_core.dashboards.contracts import Language, Moved, Page, Viewer
from platform_core.db import Tx
from platform_core.errors import ConfigurationError, PlatformError
from platform_core.tenancy.policy import Policy


def show(
    tx: Tx,
    viewer: Viewer,
    path: str,
    query: Mapping[str, str],
    *,
    policy: Policy,
    now: datetime,
    nonce: str,
    base: str,
) -> Page:
    """The page of a path, for a GET. Raises: NotFound, PermissionDenied, InvalidInput."""
    raise ConfigurationError(f"The page {path!r} is not made yet")


def post(
    tx: Tx,
    viewer: Viewer,
    path: str,
    form: Mapping[str, str],
    *,
    policy: Policy,
    now: datetime,
    nonce: str,
    base: str,
) -> Page | Moved:
    """What a form of the path does. The CSRF value was checked before.

    Raises: NotFound, PermissionDenied, InvalidInput, StateConflict.
    """
    raise ConfigurationError(f"The form {path!r} is not made yet")


def error_page(error: PlatformError, language: Language, nonce: str, base: str) -> Page:
    """What a person reads when there is no page: what happened and what to do, under the error's status."""
    raise ConfigurationError(f"The page of {error.code} is not made yet")
