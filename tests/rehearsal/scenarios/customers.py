"""A customer's own secrets are replaced while its webhooks come in; needs `guide.first_customer`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from tests.rehearsal import desk
from tests.rehearsal.engine import wait_for
from tests.rehearsal.prober import ask
from tests.rehearsal.scenarios import guide
from tests.rehearsal.scenarios.play import Play, require, visited

NEW = "whsec_not-a-real-one-of-status-2"
ENDPOINT = ("--customer", guide.CUSTOMER, "--endpoint", "status", "--target", "prod")


def customer_rotations(play: Play) -> None:
    """The provider's secret with overlap, the customer's login, the door's token."""
    world = play.world
    file = desk.checkout(world) / "new.txt"
    file.write_text(f"{NEW}\n")
    file.chmod(0o600)
    with guide.at_work(world) as say:

        def to_door() -> None:
            say("host", "door", guide.CUSTOMER, *desk.admin(world))

        def provider() -> None:
            say("secret", "rotate", "ycloud", *ENDPOINT, "--from", str(file))
            to_door()
            _until_taken(play)
            say("secret", "rotate", "ycloud", *ENDPOINT, "--end")
            to_door()
            _until_old_is_refused(play, old)

        sender = world.sender
        require(sender is not None, "a customer sends webhooks")
        assert sender is not None
        old = sender.secret
        _rotated(play, "YCloud's secret of an endpoint, both good for a while", provider)
        what = ("secret", "rotate", "tenant-login", "--customer", guide.CUSTOMER, "--target", "prod")
        _rotated(play, "the customer's login", lambda: say(*what))
        token = ("secret", "rotate", "door-token", "--host", desk.HOST, "--target", "prod")
        _rotated(play, "the door's token", lambda: say(*token))
        guide.handled(play, "Signed webhook after all that")


def _rotated(play: Play, what: str, change: Callable[[], object]) -> None:
    began = time.monotonic()
    with play.watched() as count:
        change()
    play.unharmed(f"Rotation: {what}", "replaced, in use", time.monotonic() - began, count)


def _until_taken(play: Play) -> None:
    """The door takes what the new secret signs; then visitors sign with it, those under way too."""
    sender = play.world.sender
    assert sender is not None
    hook = visited(play.world)[1]
    new = replace(hook, sender=replace(sender, secret=NEW))
    wait_for(lambda: ask(new, play.world.trust)[0] == 200, "the new secret holds beside the old", limit_s=30)
    sender.secret = NEW


def _until_old_is_refused(play: Play, old: str) -> None:
    sender = play.world.sender
    assert sender is not None
    hook = visited(play.world)[1]
    late = replace(hook, sender=replace(sender, secret=old))
    wait_for(lambda: ask(late, play.world.trust)[0] == 401, "the old secret is refused", limit_s=30)
