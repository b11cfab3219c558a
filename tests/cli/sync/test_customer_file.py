"""customer.toml: who a folder belongs to, and what is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_cli.sync.checkout.problems import problems_of
from platform_cli.sync.customer_file import CustomerFile, Ignore, Selector, read_customer_file
from platform_cli.sync.items import Kind
from platform_core.errors import FolderRefused


def _file(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "acme" / "customer.toml"
    file.parent.mkdir()
    file.write_text(text)
    return file


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    """What the template was filled with is handed on as it is."""
    text = """\
name = "acme"
display_name = "Acme"
template_version = 3

[template]
country = "PE"
connectors = ["ycloud"]

[sync]
protect = ["flow f/acme/billing", "schedule f/acme/*"]
ignore = ["schedule f/acme/nightly: args.limit"]
"""

    assert read_customer_file(_file(tmp_path, text)) == CustomerFile(
        name="acme",
        display_name="Acme",
        template_version=3,
        protect=(Selector(Kind.FLOW, "f/acme/billing"), Selector(Kind.SCHEDULE, "f/acme/*")),
        ignore=(Ignore(Selector(Kind.SCHEDULE, "f/acme/nightly"), "args.limit"),),
        template={"country": "PE", "connectors": ["ycloud"]},
    )


def test_the_name_is_all_that_has_to_be_there(tmp_path: Path) -> None:
    """Nothing is protected by itself."""
    assert read_customer_file(_file(tmp_path, 'name = "acme"\n')) == CustomerFile("acme")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('name = "acme"\nx = \n', (2, "not TOML: Invalid value", "Correct the file.")),
        (
            'name = "acme"\ndisplayname = "x"\n',
            (2, "displayname is not known here", "Did you mean display_name?"),
        ),
        (
            'name = "acme"\ntemplate_version = "1"\n',
            (2, "template_version is not a whole number", "Correct the value."),
        ),
        (
            'name = "acme"\ntemplate_version = true\n',
            (2, "template_version is not a whole number", "Correct the value."),
        ),
        ('name = "acme"\nsync = 1\n', (2, "sync is not a table", "Correct the value.")),
        (
            'name = "acme"\n[sync]\nprotect = ["flw f/acme/x"]\n',
            (3, "protect: 'flw' is not a kind of item", "Did you mean flow?"),
        ),
        (
            'name = "acme"\n[sync]\nprotect = ["flow"]\n',
            (3, "protect: 'flow' names no path", "Write kind and path, such as `flow f/acme/billing`."),
        ),
        (
            'name = "acme"\n[sync]\nignore = ["flow f/acme/x"]\n',
            (3, "ignore: 'flow f/acme/x' names no field", "Write `schedule f/acme/nightly: args.limit`."),
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_line(
    text: str, expected: tuple[int, str, str], tmp_path: Path
) -> None:
    """And with the near word where there is one."""
    with pytest.raises(FolderRefused) as refused:
        read_customer_file(_file(tmp_path, text))

    assert [(problem.line, problem.reason, problem.next_step) for problem in problems_of(refused.value)] == [
        expected
    ]


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """By name."""
    file = _file(tmp_path, "")
    file.write_bytes(b"\xff\xfe")

    with pytest.raises(FolderRefused, match=r"customer.toml: not UTF-8"):
        read_customer_file(file)
