"""Who may import whom. The order is total: a package imports only from its left."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.architecture.source import CLI, CONNECTORS, CORE, Rule, Source, in_core, in_product

ORDER = (
    ("errors",),
    # Beside the values: `settings` reads what a value is made from, `connectors` is the contract alone. Its
    # own imports stay this far left at run time, so that anybody may name the types in it.
    ("values", "settings", "connectors"),
    # It draws what strangers sent and knows nothing of ours.
    ("pictures",),
    ("db",),
    ("audit",),
    ("tenancy",),
    ("jobs",),
    ("billing",),
    ("inbox",),
    ("messaging",),
    ("payments",),
    ("attendance",),
    ("bookings",),
    ("panel",),
    ("dashboards",),
    ("observability",),
    ("app",),
    ("ingest", "windmill", "backups", "restores"),
)
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}

CONTRACTS_OF_CONNECTORS = ("errors", "values", "connectors", "messaging.contracts", "bookings.contracts")
SHARED_BY_CONNECTORS = ("signed", "exchange", "wire")
READERS_OF_LOGS = ("app", "ingest", "windmill", "backups")


def imported(node: ast.AST) -> list[str]:
    """The full names an import statement brings in; a name may be a module or something inside one."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]
    return []


def guards(tree: ast.Module) -> list[ast.If]:
    """The blocks `if TYPE_CHECKING:`."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.If) and _is_type_checking(node.test)]


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def run_time_imports(source: Source) -> Iterator[tuple[ast.AST, str]]:
    """Every import that happens when the program runs, wherever in the file it stands."""
    typing_only = {node for guard in guards(source.tree) for item in guard.body for node in ast.walk(item)}
    for node in ast.walk(source.tree):
        if node not in typing_only:
            for name in imported(node):
                yield node, name


def _noun_of(path: str) -> str:
    return path.removeprefix(CORE).split("/")[0].removesuffix(".py")


def _order(source: Source) -> Iterator[str]:
    noun = _noun_of(source.path)
    own = -1 if noun == "__init__" else RANK.get(noun)
    if own is None:
        yield source.at(source.tree, f"`{noun}` has no place in the import order; give it one")
        return
    for node, name in run_time_imports(source):
        parts = name.split(".")
        if parts[0] in {"platform_cli", "platform_connectors"}:
            yield source.at(node, f"platform_core never imports {parts[0]}")
        elif parts[0] == "platform_core" and len(parts) > 1 and parts[1] != noun:
            other = RANK.get(parts[1])
            if other is None:
                yield source.at(node, f"`{parts[1]}` has no place in the import order")
            elif other > own:
                yield source.at(node, f"`{noun}` is left of `{parts[1]}`; go right by a job")


def _readers_of_logs(source: Source) -> Iterator[str]:
    allowed = source.path.startswith(CLI) or _noun_of(source.path) in (*READERS_OF_LOGS, "observability")
    if not allowed:
        for node, name in run_time_imports(source):
            if f"{name}.".startswith("platform_core.observability.logs."):
                yield source.at(node, "only the edge sets up and takes loggers; verbs return values")


def _providers(source: Source) -> Iterator[str]:
    provider = source.path.removeprefix(CONNECTORS).split("/")[0]
    contracts = tuple(f"platform_core.{name}." for name in CONTRACTS_OF_CONNECTORS)
    for node, name in run_time_imports(source):
        parts = name.split(".")
        if parts[0] == "platform_cli":
            yield source.at(node, "a connector never imports the command line")
        elif parts[0] == "platform_core" and not f"{name}.".startswith(contracts):
            yield source.at(node, f"a connector imports only {', '.join(CONTRACTS_OF_CONNECTORS)}")
        elif parts[0] == "platform_connectors" and parts[1] not in (provider, *SHARED_BY_CONNECTORS):
            yield source.at(node, "a connector never imports another one")


def _private(source: Source) -> Iterator[str]:
    for node, name in run_time_imports(source):
        if name.startswith("."):
            yield source.at(node, "write the import in full")
        elif name.startswith("platform_") and any(_is_private(part) for part in name.split(".")):
            yield source.at(node, f"`{name}` is private to its module")


def _is_private(part: str) -> bool:
    return part.startswith("_") and not part.startswith("__")


RULES = (
    Rule(
        "platform_core imports only from the left",
        in_core,
        _order,
        bad=(
            (CORE + "db/connect.py", "from platform_core.jobs import queue"),
            (CORE + "jobs/queue.py", "def f():\n    import platform_core.payments.claims"),
            (CORE + "values.py", "from platform_core import db"),
            (CORE + "connectors.py", "from platform_core.messaging.contracts import Party"),
            (CORE + "payments/claims.py", "from platform_connectors.ycloud import CONNECTOR"),
            (CORE + "__init__.py", "from platform_core.errors import NotFound"),
            (CORE + "novelty/thing.py", "x = 1"),
            (CORE + "jobs/queue.py", "import platform_core.novelty"),
        ),
        good=(
            (
                CORE + "payments/claims.py",
                "from platform_core import audit\nfrom platform_core.jobs import queue",
            ),
            (CORE + "payments/claims.py", "from platform_core.payments.contracts import Claim"),
            (
                CORE + "jobs/contracts.py",
                "if TYPE_CHECKING:\n    from platform_core.messaging.contracts import Party",
            ),
            (CORE + "app.py", "from platform_core.observability.logs import get_logger"),
        ),
    ),
    Rule(
        "only the edge takes loggers",
        in_product,
        _readers_of_logs,
        bad=(
            (CORE + "ingest_of/x.py", "from platform_core.observability.logs import get_logger"),
            (CORE + "dashboards/claims.py", "from platform_core.observability import logs"),
            (CONNECTORS + "ycloud/client.py", "import platform_core.observability.logs"),
        ),
        good=((CLI + "main.py", "from platform_core.observability import logs"),),
    ),
    Rule(
        "a connector imports contracts and nothing else of ours",
        lambda path: path.startswith(CONNECTORS),
        _providers,
        bad=(
            (CONNECTORS + "ycloud/client.py", "from platform_core.db import Tx"),
            (CONNECTORS + "ycloud/client.py", "from platform_connectors.calendly import signature"),
            (CONNECTORS + "ycloud/client.py", "from platform_core import db"),
            (CONNECTORS + "ycloud/client.py", "import platform_cli.render"),
        ),
        good=(
            (CONNECTORS + "ycloud/client.py", "from platform_core.errors import RateLimited"),
            (CONNECTORS + "ycloud/client.py", "from platform_core.messaging.contracts import Party"),
            (CONNECTORS + "ycloud/client.py", "from platform_connectors.ycloud.events import to_events"),
            (CONNECTORS + "ycloud/signature.py", "from platform_connectors.signed import Scheme"),
        ),
    ),
    Rule(
        "private names stay in their module",
        in_product,
        _private,
        bad=(
            (CORE + "jobs/queue.py", "from platform_core.db.connect import _open"),
            (CORE + "jobs/queue.py", "from .runner import run"),
        ),
        good=((CORE + "jobs/queue.py", "from __future__ import annotations"),),
    ),
)
