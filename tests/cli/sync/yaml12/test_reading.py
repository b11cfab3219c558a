"""YAML 1.2 is read as the official CLI reads it, and what is wrong is refused with its line."""

from __future__ import annotations

import pytest

from platform_cli.sync import yaml12
from platform_core.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(
            (word, word)
            for word in ["on", "off", "yes", "No", "y", "12:30", "12:30:00", "2024-01-01", "1_000"]
        ),
        *((word, word) for word in ["<<", "=", "nULL", "tRUE", "0b1", "0x", "1e", ".", "+.inf.", "~x"]),
        ("1e3", 1000),
        ("012", 12),
        ("0x10", 16),
        ("0o17", 15),
        ("+5", 5),
        ("-0", 0),
        ("5.", 5),
        ("1.10", 1.1),
        (".5", 0.5),
        ("-.5e-3", -0.0005),
        ("12345678901234567890", 12345678901234567890),
        ("~", None),
        ("", None),
        ("Null", None),
        ("True", True),
        ("FALSE", False),
        ("'on'", "on"),
        ('"12"', "12"),
        ("!!str 12", "12"),
        ("!inline x.py", "!inline x.py"),
        ("!inline_fileset f/acme/x", "!inline_fileset f/acme/x"),
        ("'!inline x.py'", "!inline x.py"),
        ('"\\u00e9\\x41\\/\\t"', "éA/\t"),
        ("[a, {b: 1}, ]", ["a", {"b": 1}]),
        ("a#b #c", "a#b"),
        ("|\n    x\n\n", "x\n"),
        (">-\n    x\n    y\n\n    z", "x y\nz"),
        ("|\n    \tx\n", "\tx\n"),
        ("http://x:80/y", "http://x:80/y"),
        ("a\u2028b", "a\u2028b"),
        ('"\x7f"', "\x7f"),
    ],
)
def test_a_value_means_what_it_means_in_yaml_1_2(text: str, value: object) -> None:
    """Neither a time nor a date nor a word for yes is anything but a text."""
    read = yaml12.load(f"k: {text}", "x.yaml")

    assert read == {"k": value}
    assert isinstance(read, dict)
    assert type(read["k"]) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# nothing\n", None),
        ("--- \na: 1\n...\n", {"a": 1}),
        ("a: 1\r\nb: |\r\n  x\r\n", {"a": 1, "b": "x\n"}),
        ("1: a\n0x10: b\ntrue: c\n~: d\n1.50: e\n", {"1": "a", "16": "b", "true": "c", "": "d", "1.5": "e"}),
        ("? a\n: b", {"a": "b"}),
        ("a:\n- x\n- y", {"a": ["x", "y"]}),
        ('{"a":1}', {"a": 1}),
    ],
)
def test_a_document_is_read_whole(text: str, value: object) -> None:
    """Names are texts, as they are in JavaScript."""
    assert yaml12.load(text, "x.yaml") == value


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "a: 1\nb: c: d\n",
            "line 2: not YAML: mapping values are not allowed in this context (a text that holds",
        ),
        (
            "a: 1\n\tb: 2\n",
            "line 2: not YAML: found a tab character that violates indentation (indent with spaces",
        ),
        ("a: 1\nb: @x\n", "line 2: not YAML: found character that cannot start any token"),
        ("a:\n  b: 1\n c: 2\n", "line 3: not YAML: did not find expected key (a `name: value` in line"),
        ("a: [1,\n  2\n", "line 2: not YAML: did not find expected ',' or ']' (a `,` or the closing bracket"),
        ("a: 'x\n\n", "line 1: not YAML: found unexpected end of stream (a quote or bracket that was opened"),
        ('a: "\\q"\n', "line 1: not YAML: found unknown escape character (inside double quotes"),
        ("a: 1\n---\nb: 2\n", "line 2: not YAML: but found another document (a single document"),
        ("a: - b\n", "line 1: not YAML: block sequence entries are not allowed in this context (a list"),
        ("a: *x\n", "line 1: not YAML: found undefined alias (a text that begins with *"),
        ("a: 1\nb: 2\na: 3\n", "line 3: a is given twice; keep one of them"),
        ("a: &x {b: 1}\nc: *x\n", "line 1: anchors and aliases are not used here"),
        ("a: &x\n  - *x\n", "line 1: anchors and aliases are not used here"),
        ("a: !date 2024-01-01\n", "line 1: the tag !date is not known here"),
        ("a: !!binary aGk=\n", "line 1: the tag tag:yaml.org,2002:binary is not known here"),
        ("a: .nan\n", "line 1: .nan is not a number that JSON knows"),
        ("a: 1e999\n", "line 1: 1e999 is not a number that JSON knows"),
        ("? [a]\n: b\n", "line 1: the name of a field must be a text"),
        ("%YAML 1.1\n---\na: on\n", "line 1: directives such as %YAML are not used"),
        ("[" * 5000, "line 1: not YAML: exceeded maximum nesting depth"),
        ("[" * 300 + "]" * 300, "line 1: it is nested more than 200 deep"),
        ("a: \x00\n", "not YAML"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(text: str, complaint: str) -> None:
    """With what was expected there, and a next step."""
    with pytest.raises(InvalidInput) as refused:
        yaml12.load(text, "flow.yaml")

    assert refused.value.message.startswith("flow.yaml: ")
    assert complaint in refused.value.one_line()
    assert refused.value.next_step


def test_every_field_knows_its_line() -> None:
    """Also inside lists, and a field that is not there stands where it would belong."""
    document = yaml12.read(
        "# steps\nvalue:\n  modules:\n    - id: a\n      value: {type: script}\n    - id: b\n", "f.yaml"
    )

    assert document.line(("value", "modules", 1, "id")) == 6
    assert document.line(("value", "modules", 0, "value", "type")) == 5
    assert document.line(("value", "modules", 0, "summary")) == 4
    assert document.line(("schema",)) == 2
    assert document.problem(("value", "modules", 1), "has no value").one_line() == (
        "f.yaml: line 6: value.modules.1: has no value. Correct the file."
    )
