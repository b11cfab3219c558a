"""Which commands of wmctl the tests and the rehearsal enter, read from their source.

A command is entered where its words stand in a call that leads to wmctl. What leads there begins with two
places, `execute` of this process and a process of `python -m platform_cli`, and grows by every function that
hands its own words on to one that does: with words of its own before them, such as a desk's `say` that begins
with `backup`. Names stand for what they are bound to nearby: by `parametrize`, a loop, an assignment.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "platform_cli"
_MANY = 400
"""More ways than these to read one call are not read: no call of ours has as many."""

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entrance:
    """A function that enters words: those of `parameter`, after `before`; `module` is where it stands."""

    name: str
    module: str
    before: Words
    parameter: str
    position: int | None
    """Which argument its words are when they come as one; None when they are its `*words`."""


@dataclass(slots=True)
class Source:
    """One module: what it imports, defines and binds names to; calls and lists, with the function around."""

    name: str
    imports: set[str] = field(default_factory=set)
    bound: dict[str, list[ast.expr]] = field(default_factory=dict)
    defined: set[str] = field(default_factory=set)
    calls: list[tuple[ast.FunctionDef | None, ast.expr]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Open:
    """Words that are not known here: those of a name, which may be a parameter."""

    name: str


_UNKNOWN = _Open("")
_Token = str | _Open


def entered(folders: Iterable[Path], known: set[Words]) -> dict[Words, set[str]]:
    """The commands among `known` that the modules of those folders enter, each with the modules that do."""
    sources = [_read(path) for folder in folders for path in sorted(folder.rglob("*.py"))]
    entrances: set[Entrance] = set()
    found: dict[Words, set[str]] = {}
    begun = {command[:n] for command in known for n in range(len(command))}
    grown = -1
    while grown != len(entrances):
        grown = len(entrances)
        for source in sources:
            for words, function, module in _entries(source, frozenset(entrances)):
                if command := command_of(_literal(words), known):
                    found.setdefault(command, set()).add(module)
                elif function is not None and (made := _entrance(source, function, words)):
                    entrances |= {made} if made.before in begun else set()
    return found


def command_of(words: Words, known: set[Words]) -> Words | None:
    """The command that words begin with, the longest there is."""
    return next((words[:n] for n in (3, 2, 1) if words[:n] in known), None)


def _read(path: Path) -> Source:
    source = Source(path.stem)
    for function, node in _inside(ast.parse(path.read_text(encoding="utf-8")), None):
        if isinstance(node, ast.ImportFrom):
            source.imports |= {(node.module or "").rpartition(".")[2], *(alias.name for alias in node.names)}
        elif isinstance(node, ast.FunctionDef):
            source.defined.add(node.name)
        elif isinstance(node, ast.Call | ast.List | ast.Tuple):
            source.calls.append((function, node))
        for name, value in _bindings(node):
            source.bound.setdefault(name, []).append(value)
    return source


def _bindings(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """What a name may stand for: by an assignment, a loop over what is written out, or `parametrize`."""
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            yield from _pairs(target, node.value)
    elif isinstance(node, ast.For | ast.comprehension):
        for value in _elements(node.iter):
            yield from _pairs(node.target, value)
    elif isinstance(node, ast.Call) and _called(node) == "parametrize" and len(node.args) > 1:
        names = _elements(node.args[0]) or [ast.Name(part.strip()) for part in _text(node.args[0]).split(",")]
        wanted = [ast.Name(_text(name)) if isinstance(name, ast.Constant) else name for name in names]
        for value in _elements(node.args[1]):
            inner = value.args if isinstance(value, ast.Call) and _called(value) == "param" else None
            one = inner[0] if inner and len(wanted) == 1 else ast.Tuple(inner) if inner else value
            yield from _pairs(wanted[0] if len(wanted) == 1 else ast.Tuple(wanted), one)


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield str(target.id), value
    elif isinstance(target, ast.Tuple | ast.List):
        for one, part in zip(target.elts, _elements(value), strict=False):
            yield from _pairs(one, part)


def _elements(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.Dict):
        return [key for key in node.keys if key is not None]
    return node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else []


def _text(node: ast.expr) -> str:
    """What a literal begins with; of a formatted one, up to what is filled in."""
    if isinstance(node, ast.JoinedStr):
        return _text(node.values[0]).rpartition(" ")[0] if node.values else ""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _entries(
    source: Source, entrances: frozenset[Entrance]
) -> Iterator[tuple[list[_Token], ast.FunctionDef | None, str]]:
    """Every way of entering words in a module, with the function in which it stands."""
    for function, node in source.calls:
        written = node.args if isinstance(node, ast.Call) else _elements(node)
        for words in _started(written, source.bound):
            yield words, function, source.name
        if isinstance(node, ast.Call):
            for words in _handed(node, source, entrances):
                yield words, function, source.name


def _inside(
    node: ast.AST, function: ast.FunctionDef | None
) -> Iterator[tuple[ast.FunctionDef | None, ast.AST]]:
    for child in ast.iter_child_nodes(node):
        inner = child if isinstance(child, ast.FunctionDef) else function
        yield inner, child
        yield from _inside(child, inner)


def _started(written: list[ast.expr], bound: Mapping[str, list[ast.expr]]) -> Iterator[list[_Token]]:
    """The words after the program's name in an argument list, as a process is started with them."""
    for place, node in enumerate(written):
        if _text(node) == PROGRAM:
            yield from _read_out(written[place + 1 :], bound)


def _handed(call: ast.Call, source: Source, entrances: frozenset[Entrance]) -> Iterator[list[_Token]]:
    name = _called(call)
    if name == "execute" and call.args and isinstance(call.args[0], ast.Call):
        yield from _read_out([ast.Starred(argument) for argument in call.args[0].args], source.bound)
    for entrance in entrances:
        if entrance.name != name or not _means(call, entrance, source):
            continue
        if entrance.position is None:
            begins = next((n for n, node in enumerate(call.args) if _begins(node, source.bound)), None)
            written = [] if begins is None else call.args[begins:]
        else:
            given = [*call.args[entrance.position : entrance.position + 1]]
            given = given or [k.value for k in call.keywords if k.arg == entrance.parameter]
            written = [ast.Starred(node) for node in given]
        for words in _read_out(written, source.bound):
            yield [*entrance.before, *words]


def _means(call: ast.Call, entrance: Entrance, source: Source) -> bool:
    """Whether a call of that name may be of this entrance: a module's own goes before one from elsewhere."""
    if entrance.module == source.name:
        return True
    is_terminal = isinstance(call.func, ast.Attribute) and "terminal" in ast.unparse(call.func.value).lower()
    if entrance.name in source.defined and not is_terminal:
        return False
    return not entrance.before or entrance.module in source.imports


def _begins(node: ast.expr, bound: Mapping[str, list[ast.expr]]) -> bool:
    """Whether the words begin here; what stands before them says where they are entered."""
    if isinstance(node, ast.Name):
        return any(_text(value) for value in bound.get(node.id, []))
    return isinstance(node, ast.Starred) or bool(_text(node))


def _read_out(written: list[ast.expr], bound: Mapping[str, list[ast.expr]]) -> Iterator[list[_Token]]:
    """Every way to read arguments as words; it ends where they are not known."""
    ways = [_ways(node, bound) for node in written[:4]]
    total = 1
    for way in ways:
        total *= len(way)
    if total <= _MANY:
        for one in product(*ways):
            yield [token for part in one for token in part]


def _ways(node: ast.expr, bound: Mapping[str, list[ast.expr]], depth: int = 0) -> list[list[_Token]]:
    if isinstance(node, ast.Starred):
        return _spliced(node.value, bound, depth)
    if isinstance(node, ast.Name) and depth == 0:
        values = [text for value in bound.get(node.id, []) if (text := _text(value))]
        return [[text] for text in dict.fromkeys(values)] or [[_UNKNOWN]]
    return [[text]] if (text := _text(node)) else [[_UNKNOWN]]


def _spliced(node: ast.expr, bound: Mapping[str, list[ast.expr]], depth: int) -> list[list[_Token]]:
    """The ways to read what stands behind a star."""
    if isinstance(node, ast.Name):
        values = bound.get(node.id, []) if depth == 0 else []
        known = [way for value in values for way in _spliced(value, bound, depth + 1)]
        return [*known, [_Open(node.id)]]
    if isinstance(node, ast.Call) and _called(node) == "split":
        said = node.args[0] if node.args and not _text(node.func) else node.func
        inner = said.value if isinstance(said, ast.Attribute) else said
        texts = bound.get(inner.id, []) if isinstance(inner, ast.Name) else [inner]
        return [[*_text(text).removeprefix("wmctl ").split(), _UNKNOWN] for text in texts] or [[_UNKNOWN]]
    if isinstance(node, ast.Tuple | ast.List):
        return [
            [token for part in one for token in part]
            for one in product(*(_ways(part, bound, depth) for part in node.elts[:4]))
        ]
    return [[_UNKNOWN]]


def _literal(words: list[_Token]) -> Words:
    taken: list[str] = []
    for word in words:
        if isinstance(word, _Open):
            break
        taken.append(word)
    return tuple(taken)


def _entrance(source: Source, function: ast.FunctionDef, words: list[_Token]) -> Entrance | None:
    """The function as an entrance, when what it enters ends in one of its own parameters."""
    before = _literal(words)
    rest = words[len(before)] if len(words) > len(before) else _UNKNOWN
    if not isinstance(rest, _Open) or function.name.startswith("test_"):
        return None
    if function.args.vararg is not None and function.args.vararg.arg == rest.name:
        return Entrance(function.name, source.name, before, rest.name, None)
    named = [argument.arg for argument in function.args.args if argument.arg not in ("self", "cls")]
    if rest.name in named:
        return Entrance(function.name, source.name, before, rest.name, named.index(rest.name))
    return None
