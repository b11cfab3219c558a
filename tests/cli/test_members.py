"""`wmctl member` on the policy file itself: one line changes, everything else is as people wrote it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from platform_cli.policy_file import with_member, without_member
from platform_core.errors import InvalidPolicy, NotFound
from platform_core.tenancy.members import Role
from tests.support.offices import SLUG, Office
from tests.support.policies import FILE
from tests.support.wmctl import rows_of

TEXT = FILE.read_text(encoding="utf-8")

ODD = '''# before
[ members ]  # who acts
# the founder
"ana"   =  "owner"  # since 2019
'bru.no' = 'ops'

\t  carla="viewer"

[payments] # [members]
carla = "no member"
text = """
[members]
ana = "viewer"
"""
'''


def _members(text: str) -> dict[str, str]:
    found = tomllib.loads(text)["members"]
    return {str(name): str(role) for name, role in found.items()}


def _changed_lines(before: str, after: str) -> tuple[list[str], list[str]]:
    old, new = before.splitlines(), after.splitlines()
    return [line for line in old if line not in new], [line for line in new if line not in old]


@pytest.mark.parametrize(
    ("text", "handle", "role", "gone", "came"),
    [
        (TEXT, "elena", Role.OPS, [], ['elena = "ops"']),
        (TEXT, "e.lena", Role.OPS, [], ['"e.lena" = "ops"']),
        (TEXT, "bruno", Role.OWNER, ['bruno = "ops"'], ['bruno = "owner"']),
        (TEXT, "diego", Role.VIEWER, [], []),
        (ODD, "ana", Role.OPS, ['"ana"   =  "owner"  # since 2019'], ['"ana"   = "ops"  # since 2019']),
        (ODD, "bru.no", Role.OWNER, ["'bru.no' = 'ops'"], ["'bru.no' = \"owner\""]),
        (ODD, "carla", Role.OPS, ['\t  carla="viewer"'], ['\t  carla= "ops"']),
        (ODD, "eva", Role.VIEWER, [], ['eva = "viewer"']),
        (ODD.replace("\n", "\r\n"), "eva", Role.VIEWER, [], ['eva = "viewer"']),
    ],
)
def test_adding_or_changing_a_person_touches_their_line_alone(
    text: str, handle: str, role: Role, gone: list[str], came: list[str]
) -> None:
    """Comments, order and blanks stay; the members are what they were, with this one as asked."""
    after = with_member(text, handle, role)

    assert _changed_lines(text, after) == (gone, came)
    assert _members(after) == {**_members(text), handle: role.value}
    assert after.count("\r\n") in (0, after.count("\n"))


@pytest.mark.parametrize(
    ("text", "handle", "gone"),
    [
        (TEXT, "diego", ['diego = "viewer"']),
        (ODD, "bru.no", ["'bru.no' = 'ops'"]),
        (ODD, "carla", ['\t  carla="viewer"']),
    ],
)
def test_removing_a_person_takes_their_line_alone(text: str, handle: str, gone: list[str]) -> None:
    """As above."""
    after = without_member(text, handle)

    assert _changed_lines(text, after) == (gone, [])
    assert _members(after) == {name: role for name, role in _members(text).items() if name != handle}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "members = { ana = 'owner' }\n",
        "[members.ana]\nrole = 'owner'\n",
        '[members]\nana = """owner"""\n',
        'members.ana = "owner"\n',
        "[members]\nana = 1\n",
        "[members]\nana = [\n",
        "not toml",
        "[members]\nana = ['owner',\n  'b']\n",
    ],
)
def test_a_file_written_in_another_way_is_left_to_a_person(text: str) -> None:
    """Rather than guessed at."""
    with pytest.raises(InvalidPolicy, match="cannot change it"):
        with_member(text, "ana", Role.OPS)


def test_a_person_who_is_not_there_is_not_removed() -> None:
    """Said by name, when it is a name."""
    for text in (TEXT, ODD):
        with pytest.raises(NotFound, match="'nobody' is not a member"):
            without_member(text, "nobody")


def _in_force(office: Office) -> dict[str, str]:
    rows = rows_of(
        office.admin_dsn, "SELECT handle, role FROM tenancy.member WHERE removed_at IS NULL ORDER BY 1"
    )
    return {str(row["handle"]): str(row["role"]) for row in rows}


def test_a_person_is_added_and_removed_in_file_and_database_together(office: Office) -> None:
    """With a version each, and the links of who was removed dead at once."""
    file = office.policy_in_force()
    before = _in_force(office)
    office.panel_key()

    office.say("member", "add", SLUG, "elena", "--role", "ops", "--as", "ana", "--file", file)
    added = (_in_force(office), _members(Path(file).read_text("utf-8")))
    office.say("panel", "link", SLUG, "--person", "elena")
    office.say("member", "revoke", SLUG, "elena", "--as", "ana", "--file", file)
    removed = (_in_force(office), _members(Path(file).read_text("utf-8")))

    assert added == ({**before, "elena": "ops"}, {**before, "elena": "ops"})
    assert removed == (before, before)
    links = rows_of(office.admin_dsn, "SELECT state, revoked_by FROM panel.link WHERE member = 'elena'")
    assert links == [{"state": "revoked", "revoked_by": "removal of the member"}]


def test_what_is_refused_leaves_file_and_database_as_they_were(office: Office) -> None:
    """The last owner, somebody who may not, and a file that holds more than is in force."""
    file = office.policy_in_force()
    text, before = Path(file).read_text("utf-8"), _in_force(office)
    other = office.other_policy()

    said = [
        office.terminal.say("member", "revoke", SLUG, "ana", "--as", "ana", "--file", file),
        office.terminal.say("member", "add", SLUG, "ana", "--role", "ops", "--as", "ana", "--file", file),
        office.terminal.say(
            "member", "add", SLUG, "bruno", "--role", "owner", "--as", "bruno", "--file", file
        ),
        office.terminal.say("member", "add", SLUG, "elena", "--as", "ana", "--file", other),
    ]

    assert [one.code for one in said] == [2, 2, 4, 4]
    assert "the last owner cannot be removed" in said[0].err
    assert "wmctl policy apply" in said[3].err
    assert (Path(file).read_text("utf-8"), _in_force(office)) == (text, before)
    assert sorted(Path(file).parent.glob(".policy_*")) == []
