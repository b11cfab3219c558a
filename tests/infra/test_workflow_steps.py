"""The shell steps of the workflows run here too, in order, with the registry, GitHub and the host played.

What is not run is counted with its reason, in NOT_RUN.
"""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from pathlib import Path

import pytest

from tests.support.pipeline import ROOT, Step, shell_steps, workflows
from tests.support.rehearsed_steps import DIGEST, FILLED, KEY, TAG, Runner, digest_of

STEPS = [step for name, text in workflows().items() for step in shell_steps(name, text)]
NOT_RUN = {
    "make release-scan": "its list of holes is downloaded each day, and the scanner takes minutes to build",
}
"""Steps of a release and a deploy that are not run here, and why not."""

NOT_IN_CI_RUN = {
    "actionlint": "it is built by a Go newer than Debian's; a test here runs it where it is installed",
    "architecture": "the same files are part of `make test`",
    "compose-config": "it needs Docker's program, which a bare machine lacks; a test reads the file itself",
    "demo": "it plays for people to look at; tests/journeys play the same day",
    "images": "it needs a Docker engine, and registries that have the bases",
    "rehearsal-quick": "it needs a Docker engine and root, or says loudly that it played no host",
    "release-check": "it wants a tag that is checked out; tests/cli/releases make one and ask",
    "scan-images": "it needs built images, and a list of holes that is downloaded each day",
    "soak-short": "minutes of load, on a machine that does nothing else",
    "test-on-oldest": "the same tests on another PostgreSQL, which it installs",
}
"""Targets of the workflows that a fresh clone is not judged by, and why not."""

RUN_WITH_ANY = {"setup"}
"""What every other target begins with."""


def _of(name: str) -> list[Step]:
    return [step for step in STEPS if step.place.startswith(f"{name}: ")]


def _is_run(step: Step) -> bool:
    """Whether it is a step of a release or a deploy, and not a verb that is run at a desk."""
    return step.run.startswith("make release-") and step.run not in {"make release-check", *NOT_RUN}


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """One machine for all steps of a release and a deploy, in their order."""
    return Runner(tmp_path_factory.mktemp("runner"))


@pytest.mark.parametrize("step", [step for step in STEPS if not _is_run(step)], ids=lambda step: step.place)
def test_make_knows_what_a_step_asks_of_it(runner: Runner, step: Step) -> None:
    """Which of the targets .ci/run runs on a fresh clone, and why not the others, is judged below."""
    answer = runner.ask(step)

    assert answer.returncode == 0, answer.stderr
    assert runner.calls() == [step.run.strip()]


@pytest.fixture(scope="module")
def calls(runner: Runner) -> list[str]:
    """A release and its deploy, step by step; how programs were called. Each step must end with 0."""
    found = []
    for step in [*_of("release.yml"), *_of("deploy.yml")]:
        if not _is_run(step):
            continue
        if step.place.startswith("deploy.yml") and not runner.published.exists():
            shutil.copytree(runner.checkout / "dist", runner.published)
        answer = runner.run(step)
        assert answer.returncode == 0, f"{step.place}: {answer.stdout}{answer.stderr}"
        assert KEY not in answer.stdout + answer.stderr
        found += runner.calls()
    return found


def test_the_steps_of_a_release_publish_what_it_is_made_of(runner: Runner, calls: list[str]) -> None:
    """Pushed by digest, put together, published whole."""
    assert "docker login ghcr.io --username bruno --password-stdin" in calls
    assert "build_images 1 9.1.0 ghcr.io/agency/" in calls
    assert f"gh release edit {TAG} --draft=false" in calls
    _assert_shipped(runner.published)


def test_the_steps_of_a_deploy_send_what_the_release_published(runner: Runner, calls: list[str]) -> None:
    """To the pinned host, with a key that is gone afterwards."""
    sent = [call for call in calls if call.startswith("ssh ")]
    bundle = digest_of(runner.published / "platform-9.1.0.tar.gz")

    assert [call.rpartition("platform-deploy@vps.example.org ")[2].split()[0] for call in sent] == [
        "receive",
        "start",
        "follow",
    ]
    assert f"receive 9.1.0 {bundle}" in sent[0]
    assert all("StrictHostKeyChecking=yes" in call and KEY not in call for call in sent)
    assert [path for path in runner.folder.glob("**/key") if "a checkout" not in path.parts] == []


def test_the_bundle_of_a_release_holds_what_a_host_is_made_of_and_no_made_up_values(
    runner: Runner, calls: list[str]
) -> None:
    """`example.env` stands beside the compose file, and stays at the desk."""
    assert calls != []
    with tarfile.open(runner.published / "platform-9.1.0.tar.gz") as bundle:
        names = {name.removeprefix("./") for name in bundle.getnames()} - {"."}

    assert names == {
        "SHA256SUMS",
        "caddy",
        "caddy/Caddyfile",
        "compose.prod.yml",
        "host_secrets.sh",
        "platform_host.sh",
        "release.json",
        "worker-seccomp.json",
    }


def _assert_shipped(folder: Path) -> None:
    manifest = json.loads((folder / "release.json").read_text(encoding="utf-8"))
    names = list(manifest["images"])

    assert (manifest["version"], manifest["image_mb"]) == (TAG[1:], len(names) * 250 + 1)
    assert set(manifest["images"].values()) == {f"ghcr.io/agency/{name}@{DIGEST}" for name in names}
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [
            "SHA256SUMS",
            "notes.md",
            "platform-9.1.0.tar.gz",
            "platform_cli-9.1.0-py3-none-any.whl",
            "platform_connectors-9.1.0-py3-none-any.whl",
            "platform_core-9.1.0-py3-none-any.whl",
            "release.json",
            *(f"sbom-{name}.json" for name in names),
            *(f"provenance-{name}.json" for name in names),
        ]
    )


@pytest.mark.parametrize("spoilt", ["platform-9.1.0.tar.gz", "release.json", "SHA256SUMS"])
@pytest.mark.usefixtures("calls")
def test_a_release_that_was_changed_on_the_way_is_not_deployed(runner: Runner, spoilt: str) -> None:
    """Its step fails before the key is written."""
    path = runner.published / spoilt
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"9", b"8"))
    shutil.rmtree(runner.checkout / "release", ignore_errors=True)

    answer = runner.run(next(step for step in _of("deploy.yml") if step.run == "make release-fetch"))
    path.write_bytes(whole)

    assert answer.returncode != 0


def test_every_expression_that_reaches_a_step_is_known() -> None:
    """A new one is filled here, or the step would run with an expression for a value."""
    reached = {str(value) for step in STEPS for value in step.env.values() if "${{" in str(value)}

    assert reached - set(FILLED) == set()


def test_what_is_not_run_is_counted_with_its_reason() -> None:
    """Each is one step; every other step of a release and a deploy is run."""
    steps = [step.run for name in ("release.yml", "deploy.yml") for step in _of(name)]

    assert [steps.count(command) for command in NOT_RUN] == [1] * len(NOT_RUN)
    assert {step for step in steps if step.startswith("make release-")} == {
        "make release-check",
        *NOT_RUN,
        *(step.run for step in STEPS if _is_run(step)),
    }


def _targets(text: str) -> set[str]:
    """What a text of shell asks make for."""
    lines = re.findall(r"^make ([a-z -]+?) *(?:#.*)?$", text, re.MULTILINE)
    return {target for line in lines for target in line.split()}


def test_a_target_of_the_workflows_is_run_on_a_fresh_clone_or_it_is_said_why_not() -> None:
    """`make check` stands for what it is made of."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    check = set(re.findall(r"^check: ([a-z -]+) ##", makefile, re.MULTILINE)[0].split())
    asked = _targets("\n".join(step.run for step in STEPS if not _is_run(step) and step.run not in NOT_RUN))
    on_a_clone = _targets((ROOT / ".ci/run").read_text(encoding="utf-8"))

    assert "check" in asked
    assert (asked - {"check"} | check) - on_a_clone - RUN_WITH_ANY == set(NOT_IN_CI_RUN)
    assert on_a_clone - check == {"test"}


@pytest.mark.parametrize(
    ("verb", "environment", "said"),
    [
        ("deploy", {"TAG": TAG}, "the variable DEPLOY_HOST is missing or empty"),
        ("images", {"TAG": "v1; touch ran", "OWNER": "agency", "GH_TOKEN": "x"}, "TAG is like v1.4.0"),
        ("nothing", {}, "usage: release_steps.sh"),
    ],
)
def test_a_step_without_what_it_needs_says_what_it_is(
    runner: Runner, verb: str, environment: dict[str, str], said: str
) -> None:
    """Before it calls anything."""
    step = Step(place="", run=f"bash infra/scripts/release_steps.sh {verb}", env=environment, folder=".")

    answer = runner.run(step)

    assert (answer.returncode, said in answer.stderr) == (64, True)
    assert runner.calls() == []
