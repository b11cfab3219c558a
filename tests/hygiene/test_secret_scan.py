"""The secret scan is proven by what it stops: a scan that lets a planted secret pass fails here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.hygiene.canaries import CANARIES, PASSWORD, TOKEN_32, random_text

CONVENTIONS = {
    "Convention: a made-up secret contains platform_core_test or not-a-real",
    "Convention: a placeholder stands where the secret would be",
    "Convention: the name of a variable, without a digit, is no token",
}
SHORTEST_REASON = 20


class Sandbox:
    """A throw-away git repository and the scan of this one."""

    def __init__(self, folder: Path, scan: Path) -> None:
        self.folder = folder
        self.scan_script = scan
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit("README.md", "A repository that is thrown away.\n")

    def git(self, *arguments: str) -> None:
        """Run git as nobody in particular, deaf to the machine's own configuration."""
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.invalid"]
        subprocess.run(["git", *identity, *arguments], cwd=self.folder, env=_environment(), check=True)

    def write(self, name: str, text: str) -> None:
        """Put a file into the work tree."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def commit(self, name: str, text: str) -> None:
        """Put a file into the work tree and into history."""
        self.write(name, text)
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--message", f"Add {name}")

    def commit_then_delete(self, name: str, text: str) -> None:
        """Put a file into history only."""
        self.commit(name, text)
        self.git("rm", "--quiet", name)
        self.git("commit", "--quiet", "--message", f"Delete {name}")

    def scan(self) -> subprocess.CompletedProcess[str]:
        """What `make secrets` runs, on this folder."""
        return subprocess.run(
            ["bash", self.scan_script, self.folder],
            cwd=self.folder,
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
        )


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT")}
    return {**kept, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}


@pytest.fixture
def sandbox(tmp_path: Path, repository: Path) -> Sandbox:
    """A clean repository with one commit."""
    return Sandbox(tmp_path / "a repository", repository / ".ci" / "scan-secrets")


def _stopped(answer: subprocess.CompletedProcess[str], *, rule: str, where: str) -> bool:
    said = answer.stdout + answer.stderr
    return (
        answer.returncode == 1
        and re.search(rf"^RuleID: +{re.escape(rule)}$", said, re.MULTILINE) is not None
        and f"secret scan: {where}: secrets found" in said
    )


@pytest.mark.parametrize("kind", CANARIES)
def test_a_secret_in_a_file_is_stopped(sandbox: Sandbox, kind: str) -> None:
    """Not yet committed, not even added: it is stopped before it enters history."""
    rule, content = CANARIES[kind]
    sandbox.write("settings/production.txt", content() + "\n")

    answer = sandbox.scan()

    assert _stopped(answer, rule=rule, where="work tree"), answer.stdout + answer.stderr
    assert "secret scan: history: clean" in answer.stdout


@pytest.mark.parametrize("kind", CANARIES)
def test_a_secret_whose_file_a_later_commit_deleted_is_stopped(sandbox: Sandbox, kind: str) -> None:
    """Deleting a file does not take its secret out of a clone."""
    rule, content = CANARIES[kind]
    sandbox.commit_then_delete("settings/production.txt", content() + "\n")

    answer = sandbox.scan()

    assert _stopped(answer, rule=rule, where="history"), answer.stdout + answer.stderr
    assert "secret scan: work tree: clean" in answer.stdout


def test_every_rule_of_ours_has_a_canary(repository: Path) -> None:
    """A rule nobody planted a secret for may have stopped biting."""
    rules = {rule["id"] for rule in _configuration(repository)["rules"]}

    assert rules - {rule for rule, _ in CANARIES.values()} == set()


def test_the_secret_itself_is_never_printed(sandbox: Sandbox) -> None:
    """A scan's log is read by more people than the repository is."""
    sandbox.commit("a.txt", f"PGPASSWORD={PASSWORD}\nWM_TOKEN={TOKEN_32}\n")

    answer = sandbox.scan()

    assert answer.returncode == 1
    assert PASSWORD not in answer.stdout + answer.stderr
    assert TOKEN_32 not in answer.stdout + answer.stderr


def test_a_secret_in_a_commit_message_is_stopped(sandbox: Sandbox) -> None:
    """Messages are history too."""
    sandbox.git("commit", "--quiet", "--allow-empty", "--message", f"Rotate\n\nWM_TOKEN={TOKEN_32}")

    answer = sandbox.scan()

    assert _stopped(answer, rule="windmill-token", where="commit messages"), answer.stdout + answer.stderr


def test_a_secret_that_only_a_merge_brought_in_is_stopped(sandbox: Sandbox) -> None:
    """Git shows no difference for a merge unless it is asked to."""
    sandbox.git("switch", "--quiet", "--create", "side")
    sandbox.commit("side.txt", "side\n")
    sandbox.git("switch", "--quiet", "main")
    sandbox.commit("main.txt", "main\n")
    sandbox.git("merge", "--quiet", "--no-commit", "--no-ff", "side")
    sandbox.commit_then_delete("merged.txt", f"WM_TOKEN={TOKEN_32}\n")

    answer = sandbox.scan()

    assert _stopped(answer, rule="windmill-token", where="history"), answer.stdout + answer.stderr


def test_a_secret_on_another_branch_is_stopped(sandbox: Sandbox) -> None:
    """Every ref of the clone is read, not only the branch that is checked out."""
    sandbox.git("switch", "--quiet", "--create", "side")
    sandbox.commit("side.txt", f"WM_TOKEN={TOKEN_32}\n")
    sandbox.git("switch", "--quiet", "main")

    answer = sandbox.scan()

    assert _stopped(answer, rule="windmill-token", where="history"), answer.stdout + answer.stderr


def test_a_file_called_binary_is_read_all_the_same(sandbox: Sandbox) -> None:
    """One line of .gitattributes must not blind the scan."""
    sandbox.commit(".gitattributes", "*.conf -diff\n")
    sandbox.commit_then_delete("a.conf", f"WM_TOKEN={TOKEN_32}\n")

    answer = sandbox.scan()

    assert _stopped(answer, rule="windmill-token", where="history"), answer.stdout + answer.stderr


def test_an_ignored_file_that_was_added_by_force_is_stopped(sandbox: Sandbox) -> None:
    """What git tracks is scanned, whatever .gitignore says."""
    sandbox.commit(".gitignore", ".env*\n")
    sandbox.write(".env", f"WM_TOKEN={TOKEN_32}\n")
    sandbox.git("add", "--force", ".env")

    answer = sandbox.scan()

    assert _stopped(answer, rule="windmill-token", where="work tree"), answer.stdout + answer.stderr


def test_a_comment_cannot_let_a_secret_pass(sandbox: Sandbox) -> None:
    """Exceptions stand in the configuration, with a reason, or nowhere."""
    sandbox.write("a.py", f'WM_TOKEN = "{TOKEN_32}"  # gitleaks:allow\n')

    assert _stopped(sandbox.scan(), rule="windmill-token", where="work tree")


def test_an_ignore_file_is_refused(sandbox: Sandbox) -> None:
    """A list of fingerprints gives no reasons."""
    sandbox.write(".gitleaksignore", "a.txt:windmill-token:1\n")

    answer = sandbox.scan()

    assert answer.returncode == 1
    assert ".gitleaksignore" in answer.stderr


def test_a_made_up_word_beside_a_real_secret_does_not_excuse_it(sandbox: Sandbox) -> None:
    """The convention judges the secret, not its line."""
    sandbox.write("a.txt", f"WM_TOKEN={TOKEN_32} # platform_core_test, not-a-real example\n")

    assert _stopped(sandbox.scan(), rule="windmill-token", where="work tree")


def test_a_clean_repository_passes(sandbox: Sandbox) -> None:
    """What people write every day is not stopped: made-up secrets by the convention, placeholders, names."""
    sandbox.commit(
        "everyday.txt",
        """
        postgresql://app:platform_core_test@127.0.0.1/d
        postgresql://app:<password>@host/d and postgresql://app:${PGPASSWORD}@host/d
        f"host={host} user={user} password={password} dbname={name}"
        psycopg.connect(host="db", password="platform_core_test")
        ALTER ROLE app PASSWORD 'not-a-real password';
        PGPASSWORD="$PGPASSWORD"
        told = {"PGPASSWORD": self.cluster.password}
        WM_TOKEN=<paste the token here>
        YCLOUD_API_KEY=<your key>
        ycloud_api_key="YCLOUD_API_KEY"
        verify(body, secrets=["whsec_platform_core_test"], webhook_secret=customer_webhook_secret)
        Authorization: Bearer <token>
        headers = {"Authorization": f"Bearer {token}"}
        Authorization: Bearer platform_core_test_token
        """,
    )

    answer = sandbox.scan()

    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "secret scan: work tree: clean" in answer.stdout
    assert "secret scan: history: clean" in answer.stdout


def test_the_scan_leaves_no_trace_in_the_repository(sandbox: Sandbox) -> None:
    """Scanning a work tree must not store its secrets in the object database."""
    sandbox.write("a.txt", f"WM_TOKEN={TOKEN_32}\n")
    before = sorted(path for path in (sandbox.folder / ".git").rglob("*") if path.is_file())

    sandbox.scan()

    assert sorted(path for path in (sandbox.folder / ".git").rglob("*") if path.is_file()) == before


def test_a_folder_that_is_no_repository_is_an_error(tmp_path: Path, repository: Path) -> None:
    """There would be no history to scan, and silence would read as clean."""
    answer = subprocess.run(
        ["bash", repository / ".ci" / "scan-secrets", tmp_path],
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (answer.returncode, "is not a git repository" in answer.stderr) == (2, True)


def test_a_shallow_clone_is_an_error(sandbox: Sandbox, tmp_path: Path) -> None:
    """A scan of one commit must not pass for a scan of history."""
    sandbox.commit_then_delete("a.txt", f"WM_TOKEN={TOKEN_32}\n")
    shallow = tmp_path / "shallow"
    sandbox.git("clone", "--quiet", "--depth=1", sandbox.folder.as_uri(), str(shallow))
    sandbox.folder = shallow

    answer = sandbox.scan()

    assert (answer.returncode, "git fetch --unshallow" in answer.stderr) == (2, True)


def test_the_gate_closes_when_the_scanner_is_missing(
    sandbox: Sandbox, repository: Path, tmp_path: Path
) -> None:
    """No scanner is an error with a way out, never a pass."""
    bare = tmp_path / "checkout" / ".ci"
    bare.mkdir(parents=True)
    for name in ("scan-secrets", "gitleaks.toml"):
        shutil.copy(repository / ".ci" / name, bare / name)
    sandbox.scan_script = bare / "scan-secrets"

    answer = sandbox.scan()

    assert (answer.returncode, "Run: make gitleaks" in answer.stderr) == (2, True)


def test_the_scanner_cannot_be_built_without_go_and_says_so(repository: Path, tmp_path: Path) -> None:
    """The message names both ways to get it."""
    checkout, programs = tmp_path / "checkout" / ".ci", tmp_path / "bin"
    checkout.mkdir(parents=True)
    programs.mkdir()
    shutil.copy(repository / ".ci" / "install-go-tool", checkout)
    for name in ("sh", "dirname", "cat"):
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(found)

    answer = subprocess.run(
        [programs / "sh", checkout / "install-go-tool", "gitleaks"],
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert answer.returncode == 1
    assert "apt-get install golang-go" in answer.stderr
    assert ".tools/bin/gitleaks" in answer.stderr


def _configuration(repository: Path) -> dict[str, Any]:
    return tomllib.loads((repository / ".ci" / "gitleaks.toml").read_text(encoding="utf-8"))


def _complaints(configuration: dict[str, Any]) -> list[str]:
    """What is wrong with a configuration: an allow-list that is too loose, or a default switched off."""
    extend = configuration.get("extend", {})
    found = [f"default rule {rule} is switched off" for rule in extend.get("disabledRules", [])]
    if extend.get("useDefault") is not True:
        found.append("the default rules are switched off")
    for holder in [configuration, *configuration.get("rules", [])]:
        if "allowlist" in holder:
            found.append("write [[allowlists]]: this test does not read [allowlist]")
        for entry in holder.get("allowlists", []):
            judge = (
                _complaints_of_a_convention
                if entry.get("description") in CONVENTIONS
                else _complaints_of_an_exception
            )
            found += [f"{entry.get('description', entry)}: {complaint}" for complaint in judge(entry)]
    return found


def _complaints_of_a_convention(entry: dict[str, Any]) -> list[str]:
    found = []
    if entry.keys() - {"description", "regexTarget", "regexes", "targetRules"}:
        found.append("a convention is a pattern, and nothing else")
    if entry.get("regexTarget") != "secret":
        found.append("a convention judges the secret, not its line")
    return found


def _complaints_of_an_exception(entry: dict[str, Any]) -> list[str]:
    found = []
    paths = entry.get("paths", [])
    if len(paths) != 1 or not re.fullmatch(r"\^[\w/.\\-]+\$", paths[0]):
        found.append("an exception names exactly one path, from ^ to $")
    if len(entry.get("description", "")) < SHORTEST_REASON:
        found.append("an exception gives its reason")
    if entry.keys() & {"stopwords", "commits"}:
        found.append("an exception is a path, not a word or a commit")
    return found


def test_every_allowlist_is_a_convention_or_names_one_path_and_one_reason(repository: Path) -> None:
    """An exception that nobody can argue for is a hole."""
    assert _complaints(_configuration(repository)) == []


@pytest.mark.parametrize(
    "entry",
    [
        'description = "Too wide, because it has two paths in it"\npaths = ["^a$", "^b$"]',
        'description = "Too wide, because it has a whole folder"\npaths = ["^a/.*$"]',
        'description = "short"\npaths = ["^a$"]',
        'description = "Words are no reason to let a secret pass"\nstopwords = ["example"]',
        'description = "Patterns for the whole tree are no exception"\nregexes = ["example"]',
        'paths = ["^a$"]',
    ],
)
def test_a_loose_allowlist_is_complained_about(entry: str) -> None:
    """The rule above can fail."""
    default = "[extend]\nuseDefault = true\n"

    assert _complaints(tomllib.loads(f"{default}[[allowlists]]\n{entry}")) != []
    assert _complaints(tomllib.loads(f'{default}[[rules]]\nid = "x"\n[[rules.allowlists]]\n{entry}')) != []


def test_the_canaries_differ_from_each_other() -> None:
    """A generator that repeats itself would plant one secret under many names."""
    assert len({content() for _, content in CANARIES.values()}) == len(CANARIES)
    assert random_text(32) == TOKEN_32
