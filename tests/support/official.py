"""Exports of a workspace as the tar a server answers with, and made-up items of every kind."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from platform_cli.sync.items import Item, Key, Kind
from platform_cli.sync.official.canonical import canonical
from platform_cli.sync.official.naming import SCRIPT_EXTENSIONS

Value = dict[str, Any]


def tar_of(members: Mapping[str, str]) -> bytes:
    """A workspace's tar from the texts of its members."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, text in members.items():
            data = text.encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def exported(item: Item, **volatile: object) -> dict[str, str]:
    """The members that an export has for one item, with what the server adds by itself."""
    value = {**item.value, **volatile}
    path = item.key.path
    match item.key.kind:
        case Kind.FOLDER:
            return {f"{path}/folder.meta.json": json.dumps(value)}
        case Kind.SCRIPT:
            content, language = str(value.pop("content")), str(value.pop("language"))
            return {
                f"{path}.{SCRIPT_EXTENSIONS[language]}": content,
                f"{path}.script.json": json.dumps(value),
            }
        case kind:
            suffix = "resource-type" if kind is Kind.RESOURCE_TYPE else kind
            return {f"{path}.{suffix}.json": json.dumps(value)}


# --- Made up ----------------------------------------------------------------------------------------------

_WORDS = st.sampled_from(
    [
        "",
        "on",
        "12:30",
        "0x10",
        "1e3",
        "null",
        "it's",
        'a "b"',
        "a: b",
        "#",
        "- x",
        "ñ 日本 😀",
        "f/acme/x",
        "x" * 90,
    ]
)
_TEXTS = _WORDS | st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
_LINES = st.lists(_TEXTS, max_size=4).map("\n".join)
texts = (_WORDS | _LINES).filter(lambda text: not text.startswith("!inline"))
"""Texts that a person may type, short or of several lines; none looks like a reference."""

names = st.text("abcdefgh_", min_size=1, max_size=8)
numbers = st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False, width=32)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
_schemas = st.none() | st.fixed_dictionaries(
    {"type": st.just("object"), "properties": st.dictionaries(names, json_values, max_size=2)}
)
_labels = st.lists(names, max_size=2)
_languages = st.sampled_from(sorted(SCRIPT_EXTENSIONS))
_locks = st.none() | st.sampled_from(["", "\n", "# py: 3.12\nsix==1.17.0"])
_transforms = st.dictionaries(
    names,
    st.fixed_dictionaries({"type": st.just("static"), "value": json_values})
    | st.fixed_dictionaries({"type": st.just("javascript"), "expr": texts}),
    max_size=2,
)


def _optional(**fields: st.SearchStrategy[Any]) -> dict[str, st.SearchStrategy[Any]]:
    return fields


def _steps(inner: st.SearchStrategy[list[Value]]) -> st.SearchStrategy[list[Value]]:
    branches = st.lists(
        st.fixed_dictionaries({"modules": inner}, optional=_optional(expr=texts, skip_failure=st.booleans())),
        max_size=2,
    )
    values = st.one_of(
        st.just({"type": "identity"}),
        st.fixed_dictionaries(
            {"type": st.just("script"), "path": st.just("f/acme/x"), "input_transforms": _transforms}
        ),
        st.fixed_dictionaries(
            {"type": st.just("rawscript"), "content": texts, "language": _languages},
            optional=_optional(lock=_locks, tag=names | st.just(""), input_transforms=_transforms),
        ),
        st.fixed_dictionaries(
            {"type": st.just("forloopflow"), "modules": inner, "iterator": st.just({"type": "ai"})},
            optional=_optional(parallel=st.booleans(), parallelism=st.integers(1, 9)),
        ),
        st.fixed_dictionaries({"type": st.just("whileloopflow"), "modules": inner}),
        st.fixed_dictionaries({"type": st.just("branchone"), "branches": branches, "default": inner}),
        st.fixed_dictionaries({"type": st.just("branchall"), "branches": branches}),
    )
    step = st.fixed_dictionaries(
        {"id": names, "value": values},
        optional=_optional(
            summary=texts,
            timeout=st.integers(1, 99) | st.none(),
            retry=st.just({"constant": {"attempts": 2}}),
            suspend=st.just({"required_events": 1, "timeout": None}),
            continue_on_error=st.booleans() | st.none(),
        ),
    )
    return st.lists(step, max_size=3)


flow_values = st.fixed_dictionaries(
    {"modules": st.recursive(st.just([]), _steps, max_leaves=3)},
    optional=_optional(
        failure_module=_steps(st.just([])).filter(bool).map(lambda steps: steps[0]),
        same_worker=st.booleans(),
        notes=json_values,
    ),
)
_VALUES: dict[Kind, st.SearchStrategy[Value]] = {
    Kind.FOLDER: st.fixed_dictionaries(
        {"owners": st.lists(names, max_size=2)}, optional=_optional(summary=texts, labels=_labels)
    ),
    Kind.RESOURCE_TYPE: st.fixed_dictionaries({"schema": _schemas}, optional=_optional(description=texts)),
    Kind.VARIABLE: st.fixed_dictionaries({"value": texts}, optional=_optional(description=texts)),
    Kind.RESOURCE: st.fixed_dictionaries({"value": json_values, "resource_type": names}),
    Kind.SCRIPT: st.fixed_dictionaries(
        {"content": texts, "language": _languages, "lock": _locks, "schema": _schemas, "summary": texts},
        optional=_optional(
            description=texts,
            labels=_labels,
            has_preprocessor=st.booleans(),
            timeout=st.integers(1, 9),
            modules=st.dictionaries(
                st.sampled_from(["a.py", "b/c.py", "d.ts"]),
                st.fixed_dictionaries({"content": texts, "language": _languages, "lock": _locks}),
            ),
        ),
    ),
    Kind.FLOW: st.fixed_dictionaries(
        {"value": flow_values, "schema": _schemas}, optional=_optional(summary=texts, tag=names)
    ),
    Kind.RAW_APP: st.fixed_dictionaries(
        {
            "value": st.fixed_dictionaries(
                {"files": st.dictionaries(st.sampled_from(["/index.tsx", "/src/a.css"]), texts)},
                optional=_optional(
                    runnables=st.dictionaries(
                        names,
                        st.fixed_dictionaries(
                            {
                                "type": st.just("inline"),
                                "inlineScript": st.fixed_dictionaries(
                                    {"content": texts, "language": _languages}
                                ),
                            }
                        ),
                        max_size=2,
                    )
                ),
            )
        }
    ),
    Kind.SCHEDULE: st.fixed_dictionaries(
        {"schedule": texts, "args": st.dictionaries(texts, json_values, max_size=2)},
        optional=_optional(enabled=st.booleans(), summary=texts),
    ),
    Kind.HTTP_TRIGGER: st.fixed_dictionaries(
        {"route_path": names},
        optional=_optional(mode=st.sampled_from(["enabled", "disabled"]), labels=_labels),
    ),
}
_PATHS = {Kind.FOLDER: "f/acme", Kind.RESOURCE_TYPE: "c_acme"}


@st.composite
def raw_items(draw: st.DrawFn) -> tuple[Key, Value]:
    """A key and a value of its kind, not in canonical form."""
    kind = draw(st.sampled_from(list(Kind)))
    return Key(kind, _PATHS.get(kind, "f/acme/thing")), draw(_VALUES[kind])


items = raw_items().map(lambda raw: Item(raw[0], canonical(raw[0].kind, raw[1])))
"""Items of every kind, in canonical form."""
