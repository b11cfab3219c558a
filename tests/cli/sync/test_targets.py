"""Which Windmill is meant, with whose token, and that no token goes where it was not given for."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from platform_cli.sync.targets import Badge, Target, TargetKind, TargetList, Targets, new_target
from platform_cli.sync.tokens import Place
from platform_core.errors import ConfigurationError, InvalidInput, NotFound, PlatformError, SecretRejected
from platform_core.settings import Secret, TargetVariables, load_target_variables
from tests.support import keyrings

TOKEN = Secret("not-a-real-token-8Qm2vK")
OTHER = Secret("not-a-real-token-of-another-1")
PROD = Target("prod", "https://windmill.example.org", "prod", TargetKind.PRODUCTION)
STAGING = Target("staging", "https://windmill.example.org", "staging", TargetKind.STAGING)


@pytest.fixture(autouse=True)
def _no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    keyrings.use(monkeypatch, "keyring.backends.fail.Keyring")


def targets(home: Path, **variables: Any) -> Targets:
    """The targets of somebody with this folder of configuration and these variables."""
    return Targets(replace(TargetVariables(home), **variables))


def test_the_first_target_is_in_use_and_others_are_chosen_by_name(tmp_path: Path) -> None:
    """A command that names none means the one in use."""
    kept = targets(tmp_path)
    kept.add(PROD, TOKEN)
    kept.add(STAGING, OTHER)

    assert (kept.choose().target, kept.choose().token) == (PROD, TOKEN)
    assert (kept.choose("staging").target, kept.choose("staging").token) == (STAGING, OTHER)
    assert kept.use("staging") == STAGING
    assert kept.read() == TargetList({"prod": PROD, "staging": STAGING}, "staging")
    assert kept.choose().target == STAGING


def test_a_token_without_a_keyring_is_in_a_file_of_its_owner(tmp_path: Path) -> None:
    """0600, in a folder of mode 0700, and nowhere else."""
    assert targets(tmp_path).add(PROD, TOKEN) is Place.FILE

    files = {path: path.read_text(encoding="utf-8") for path in tmp_path.rglob("*") if path.is_file()}
    holding = [path for path, text in files.items() if TOKEN.reveal() in text]
    assert len(holding) == 1
    assert stat.S_IMODE(holding[0].stat().st_mode) == 0o600
    assert stat.S_IMODE(holding[0].parent.stat().st_mode) == 0o700


def test_a_token_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """Copied by hand, most likely."""
    targets(tmp_path).add(PROD, TOKEN)
    next((tmp_path / "wmctl" / "tokens").iterdir()).chmod(0o644)

    with pytest.raises(SecretRejected, match="may be read by others"):
        targets(tmp_path).choose()


def test_a_real_keyring_keeps_the_token_and_no_file_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And forgets it with the target."""
    keyrings.use(monkeypatch, "tests.support.keyrings.Kept")
    kept = targets(tmp_path)

    assert kept.add(PROD, TOKEN) is Place.KEYRING
    assert kept.choose().token == TOKEN
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "wmctl" / "targets.json"]
    kept.remove("prod")
    assert keyrings.KEPT == {}


def test_a_keyring_that_does_not_open_leaves_the_token_to_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over SSH nobody is there to unlock it."""
    keyrings.use(monkeypatch, "tests.support.keyrings.Locked")

    assert targets(tmp_path).add(PROD, TOKEN) is Place.FILE
    assert targets(tmp_path).choose().token == TOKEN


def test_a_keyring_that_stopped_opening_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the way around it."""
    keyrings.use(monkeypatch, "tests.support.keyrings.Kept")
    targets(tmp_path).add(PROD, TOKEN)
    keyrings.use(monkeypatch, "tests.support.keyrings.Locked")

    with pytest.raises(SecretRejected) as refused:
        targets(tmp_path).choose()
    assert refused.value.one_line() == (
        "The keyring that keeps the token of target prod does not open. Unlock it, or set WMCTL_TOKEN."
    )


def test_an_edited_address_has_no_token(tmp_path: Path) -> None:
    """A token is for one server and workspace: nobody makes wmctl send it elsewhere by editing a file."""
    targets(tmp_path).add(PROD, TOKEN)
    file = tmp_path / "wmctl" / "targets.json"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("windmill.example.org", "windmill.example.net"), encoding="utf-8")

    with pytest.raises(
        SecretRejected, match=r"^There is no token for target prod at https://windmill.example.net"
    ):
        targets(tmp_path).choose()


def test_a_target_that_is_added_anew_elsewhere_leaves_no_token_behind(tmp_path: Path) -> None:
    """Its old server is not ours any more, perhaps."""
    kept = targets(tmp_path)
    kept.add(PROD, TOKEN)
    moved = Target("prod", "https://new.example.org", "prod", TargetKind.PRODUCTION)
    kept.add(moved, OTHER)

    assert (kept.choose().target, kept.choose().token) == (moved, OTHER)
    assert len(list((tmp_path / "wmctl" / "tokens").iterdir())) == 1


def test_variables_describe_a_target_that_needs_no_file(tmp_path: Path) -> None:
    """For CI; what they name goes before the target in use, and a name given with the command before them."""
    targets(tmp_path).add(STAGING, OTHER)
    named = targets(tmp_path, url="https://windmill.example.org/", workspace="prod", token=TOKEN)

    chosen = named.choose()
    assert (chosen.target, chosen.token) == (
        Target("environment", "https://windmill.example.org", "prod", TargetKind.PRODUCTION),
        TOKEN,
    )
    # The token of WMCTL_URL is for that server, whatever a command names.
    assert (named.choose("staging").target, named.choose("staging").token) == (STAGING, OTHER)


def test_a_token_alone_replaces_the_one_that_was_kept(tmp_path: Path) -> None:
    """WMCTL_TARGET names the target, WMCTL_TOKEN opens it."""
    targets(tmp_path).add(PROD, TOKEN)
    targets(tmp_path).add(STAGING, TOKEN)

    chosen = targets(tmp_path, target="staging", token=OTHER).choose()
    assert (chosen.target, chosen.token) == (STAGING, OTHER)


@pytest.mark.parametrize(
    ("variables", "kind", "line"),
    [
        (
            {},
            ConfigurationError,
            "wmctl knows no Windmill yet. Run `wmctl target add NAME --url URL --workspace WORKSPACE`.",
        ),
        (
            {"target": "prod"},
            NotFound,
            "There is no target 'prod'; known are: none. See `wmctl target list`, or add it.",
        ),
        (
            {"url": "https://windmill.example.org"},
            ConfigurationError,
            "WMCTL_URL is set, WMCTL_WORKSPACE or WMCTL_TOKEN is not. Set all three, or none of them.",
        ),
        (
            {"url": "https://windmill.example.org", "workspace": "prod", "token": TOKEN, "target": "x"},
            ConfigurationError,
            "WMCTL_TARGET and WMCTL_URL are both set, and each names a target. Remove one of them.",
        ),
        (
            {"url": "http://windmill.example.org", "workspace": "prod", "token": TOKEN},
            InvalidInput,
            (
                "http://windmill.example.org is plain HTTP: everybody on the way could read the token. "
                "Use https://, or add the target with --insecure if the way is private."
            ),
        ),
        (
            {"url": "https://x.org", "workspace": "prod", "token": TOKEN, "kind": "live"},
            InvalidInput,
            "'live' is no kind of target. Choose production, staging or local.",
        ),
    ],
)
def test_what_names_no_target_is_refused(
    tmp_path: Path, variables: dict[str, object], kind: type[PlatformError], line: str
) -> None:
    """Each with what to do."""
    with pytest.raises(kind) as refused:
        targets(tmp_path, **variables).choose()

    assert (type(refused.value), refused.value.one_line()) == (kind, line)


def test_several_targets_without_one_in_use_are_named(tmp_path: Path) -> None:
    """Nothing is guessed between production and staging."""
    kept = targets(tmp_path)
    for target in (PROD, STAGING, Target("third", "http://127.0.0.1:8000", "prod", TargetKind.LOCAL)):
        kept.add(target, TOKEN)
    kept.remove("prod")

    with pytest.raises(ConfigurationError) as refused:
        kept.choose()
    assert refused.value.one_line() == (
        "There are 2 targets (staging, third), none is in use. "
        "Run `wmctl target use NAME`, or name one with --target."
    )
    kept.remove("staging")
    assert kept.choose().target.name == "third"


def test_a_near_name_is_offered(tmp_path: Path) -> None:
    """Typing is not the work."""
    targets(tmp_path).add(STAGING, TOKEN)

    with pytest.raises(NotFound) as refused:
        targets(tmp_path).use("stagin")
    assert refused.value.one_line() == (
        "There is no target 'stagin'; known are: staging. Did you mean staging?"
    )


@pytest.mark.parametrize(
    "content", ["", "[]", '{"targets": []}', '{"targets": {"a": {}}, "used": null}', "{"]
)
def test_a_file_that_is_not_as_written_is_named(tmp_path: Path, content: str) -> None:
    """And never half understood."""
    file = tmp_path / "wmctl" / "targets.json"
    file.parent.mkdir()
    file.write_text(content, encoding="utf-8")

    with pytest.raises(ConfigurationError) as refused:
        targets(tmp_path).read()
    assert refused.value.one_line() == (
        f"{file} is not in the form that wmctl writes. Move it away and add the targets again."
    )


def test_plain_http_to_another_machine_needs_a_word(tmp_path: Path) -> None:
    """Inside a private network somebody may say so; on this machine nobody has to."""
    with pytest.raises(InvalidInput, match="plain HTTP"):
        new_target("inside", "http://windmill:8000", "prod", None, insecure=False)

    allowed = new_target("inside", "http://windmill:8000", "prod", None, insecure=True)
    targets(tmp_path).add(allowed, TOKEN)
    assert targets(tmp_path).choose().target == allowed
    assert new_target("here", "http://localhost:8000", "prod", None, insecure=False).kind is TargetKind.LOCAL


@pytest.mark.parametrize("name", ["", "Prod", "9", "a b", "a" * 41, "é"])
def test_a_name_is_something_to_type(name: str) -> None:
    """It is a part of file names, too."""
    with pytest.raises(InvalidInput, match="is not a name for a target"):
        new_target(name, "https://windmill.example.org", "prod", None, insecure=False)


def test_production_looks_like_no_other_kind() -> None:
    """In capitals, and in a colour of its own."""
    assert PROD.badge == Badge("PRODUCTION prod at windmill.example.org", TargetKind.PRODUCTION)
    assert STAGING.badge == Badge("staging staging at windmill.example.org", TargetKind.STAGING)


def test_variables_are_read_once_and_judged() -> None:
    """An empty one is an absent one, and a misspelt one is found."""
    found = load_target_variables(
        {
            "HOME": "/home/ana",
            "XDG_CONFIG_HOME": "relative",
            "WMCTL_URL": "https://windmill.acme.test",
            "WMCTL_TARGET": "",
            "WMCTL_WORKSPACE": "prod",
            "WMCTL_TOKEN": TOKEN.reveal(),
            "WMCTL_TEST_WINDMILL_URL": "x",
        }
    )

    assert found == TargetVariables(
        Path("/home/ana/.config"), None, "https://windmill.acme.test", "prod", TOKEN
    )
    assert load_target_variables({"XDG_CONFIG_HOME": "/etc/xdg"}).config_home == Path("/etc/xdg")
    with pytest.raises(ConfigurationError, match="WMCTL_WORKSPAC is set"):
        load_target_variables({"WMCTL_WORKSPAC": "prod"})
    with pytest.raises(SecretRejected, match=r"^WMCTL_TOKEN is still a placeholder"):
        load_target_variables({"WMCTL_TOKEN": "<token of the workspace>"})


def test_what_is_kept_is_for_people_to_read(tmp_path: Path) -> None:
    """A stable form, without anything secret."""
    targets(tmp_path).add(PROD, TOKEN)

    assert json.loads((tmp_path / "wmctl" / "targets.json").read_text(encoding="utf-8")) == {
        "used": "prod",
        "targets": {
            "prod": {
                "url": "https://windmill.example.org",
                "workspace": "prod",
                "kind": "production",
                "insecure": False,
            }
        },
    }
