"""A host's secrets are made where they are used, named by what is in them, listed without a value."""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pyrage
import pytest
import yaml

from tests.support.open_files import has_open
from tests.support.secret_hosts import SCRIPT, Host
from tests.support.written_flows import until

ROOT = Path(__file__).resolve().parents[2]
REFUSED, USAGE = 70, 64
NAMES = [
    "BACKUP_DATABASE_PASSWORD",
    "BACKUP_RECIPIENTS",
    "DATABASE_CA",
    "DATABASE_CERTIFICATE",
    "DATABASE_KEY",
    "DOOR_DATABASE_PASSWORD",
    "DOOR_WINDMILL_TOKEN",
    "WINDMILL_DATABASE_URL",
    "WINDMILL_SALT",
    "WINDMILL_SUPERADMIN",
]


@pytest.fixture(scope="module")
def person() -> pyrage.x25519.Identity:
    """Whoever may open backups and bundles; the private half is on no host."""
    return pyrage.x25519.Identity.generate()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, person: pyrage.x25519.Identity) -> Path:
    """A folder with all the secrets of a host, to be copied."""
    found = Host(tmp_path_factory.mktemp("made") / "platform")
    assert found.say("put", "BACKUP_RECIPIENTS", given=f"# ana\n{person.to_public()}\n").returncode == 0
    said = found.say("make")
    assert said.returncode == 0, said.stderr
    return found.root


@pytest.fixture
def host(made: Path, tmp_path: Path) -> Host:
    """A host with all its secrets."""
    found = Host(tmp_path / "platform")
    shutil.copytree(made, found.root, dirs_exist_ok=True)
    listed = found.folder / "secrets.env"
    listed.write_text(listed.read_text().replace(str(made), str(found.root)))
    return found


def test_a_secret_is_a_file_that_strangers_cannot_read_named_by_its_content(host: Host) -> None:
    """The list has a line for each that the compose file takes a path of."""
    listed = host.listed()
    compose = (ROOT / "infra/compose/compose.prod.yml").read_text(encoding="utf-8")
    files = [one["file"] for one in yaml.safe_load(compose)["secrets"].values()]

    assert sorted(listed) == NAMES
    assert {re.sub(r"\$\{SECRET_([A-Z_]+):\?\}", r"\1", file) for file in files} <= set(NAMES)
    assert {oct(path.stat().st_mode & 0o777) for path in listed.values()} == {"0o440"}
    assert all(re.fullmatch(rf"{name.lower()}\.[0-9a-f]{{12}}", path.name) for name, path in listed.items())
    assert all(len(host.value(name)) >= 48 for name in NAMES)


def test_what_no_host_may_make_is_asked_for(tmp_path: Path) -> None:
    """The public keys of the people who may open a backup."""
    made = Host(tmp_path / "platform").say("make")

    assert made.returncode == 0
    assert made.stdout.splitlines()[-1].startswith("needed   BACKUP_RECIPIENTS: host_secrets.sh put")


def test_a_repeat_makes_nothing_anew(host: Host) -> None:
    """Whoever is not sure whether it ran may run it again."""
    before = host.listed()

    again = host.say("make")

    assert again.stdout.split() == [word for name in again.stdout.split()[1::2] for word in ("ok", name)]
    assert host.listed() == before


def test_a_list_whose_last_line_a_hand_left_unended_loses_none(host: Host) -> None:
    """What is written after it stands on a line of its own."""
    before = host.listed()
    listed = host.folder / "secrets.env"
    listed.write_text(listed.read_text().rstrip("\n"))
    host.say("renew", "WINDMILL_SUPERADMIN")
    after = host.listed()

    assert sorted(after) == sorted(before)
    assert {name for name in after if after[name] != before[name]} == {"WINDMILL_SUPERADMIN"}


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

    assert re.findall(r"^([A-Z_]+) +\d+ days", said, re.MULTILINE) == [
        "DATABASE_CA",
        "DATABASE_CERTIFICATE",
        "DATABASE_KEY",
        "WINDMILL_DATABASE_URL",
        "WINDMILL_SALT",
        "WINDMILL_SUPERADMIN",
        "DOOR_DATABASE_PASSWORD",
        "DOOR_WINDMILL_TOKEN",
        "BACKUP_DATABASE_PASSWORD",
        "BACKUP_RECIPIENTS",
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
        (("put", "DOOR_WINDMILL_TOKEN"), "two words not-a-real-token", REFUSED, "one word of plain letters"),
        (("put", "BACKUP_RECIPIENTS"), "ana and bruno, and others", REFUSED, "give public keys of age"),
        (("put", "WINDMILL_SALT"), "not-a-real-salt-at-all", REFUSED, "without the old salt"),
        (("renew", "WINDMILL_SALT"), "", REFUSED, "without the old salt"),
        (("renew", "BACKUP_RECIPIENTS"), "", REFUSED, "public keys of people"),
        (("renew", "DATABASE_CA"), "", REFUSED, "rotate database-tls"),
        (("next", "DOOR_WINDMILL_TOKEN"), "", REFUSED, "nothing waits to be DOOR_WINDMILL_TOKEN"),
        (("authority", "certificate"), "", REFUSED, "no new authority waits"),
        (("list", "--values"), "", USAGE, "list takes --json"),
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


def test_no_private_key_of_a_person_is_taken(host: Host, person: pyrage.x25519.Identity) -> None:
    """Whoever pastes the wrong half is told, and it is nowhere on the host."""
    said = host.say("put", "BACKUP_RECIPIENTS", given=f"{person}\n")

    assert (said.returncode, "that is a private key" in said.stderr) == (REFUSED, True)
    assert [path.name for path in host.folder.iterdir() if str(person) in path.read_text()] == []


def test_what_is_due_is_told_by_the_policy(host: Host) -> None:
    """Quarterly, yearly, never."""
    for name, days in (("WINDMILL_SUPERADMIN", 92), ("WINDMILL_SALT", 4000), ("DATABASE_CA", 100)):
        host.grow_old(name, days)
    listed = {row.pop("name"): row for row in json.loads(host.say("list", "--json").stdout)}
    checked = host.say("check")

    assert [listed[name] for name in ("WINDMILL_SUPERADMIN", "WINDMILL_SALT", "DATABASE_CA")] == [
        {"state": "overdue", "age_days": 92, "due_in_days": 0},
        {"state": "here", "age_days": 4000, "due_in_days": None},
        {"state": "here", "age_days": 100, "due_in_days": 266},
    ]
    assert checked.returncode == 1
    assert "WINDMILL_SUPERADMIN is 92 days old, overdue by 0" in checked.stdout


def test_a_check_finds_what_is_missing_open_unused_and_not_bundled(host: Host) -> None:
    """And says nothing but ok when all is as it should be."""
    host.say("bundle")
    well = host.say("check")
    listed = host.listed()
    listed["WINDMILL_SUPERADMIN"].chmod(0o444)
    listed["DOOR_WINDMILL_TOKEN"].unlink()
    (host.folder / "windmill_salt.0123456789ab").write_text("not-a-real-salt")
    found = host.say("check")

    assert (well.returncode, well.stdout) == (0, "ok       10 secrets, and the bundle is newer\n")
    assert found.returncode == 1
    assert re.findall(r"wrong {4}(.*?)\. ", found.stdout) == [
        "DOOR_WINDMILL_TOKEN is missing",
        f"everybody can read {listed['WINDMILL_SUPERADMIN']} (mode 444)",
        f"nothing uses {host.folder}/windmill_salt.0123456789ab any more",
        "the newest bundle is older than windmill_salt",
    ]


def test_a_file_that_a_running_container_was_made_with_is_not_forgotten(host: Host) -> None:
    """It is looked for when the container is started again."""
    first = host.listed()["WINDMILL_SUPERADMIN"]
    (host.root / "release.env").write_text(f"SECRET_WINDMILL_SUPERADMIN={first}\n")
    host.say("renew", "WINDMILL_SUPERADMIN")

    assert (host.say("forget").stdout, first.exists()) == ("", True)


def test_clients_never_meet_a_certificate_they_do_not_trust(host: Host, tmp_path: Path) -> None:
    """How many they trust, what the database shows, whether that holds; after each of three steps."""
    old = {name: host.value(name) for name in ("DATABASE_CA", "DATABASE_CERTIFICATE")}
    seen = []
    for step in ("begin", "begin", "certificate", "certificate", "end"):
        assert host.say("authority", step).returncode == 0
        trusted = tmp_path / "trusted"
        trusted.write_text(host.value("DATABASE_CA"))
        shown = host.value("DATABASE_CERTIFICATE")
        proof = ["openssl", "verify", "-CAfile", str(trusted), "-verify_hostname", "postgres"]
        holds = subprocess.run(proof, input=shown.encode(), capture_output=True, check=False).returncode == 0
        seen.append(
            (trusted.read_text().count("BEGIN CERTIFICATE"), shown == old["DATABASE_CERTIFICATE"], holds)
        )

    assert seen == [(2, True, True), (2, True, True), (2, False, True), (2, False, True), (1, False, True)]
    assert old["DATABASE_CA"] not in host.value("DATABASE_CA")
    assert sorted(host.listed()) == NAMES


# --- The bundle ---------------------------------------------------------------------------------------------


def bundled(host: Host) -> bytes:
    """A new bundle of a host that has served and has a door."""
    for name, content in (
        ("host.env", "DOMAIN_HOOKS=hooks.invalid\n"),
        ("state/deployed.json", '{"version": "1.4.0"}\n'),
        ("state/audit.jsonl", '{"event": "ok"}\n'),
        ("door/acme.json", "{}\n"),
    ):
        (host.root / name).parent.mkdir(exist_ok=True)
        (host.root / name).write_text(content)
    said = host.say("bundle")
    assert said.returncode == 0, said.stderr
    return Path(said.stdout.strip()).read_bytes()


def test_a_lost_hosts_secrets_are_put_back_from_its_bundle(
    host: Host, tmp_path: Path, person: pyrage.x25519.Identity
) -> None:
    """Every one with its age; and what it served, its audit, and the door's files."""
    host.grow_old("WINDMILL_SUPERADMIN", 40)
    sent = bundled(host)
    new = Host(tmp_path / "new")
    said = new.say("unbundle", given=f"{person}\n".encode() + sent)

    assert said.returncode == 0, said.stderr
    assert said.stdout == "in place 10 secrets\nserved   1.4.0: deploy that release\n"
    assert new.content() == host.content()
    assert new.say("list").stdout == host.say("list").stdout
    assert {oct(path.stat().st_mode & 0o777) for path in new.listed().values()} == {"0o440"}
    assert [(new.root / name).read_text() for name in ("state/audit.jsonl", "door/acme.json")] == [
        '{"event": "ok"}\n',
        "{}\n",
    ]
    assert not (new.root / "state/deployed.json").exists()
    assert "WINDMILL_SALT" in pyrage.decrypt(sent, [person]).decode("latin-1")


def test_a_bundle_is_for_others_when_others_are_named(host: Host, person: pyrage.x25519.Identity) -> None:
    """Whoever opens copies of the database does not open the salt then."""
    other = pyrage.x25519.Identity.generate()
    host.say("put", "BUNDLE_RECIPIENTS", given=str(other.to_public()))
    sent = bundled(host)

    assert pyrage.decrypt(sent, [other])
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(sent, [person])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("stranger", "does not open"),
        ("cut", "does not open"),
        ("changed", "does not open"),
        ("no identity", "before the bundle there is no identity"),
        ("no bundle", "give the identity and then the bundle"),
        ("not ours", "something else than a host's secrets"),
    ],
)
def test_a_bundle_that_is_not_what_it_should_be_changes_nothing(
    host: Host, tmp_path: Path, person: pyrage.x25519.Identity, spoil: str, said: str
) -> None:
    """Whatever is wrong with it or with the identity."""
    sent, key = bundled(host), f"{person}\n".encode()
    foreign = pyrage.encrypt(_tar("etc/passwd"), [person.to_public()])
    given = {
        "stranger": f"{pyrage.x25519.Identity.generate()}\n".encode() + sent,
        "cut": key + sent[:-100],
        "changed": key + sent[:-10] + bytes([sent[-10] ^ 1]) + sent[-9:],
        "no identity": sent,
        "no bundle": key,
        "not ours": key + foreign,
    }[spoil]
    new = Host(tmp_path / "new")
    answer = new.say("unbundle", given=given)

    assert (answer.returncode, said in answer.stderr) == (REFUSED, True), answer
    assert sorted(new.root.rglob("*")) == [new.folder]


def _tar(name: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as target:
        target.addfile(tarfile.TarInfo(name))
    return packed.getvalue()


def test_what_everybody_could_read_is_not_bundled(host: Host) -> None:
    """It is replaced first."""
    host.listed()["WINDMILL_SUPERADMIN"].chmod(0o444)
    said = host.say("bundle")

    assert (said.returncode, "everybody can read" in said.stderr) == (REFUSED, True)
    assert list(host.root.glob("bundles/*")) == []


def test_a_host_with_secrets_of_its_own_keeps_them(host: Host, person: pyrage.x25519.Identity) -> None:
    """A bundle put back in the wrong place would lock out what serves there."""
    sent, before = bundled(host), host.content()
    said = host.say("unbundle", given=f"{person}\n".encode() + sent)

    assert (said.returncode, "secrets of its own" in said.stderr) == (REFUSED, True)
    assert host.content() == before


def test_a_host_that_is_not_ready_is_refused(tmp_path: Path) -> None:
    """There is no folder that only root can enter."""
    answer = subprocess.run([SCRIPT, "--root", tmp_path, "make"], capture_output=True, text=True, check=False)

    assert (answer.returncode, "make the host ready first" in answer.stderr) == (REFUSED, True)


# --- Two at once, and tools that fail -----------------------------------------------------------------------


def test_two_that_write_take_turns_and_who_looks_waits_for_nobody(host: Host) -> None:
    """Of two lists that are written at once, the last would be the only one."""
    folder = os.open(host.folder, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        waiting = host.begin("take", "DOOR_WINDMILL_TOKEN")
        looked = host.say("list")
        until(lambda: has_open(waiting.pid, host.folder), "it comes to the lock")
        with (host.folder / "secrets.env").open("a") as listed:
            listed.write(f"NEXT_DATABASE_CA={host.listed()['DATABASE_CA']}\n")
    finally:
        os.close(folder)
    out, err = waiting.communicate(b"not-a-real-token-of-windmill", timeout=30)

    assert (looked.returncode, waiting.returncode) == (0, 0), err
    assert b"waits    DOOR_WINDMILL_TOKEN" in out
    lines = (host.folder / "secrets.env").read_text().splitlines()
    waits = [line.partition("=")[0] for line in lines if line.startswith("NEXT_")]
    assert waits == ["NEXT_DATABASE_CA", "NEXT_DOOR_WINDMILL_TOKEN"]


def test_an_openssl_that_fails_says_why(host: Host) -> None:
    """And nothing is listed that was not made."""
    before = host.listed()
    (host.folder / "secrets.env").write_text("")
    host.program(
        "openssl", "#!/bin/sh", '[ "$1" != rand ] || exec echo 00', "echo 'no such curve' >&2", "exit 1"
    )
    said = host.say("make")

    assert said.returncode == 1
    assert said.stderr == "host_secrets: openssl req failed: no such curve \n"
    assert (host.folder / "secrets.env").read_text() == ""
    assert all(file.exists() for file in before.values())


def test_a_bundle_is_made_although_the_audit_is_written_meanwhile(host: Host) -> None:
    """Tar says so with 1, and reads all once more; what it cannot read at all ends with no bundle."""
    tar = shutil.which("tar")
    told = host.root / "told"
    host.program("tar", "#!/bin/sh", f'"{tar}" "$@"', f'[ -f "{told}" ] && exit', f'touch "{told}"', "exit 1")
    changed = host.say("bundle")
    host.program("tar", "#!/bin/sh", "exit 2")
    broken = host.say("bundle")

    assert (changed.returncode, broken.returncode) == (0, 1), changed.stderr
    assert "no bundle was made" in broken.stderr
    assert [str(one) for one in (host.root / "bundles").glob("*.age")] == [changed.stdout.strip()]
