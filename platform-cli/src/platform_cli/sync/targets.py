"""Which Windmill is meant: servers and workspaces by name, one of them in use.

Chosen in this order: the name given with a command; the variables WMCTL_URL, WMCTL_WORKSPACE and WMCTL_TOKEN
together, which need no file (for CI); the name in WMCTL_TARGET; the target in use; the only one there is. Of
a target chosen by name WMCTL_TOKEN replaces the token that was kept. Targets are kept in
`wmctl/targets.json` in the user's folder of configuration, tokens elsewhere: see `tokens`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from enum import StrEnum

from platform_cli.replacing import replace_file
from platform_cli.sync.client import Client
from platform_cli.sync.tokens import Place, Tokens
from platform_cli.sync.wire import is_loopback, server_url
from platform_core.errors import ConfigurationError, InvalidInput, NotFound, SecretRejected
from platform_core.settings import Secret, TargetVariables

FROM_ENVIRONMENT = "environment"
"""The name of the target that variables describe."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}", re.ASCII)
_WORKSPACE = re.compile(r"[A-Za-z0-9_-]{1,50}", re.ASCII)


class TargetKind(StrEnum):
    """What depends on a target, so how it looks in every header and prompt."""

    PRODUCTION = "production"
    STAGING = "staging"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Badge:
    """How a target shows itself: a short text, and the kind that decides its colour."""

    text: str
    kind: TargetKind


@dataclass(frozen=True, slots=True)
class Target:
    """One workspace of one Windmill. `insecure` allows plain HTTP to another machine."""

    name: str
    url: str
    workspace: str
    kind: TargetKind
    insecure: bool = False

    @property
    def badge(self) -> Badge:
        """`PRODUCTION prod at windmill.example.org`: production alone is in capitals."""
        host = self.url.partition("://")[2]
        kind = self.kind.upper() if self.kind is TargetKind.PRODUCTION else self.kind
        return Badge(f"{kind} {self.workspace} at {host}", self.kind)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A target with the token to enter it."""

    target: Target
    token: Secret

    def client(self) -> Client:
        """A client of it; nothing is sent before it is entered."""
        return Client(self.target.url, self.target.workspace, self.token)


@dataclass(frozen=True, slots=True)
class TargetList:
    """The targets of one user, by name, and which is in use."""

    targets: Mapping[str, Target]
    used: str | None = None

    def get(self, name: str) -> Target:
        """The target of that name. Raises: NotFound, with the names there are."""
        if name in self.targets:
            return self.targets[name]
        near = get_close_matches(name, self.targets, n=1)
        known = ", ".join(sorted(self.targets)) or "none"
        raise NotFound(
            f"There is no target {name[:40]!r}; known are: {known}",
            next_step=f"Did you mean {near[0]}?" if near else "See `wmctl target list`, or add it.",
        )


class Targets:
    """The targets that one user's folder of configuration keeps."""

    def __init__(self, variables: TargetVariables) -> None:
        """Nothing is read yet."""
        self._variables = variables
        self._folder = variables.config_home / "wmctl"
        self._file = self._folder / "targets.json"
        self.tokens = Tokens(self._folder / "tokens")

    # --- Choosing -----------------------------------------------------------------------------------------

    def choose(self, name: str | None = None) -> Chosen:
        """The target meant, with its token: see above for the order.

        Raises: ConfigurationError when none is meant or there is no token; NotFound; SecretRejected.
        """
        given = self._variables
        if name is None and given.url is not None:
            return self._from_environment()
        target = self._meant(name)
        # A token that came with an address of its own is for that server and no other.
        token = given.token if given.url is None and given.token is not None else self.tokens.find(target)
        if token is None:
            raise SecretRejected(
                f"There is no token for target {target.name} at {target.url}",
                next_step=f"Run `wmctl target add {target.name}` again, or set WMCTL_TOKEN.",
            )
        require_safe(target)
        return Chosen(target, token)

    def _meant(self, name: str | None) -> Target:
        known = self.read()
        meant = name or self._variables.target or known.used
        if meant is not None:
            return known.get(meant)
        if len(known.targets) == 1:
            return next(iter(known.targets.values()))
        if not known.targets:
            raise ConfigurationError(
                "wmctl knows no Windmill yet",
                next_step="Run `wmctl target add NAME --url URL --workspace WORKSPACE`.",
            )
        raise ConfigurationError(
            f"There are {len(known.targets)} targets ({', '.join(sorted(known.targets))}), none is in use",
            next_step="Run `wmctl target use NAME`, or name one with --target.",
        )

    def _from_environment(self) -> Chosen:
        given = self._variables
        if given.target is not None:
            raise ConfigurationError(
                "WMCTL_TARGET and WMCTL_URL are both set, and each names a target",
                next_step="Remove one of them.",
            )
        if given.url is None or given.workspace is None or given.token is None:
            raise ConfigurationError(
                "WMCTL_URL is set, WMCTL_WORKSPACE or WMCTL_TOKEN is not",
                next_step="Set all three, or none of them.",
            )
        target = new_target(FROM_ENVIRONMENT, given.url, given.workspace, given.kind, insecure=given.insecure)
        return Chosen(target, given.token)

    # --- Keeping ------------------------------------------------------------------------------------------

    def read(self) -> TargetList:
        """The targets that are kept. Raises: ConfigurationError naming the file when it is not as written."""
        try:
            content = json.loads(self._file.read_text(encoding="utf-8"))
            known = {name: _target(name, facts) for name, facts in content["targets"].items()}
            return TargetList(known, content["used"] if content["used"] in known else None)
        except FileNotFoundError:
            return TargetList({})
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ConfigurationError(
                f"{self._file} is not in the form that wmctl writes",
                next_step="Move it away and add the targets again.",
            ) from None

    def add(self, target: Target, token: Secret) -> Place:
        """Keep a target and its token in place of those of that name; where the token is now.

        The first one is in use from then on.
        """
        known = self.read()
        before = known.targets.get(target.name)
        if before is not None and before != target:
            self.tokens.forget(before)
        place = self.tokens.keep(target, token)
        self._write(TargetList({**known.targets, target.name: target}, known.used or target.name))
        return place

    def use(self, name: str) -> Target:
        """Make a target the one in use. Raises: NotFound."""
        known = self.read()
        target = known.get(name)
        self._write(replace(known, used=name))
        return target

    def remove(self, name: str) -> Target:
        """Forget a target and its token. Raises: NotFound."""
        known = self.read()
        target = known.get(name)
        self.tokens.forget(target)
        left = {other: each for other, each in known.targets.items() if other != name}
        self._write(TargetList(left, None if known.used == name else known.used))
        return target

    def _write(self, known: TargetList) -> None:
        content = {
            "used": known.used,
            "targets": {
                name: {field: value for field, value in asdict(target).items() if field != "name"}
                for name, target in sorted(known.targets.items())
            },
        }
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(self._file, json.dumps(content, indent=2) + "\n")


def new_target(name: str, url: str, workspace: str, kind: str | None, *, insecure: bool) -> Target:
    """A target from what a person gave. Without a kind this machine is local and all else is production.

    Raises: InvalidInput naming what is wrong.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name[:40]!r} is not a name for a target",
            next_step="Use 1 to 40 of a-z, 0-9, _ and -, starting with a letter.",
        )
    if not _WORKSPACE.fullmatch(workspace):
        raise InvalidInput(
            f"{workspace[:40]!r} is not the name of a workspace", next_step="Use one such as prod."
        )
    address = server_url(url)
    if kind is not None and kind not in set(TargetKind):
        raise InvalidInput(
            f"{kind[:20]!r} is no kind of target", next_step="Choose production, staging or local."
        )
    fallback = TargetKind.LOCAL if is_loopback(address) else TargetKind.PRODUCTION
    target = Target(name, address, workspace, TargetKind(kind) if kind else fallback, insecure)
    require_safe(target)
    return target


def require_safe(target: Target) -> None:
    """Refuse to send a token in the clear to another machine. Raises: InvalidInput."""
    if target.url.startswith("http://") and not is_loopback(target.url) and not target.insecure:
        raise InvalidInput(
            f"{target.url} is plain HTTP: everybody on the way could read the token",
            next_step="Use https://, or add the target with --insecure if the way is private.",
        )


def _target(name: str, facts: Mapping[str, object]) -> Target:
    return Target(
        name,
        str(facts["url"]),
        str(facts["workspace"]),
        TargetKind(str(facts["kind"])),
        facts.get("insecure") is True,
    )
