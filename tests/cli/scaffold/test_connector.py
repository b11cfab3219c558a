"""A new connector in a copy of the checkout: its suite fails, and says by a list what is left to write."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from platform_cli.scaffold.connector import list_left
from platform_cli.scaffold.contract import check_contract
from platform_core.connectors import list_connectors, load_connector
from tests.support.wmctl import REPOSITORY, Said, Terminal

NAME = "acme_pay"
ITEMS = [
    "client.check",
    "events.to_events",
    "failures.classify",
    "signature.identity",
    "signature.secrets",
    "tests.degrade",
    "tests.disturb",
    "tests.make_sound",
    "tests.mutation",
    "tests.read",
    "tests.sign",
    "tests.stand_in",
]
"""Everything the contract asks of a connector that receives and calls, by name."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A checkout of its own, with the files a connector has to do with."""

    root: Path

    def say(self, *arguments: str) -> Said:
        """Wmctl in this checkout."""
        return Terminal({}, self.root).say(*arguments)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A tool of the environment, on the copy's own sources, as at a person's terminal.

        Where `CI` is set pytest repeats each message whole in its summary.
        """
        paths = [self.root / "connectors/src", self.root]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
        for name in ("CI", "BUILD_NUMBER"):
            environment.pop(name, None)
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A copy in which `connector new` was run once."""
    root = tmp_path_factory.mktemp("checkout")
    for folder in ("connectors", "tests/connectors", "tests/support"):
        shutil.copytree(REPOSITORY / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "tests/conftest.py"):
        shutil.copy(REPOSITORY / file, root / file)
    for folder in ("customers", "platform-core", "platform-cli"):
        (root / folder).symlink_to(REPOSITORY / folder)
    copy = Copy(root)
    said = copy.say("connector", "new", NAME)
    assert said.code == 0, said
    return copy


def test_a_new_connector_names_each_thing_that_is_left_to_write(copy: Copy) -> None:
    """In the terminal when it is made, and whenever it is checked: the same list, exit 4."""
    assert sorted(one.item for one in list_left(copy.root, NAME)) == ITEMS

    checked = copy.say("connector", "check", NAME)

    assert checked.code == 4
    assert [item for item in ITEMS if item not in checked.out] == []
    assert "12 things are left" in checked.err


def test_its_suite_fails_by_that_list_and_by_nothing_it_could_not_say(copy: Copy) -> None:
    """A person who runs pytest reads what to write, numbered, with file and line."""
    ran = copy.run("pytest", f"tests/connectors/{NAME}", "-q", "-p", "no:cacheprovider")

    assert ran.returncode == 1, ran.stdout[-3000:] + ran.stderr[-3000:]
    listed = re.findall(
        r"^E? +(\d+)\. ([\w.]+): .+ \((?:connectors|tests)/\S+:\d+\)$", ran.stdout, re.MULTILINE
    )
    assert sorted(item for _, item in listed) == ITEMS
    assert "receiving.golden: deliveries whose verdict was computed by other means" in ran.stdout
    assert "calling.bad_config: each way in which a field can be wrong" in ran.stdout
    assert re.search(r"[1-9]\d* failed", ran.stdout)
    assert "SyntaxError" not in ran.stdout + ran.stderr
    assert "ImportError" not in ran.stdout + ran.stderr


def test_what_is_generated_is_in_the_houses_style(copy: Copy) -> None:
    """Formatted and linted as it stands: the first commit is green but for its suite."""
    files = [f"connectors/src/platform_connectors/{NAME}", f"tests/connectors/{NAME}"]

    checked = copy.run("ruff", "check", *files)
    formatted = copy.run("ruff", "format", "--check", *files)

    assert (checked.returncode, formatted.returncode) == (0, 0), checked.stdout + formatted.stdout


def test_its_entry_point_stands_beside_the_others(copy: Copy) -> None:
    """Sorted, once, and nothing else of the file changed."""
    before = (REPOSITORY / "connectors/pyproject.toml").read_text().splitlines()
    after = (copy.root / "connectors/pyproject.toml").read_text().splitlines()

    assert [line for line in after if line not in before] == [
        f'{NAME} = "platform_connectors.{NAME}:CONNECTOR"'
    ]
    assert [line for line in after if line in before] == before


def test_a_second_one_of_that_name_is_refused_and_changes_nothing(copy: Copy) -> None:
    """What somebody began to write is not written over."""
    package = copy.root / f"connectors/src/platform_connectors/{NAME}"
    before = {path.name: path.read_bytes() for path in package.glob("*") if path.is_file()}

    said = copy.say("connector", "new", NAME)

    assert (said.code, said.out) == (4, "")
    assert f"There is a connector or a folder {NAME} already" in said.err
    assert {path.name: path.read_bytes() for path in package.glob("*") if path.is_file()} == before


def test_the_list_gets_shorter_as_the_connector_gets_written(copy: Copy) -> None:
    """It is read from the source."""
    path = copy.root / f"connectors/src/platform_connectors/{NAME}/failures.py"
    text = path.read_text()
    path.write_text(text.partition("    raise NotImplementedError")[0] + "    return ConnectorError\n")

    left = [one.item for one in list_left(copy.root, NAME)]
    path.write_text(text)

    assert sorted(left) == [item for item in ITEMS if item != "failures.classify"]


@pytest.mark.parametrize("name", list_connectors())
def test_every_connector_that_is_installed_lacks_nothing(name: str) -> None:
    """What `wmctl connector check` looks at, without a provider."""
    assert check_contract(REPOSITORY, name) == []
    assert load_connector(name).capabilities
