"""What the workflows of .github say, read with the YAML 1.2 loader, and what is wrong with one."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platform_cli.sync.yaml12 import load

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".github/workflows"
WRITES = {
    "release.yml": {
        "build": {"packages"},  # it pushes the images
        "publish": {"contents"},  # it makes the release of the tag
    },
}
"""The only permissions to write, by workflow and job."""

_PIN = re.compile(r"^(?:- )?uses: ([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)$")
_MAKE = re.compile(r"\bmake ((?:[A-Z_]+=\S+ )*[a-z][a-z-]*)")
_PATH = re.compile(
    r"(?<![\w./$-])((?:\.ci|\.github|infra|ops|docs|tests|platform-cli|platform-core)/[\w./-]+)"
)
_CONTEXT = re.compile(r"\b(secrets|vars)\.(\w+)")
_RUNNER = "ubuntu-24.04"
_GIVEN_BY_GITHUB = ("secrets", "GITHUB_TOKEN")


@dataclass(frozen=True, slots=True)
class Step:
    """One step that runs shell: where it stands, its text, its environment, its folder in the checkout."""

    place: str
    run: str
    env: Mapping[str, str]
    folder: str


def workflows() -> dict[str, str]:
    """The text of every workflow by the name of its file."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.y*ml"))}


def parsed(text: str, name: str) -> dict[str, Any]:
    """A workflow as values. `on` stays a word: YAML 1.2 knows no other spelling of true."""
    value = load(text, name)
    assert isinstance(value, dict), f"{name} is not a mapping"
    return value


def shell_steps(name: str, text: str) -> list[Step]:
    """Every `run` of a workflow, with the environment of the workflow, the job and the step."""
    flow = parsed(text, name)
    return [
        Step(
            place=f"{name}: {job_name}: {number}",
            run=str(step["run"]),
            env={**flow.get("env", {}), **job.get("env", {}), **step.get("env", {})},
            folder=str(step.get("working-directory", ".")),
        )
        for job_name, job in flow["jobs"].items()
        for number, step in enumerate(job["steps"], start=1)
        if "run" in step
    ]


def make_targets() -> set[str]:
    """What `make` can be asked for."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    steps = re.findall(r"^RELEASE_STEPS := (.*)$", text, re.MULTILINE)
    return {*re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE), *" ".join(steps).split()}


def declared() -> set[tuple[str, str]]:
    """The secrets and variables of .github/settings.toml, as workflows spell them."""
    settings = tomllib.loads((ROOT / ".github/settings.toml").read_text(encoding="utf-8"))
    return {
        (context, name)
        for context, heading in (("secrets", "secret"), ("vars", "variable"))
        for name in settings.get(heading, {})
    }


def read_from_settings(text: str) -> set[tuple[str, str]]:
    """The secrets and variables a workflow reads."""
    return {(context, name) for context, name in _CONTEXT.findall(text)} - {_GIVEN_BY_GITHUB}


def pins(text: str) -> list[tuple[str, str, str]]:
    """The actions a workflow uses: name, commit, version."""
    found = [_PIN.match(line.strip()) for line in text.splitlines()]
    return [(match[1], match[2], match[3]) for match in found if match]


def names_nothing(name: str, text: str) -> Iterator[str]:
    """What a workflow names and the repository has not: make targets, files, secrets, variables."""
    for step in shell_steps(name, text):
        for call in _MAKE.findall(step.run):
            target = call.split(" ")[-1]
            if target not in make_targets():
                yield f"{step.place}: no make target {target}"
        for path in _PATH.findall(step.run):
            if not (ROOT / path.rstrip("/.")).exists():
                yield f"{step.place}: no file {path}"
    for context, setting in sorted(read_from_settings(text) - declared()):
        yield f"{name}: {context}.{setting} is not in .github/settings.toml"


def unsafe(name: str, text: str) -> Iterator[str]:
    """What a workflow does that lets a stranger in, or lets a run hang or clash."""
    flow = parsed(text, name)
    if flow.get("permissions") != {}:
        yield f"{name}: the workflow itself holds permissions"
    if "concurrency" not in flow:
        yield f"{name}: no concurrency group"
    triggers = flow["on"]
    if "pull_request_target" in triggers:
        yield f"{name}: pull_request_target runs a stranger's code with our secrets"
    used = len(re.findall(r"^\s*(?:- )?uses:", text, re.MULTILINE))
    if len(pins(text)) != used:
        yield f"{name}: an action is not pinned by commit with its version beside it"
    for job_name, job in flow["jobs"].items():
        yield from _unsafe_job(f"{name}: {job_name}", job, WRITES.get(name, {}).get(job_name, set()))


def _unsafe_job(place: str, job: Mapping[str, Any], may_write: set[str]) -> Iterator[str]:
    if job.get("runs-on") != _RUNNER:
        yield f"{place}: not on {_RUNNER}"
    if "timeout-minutes" not in job:
        yield f"{place}: no time limit"
    permissions = job.get("permissions")
    if not isinstance(permissions, Mapping):
        yield f"{place}: no permissions of its own"
    elif {scope for scope, right in permissions.items() if right != "read"} != may_write:
        yield f"{place}: writes more or less than was agreed on"
    for number, step in enumerate(job["steps"], start=1):
        checks_out = str(step.get("uses", "")).startswith("actions/checkout@")
        if checks_out and step.get("with", {}).get("persist-credentials") is not False:
            yield f"{place}: {number}: the checkout leaves a token in .git"
        if "${{" in str(step.get("run", "")):
            yield f"{place}: {number}: an expression is pasted into shell text; hand it over through env"
        if "StrictHostKeyChecking=no" in str(step):
            yield f"{place}: {number}: the host's key is not checked"
