"""Run the CEL conditions of rules: compile once, evaluate per call, say what can't be evaluated. No I/O here.

The engine is imported when the first condition is compiled (0.3 s): nothing that only reads settings pays for it.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from gateway.core.expressions import read
from gateway.core.flow import Origins, trace, unproven, weighs
from gateway.core.model import Call, Facts, Tool, Traced
from gateway.core.sinks import ValueList, sink_values

if TYPE_CHECKING:
    import cel

MAX_BYTES = 1024 * 1024  # canonical bytes of the arguments that a condition runs on
MAX_NODES = 2_000  # values in them
NESTED_BYTES, NESTED_NODES = 64 * 1024, 500  # the same where macros are nested: the engine has no time limit
_QUIET: Mapping[str, Any] = {  # a call in which nothing stands out, to try conditions on
    "tool": {"upstream": "", "name": "", "effect": "read", "tier": "read"},
    "principal": {"id": "", "known_by": "", "roles": []},
    "client": {"name": "", "registered": True},
    "session": {"tainted": False, "private": False, "calls_10m": 0, "consequential": 0},
    "flow": {"unproven": [], "sources": []},
    "now": datetime(2026, 1, 1, tzinfo=UTC),
}
_ENGINE_ERRORS = (RuntimeError, TypeError, ValueError, ArithmeticError, LookupError)


class Program(Protocol):
    """A compiled condition."""

    def execute(self, context: Any) -> Any:
        """Evaluate it."""


class Condition(Struct, frozen=True, eq=False):
    """The `when` of a rule."""

    text: str
    arguments: frozenset[str] = frozenset()  # arguments that it reads by name
    names: frozenset[str] = frozenset()  # variables that it reads
    each: bool = False  # whether it goes over all sinks
    computed: bool = False  # whether it reads arguments otherwise than by their names
    nested: bool = False
    program: Program | None = None

    def __eq__(self, other: object) -> bool:
        """Whether it says the same."""
        return isinstance(other, Condition) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


class ListingError(ValueError):
    """`listed` was asked for something that is no string."""


def preload() -> None:
    """Import the engine, for a worker thread to do before the first condition is needed."""
    _engine()


def compile_condition(
    text: str, lists: Mapping[str, ValueList], *, compiles: bool = True
) -> tuple[Condition, list[tuple[str, str]]]:
    """Check and compile a condition: the condition, and (message, nearest) of each problem.

    Without `compiles` it is only checked, and never holds: for those who look at rules and decide nothing.
    """
    reading = read(text, lists)
    problems = list(reading.problems)
    program: Program | None = None
    if not problems and compiles:
        try:
            program = _engine().compile(text)
        except ValueError as broken:
            problems.append((f"not a valid condition: {_brief(broken)}", ""))
    condition = Condition(
        text=text,
        arguments=frozenset(reading.arguments),
        names=frozenset(reading.names),
        each=reading.each,
        computed=reading.computed,
        nested=reading.nested,
        program=program,
    )
    return condition, problems


class Scene:
    """What the conditions of one decision look at: built when the first of them runs, no more than they read."""

    def __init__(
        self, call: Call, facts: Facts, tool: Tool, lists: Mapping[str, ValueList], names: frozenset[str]
    ) -> None:
        self.call, self._facts, self._tool, self._lists, self._names = call, facts, tool, lists, names
        self._context: cel.Context | None = None

    def holds(self, condition: Condition) -> bool | str:
        """Evaluate a condition; a text says why it could not be, and never holds a value of the call."""
        if condition.program is None:
            return "it was not compiled"
        if self._context is None:
            seen = {name: self._view(name) for name in self._names}
            self._context = _engine().Context(seen, {"listed": listing(self._lists)})
        result = _run(condition.program, self._context)
        if isinstance(result, bool | str):
            return result
        return f"expected true or false, found {type(result).__name__}"

    def unproven(self) -> tuple[Traced, ...]:
        """The values without an origin that is good enough; none in a clean session."""
        facts, call = self._facts, self.call
        if not facts.tainted or not weighs(self._tool):
            return ()
        return unproven(self._tool, self.values(), call.context.isolation, self._lists)

    def values(self) -> tuple[Traced, ...]:
        """Where the effect lands, with the origins that the facts tell."""
        told = self._facts.values
        return trace(self._tool, self.call.arguments, Origins()) if told is None else told

    def _view(self, name: str) -> Any:
        if name == "flow":
            return {"unproven": [one.value for one in self.unproven()], "sources": list(self._facts.sources)}
        return _VIEWS[name](self.call, self._facts, self._tool)

    def too_large(self, nested: bool) -> str:
        """Which limit for conditions the arguments exceed, or an empty string."""
        size, nodes = len(self.call.canonical), self._facts.nodes
        max_size, max_nodes = (NESTED_BYTES, NESTED_NODES) if nested else (MAX_BYTES, MAX_NODES)
        if size > max_size:
            return f"expected at most {max_size} bytes of arguments, found {size}"
        if nodes > max_nodes:
            return f"expected at most {max_nodes} values in the arguments, found {nodes}"
        return "expected integers of at most 64 bits" if _beyond_64_bits(self.call.arguments) else ""


def _tool_view(call: Call, facts: Facts, tool: Tool) -> Mapping[str, Any]:
    return {
        "upstream": tool.ref.upstream,
        "name": tool.ref.name,
        "effect": tool.effect.value,
        "tier": tool.tier.value,
    }


def _principal_view(call: Call, facts: Facts, tool: Tool) -> Mapping[str, Any]:
    who = call.principal
    return {"id": who.id, "known_by": who.known_by, "roles": sorted(who.roles)}


def _session_view(call: Call, facts: Facts, tool: Tool) -> Mapping[str, Any]:
    return {
        "tainted": facts.tainted,
        "private": facts.private,
        "calls_10m": facts.calls_10m,
        "consequential": facts.consequential,
    }


_VIEWS: Mapping[str, Callable[[Call, Facts, Tool], Any]] = {
    "args": lambda call, facts, tool: dict(call.arguments),
    "sinks": lambda call, facts, tool: list(sink_values(tool, call.arguments)),
    "tool": _tool_view,
    "principal": _principal_view,
    "client": lambda call, facts, tool: {"name": call.client.name, "registered": call.client.registered},
    "session": _session_view,
    "now": lambda call, facts, tool: facts.now,
}


def listing(lists: Mapping[str, ValueList]) -> Callable[[object, object], bool]:
    """The `listed(value, "list")` of conditions; raises `ListingError` for what is no string or no list."""

    def listed(value: object, name: object) -> bool:
        if not isinstance(value, str) or not isinstance(name, str) or name not in lists:
            raise ListingError("expected a string and the name of a list")
        return lists[name].holds(value)

    return listed


def try_out(
    condition: Condition, schema: Mapping[str, Any], tool: Tool, lists: Mapping[str, ValueList]
) -> tuple[str, ...]:
    """Run a condition on two calls made from a tool's input schema: all properties, and the required ones.

    Returns what can't be evaluated, each with the call that shows it. A property that the schema does not describe is
    an empty text.
    """
    properties = schema.get("properties")
    described = properties if isinstance(properties, Mapping) else {}
    required = schema.get("required")
    needed = required if isinstance(required, list) else []
    calls = {
        "all properties": {name: _example(part) for name, part in described.items()},
        "the required properties": {name: _example(part) for name, part in described.items() if name in needed},
    }
    problems: list[str] = []
    for what, arguments in calls.items():
        if condition.program is None:
            return ("it was not compiled",)
        names = {**_QUIET, "args": arguments, "sinks": list(sink_values(tool, arguments))}
        result = _run(condition.program, _engine().Context(names, {"listed": listing(lists)}))
        if not isinstance(result, bool):
            reason = result if isinstance(result, str) else f"expected true or false, found {type(result).__name__}"
            problems.append(f"on a call with {what}: {reason}")
    return tuple(problems)


def _example(schema: object) -> object:
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    first = kind[0] if isinstance(kind, list) and kind else kind
    examples: dict[str, object] = {"array": [], "object": {}, "integer": 0, "number": 0.0, "boolean": False}
    return examples.get(first, "") if isinstance(first, str) else ""


def _run(program: Program, context: Any) -> Any:
    """The result of a program, or a text that names the kind of error; error texts of the engine may hold values."""
    try:
        result = program.execute(context)
    except _ENGINE_ERRORS as broken:
        return f"the condition could not be evaluated ({type(broken).__name__})"
    return "expected true or false, found string" if isinstance(result, str) else result


def _beyond_64_bits(value: object) -> bool:
    todo = [value]
    while todo:
        match todo.pop():
            case bool():
                continue
            case int() as number:
                if not -(2**63) <= number < 2**63:
                    return True
            case dict() as table:
                todo.extend(table.values())
            case list() | tuple() as items:
                todo.extend(items)
    return False


def _brief(broken: ValueError) -> str:
    """The engine's own words, on one line and short."""
    return " ".join(str(broken).partition("ERROR: ")[2].split("\n")[0].split())[:160] or "it can't be parsed"


@cache
def _engine() -> Any:
    """The engine; it logs each failing function with its error, which can hold values of a call, so it is silenced."""
    import logging

    import cel

    logging.getLogger("cel").disabled = True
    return cel
