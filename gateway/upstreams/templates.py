"""Which upstream a URI belongs to that nobody lists: matching against the resource templates of all, at a bounded cost.

Guesses nothing: a URI that templates of two upstreams match is nobody's.
"""

from collections.abc import Mapping, Sequence

from mcp.shared.uri_template import UriTemplate
from msgspec import Struct

from gateway.core.model import Tool

MOST_WORK = 300_000  # characters of the URI times variables, over all templates that are tried: about 10 ms at worst


class _Route(Struct, frozen=True):
    """One template, ready to be matched."""

    template: UriTemplate
    weight: int
    tool: Tool


class Templates:
    """Resource templates, by the literal text that they begin with; never changed once it is made."""

    def __init__(self, tools: Sequence[Tool] = ()) -> None:
        self.tools = tuple(tools)
        routes: dict[str, list[_Route]] = {}
        for tool in self.tools:
            template = UriTemplate.parse(tool.ref.name)
            route = _Route(template, 1 + len(template.variables), tool)
            routes.setdefault(tool.ref.name.partition("{")[0], []).append(route)
        self._routes: Mapping[str, Sequence[_Route]] = {
            prefix: sorted(found, key=lambda route: (_spans(route.template), route.tool.ref.name))
            for prefix, found in routes.items()
        }
        self._lengths = sorted({len(prefix) for prefix in routes}, reverse=True)

    def match(self, uri: str, only: str = "") -> Tool | None:
        """The most specific matching template of the one upstream that has any; `only` looks at no other.

        None too if it would take too much work to tell.
        """
        found: Tool | None = None
        work = 0
        for length in self._lengths:
            if length > len(uri):
                continue
            work += 1
            for route in self._routes.get(uri[:length], ()):
                upstream = route.tool.ref.upstream
                if (only and upstream != only) or (found is not None and upstream == found.ref.upstream):
                    continue
                work += route.weight * len(uri)
                if work > MOST_WORK:
                    return None
                if route.template.match(uri) is None:
                    continue
                if found is not None:
                    return None
                found = route.tool
        return found


def _spans(template: UriTemplate) -> bool:
    """Whether a variable of it takes several segments of a path: it comes after those that don't."""
    return any(variable.explode or variable.operator in ("+", "#") for variable in template.variables)
