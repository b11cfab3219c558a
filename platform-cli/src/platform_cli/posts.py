"""Whom a serving process serves: the active customers of an installation, asked for every few seconds."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType

from platform_cli.site import Site
from platform_core.app import App
from platform_core.errors import PlatformError
from platform_core.jobs.rounds import Post
from platform_core.observability.logs import get_logger
from platform_core.tenancy.registry import Tenant


class Posts:
    """The posts of a site's customers. Each keeps its app, and so its provider's client, while it stays."""

    def __init__(self, site: Site, only: Sequence[str], stack: ExitStack) -> None:
        """With `only`, those customers must exist. Raises: UnknownTenant."""
        self._site, self._only, self._stack = site, frozenset(only), stack
        self._known: dict[str, tuple[str, App, Post]] = {}
        self._refused: set[str] = set()
        for slug in only:
            site.tenant(slug)

    def __call__(self) -> Mapping[str, Post]:
        """Active customers by name. One whose secrets are not here is left out and said so once."""
        active = [tenant for tenant in self._site.tenants() if tenant.state == "active"]
        found: dict[str, Post] = {}
        for tenant in active:
            if self._serves(tenant) and (post := self._post(tenant)) is not None:
                found[tenant.slug] = post
        self._known = {slug: known for slug, known in self._known.items() if slug in found}
        return found

    def _serves(self, tenant: Tenant) -> bool:
        return not self._only or tenant.slug in self._only

    def _post(self, tenant: Tenant) -> Post | None:
        try:
            dsn = self._site.tenant_dsn(tenant)
            known = self._known.get(tenant.slug)
            if known is not None and known[0] == dsn:
                return known[2]
            app = self._stack.enter_context(self._site.open(tenant))
        except PlatformError as error:
            if tenant.slug not in self._refused:
                get_logger("jobs").error(
                    "rounds.customer_refused", tenant=tenant.slug, reason=error.one_line()
                )
            self._refused.add(tenant.slug)
            return None
        self._refused.discard(tenant.slug)
        post = app.post()
        self._known[tenant.slug] = (dsn, app, post)
        return post


@contextmanager
def stopping_on_signals(stop: Callable[[], None], *, after_s: float = 0) -> Iterator[None]:
    """Call `stop` on SIGTERM, on Ctrl-C and, when it is above 0, after that many seconds."""

    def heard(_number: int, _frame: FrameType | None) -> None:
        stop()

    before = {number: signal.signal(number, heard) for number in (signal.SIGTERM, signal.SIGINT)}
    timer = threading.Timer(after_s, stop)
    timer.daemon = True
    if after_s:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
