"""The shell steps of the workflows, run on this machine: what they call is real where that is quick."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.pipeline import ROOT, Step
from tests.support.releases import IDENTITY, pin_bases

TAG = "v9.1.0"
DIGEST = "sha256:" + "b2" * 32
KEY = "not-a-real key of a deploy"

STAND_INS = {
    # The steps of a release and a deploy are run; of any other verb make is asked whether it knows it.
    "make": """case "${ONLY_ASK:-}$1" in
    release-*) exec /usr/bin/env PATH="$PLAYED_PATH" "$REAL_MAKE" --no-print-directory "$@" ;;
    esac
    "$REAL_MAKE" --dry-run --directory "$REPOSITORY" "$@" >/dev/null""",
    # No registry is spoken to: what would be sent is written down.
    "docker": """case "$*" in
    login*) cat >"$SAID.password" ;;
    "image inspect"*) echo 250000000 ;;
    *SBOM*) echo '{"SPDX": {}}' ;;
    *Provenance*) echo '{"SLSA": {}}' ;;
    esac""",
    # GitHub's own command: a download is what was published, and there is no release before the first.
    "gh": """case "$*" in
    *"--dir before"*) exit 1 ;;
    "release download"*) mkdir -p release && cp "$PUBLISHED"/* release/ ;;
    esac""",
    "ssh": "echo run-1",
}
"""Programs that are played, each with what it does beside writing down how it was called."""


class Runner:
    """A machine of GitHub's, as far as the steps can tell: a checkout of the tag, and a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkout = folder / "a checkout"
        self.said = folder / "said"
        self.published = folder / "published"
        self._programs = folder / "bin"
        self._check_out()
        self._play()

    def run(self, step: Step, **changed: str) -> subprocess.CompletedProcess[str]:
        """Run a step as GitHub does: bash, in the step's folder, stopping at the first error."""
        self.said.write_text("", encoding="utf-8")
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step.run],
            cwd=self.checkout / step.folder,
            env={**self._environment(), **_filled(step.env), **changed},
            capture_output=True,
            text=True,
            check=False,
        )

    def ask(self, step: Step) -> subprocess.CompletedProcess[str]:
        """Ask make whether it knows a step's target, without doing it."""
        return self.run(step, ONLY_ASK="yes")

    def calls(self) -> list[str]:
        """How the played programs were called in the last step."""
        return self.said.read_text(encoding="utf-8").splitlines()

    def _check_out(self) -> None:
        named = subprocess.run(
            ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            capture_output=True,
            check=True,
        ).stdout.decode()
        wanted = (
            "infra/",
            ".ci/",
            "platform-core/",
            "platform-cli/",
            "connectors/",
            "customers/_template/template",
        )
        for name in filter(None, named.split("\0")):
            if ("/" not in name or name.startswith(wanted)) and (ROOT / name).is_file():
                (self.checkout / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.checkout / name)
        for tool in (".venv", ".tools"):
            (self.checkout / tool).symlink_to(ROOT / tool)
        pin_bases(self.checkout)
        self._git("init", "--quiet", "--initial-branch=main")
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", "Begin")
        subprocess.run(
            [ROOT / ".venv/bin/python", "-m", "platform_cli.releases", "prepare", TAG[1:]],
            cwd=self.checkout,
            env={**os.environ, **IDENTITY},
            capture_output=True,
            check=True,
        )
        self._pretend_to_build()

    def _pretend_to_build(self) -> None:
        """Images take minutes and a registry: `make rehearsal` builds them; here they have been built."""
        names = (self.checkout / "infra/docker/images.txt").read_text(encoding="utf-8").split()
        lines = "".join(f"echo ghcr.io/agency/{name}@{DIGEST}\n" for name in names)
        script = self.checkout / "infra/scripts/build_images.sh"
        script.write_text(f'#!/bin/sh\necho "build_images $PUSH $*" >>"$SAID"\n{lines}', encoding="utf-8")

    def _play(self) -> None:
        self._programs.mkdir()
        for name, does in STAND_INS.items():
            program = self._programs / name
            program.write_text(f'#!/bin/bash\necho "{name} $*" >>"$SAID"\n{does}\n', encoding="utf-8")
            program.chmod(0o755)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self._programs}:{os.environ['PATH']}",
            "PLAYED_PATH": f"{self._programs}:{os.environ['PATH']}",
            "REAL_MAKE": str(shutil.which("make")),
            "TMPDIR": str(self.folder),
            "HOME": str(self.folder),
            "RUNNER_TEMP": str(self.folder),
            "REPOSITORY": str(ROOT),
            "SAID": str(self.said),
            "PUBLISHED": str(self.published),
            **IDENTITY,
        }

    def _git(self, *arguments: str) -> None:
        subprocess.run(
            ["git", "-C", str(self.checkout), *arguments], env={**os.environ, **IDENTITY}, check=True
        )


FILLED = {
    "${{ github.ref_name }}": TAG,
    "${{ inputs.tag }}": TAG,
    "${{ inputs.dry_run && '--dry-run' || '' }}": "",
    "${{ github.actor }}": "bruno",
    "${{ github.repository }}": "agency/platform",
    "${{ github.repository_owner }}": "Agency",
    "${{ github.token }}": "not-a-real token",
    "${{ vars.DEPLOY_HOST }}": "platform-deploy@vps.example.org",
    "${{ vars.DEPLOY_PORT }}": "",
    "${{ vars.DEPLOY_KNOWN_HOSTS }}": "vps.example.org not-a-real key",
    "${{ secrets.DEPLOY_KEY }}": KEY,
}
"""What GitHub would put in place of each expression."""


def _filled(env: Mapping[str, str]) -> dict[str, str]:
    return {name: FILLED.get(str(value), str(value)) for name, value in env.items()}


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
