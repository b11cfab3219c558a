"""A flow is read whole or refused with file, line, field and what to do: nothing in it is ignored."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_cli.local.windmill.flows.loading import load_flows
from platform_cli.local.windmill.flows.model import (
    BranchOne,
    ForLoop,
    JavaScript,
    RawScriptStep,
    ScriptStep,
    Static,
)
from platform_core.errors import InvalidInput, UnreadableFile

SCRIPTS = {"f/acme/hello"}
HEAD = "summary: Review\nvalue:\n  modules:\n"
STEP = """\
    - id: a
      value:
        type: script
        path: f/acme/hello
"""
REVIEW = f"""\
summary: Review
description: ''
value:
  modules:
{STEP}\
    - id: b
      summary: Ask staff
      value:
        type: rawscript
        content: '!inline ask_staff.py'
        lock: '!inline ask_staff.lock'
        language: python3
        input_transforms:
          x:
            type: javascript
            expr: results.a.hi
      suspend:
        required_events: 1
        timeout: 600
    - id: c
      value:
        type: branchone
        branches:
          - modules:
              - id: c1
                value:
                  type: script
                  path: f/acme/hello
                  input_transforms:
                    name:
                      type: static
                      value: yes
            expr: resume["approved"] === true
        default:
          - id: c2
            value:
              type: identity
    - id: d
      value:
        type: forloopflow
        iterator:
          type: javascript
          expr: '[1, 2]'
        parallel: false
        skip_failures: false
        modules:
          - id: d1
            value:
              type: identity
schema:
  type: object
"""


def _write(folder: Path, text: str, name: str = "review", **files: str) -> Path:
    home = folder / f"{name}__flow"
    home.mkdir(parents=True, exist_ok=True)
    (home / "flow.yaml").write_text(text, encoding="utf-8")
    for file, content in files.items():
        (home / file.replace("__", ".")).write_text(content, encoding="utf-8")
    return home


def test_the_official_format_is_read_with_its_python_beside_it(tmp_path: Path) -> None:
    """Steps, inputs, branches, loops; `yes` is a text, as YAML 1.2 has it."""
    _write(tmp_path, REVIEW, ask_staff__py="def main(x):\n    return x\n", ask_staff__lock="\n")

    flow = load_flows("acme", tmp_path, SCRIPTS)["f/acme/review"]

    first, asks, way, loop = flow.modules()
    assert first.work == ScriptStep("f/acme/hello", {})
    assert asks.work == RawScriptStep("def main(x):\n    return x\n", {"x": JavaScript("results.a.hi")})
    assert asks.suspend is not None
    assert (asks.suspend.required_events, asks.suspend.timeout_s) == (1, 600)
    assert isinstance(way.work, BranchOne)
    (inside,) = flow.modules(way.work.branches[0].place)
    assert inside.work == ScriptStep("f/acme/hello", {"name": Static("yes")})
    assert isinstance(loop.work, ForLoop)
    assert [module.id for module in flow.every_module()] == ["a", "b", "c", "d", "c1", "c2", "d1"]


def _refused(tmp_path: Path, text: str) -> str:
    _write(tmp_path, text)
    with pytest.raises(InvalidInput) as refused:
        load_flows("acme", tmp_path, SCRIPTS)
    return refused.value.one_line().replace(f"{tmp_path}/review__flow/", "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("modules: [", "flow.yaml: line 1: not YAML"),
        ("value:\n  modules: []\n  modules: []\n", "flow.yaml: line 3: modules is given twice"),
        ("[]", "flow.yaml: line 1: not a mapping"),
        ("summary: x\ntag: gpu\nvalue: {modules: []}\n", "line 2: tag: the local runtime does not do"),
        ("summary: x\nvalue: {}\n", "flow.yaml: line 2: value.modules: a list of steps is required"),
        (HEAD + STEP + "      cache_ttl: 60\n", "line 8: value.modules.0.cache_ttl: the local"),
        (HEAD + STEP + STEP, "line 8: value.modules.1.id: 'a' is there twice. Give each"),
        (HEAD + STEP.replace("id: a", "id: a-b"), "line 4: value.modules.0.id: 'a-b' is not an id"),
        (
            HEAD + STEP.replace("hello", "none"),
            "line 7: value.modules.0.value.path: there is no script f/acme/none. Write it",
        ),
        (
            HEAD + STEP.replace("acme/hello", "other/x"),
            "line 7: value.modules.0.value.path: f/other/x is not of f/acme/",
        ),
        (
            HEAD + STEP.replace("type: script", "type: aiagent"),
            "line 6: value.modules.0.value.type: the local runtime does no step of type 'aiagent'",
        ),
        (
            HEAD + STEP + "        input_transforms:\n          x:\n            type: ai\n",
            "line 10: value.modules.0.value.input_transforms.x.type: the local runtime does no input",
        ),
        (
            HEAD + STEP + "        input_transforms:\n          x:\n            type: javascript\n"
            "            expr: flow_input.(\n",
            "line 11: value.modules.0.value.input_transforms.x.expr: is not JavaScript: expecting field name",
        ),
        (
            HEAD + STEP + "      skip_if:\n        expr: results.zz == 1\n",
            "line 9: value.modules.0.skip_if.expr: asks for the result of a step 'zz', which is not there",
        ),
        (
            HEAD + STEP + "      skip_if:\n        expr: '[1].map(x => results.a)'\n",
            "line 9: value.modules.0.skip_if.expr: is not JavaScript",
        ),
        (
            HEAD + STEP + "      sleep:\n        type: static\n        value: 1\n",
            "line 8: value.modules.0.sleep: does nothing on the last step",
        ),
        (
            HEAD + STEP + "      retry:\n        exponential:\n          attempts: 3\n",
            "line 9: value.modules.0.retry.exponential.seconds: has to be more than 0",
        ),
        (
            HEAD + STEP + "      timeout: -1\n",
            "line 8: value.modules.0.timeout: Decimal('-1') is not a whole number",
        ),
        (
            HEAD + STEP.replace("type: script", "type: flow").replace("hello", "review"),
            "line 7: value.modules.0.value.path: the flows call each other in a circle: f/acme/review -> f/",
        ),
        (
            HEAD + STEP.replace("type: script", "type: flow").replace("hello", "none"),
            "line 7: value.modules.0.value.path: there is no flow f/acme/none",
        ),
        (
            HEAD + "    - id: a\n      value:\n        type: rawscript\n        language: python3\n"
            "        content: '!inline gone.py'\n",
            "line 8: value.modules.0.value.content: there is no file gone.py beside flow.yaml",
        ),
        (
            HEAD + "    - id: a\n      value:\n        type: rawscript\n        language: bun\n",
            "line 7: value.modules.0.value.language: 'bun' is not done here; known: 'python3'",
        ),
        (
            HEAD + "    - id: a\n      value:\n        type: rawscript\n        language: python3\n"
            "        content: 'def main(:'\n",
            "line 8: value.modules.0.value.content: is not Python",
        ),
        (
            HEAD + "    - id: a\n      value:\n        type: forloopflow\n        iterator:\n"
            "          type: static\n          value: 3\n        modules: []\n",
            "line 7: value.modules.0.value.iterator: Decimal('3') is not a list",
        ),
        (
            HEAD + STEP + "  failure_module:\n    id: oops\n    value:\n      type: script\n"
            "      path: f/acme/hello\n",
            "line 9: value.failure_module.id: 'oops' has to be failure",
        ),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused_with_its_line(tmp_path: Path, text: str, why: str) -> None:
    """The whole message is one line: where, what, and what to do."""
    assert why in _refused(tmp_path, text)


def test_flows_that_call_each_other_in_a_circle_are_refused(tmp_path: Path) -> None:
    """However many of them there are."""
    for name, called in (("one", "two"), ("two", "three"), ("three", "one")):
        text = HEAD + STEP.replace("type: script", "type: flow").replace("hello", called)
        _write(tmp_path, text, name)

    with pytest.raises(InvalidInput, match="f/acme/one -> f/acme/two -> f/acme/three -> f/acme/one"):
        load_flows("acme", tmp_path, SCRIPTS)


def test_a_file_that_belongs_to_no_step_is_refused(tmp_path: Path) -> None:
    """Nor is anything but flows in the folder."""
    home = _write(tmp_path, HEAD + STEP, left__py="x = 1\n")
    with pytest.raises(InvalidInput, match=r"left\.py belongs to no step of the flow"):
        load_flows("acme", tmp_path, SCRIPTS)

    (home / "left.py").unlink()
    (tmp_path / "stray.yaml").write_text("x", encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"stray\.yaml is not a flow"):
        load_flows("acme", tmp_path, SCRIPTS)


def test_a_folder_without_flow_file_and_one_that_is_not_text_are_refused(tmp_path: Path) -> None:
    """As a file that cannot be read."""
    (tmp_path / "review__flow").mkdir()
    with pytest.raises(UnreadableFile, match=r"flow\.yaml cannot be read"):
        load_flows("acme", tmp_path, SCRIPTS)

    (tmp_path / "review__flow" / "flow.yaml").write_bytes(b"\xff")
    with pytest.raises(UnreadableFile, match="not UTF-8"):
        load_flows("acme", tmp_path, SCRIPTS)


def test_no_flows_folder_means_no_flows(tmp_path: Path) -> None:
    """A customer may have none."""
    assert load_flows("acme", tmp_path / "flows", SCRIPTS) == {}
