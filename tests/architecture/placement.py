"""What may stand only in one place: SQL, printing, the environment, the clock."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.architecture.source import CLI, CORE, Rule, Source, docstrings, dotted, in_product

_STATEMENT = re.compile(
    r"""\s*(?:
        (?:SELECT|INSERT\s+INTO|UPDATE|DELETE\s+FROM|WITH\s+\w+\s+AS|TRUNCATE|MERGE\s+INTO|COPY|CALL|DO\s+\$|
           CREATE|ALTER|DROP|GRANT|REVOKE|REASSIGN|COMMENT\s+ON|SET|RESET|SHOW|LISTEN|UNLISTEN|NOTIFY|VACUUM|
           ANALYZE|LOCK|PREPARE|EXECUTE|EXPLAIN|BEGIN|COMMIT|ROLLBACK|SAVEPOINT)(?:\s+\S|;?\s*$)
      | select\s.+\sfrom\s|select\s+[\w.]+\(|insert\s+into\s|delete\s+from\s|update\s+[\w.]+\s+set\s
    )""",
    re.VERBOSE | re.DOTALL,
)
_FRAGMENT = re.compile(
    r"\s(?:WHERE|ORDER\s+BY|GROUP\s+BY|RETURNING|ON\s+CONFLICT|LEFT\s+JOIN|INNER\s+JOIN)\s"
)
_DEFINITION = re.compile(r"\s*(?:CREATE|ALTER|DROP|GRANT|REVOKE|REASSIGN|COMMENT\s+ON|SET)\s")
_MAKERS_OF_DATABASES = (CORE + "db/", CORE + "tenancy/")


def _texts(tree: ast.Module) -> Iterator[tuple[ast.expr, str]]:
    """Every string that is a value. The fixed parts of an f-string are one string."""
    prose = docstrings(tree)
    inside = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "x" for part in node.values]
            yield node, "".join(str(part) for part in parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in prose | inside:
            yield node, node.value


def _sql(source: Source) -> Iterator[str]:
    composed = {
        part
        for call in ast.walk(source.tree)
        if isinstance(call, ast.Call) and dotted(call.func) in {"sql.SQL", "SQL"}
        for part in ast.walk(call)
    }
    defines = source.path.startswith(_MAKERS_OF_DATABASES)
    for node, text in _texts(source.tree):
        if defines and node in composed and _DEFINITION.match(text):
            continue  # names of roles and databases cannot be parameters
        if _STATEMENT.match(text) or _FRAGMENT.search(text):
            yield source.at(node, f"SQL belongs into a .sql file: {' '.join(text.split())[:50]!r}")


_PRINTERS = {"print", "pprint", "pprint.pprint", "typer.echo", "typer.secho", "click.echo", "click.secho"}


def _print(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            written = re.fullmatch(r"sys\.(?:std(?:out|err))(?:\.buffer)?\.write(?:lines)?", name)
            if name in _PRINTERS or name.split(".")[-1] == "Console" or written:
                yield source.at(node, f"`{name}` prints; hand a value to platform_cli.render")


_ANSWERS = CORE + "backups/answers.py"
"""The backup is a program of its own, in a container without wmctl; this is where it prints."""
_WINDMILL_VARIABLE = re.compile(r"WM_\w+|BASE_INTERNAL_URL")
_SETTINGS = CORE + "settings.py"
_WINDMILL_STANDIN = CLI + "local/windmill/"
"""It plays Windmill's worker: it makes the environment a job sees, and a job's output is its own."""
_RESOURCES = CORE + "windmill/resources.py"


def _environment(source: Source) -> Iterator[str]:
    reads = _reads_windmill if source.path == _RESOURCES else _hands_to_settings
    told = {part for node in ast.walk(source.tree) if reads(node) for part in ast.walk(node)}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            names = {alias.name for alias in node.names} & {"environ", "environb", "getenv", "putenv"}
            if names:
                yield source.at(node, "only settings.py reads the environment")
        elif dotted(node) in {"os.environ", "os.environb", "os.getenv", "os.putenv"} and node not in told:
            yield source.at(node, "only settings.py reads the environment")


def _hands_to_settings(node: ast.AST) -> bool:
    """Whether this gives the whole environment to the one function that reads it."""
    return isinstance(node, ast.Call) and dotted(node.func).split(".")[-1] == "load_settings"


def _reads_windmill(node: ast.AST) -> bool:
    """Whether this reads one variable, by name, that Windmill sets for each job."""
    name: ast.AST | None = None
    if isinstance(node, ast.Call) and dotted(node.func) in {"os.environ.get", "os.getenv"} and node.args:
        name = node.args[0]
    elif isinstance(node, ast.Subscript) and dotted(node.value) == "os.environ":
        name = node.slice
    return isinstance(name, ast.Constant) and bool(_WINDMILL_VARIABLE.fullmatch(str(name.value)))


_CLOCKS = re.compile(
    r"(?:\w+\.)*(?:datetime|date)\.(?:now|utcnow|today)|time\.(?:time|time_ns|localtime|gmtime)"
)


def _clock(source: Source) -> Iterator[str]:
    if source.path.startswith(CLI):
        return
    told: set[ast.AST] = set()
    if source.path == CORE + "values.py":
        classes = [node for node in source.tree.body if isinstance(node, ast.ClassDef)]
        told = {part for node in classes if node.name == "SystemClock" for part in ast.walk(node)}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and node not in told and _CLOCKS.fullmatch(dotted(node.func)):
            yield source.at(node, "take the time from a Clock, so that a test can move it")


RULES = (
    Rule(
        "SQL stands in .sql files",
        in_product,
        _sql,
        bad=(
            (CORE + "jobs/queue.py", 'tx.execute("SELECT 1")'),
            (CORE + "jobs/queue.py", 'tx.execute("select id from jobs.job where id = %s")'),
            (CORE + "jobs/queue.py", 'tx.execute(f"UPDATE {table} SET state = 1")'),
            (CORE + "jobs/queue.py", 'tx.execute("""\n  INSERT INTO jobs.job VALUES (1)""")'),
            (CORE + "jobs/queue.py", 'q = Q["x"] + b"".decode() + " WHERE id = 1"'),
            (CORE + "jobs/queue.py", 'tx.execute("BEGIN")'),
            (CORE + "jobs/queue.py", 'tx.execute(sql.SQL("DROP TABLE {}").format(name))'),
            (CORE + "tenancy/provision.py", 'tx.execute("DROP DATABASE x")'),
            (CORE + "tenancy/provision.py", 'tx.execute(sql.SQL("SELECT {}").format(name))'),
        ),
        good=(
            (CORE + "tenancy/provision.py", 'tx.execute(sql.SQL("CREATE ROLE {}").format(name))'),
            (
                CORE + "jobs/queue.py",
                'def f():\n    """SELECT is what this does."""\n    return Q["job_find"]',
            ),
            (CORE + "jobs/queue.py", 'raise Refused("Select a customer from the list")'),
        ),
    ),
    Rule(
        "only render.py prints",
        lambda path: (
            in_product(path) and not path.startswith((CLI + "render.py", _WINDMILL_STANDIN, _ANSWERS))
        ),
        _print,
        bad=(
            (CORE + "jobs/runner.py", 'print("done")'),
            (CLI + "commands/job.py", 'typer.echo("done")'),
            (CLI + "commands/job.py", "from rich.console import Console\nConsole().print(1)"),
            (CLI + "commands/job.py", "sys.stderr.write('x')"),
        ),
        good=((CLI + "main.py", "os.dup2(null, sys.stdout.fileno())\nrender.table(rows)"),),
    ),
    Rule(
        "only settings.py reads the environment",
        lambda path: in_product(path) and not path.startswith((_SETTINGS, _WINDMILL_STANDIN)),
        _environment,
        bad=(
            (CORE + "jobs/runner.py", 'os.environ["DSN"]'),
            (CORE + "jobs/runner.py", 'os.getenv("WM_TOKEN")'),
            (CORE + "jobs/runner.py", "from os import environ"),
            (CLI + "local/scripts.py", "env = {**os.environ}"),
            (_RESOURCES, 'os.environ.get("DATABASE_URL")'),
            (_RESOURCES, "copy = dict(os.environ)"),
        ),
        good=(
            (_SETTINGS, 'os.environ.get("DSN")'),
            (CLI + "site.py", "settings = load_settings(os.environ)"),
            (_RESOURCES, 'os.environ.get("WM_TOKEN", "")\nos.environ["WM_WORKSPACE"]'),
        ),
    ),
    Rule(
        "the clock is handed in",
        in_product,
        _clock,
        bad=(
            (CORE + "jobs/runner.py", "now = datetime.now(UTC)"),
            (CORE + "jobs/runner.py", "now = datetime.datetime.now(tz=UTC)"),
            (CORE + "jobs/runner.py", "today = date.today()"),
            (CORE + "jobs/runner.py", "started = time.time()"),
            (CORE + "values.py", "class Other:\n    def now(self):\n        return datetime.now(UTC)"),
        ),
        good=(
            (CORE + "values.py", "class SystemClock:\n    def now(self):\n        return datetime.now(UTC)"),
            (CORE + "jobs/runner.py", "deadline = time.monotonic() + 5\nnow = context.clock.now()"),
            (CLI + "local/routes.py", "now = datetime.now(UTC)"),
        ),
    ),
)
