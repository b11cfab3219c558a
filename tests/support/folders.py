"""Folders of customers for tests: an item each of most kinds, as people write them, and random ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hypothesis import strategies as st

from platform_cli.sync.items import Item, Json, Key, Kind
from platform_cli.sync.official.canonical import canonical

NAME = "acme"
FILES = {
    "customer.toml": 'name = "acme"\ndisplay_name = "Acme"\n',
    "README.md": "# Acme\n",
    "config/policy.toml": "",
    "scripts/hello.py": "def main(name: str) -> str:\n    return name\n",
    "scripts/hello.script.lock": "# py: 3.12\n",
    "scripts/hello.script.yaml": """\
# What greets
summary: Hello   # the summary
description: "said in a quote"
lock: '!inline f/acme/hello.script.lock'
kind: script
schema:
  type: object
  # what it takes
  properties:
    name: {type: string}
""",
    "flows/review__flow/flow.yaml": """\
summary: Review
description: |  # as staff reads it
  Ask staff,
  then tell the parent.
value:
  modules:
  # first somebody looks
  - id: look
    value:
      type: script
      path: f/acme/hello   # ours
      input_transforms:
        name: {type: javascript, expr: flow_input.name}
  # then they decide
  - id: ask
    summary: Ask staff
    value:
      type: rawscript
      language: python3
      content: !inline ask.py
      lock: '!inline ask.lock'
      input_transforms: {}
  - id: wait
    value: {type: identity}
""",
    "flows/review__flow/ask.py": "def main() -> int:\n    return 1\n",
    "flows/review__flow/ask.lock": "# py: 3.12\n",
    "config/nightly.schedule.yaml": """\
# every night
schedule: '0 0 3 * * *'
timezone: America/Lima
enabled: true # off in July
script_path: f/acme/review
is_flow: true
args:
  limit: 5
""",
    "config/hook.http_trigger.yaml": """\
script_path: f/acme/hello
route_path: acme/hook/:id
http_method: post
authentication_method: none
""",
    "config/account.resource.yaml": """\
resource_type: c_ycloud
value:
  api_key: $var:f/acme/api_key
  base_url: https://example.org
""",
    "config/plain.variable.yaml": "value: v\nis_secret: false\ndescription: d\n",
    "config/c_ycloud.resource-type.yaml": "description: YCloud\nschema: {type: object}\n",
    "config/folder.meta.yaml": "display_name: Acme\nowners: []\nextra_perms: {}\n",
}
"""A whole folder of the customer `acme`, by path; no file of it is in the official style."""


def write_folder(root: Path, **changed: str | bytes | None) -> Path:
    """Write `FILES` below `root` with some of them changed; None leaves one out. The customer's folder."""
    return write_files(root / NAME, {**FILES, **changed})


def write_files(folder: Path, files: dict[str, str | bytes | None]) -> Path:
    """Write files by their path; None leaves one out."""
    for name, content in files.items():
        if content is not None:
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def contents(folder: Path) -> dict[str, str]:
    """Every file of a folder by path, hidden ones too."""
    return {
        file.relative_to(folder).as_posix(): file.read_text(encoding="utf-8")
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


# --- Random items -----------------------------------------------------------------------------------------

_LINE = st.text(
    st.characters(codec="utf-8", exclude_characters="\r\0", exclude_categories=["Cs"]), max_size=30
)
TEXTS = st.one_of(
    st.sampled_from(
        ["", "yes", "no", "12:30", "1e3", "null", "~", "a: b", "# x", "it's", 'a "b"', " x", "- a"]
    ),
    _LINE,
    st.lists(_LINE, min_size=1, max_size=4).map("\n".join),
    st.lists(_LINE, min_size=1, max_size=3).map(lambda lines: "\n".join(lines) + "\n"),
)
NAMES = st.sampled_from(["limit", "name", "at", "on", "x-y", "with space", "7", "", "é", "a.b"])
JSON: st.SearchStrategy[Json] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**6), 10**6), st.sampled_from([0.5, -1.25]), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
)
_PROGRAMS = st.sampled_from(
    ["def main():\n    return 1\n", "def main(): ...", "# é\ndef main():\n\n  pass\n\n"]
)
_SUMMARIES = st.sampled_from([None, "Ask staff", "ask staff", "Tell!", "", "Éa"])


def _step(value: st.SearchStrategy[dict[str, Json]]) -> st.SearchStrategy[dict[str, Json]]:
    return st.fixed_dictionaries(
        {"value": value}, optional={"summary": _SUMMARIES.filter(lambda s: s is not None)}
    )


_SCRIPT = st.fixed_dictionaries(
    {
        "type": st.just("script"),
        "path": st.just("f/acme/hello"),
        "input_transforms": st.dictionaries(
            NAMES, st.fixed_dictionaries({"type": st.just("static"), "value": JSON}), max_size=2
        ),
    }
)
_RAW = st.fixed_dictionaries(
    {
        "type": st.just("rawscript"),
        "language": st.just("python3"),
        "content": _PROGRAMS,
        "lock": st.sampled_from(["# py: 3.12\n", "\n", "# py: 3.12\nsix==1.0"]),
        "input_transforms": st.just({}),
    }
)
_LEAF = _step(st.one_of(_SCRIPT, _RAW, st.just({"type": "identity"})))
_STEPS = st.recursive(
    _LEAF,
    lambda inner: _step(
        st.one_of(
            st.fixed_dictionaries(
                {
                    "type": st.just("forloopflow"),
                    "iterator": st.just({"type": "javascript", "expr": "[1]"}),
                    "modules": st.lists(inner, max_size=2),
                    "skip_failures": st.booleans(),
                }
            ),
            st.fixed_dictionaries(
                {
                    "type": st.just("branchone"),
                    "branches": st.lists(
                        st.fixed_dictionaries({"expr": TEXTS, "modules": st.lists(inner, max_size=2)}),
                        max_size=2,
                    ),
                    "default": st.lists(inner, max_size=1),
                }
            ),
        )
    ),
    max_leaves=6,
)


@st.composite
def _flows(draw: st.DrawFn) -> dict[str, Json]:
    modules = draw(st.lists(_STEPS, max_size=4))
    names = iter(draw(st.permutations([f"s{number}" for number in range(40)])))
    schemas: list[Json] = [None, {"type": "object"}]
    return {
        "summary": draw(TEXTS),
        "description": draw(TEXTS),
        "value": {"modules": _named([*modules], names)},
        "schema": draw(st.sampled_from(schemas)),
    }


def _named(value: Json, names: Iterator[str]) -> Json:
    """Every step with an id of its own."""
    match value:
        case dict():
            inner: dict[str, Json] = {name: _named(item, names) for name, item in value.items()}
            is_step = isinstance(value.get("value"), dict) and "type" not in value
            return {"id": next(names), **inner} if is_step else inner
        case list():
            return [_named(item, names) for item in value]
        case _:
            return value


_VALUES: dict[Kind, st.SearchStrategy[dict[str, Json]]] = {
    Kind.SCRIPT: st.fixed_dictionaries(
        {
            "summary": TEXTS,
            "description": TEXTS,
            "content": _PROGRAMS,
            "language": st.just("python3"),
            "lock": st.sampled_from(["# py: 3.12\n", "\n"]),
            "schema": st.one_of(st.none(), st.dictionaries(NAMES, JSON, max_size=3)),
        }
    ),
    Kind.FLOW: _flows(),
    Kind.SCHEDULE: st.fixed_dictionaries(
        {
            "summary": TEXTS,
            "schedule": st.sampled_from(["0 0 3 * * *", "0 */5 * * * *"]),
            "timezone": st.sampled_from(["America/Lima", "Etc/UTC"]),
            "enabled": st.booleans(),
            "script_path": st.just("f/acme/hello"),
            "args": st.one_of(st.none(), st.dictionaries(NAMES, JSON, max_size=4)),
        }
    ),
    Kind.RESOURCE: st.fixed_dictionaries(
        {
            "description": st.one_of(st.none(), TEXTS),
            "resource_type": st.just("c_ycloud"),
            "value": st.dictionaries(NAMES, JSON, max_size=4),
        }
    ),
    Kind.VARIABLE: st.fixed_dictionaries({"description": TEXTS, "value": TEXTS}),
}


def items(kind: Kind, path: str) -> st.SearchStrategy[Item]:
    """Random items of a kind that has values here, in canonical form."""
    return _VALUES[kind].map(lambda value: Item(Key(kind, path), canonical(kind, value)))
