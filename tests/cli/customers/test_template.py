"""The template: Einstein Kids is it with values, others with theirs, and nothing of one is in another."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from platform_cli.customers.countries import COUNTRIES
from platform_cli.customers.history import find_template
from platform_cli.customers.profile import read_written
from platform_cli.customers.template import Template, read_template, render
from platform_cli.local.windmill.items import load_customers
from platform_core.errors import InvalidInput, NotFound
from platform_core.tenancy.policy import load_policy
from platform_core.values import CURRENCY_EXPONENTS
from tests.support.customers import a_profile, files_of, git

ROOT = Path(__file__).resolve().parents[3]
MODEL = "einstein_kids"

OWN = {
    "members.bruno",
    "members.carla",
    "members.diego",
    "payments.second_approver_above_minor",
    "bookings.pupil_question",
    "bookings.courses.Clase de prueba",
    "bookings.courses.Clase de prueba Robótica",
    "bookings.courses.Clase de prueba Arte",
}
"""What Einstein Kids decided otherwise than the template proposes."""

VERSIONS = {
    1: "77acd504b425293736db54d7e9c5750f2a09586ac281cccecaeafc4a362130b9",
    2: "7d35a850c2de82b00591d4fa6f7ae1665a36f94c12645847516fe4b78175af4e",
}
"""What each version of the template is, by the digest of its files. Older ones are in git's history."""

ITS_VALUES = re.compile(r"einstein|santiago|\bCLP\b|\"CL\"|robótica|\+569?\b", re.IGNORECASE)
MAY_SAY = {
    "platform-core/src/platform_core/values.py": "the table of currencies",
    "platform-core/src/platform_core/dashboards/figures.py": "the table of signs",
    "platform-cli/src/platform_cli/customers/countries.py": "the table of countries",
    "platform-cli/src/platform_cli/commands/demo.py": "the demo plays its day",
    "platform-cli/src/platform_cli/local/day.py": "the demo plays its day",
    "platform-cli/src/platform_cli/local/classes.py": "the demo plays its day",
}


_UNQUOTED = "whose value would need quotes there"
_NO_BLOCK = "a block in a block, or a word that nobody has"


def leaves(value: object, place: str = "") -> Iterator[tuple[str, object]]:
    """Every value of a document, by its place."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from leaves(inner, f"{place}.{name}".lstrip("."))
    else:
        yield place, value


def test_einstein_kids_is_the_template_with_its_values_and_its_own_decisions() -> None:
    """Every file is the same byte for byte but the policy; what that decides otherwise is listed."""
    folder = ROOT / "customers" / MODEL
    written = read_written(folder)
    rendered, found = render(read_template(ROOT), written.profile), files_of(folder)
    policies = [dict(leaves(tomllib.loads(one["config/policy.toml"].decode()))) for one in (rendered, found)]

    assert {path for path in {*rendered, *found} if rendered.get(path) != found.get(path)} == {
        "config/policy.toml"
    }
    assert {
        place for place in {*policies[0], *policies[1]} if policies[0].get(place) != policies[1].get(place)
    } == OWN
    assert written.template_version == read_template(ROOT).version


def test_the_policy_of_einstein_kids_differs_from_the_templates_in_few_lines() -> None:
    """Comments and order are those of the template too, so that a newer one merges."""
    folder = ROOT / "customers" / MODEL
    rendered = render(read_template(ROOT), read_written(folder).profile)["config/policy.toml"]
    lines = [one.decode().splitlines() for one in (rendered, (folder / "config/policy.toml").read_bytes())]

    assert [line for line in lines[0] if line not in lines[1]] == [
        '"ana" = "owner"',
        "second_approver_above_minor = 1000000000000000",
        'pupil_question = "Nombre"',
        '"Clase de prueba" = "Clase"',
    ]


@pytest.mark.parametrize(
    ("country", "connectors", "language"),
    [("PY", "", "es"), ("US", "calendly", "en"), ("ES", "reader", "es"), ("MX", "calendly,reader", "en")],
)
def test_whatever_is_chosen_the_folder_runs_and_its_policy_holds(
    tmp_path: Path, country: str, connectors: str, language: str
) -> None:
    """The local runtime reads every item of it, and no decision contradicts another."""
    profile = a_profile(country=country, connectors=connectors, language=language)
    for path, content in render(read_template(ROOT), profile).items():
        (tmp_path / profile.name / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / profile.name / path).write_bytes(content)
    (items,) = load_customers(tmp_path)
    policy = load_policy(tmp_path / profile.name / "config" / "policy.toml")
    sources = {route.route_path.split("/")[1] for route in items.routes}

    assert items.broken == ()
    assert sources == {"panel", *profile.connectors}
    assert (policy.attendance is not None, policy.bookings is not None) == (
        "reader" in profile.connectors,
        "calendly" in profile.connectors,
    )
    assert {one.language for one in policy.templates.values()} == {language}
    assert policy.customer.model_dump() == {
        "slug": "vet_lapacho",
        "display_name": "Veterinaria Lapacho",
        "timezone": profile.zone,
        "currency": profile.currency,
        "country": country,
    }
    assert read_written(tmp_path / profile.name).profile == profile


def test_no_value_of_einstein_kids_is_in_what_others_are_rendered_from() -> None:
    """Not in the template, and not in a customer of another country."""
    template = read_template(ROOT)
    rendered = render(template, a_profile(connectors="calendly,reader"))

    assert [path for path, text in template.files.items() if ITS_VALUES.search(text.decode())] == []
    assert [path for path, text in rendered.items() if ITS_VALUES.search(text.decode())] == []


def test_no_value_of_einstein_kids_is_in_the_platform() -> None:
    """Only tables of every country or currency, and the demo, say its country, currency, zone or name."""
    sources = [
        path
        for folder in ("platform-core/src", "platform-cli/src", "connectors/src")
        for suffix in ("*.py", "*.sql", "*.toml", "*.txt")
        for path in (ROOT / folder).rglob(suffix)
    ]
    saying = {
        path.relative_to(ROOT).as_posix()
        for path in sources
        if re.search(ITS_VALUES, path.read_text(encoding="utf-8"))
    }

    assert saying - set(MAY_SAY) == set()
    assert set(MAY_SAY) - saying == set()


def test_a_changed_template_has_another_version() -> None:
    """Whoever has the older one is compared with what it was: one version must not be two things."""
    template = read_template(ROOT)
    parts = [name.encode() + b"\0" + template.files[name] + b"\0" for name in sorted(template.files)]
    digest = hashlib.sha256(b"".join(parts)).hexdigest()

    assert VERSIONS.get(template.version) == digest, (
        f"raise version in customers/_template/template.toml, then write {template.version + 1}: {digest!r}"
    )


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("a.py", 'CUSTOMER = "<<custmer>>"\n', "the unknown placeholder <<custmer>> (a.py:1)"),
        ("a.yaml", "x: 1\ny: <<display_name>>\n", f"<<display_name>>, {_UNQUOTED} (a.yaml:2)"),
        ("a.toml", "# <<with calendly>>\nx = 1\n", "a block that never ends (a.toml:1)"),
        ("a.toml", "x = 1\n# <<end>>\n", "an end without its beginning (a.toml:2)"),
        ("a.toml", "# <<with a>>\n# <<end>>\n", f"{_NO_BLOCK} (a.toml:1)"),
        ("a.toml", "# <<with es>>\n# <<with en>>\n", f"{_NO_BLOCK} (a.toml:2)"),
        ("a.toml", "x = 1\n# <<end >>\n", "a placeholder or block that is written wrongly (a.toml:2)"),
    ],
)
def test_a_mistake_in_the_template_is_named_with_its_line(path: str, text: str, said: str) -> None:
    """Nothing is rendered of it."""
    with pytest.raises(InvalidInput) as refused:
        render(Template(1, {path: text.encode()}, {}), a_profile())

    assert refused.value.one_line() == f"The template has {said}. Correct the template."


def test_windmills_own_marks_pass_untouched() -> None:
    """`$var:`, `$res:`, JavaScript and the numbers of a WhatsApp template are none of ours."""
    text = "a: $var:f/x/y\nb: $res:f/x/y\nc: '${flow_input.x << 2}'\nd: '{{1}} < > >>'\n"

    assert render(Template(1, {"a.yaml": text.encode()}, {}), a_profile())["a.yaml"].decode() == text


def test_a_name_with_quotes_is_written_as_toml_writes_it() -> None:
    """What people are called is theirs to choose."""
    name = 'Colegio "El Ñandú" \\ Cía.'
    rendered = render(read_template(ROOT), a_profile(display_name=name))

    assert tomllib.loads(rendered["config/policy.toml"].decode())["customer"]["display_name"] == name
    assert tomllib.loads(rendered["customer.toml"].decode())["display_name"] == name


@pytest.mark.parametrize("code", COUNTRIES)
def test_every_country_has_what_goes_without_saying(code: str) -> None:
    """A currency the platform counts in and a zone that is one."""
    profile = a_profile(country=code.lower())

    assert (profile.country, profile.currency in CURRENCY_EXPONENTS) == (code, True)


@pytest.mark.parametrize(
    ("said", "refusal"),
    [
        ({"country": "XX"}, "'XX' is no country that is known here"),
        ({"country": ""}, "'' is no country that is known here"),
        ({"currency": "btc"}, "'BTC' is not a known currency"),
        ({"zone": "Paraguay"}, "'Paraguay' is not a time zone"),
        ({"zone": "../../etc/passwd"}, "'../../etc/passwd' is not a time zone"),
        ({"language": "gn"}, "The template does not speak 'gn'"),
        ({"connectors": "ycloud,telegram"}, "'telegram' is no connector that the template knows"),
        ({"owner": "Rocío"}, "'Rocío' is no handle of a member"),
        ({"sender_phone": "0981"}, "The number that the customer writes from is no phone number"),
        ({"display_name": " "}, "The display name of vet_lapacho is not 1 to 200 characters"),
        ({"display_name": "a\nb"}, "The display name of vet_lapacho is not 1 to 200 characters"),
    ],
)
def test_what_cannot_be_is_refused_by_its_field(said: dict[str, object], refusal: str) -> None:
    """And says what to write."""
    with pytest.raises(InvalidInput) as refused:
        a_profile(**said)

    assert refused.value.message == refusal
    assert refused.value.next_step


# --- The template of another day ----------------------------------------------------------------------------


def commit_template(root: Path, version: int, text: str) -> None:
    """One commit of a template of two files."""
    folder = root / "customers" / "_template"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "template.toml").write_text(f"version = {version}\n", encoding="utf-8")
    (folder / "a.yaml").write_text(text, encoding="utf-8")
    git(root, "add", ".")
    git(root, "commit", "-m", "a template")


def test_an_older_template_is_found_by_its_version(tmp_path: Path) -> None:
    """At its last commit, whatever the commits are called and whatever came after."""
    git(tmp_path, "init", "-b", "main")
    for version, text in ((1, "one: 1\n"), (1, "one: 2\n"), (2, "two: 1\n"), (3, "three: 1\n")):
        commit_template(tmp_path, version, text)

    assert [find_template(tmp_path, version).files["a.yaml"] for version in (1, 2, 3)] == [
        b"one: 2\n",
        b"two: 1\n",
        b"three: 1\n",
    ]


def test_a_version_that_the_history_lacks_is_named(tmp_path: Path) -> None:
    """A checkout of the last commit alone says how to get the rest."""
    git(tmp_path, "init", "-b", "main")
    commit_template(tmp_path, 2, "two: 1\n")

    with pytest.raises(NotFound) as refused:
        find_template(tmp_path, 1)

    assert refused.value.one_line() == (
        "Git's history has no template of version 1. "
        "Fetch the whole history (`git fetch --unshallow`), or correct template_version."
    )
