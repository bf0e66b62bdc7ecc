"""What tools were defined as before they were defined otherwise, for whoever has to see the difference. In memory."""

from gateway.core.model import Tool
from gateway.upstreams.catalogue import Catalogue

MOST = 200  # tools of which a former definition is kept; the one that changed first goes first


class Definitions:
    """Follows one catalogue from its making on."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._known: dict[tuple[str, str], Tool] = {}
        self._former: dict[tuple[str, str], Tool] = {}
        catalogue.on_change(self._look)

    def former(self, tool: Tool) -> Tool | None:
        """The tool as it was defined before its last change; None where this gateway has seen none."""
        return self._former.get((tool.ref.upstream, tool.ref.name))

    def _look(self, kinds: frozenset[str]) -> None:
        if "tools" not in kinds:
            return
        now = {(tool.ref.upstream, tool.ref.name): tool for tool in self._catalogue.offered("tools")}
        for key, tool in now.items():
            before = self._known.get(key)
            if before is not None and before.digest != tool.digest:
                self._former.pop(key, None)
                self._former[key] = before
                if len(self._former) > MOST:
                    del self._former[next(iter(self._former))]
        self._known = now
