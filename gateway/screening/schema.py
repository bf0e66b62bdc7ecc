"""Whether a redacted result is still valid against its tool's output schema.

The schema is an upstream's, so nothing of it is fetched and no pattern of it runs in an engine that can backtrack.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import count, islice
from typing import Any

from gateway.core.canon import canonical
from gateway.core.repair import Problem

_UNBOUNDED = ("patternProperties", "unevaluatedProperties", "unevaluatedItems")  # keywords that match patterns inside
MAX_NODES = 20_000
MAX_STEPS = 500_000  # keywords that are looked at: references that branch take a power of two
MAX_PROBLEMS = 200  # things that don't fit; a value with more is not repaired


def stays_valid(value: object, schema: object) -> bool:
    """Whether a value is valid; False for a schema that can't be used or is not worth the risk (`_UNBOUNDED`)."""
    return problems(value, schema, most=1) == ()


def problems(value: object, schema: object, *, most: int = MAX_PROBLEMS) -> tuple[Problem, ...] | None:
    """What of a value doesn't fit: where, and by which part of the schema; None for a schema that can't be used or is
    not worth the risk, and for `most` problems and more than one.
    """
    # imported late: 0.1 s, and needed only where something was redacted
    from jsonschema import exceptions, validators  # type: ignore[import-untyped]  # the package has no types
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    if not isinstance(schema, Mapping) or _risky(schema):
        return None
    try:
        chosen = validators.validator_for(schema, default=validators.validator_for({}))
        own = {**chosen.VALIDATORS, "pattern": _pattern, "uniqueItems": _unique}
        steps = count(1)
        bounded = validators.extend(chosen, {word: _counted(keyword, steps) for word, keyword in own.items()})
        chosen.check_schema(schema)
        errors = islice(bounded(schema, registry=Registry()).iter_errors(value), most)
        found = tuple((tuple(error.absolute_path), "/".join(map(str, error.absolute_schema_path))) for error in errors)
    except (exceptions.SchemaError, exceptions.UnknownType, Unresolvable, RecursionError, ValueError, TypeError):
        return None
    return None if len(found) == most > 1 else found


def _counted(keyword: Callable[..., Any], steps: Iterator[int]) -> Callable[..., Any]:
    """A keyword that is looked at no more once all of them were `MAX_STEPS` times."""

    def look(*about: Any) -> Any:
        if next(steps) > MAX_STEPS:
            raise ValueError("more steps than a schema is worth")
        return keyword(*about)

    return look


def _unique(_validator: object, wanted: object, instance: object, _schema: object) -> Iterator[Exception]:
    """The keyword `uniqueItems`, in linear time."""
    from jsonschema.exceptions import ValidationError  # type: ignore[import-untyped]  # the package has no types

    if wanted and isinstance(instance, list | tuple) and len(set(map(canonical, instance))) < len(instance):
        yield ValidationError("has items that are not unique")


def _risky(schema: Mapping[str, Any]) -> bool:
    todo: list[object] = [schema]
    for _ in range(MAX_NODES):
        if not todo:
            return False
        item = todo.pop()
        if isinstance(item, Mapping):
            if any(word in item for word in _UNBOUNDED):
                return True
            todo.extend(item.values())
        elif isinstance(item, list | tuple):
            todo.extend(item)
    return True


def _pattern(_validator: object, pattern: str, instance: object, _schema: object) -> Iterator[Exception]:
    """The keyword `pattern`, in an engine of linear time; a pattern that it doesn't take counts as not matched."""
    from jsonschema.exceptions import ValidationError
    from pydantic_core import SchemaError, SchemaValidator, core_schema
    from pydantic_core import ValidationError as Mismatch

    if not isinstance(instance, str):
        return
    try:
        SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex")).validate_python(instance)
    except (SchemaError, Mismatch):
        yield ValidationError("does not match the pattern")
