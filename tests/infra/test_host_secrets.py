"""A host's secrets are made where they are used, named by what is in them, listed without a value."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "infra/scripts/remote/host_secrets.sh"
REFUSED, USAGE = 70, 64
NAMES = [
    "DATABASE_CA",
    "DATABASE_CERTIFICATE",
    "DATABASE_KEY",
    "DOOR_DATABASE_PASSWORD",
    "DOOR_WINDMILL_TOKEN",
    "WINDMILL_DATABASE_URL",
    "WINDMILL_SALT",
    "WINDMILL_SUPERADMIN",
]


class Host:
    """A host's folder of secrets, owned by whoever runs the test."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / "secrets"
        self.folder.mkdir(parents=True)

    def say(self, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """The script, as root would call it on the host."""
        owner = f"{os.getuid()}:{os.getgid()}"
        return subprocess.run(
            [SCRIPT, "--root", self.root, "--owner", owner, *words],
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )

    def listed(self) -> dict[str, Path]:
        """Which file is which, as a deploy reads it."""
        lines = (self.folder / "secrets.env").read_text(encoding="utf-8").splitlines()
        return {
            name.removeprefix("SECRET_"): Path(path) for name, path in (one.split("=", 1) for one in lines)
        }

    def value(self, name: str) -> str:
        """What is in the file."""
        return self.listed()[name].read_text(encoding="utf-8")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host with all its secrets."""
    found = Host(tmp_path / "platform")
    made = found.say("make")
    assert made.returncode == 0, made.stderr
    return found


def test_a_secret_is_a_file_that_strangers_cannot_read_named_by_its_content(host: Host) -> None:
    """The list has a line for each that the compose file mounts."""
    listed = host.listed()

    assert sorted(listed) == NAMES
    assert {oct(path.stat().st_mode & 0o777) for path in listed.values()} == {"0o440"}
    assert all(re.fullmatch(rf"{name.lower()}\.[0-9a-f]{{12}}", path.name) for name, path in listed.items())
    assert all(len(host.value(name)) >= 48 for name in NAMES)


def test_a_repeat_makes_nothing_anew(host: Host) -> None:
    """Whoever is not sure whether it ran may run it again."""
    before = host.listed()

    again = host.say("make")

    assert again.stdout.split() == [word for name in again.stdout.split()[1::2] for word in ("ok", name)]
    assert host.listed() == before


def test_the_database_proves_itself_by_its_name_and_no_other(host: Host) -> None:
    """What every client checks, with the authority it is given."""
    openssl = shutil.which("openssl")
    assert openssl is not None
    listed = host.listed()
    authority, certificate = str(listed["DATABASE_CA"]), str(listed["DATABASE_CERTIFICATE"])
    proof = [openssl, "verify", "-CAfile", authority, "-verify_hostname"]
    codes = {
        name: subprocess.run([*proof, name, certificate], capture_output=True, check=False).returncode
        for name in ("postgres", "localhost")
    }

    assert codes["postgres"] == 0
    assert codes["localhost"] != 0


def test_no_value_is_printed(host: Host) -> None:
    """Neither by the list nor by what makes one anew."""
    said = host.say("list").stdout + host.say("renew", "WINDMILL_SUPERADMIN").stdout

    assert re.findall(r"^([A-Z_]+) +\d+ days$", said, re.MULTILINE) == [
        "DATABASE_CA",
        "DATABASE_CERTIFICATE",
        "DATABASE_KEY",
        "WINDMILL_DATABASE_URL",
        "WINDMILL_SALT",
        "WINDMILL_SUPERADMIN",
        "DOOR_DATABASE_PASSWORD",
        "DOOR_WINDMILL_TOKEN",
    ]
    assert [name for name in NAMES if host.value(name).strip() in said] == []


def test_the_logins_of_windmill_take_turns_and_the_old_file_stays_until_it_is_forgotten(host: Host) -> None:
    """What runs keeps its login until the next deploy."""
    first = host.listed()["WINDMILL_DATABASE_URL"]
    host.say("renew", "WINDMILL_DATABASE_URL")
    second = host.listed()["WINDMILL_DATABASE_URL"]
    there = first.exists()
    host.say("forget")

    assert "//windmill_a:" not in second.read_text(encoding="utf-8")
    assert "//windmill_b:" in second.read_text(encoding="utf-8")
    assert (there, first.exists(), second.exists()) == (True, False, True)
    assert sorted(host.listed()) == NAMES


def test_a_token_that_somebody_made_is_taken_from_stdin(host: Host) -> None:
    """Never from the command line, where every process could read it."""
    host.say("put", "DOOR_WINDMILL_TOKEN", given="not-a-real-token-of-the-door\n")

    assert host.value("DOOR_WINDMILL_TOKEN") == "not-a-real-token-of-the-door"


@pytest.mark.parametrize(
    ("words", "given", "code", "said"),
    [
        (("put", "DOOR_WINDMILL_TOKEN"), "short", REFUSED, "16 characters or more"),
        (("put", "DOOR_WINDMILL_TOKEN"), "<token of the door>", REFUSED, "a placeholder"),
        (("renew", "WINDMILL_SALT"), "", REFUSED, "without the old salt"),
        (("renew", "NOTHING"), "", USAGE, "there is no secret 'NOTHING'"),
        (("make", "it"), "", USAGE, "make takes no name"),
        (("show",), "", USAGE, "say make, put NAME"),
    ],
)
def test_what_it_will_not_do_changes_nothing(
    host: Host, words: tuple[str, ...], given: str, code: int, said: str
) -> None:
    """With the reason and, where there is one, the way out."""
    before = host.listed(), sorted(host.folder.iterdir())

    answer = host.say(*words, given=given)

    assert (answer.returncode, said in answer.stderr) == (code, True)
    assert (host.listed(), sorted(host.folder.iterdir())) == before


def test_a_host_that_is_not_ready_is_refused(tmp_path: Path) -> None:
    """There is no folder that only root can enter."""
    answer = subprocess.run([SCRIPT, "--root", tmp_path, "make"], capture_output=True, text=True, check=False)

    assert (answer.returncode, "make the host ready first" in answer.stderr) == (REFUSED, True)
