"""From the fields of a flow to its model; what is not done here, or would fail when run, is refused."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from decimal import Decimal

from platform_cli.local.windmill.fields import Fields, Rule, shown
from platform_cli.local.windmill.flows import expressions
from platform_cli.local.windmill.flows.model import (
    MODULES,
    NO_RETRY,
    Branch,
    BranchAll,
    BranchOne,
    Flow,
    FlowStep,
    ForLoop,
    Identity,
    JavaScript,
    Module,
    RawScriptStep,
    Retry,
    ScriptStep,
    Static,
    StopIf,
    Suspend,
    Transform,
    WhileLoop,
    Work,
)
from platform_cli.local.windmill.jsonb import Json
from platform_cli.sync import yaml12
from platform_cli.sync.yaml12 import Place

_ID = re.compile(r"[A-Za-z0-9_]{1,50}", re.ASCII)
_RESULT_OF = re.compile(r"\bresults\??(?:\.([A-Za-z_0-9]+)|\??\.?\[\"([^\"]*)\"\])")
_DEFAULT_SUSPEND_S = 30 * 60
_TEXT: Rule = (str, type(None))
_OFF: Rule = (False, None)
_MODULE: dict[str, Rule] = {
    "id": str,
    "value": dict,
    "summary": _TEXT,
    "suspend": (dict, type(None)),
    "retry": (dict, type(None)),
    "sleep": (dict, type(None)),
    "stop_after_if": (dict, type(None)),
    "stop_after_all_iters_if": (dict, type(None)),
    "skip_if": (dict, type(None)),
    "continue_on_error": (bool, type(None)),
    "timeout": (dict, Decimal, type(None)),
}


@dataclass(slots=True)
class Parser:
    """Reads one flow. With `scripts` and `flows`, the paths that exist, a step to any other is refused.

    `expressions_checked` is off for a flow that runs already: it was checked when it was started.
    """

    path: str
    scripts: AbstractSet[str] | None = None
    flows: AbstractSet[str] | None = None
    expressions_checked: bool = True
    calls: dict[str, tuple[Fields, str]] = field(default_factory=dict)
    _parts: dict[Place, tuple[Module, ...]] = field(default_factory=dict)
    _ids: dict[str, Fields] = field(default_factory=dict)
    _uses: list[tuple[Fields, str, str]] = field(default_factory=list)

    def flow(self, fields: Fields, summary: str = "") -> Flow:
        """The flow whose value stands in `fields`. Raises: InvalidInput."""
        fields.only(
            modules=list,
            failure_module=(dict, type(None)),
            preprocessor_module=(None,),
            flow_env=(dict, type(None)),
            early_return=("", None),
            skip_expr=_TEXT,
            same_worker=_OFF,
            chat_input_enabled=_OFF,
            notes=list,
            groups=list,
        )
        if "modules" not in fields.values:
            raise fields.problem("modules", "a list of steps is required")
        self._modules(fields, "modules", MODULES)
        failure = self._special(fields, "failure_module", "failure")
        env = fields.values.get("flow_env")
        skip = fields.values.get("skip_expr")
        if skip:
            self._expression(fields, "skip_expr", str(skip))
        self._known_ids()
        return Flow(
            path=self.path,
            summary=summary,
            value=fields.values,
            parts=self._parts,
            failure_module=failure,
            env=env if isinstance(env, dict) else None,
            skip_expression=str(skip or ""),
        )

    # --- Modules ------------------------------------------------------------------------------------------

    def _modules(self, parent: Fields, name: str, place: Place) -> Place:
        self._parts[place] = ()
        self._parts[place] = tuple(
            self._module(fields, (*place, index)) for index, fields in enumerate(parent.mappings(name))
        )
        self._refuse_waiting_last(parent, name, self._parts[place])
        return place

    def _refuse_waiting_last(self, parent: Fields, name: str, modules: tuple[Module, ...]) -> None:
        """The server waits before the next step: after the last one it does not wait at all."""
        if not modules:
            return
        last = list(parent.mappings(name))[-1]
        waits = {"suspend": modules[-1].suspend is not None, "sleep": modules[-1].sleep is not None}
        for field_name, is_there in waits.items():
            if is_there:
                raise last.problem(
                    field_name,
                    "does nothing on the last step, for Windmill waits before the next one",
                    "Put a step after it, such as one of type identity.",
                )

    def _special(self, parent: Fields, name: str, module_id: str) -> Module | None:
        if parent.values.get(name) is None:
            return None
        module = self._module(parent.mapping(name), (name,))
        if module.id != module_id:
            raise parent.mapping(name).problem("id", f"{shown(module.id)} has to be {module_id}")
        if not isinstance(module.work, ScriptStep | RawScriptStep):
            raise parent.mapping(name).problem("value", "only a script or a rawscript is done here")
        return module

    def _module(self, fields: Fields, place: Place) -> Module:
        fields.only(**_MODULE)
        module_id = fields.text("id")
        if not _ID.fullmatch(module_id):
            raise fields.problem("id", f"{module_id!r} is not an id", "Use letters, digits and _.")
        if module_id in self._ids:
            raise fields.problem("id", f"{module_id!r} is there twice", "Give each step an id of its own.")
        self._ids[module_id] = fields
        return Module(
            id=module_id,
            work=self._work(fields, (*place, "value")),
            stop_after_if=self._stop(fields, "stop_after_if"),
            stop_after_all_iters_if=self._stop(fields, "stop_after_all_iters_if"),
            suspend=self._suspend(fields),
            retry=self._retry(fields),
            sleep=self._optional(fields, "sleep"),
            timeout=self._timeout(fields),
            skip_if=self._condition(fields, "skip_if"),
            continue_on_error=fields.flag("continue_on_error"),
        )

    def _work(self, module: Fields, place: Place) -> Work:  # noqa: PLR0911 - one for each type of step
        value = module.mapping("value")
        match kind := value.text("type"):
            case "script":
                return self._script(value)
            case "rawscript":
                return self._rawscript(value)
            case "flow":
                return self._flow_step(value)
            case "identity":
                value.only(type=str, flow=_OFF)
                return Identity()
            case "branchone":
                return self._branchone(value, place)
            case "branchall":
                return self._branchall(value, place)
            case "forloopflow":
                return self._forloop(value, place)
            case "whileloopflow":
                value.only(type=str, modules=list, skip_failures=bool, parallel=_OFF, squash=_OFF)
                inner = self._modules(value, "modules", (*place, "modules"))
                return WhileLoop(inner, value.flag("skip_failures"))
            case _:
                raise value.problem(
                    "type",
                    f"the local runtime does no step of type {kind!r}",
                    "Use script, rawscript, identity, flow, branchone, branchall, forloopflow or "
                    "whileloopflow, or a Windmill server.",
                )

    def _script(self, value: Fields) -> ScriptStep:
        value.only(
            type=str, path=str, input_transforms=dict, tag_override=("", None), is_trigger=_OFF, hash=(None,)
        )
        path = self._own_path(value)
        if self.scripts is not None and path not in self.scripts:
            raise value.problem("path", f"there is no script {path}", "Write it, or correct the path.")
        return ScriptStep(path, self._inputs(value))

    def _flow_step(self, value: Fields) -> FlowStep:
        value.only(type=str, path=str, input_transforms=dict)
        path = self._own_path(value)
        if self.flows is not None and path not in self.flows:
            raise value.problem("path", f"there is no flow {path}", "Write it, or correct the path.")
        self.calls.setdefault(path, (value, "path"))
        return FlowStep(path, self._inputs(value))

    def _own_path(self, value: Fields) -> str:
        path, customer = value.text("path"), self.path.split("/")[1]
        if not path.startswith(f"f/{customer}/"):
            raise value.problem(
                "path",
                f"{path} is not of f/{customer}/: a customer's flow runs only what is the customer's own",
                "Point the step at something in the same customer's folder.",
            )
        return path

    def _rawscript(self, value: Fields) -> RawScriptStep:
        value.only(
            type=str,
            language=("python3",),
            content=str,
            lock=_TEXT,
            path=(None,),
            tag=("", None),
            input_transforms=dict,
            is_trigger=_OFF,
            assets=list,
        )
        content = value.text("content")
        try:
            tree = ast.parse(content)
        except (SyntaxError, ValueError) as error:
            line = f" (its line {error.lineno})" if isinstance(error, SyntaxError) else ""
            raise value.problem("content", f"is not Python: {error.args[0]}{line}") from error
        functions = {
            node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        if "main" not in functions:
            raise value.problem("content", "has no function main")
        return RawScriptStep(content, self._inputs(value))

    def _branchone(self, value: Fields, place: Place) -> BranchOne:
        value.only(type=str, branches=list, default=list)
        branches = []
        for index, branch in enumerate(value.mappings("branches")):
            branch.only(summary=_TEXT, expr=str, modules=list, parallel=bool, skip_failure=bool)
            when = self._expression(branch, "expr", branch.text("expr"))
            inner = self._modules(branch, "modules", (*place, "branches", index, "modules"))
            branches.append(Branch(inner, when))
        return BranchOne(branches, Branch(self._modules(value, "default", (*place, "default"))))

    def _branchall(self, value: Fields, place: Place) -> BranchAll:
        value.only(type=str, branches=list, parallel=bool)
        branches = []
        for index, branch in enumerate(value.mappings("branches")):
            branch.only(summary=_TEXT, expr=_TEXT, modules=list, parallel=bool, skip_failure=bool)
            inner = self._modules(branch, "modules", (*place, "branches", index, "modules"))
            branches.append(Branch(inner, skip_failure=branch.flag("skip_failure")))
        return BranchAll(branches, value.flag("parallel"))

    def _forloop(self, value: Fields, place: Place) -> ForLoop:
        value.only(
            type=str,
            iterator=dict,
            modules=list,
            skip_failures=bool,
            parallel=bool,
            parallelism=(dict, Decimal, type(None)),
            squash=_OFF,
        )
        iterator = self._transform(value, "iterator")
        if isinstance(iterator, Static) and not isinstance(iterator.value, list):
            raise value.problem("iterator", f"{shown(iterator.value)} is not a list")
        parallelism: Transform | None = None
        if isinstance(given := value.values.get("parallelism"), Decimal):
            parallelism = Static(Decimal(value.whole("parallelism")))
        elif given is not None:
            parallelism = self._transform(value, "parallelism")
        return ForLoop(
            self._modules(value, "modules", (*place, "modules")),
            iterator,
            value.flag("skip_failures"),
            value.flag("parallel"),
            parallelism,
        )

    # --- What surrounds the work --------------------------------------------------------------------------

    def _stop(self, module: Fields, name: str) -> StopIf | None:
        if module.values.get(name) is None:
            return None
        fields = module.mapping(name)
        fields.only(expr=str, skip_if_stopped=bool, error_message=_TEXT, error_include_result=bool)
        message = fields.values.get("error_message")
        return StopIf(
            self._expression(fields, "expr", fields.text("expr")),
            fields.flag("skip_if_stopped"),
            message if isinstance(message, str) else None,
            fields.flag("error_include_result"),
        )

    def _suspend(self, module: Fields) -> Suspend | None:
        if module.values.get("suspend") is None:
            return None
        fields = module.mapping("suspend")
        fields.only(
            required_events=Decimal,
            timeout=(Decimal, type(None)),
            resume_form=(dict, type(None)),
            hide_cancel=bool,
            continue_on_disapprove_timeout=bool,
            user_auth_required=_OFF,
            user_groups_required=(None,),
            self_approval_disabled=_OFF,
        )
        return Suspend(
            fields.whole("required_events"),
            fields.whole("timeout", _DEFAULT_SUSPEND_S),
            fields.flag("hide_cancel"),
            fields.flag("continue_on_disapprove_timeout"),
            fields.values.get("resume_form"),
        )

    def _retry(self, module: Fields) -> Retry:
        if module.values.get("retry") is None:
            return NO_RETRY
        fields = module.mapping("retry")
        fields.only(constant=dict, exponential=dict, retry_if=(dict, type(None)))
        constant = fields.mapping("constant") if "constant" in fields.values else None
        growing = fields.mapping("exponential") if "exponential" in fields.values else None
        if constant is not None:
            constant.only(attempts=Decimal, seconds=Decimal)
        if growing is not None:
            growing.only(
                attempts=Decimal, multiplier=Decimal, seconds=Decimal, random_factor=(Decimal, type(None))
            )
            if growing.whole("attempts") and not growing.whole("seconds"):
                raise growing.problem("seconds", "has to be more than 0, which grows to nothing")
        return Retry(
            constant.whole("attempts") if constant else 0,
            constant.whole("seconds") if constant else 0,
            growing.whole("attempts") if growing else 0,
            growing.whole("multiplier", 1) if growing else 1,
            growing.whole("seconds") if growing else 0,
            growing.whole("random_factor") if growing else 0,
            self._condition(fields, "retry_if"),
        )

    def _condition(self, parent: Fields, name: str) -> str:
        if parent.values.get(name) is None:
            return ""
        fields = parent.mapping(name)
        fields.only(expr=str)
        return self._expression(fields, "expr", fields.text("expr"))

    def _timeout(self, module: Fields) -> Transform | None:
        if isinstance(module.values.get("timeout"), Decimal):
            return Static(Decimal(module.whole("timeout")))
        return self._optional(module, "timeout")

    # --- Inputs and expressions ---------------------------------------------------------------------------

    def _inputs(self, value: Fields) -> Mapping[str, Transform]:
        if "input_transforms" not in value.values:
            return {}
        fields = value.mapping("input_transforms")
        return {name: self._transform(fields, name) for name in fields.values}

    def _optional(self, fields: Fields, name: str) -> Transform | None:
        return None if fields.values.get(name) is None else self._transform(fields, name)

    def _transform(self, parent: Fields, name: str) -> Transform:
        fields = parent.mapping(name)
        match kind := fields.text("type"):
            case "static":
                fields.only(type=str, value=object)
                return Static(fields.values.get("value"))
            case "javascript":
                fields.only(type=str, expr=str, value=object)
                return JavaScript(self._expression(fields, "expr", fields.text("expr")))
            case _:
                raise fields.problem(
                    "type", f"the local runtime does no input of type {kind!r}", "Use static or javascript."
                )

    def _expression(self, fields: Fields, name: str, text: str) -> str:
        if self.expressions_checked:
            if wrong := expressions.syntax_error(text):
                raise fields.problem(name, f"is not JavaScript: {wrong}", "Correct the expression.")
            self._uses.append((fields, name, text))
        return text

    def _known_ids(self) -> None:
        """Refuse an expression that asks for the result of a step that is not there: it would be null."""
        for fields, name, text in self._uses:
            for found in _RESULT_OF.finditer(text):
                step = found.group(1) or found.group(2)
                if step not in self._ids:
                    raise fields.problem(
                        name, f"asks for the result of a step {step!r}, which is not there", "Correct the id."
                    )


def parse_stored(path: str, value: Mapping[str, Json]) -> Flow:
    """A flow as it was kept when it started: nothing about it is checked again."""
    parser = Parser(path, expressions_checked=False)
    return parser.flow(Fields(yaml12.Document(path, None, None), ("value",), value))
