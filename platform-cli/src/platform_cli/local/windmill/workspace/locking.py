"""Lock jobs: what a script needs is worked out after a while, in the same row, or fails there.

Nothing is resolved against an index. A script of the standard library alone gets the lock with the header
and no line, a package gets a version made up here, and a name beginning with `no_such` cannot be resolved.
"""

from __future__ import annotations

import ast
import itertools
import re
import sys
from collections.abc import Iterator

from platform_cli.local.windmill.workspace.instance import Instance, Pending, Workspace
from platform_cli.local.windmill.workspace.rows import Row, instant, words

SCRIPT_LOCK_S, FLOW_LOCK_S, RELOCK_S, LATE_RELOCK_S = 0.4, 0.15, 5.5, 15.0
LOCKED_LANGUAGES = frozenset(
    words("python3 go bun bunnative deno rust ansible csharp nu php java ruby rlang powershell")
)
_HEADER = "# py: 3.12\n"
_KNOWN = {"six": "1.17.0"}
_OURS = re.compile(r"platform[-_](core|cli|connectors)")
_UNRESOLVABLE = "no_such"


class Unresolvable(Exception):
    """A package no index has."""

    def __init__(self, package: str) -> None:
        self.package = package
        super().__init__(package)


def needs_lock(language: str) -> bool:
    """Whether scripts of this language have a lock at all; the others' is the empty text."""
    return language in LOCKED_LANGUAGES


def imported_scripts(path: str, content: str) -> frozenset[str]:
    """The paths of the scripts of the workspace that a Python script imports."""
    return frozenset(found for found in _imports(path, content) if found.startswith(("f/", "u/")))


def _asked_for(content: str) -> list[str]:
    """The requirements a script names itself, in a comment at its top."""
    lines = content.splitlines()
    if not lines or lines[0].strip() != "# requirements:":
        return []
    named = itertools.takewhile(lambda line: line.startswith("#"), lines[1:])
    return [line.removeprefix("#").strip() for line in named if line.removeprefix("#").strip()]


def lock_of(workspace: Workspace, path: str, content: str, language: str) -> str:
    """The lock a job would come to. Raises: Unresolvable."""
    if language != "python3":
        return "{}" if language in {"bun", "bunnative", "deno"} else "\n"
    if named := _asked_for(content):
        return _HEADER + "\n".join(_checked(line) for line in named)
    packages = sorted(_packages(workspace, path, content, set()))
    return _HEADER + "\n".join(f"{name.replace('_', '-')}=={_version(name)}" for name in packages)


def _checked(line: str) -> str:
    name, _, version = line.partition("==")
    if version and not version[0].isdigit():
        raise Unresolvable(line)
    return line if version else f"{line}=={_version(name)}"


def _version(package: str) -> str:
    if package.startswith(_UNRESOLVABLE):
        raise Unresolvable(package)
    return _KNOWN.get(package, "1.0.0")


def _packages(workspace: Workspace, path: str, content: str, seen: set[str]) -> set[str]:
    """What a script and all it imports need beyond the standard library and what workers have."""
    found: set[str] = set()
    for name in _imports(path, content):
        if not name.startswith(("f/", "u/")):
            found |= set() if name in sys.stdlib_module_names or _OURS.fullmatch(name) else {name}
        elif name not in seen:
            seen.add(name)
            row = newest(workspace, name)
            found |= _packages(workspace, name, row["content"], seen) if row else set()
    return found


def _imports(path: str, content: str) -> Iterator[str]:
    """Names of packages, and paths of scripts of the workspace."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield _target(alias.name.split("."), "")
            case ast.ImportFrom(module=module, names=names, level=level):
                start = path.split("/")[:-level] if level else []
                parts = [*start, *(module or "").split(".")] if module else start
                for alias in names:
                    yield _target(parts, alias.name)


def _target(parts: list[str], name: str) -> str:
    """`f.acme.shared` and `f.acme` with `shared` taken from it are both the script f/acme/shared."""
    if parts[0] in {"f", "u"}:
        return "/".join([*parts, name][:3])
    return parts[0]


def newest(workspace: Workspace, path: str) -> Row | None:
    """The script that is live at a path, or None."""
    rows = [row for row in workspace.scripts.at(path) if not row["archived"]]
    return max(rows, key=lambda row: str(row["created_at"])) if rows else None


# --- Jobs -------------------------------------------------------------------------------------------------


def start_job(instance: Instance, workspace: Workspace, kind: str, path: str, by: tuple[str, str]) -> str:
    """Queue a job; gives its id. `by` is username and email."""
    job = instance.new_uuid()
    workspace.jobs.put(
        job,
        {
            "workspace_id": workspace.id,
            "id": job,
            "created_by": by[0],
            "created_at": instance.now_text(),
            "script_path": path,
            "job_kind": kind,
            "permissioned_as": f"u/{by[0]}",
            "email": by[1],
            "success": None,
        },
    )
    return job


def end_job(instance: Instance, workspace: Workspace, job: str, error: str | None) -> None:
    """Mark a job as done."""
    if job in workspace.jobs:
        logs = error or f"job={job} tag=dependency\n"
        done = instant(instance.now())
        workspace.jobs.change(job, success=error is None, logs=logs, completed_at=done)


def lock_script(instance: Instance, workspace: Workspace, pending: Pending) -> None:
    """A script's lock job: the same hash gets its lock, or says why it has none."""
    row = workspace.scripts.find(pending.about)
    if row is None or row["lock"] is not None:
        return
    lock, error = _locked(workspace, row["path"], row["content"], row["language"], row["job_id"], "script")
    workspace.scripts.change(pending.about, lock=lock, lock_error_logs=error)
    end_job(instance, workspace, row["job_id"], error)


def relock_importers(instance: Instance, workspace: Workspace, pending: Pending) -> None:
    """What imports a changed module is locked anew in its own row, whoever wrote the lock it had."""
    for hash_, row in workspace.scripts.items():
        if pending.about not in row["imports"] or row["archived"] or row["lock"] is None:
            continue
        job = start_job(instance, workspace, "dependencies", row["path"], (row["created_by"], ""))
        lock, error = _locked(workspace, row["path"], row["content"], row["language"], job, "script")
        workspace.scripts.change(hash_, lock=lock if error is None else row["lock"], lock_error_logs=error)
        end_job(instance, workspace, job, error)


def _locked(
    workspace: Workspace, path: str, content: str, language: str, job: str, what: str
) -> tuple[str | None, str | None]:
    try:
        return lock_of(workspace, path, content, language), None
    except Unresolvable as error:
        return None, failure(job, error.package, what)


def failure(job: str, package: str, what: str, step: str = "") -> str:
    """The log of a lock job that found no such package."""
    named = package.replace("_", "-")
    about = f"Relocking {what}" if not step else f"Relocking script for step '{step}'"
    return (
        f"job={job} tag={'dependency' if step else 'python3'} worker=stand-in hostname=stand-in "
        f"isolation=none\n\n{about}\nresolving dependencies...\ncontent of requirements:\n{named} "
        f"# (mapped from {package})\n\nerror: No solution found when resolving dependencies\n"
        f"  cause: Because {named} was not found in the package registry and you require {named}, we can "
        f"conclude that your requirements are unsatisfiable.\n{f'{step}: ' if step else ''}"
        'Lock file generation failed.\n\nExitStatus("uv", 1)'
    )
