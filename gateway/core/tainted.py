"""Whether the tables of the flow say what the record tells: tainted sessions, and what tainted sessions wrote.

The tables change, and are not hashed; who takes rows out of them gains trust. No I/O here.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct, field

from gateway.core.session import Key


class Tainted(Struct):
    """What the rows of kind `flow` tell, in order. `pruned` says that the first rows were let go: what is older stands
    in the tables alone.
    """

    pruned: bool = False
    before: str = ""  # what was written last before then was forgotten
    _told: dict[Key, tuple[bool, bool]] = field(default_factory=dict)

    def row(self, principal: str, client: str, about: Mapping[str, Any]) -> None:
        """Take a row, by its `extra`."""
        if "forgotten" in about:
            self.before = max(self.before, str(about.get("before", "")))
            return
        key = (principal, client, str(about.get("flow", "")))
        tainted, private = self._told.get(key, (False, False))
        self._told[key] = tainted or bool(about.get("tainted")), private or bool(about.get("private"))

    def sessions(self, kept: Mapping[Key, tuple[bool, bool]]) -> Iterator[str]:
        """What is wrong with the sessions, as they are kept: tainted, private."""
        for key, told in self._told.items():
            if any(told > found for told, found in zip(told, kept.get(key, (False, False)), strict=True)):
                yield f"{_named(key)} is not as tainted as the record says"
        for key, found in kept.items() if not self.pruned else ():
            if any(found > told for told, found in zip(self._told.get(key, (False, False)), found, strict=True)):
                yield f"no record tells why {_named(key)} is tainted"

    def wrote(self, call: str, at: str, forms: Iterable[str], kept: Callable[[str], str]) -> Iterator[str]:
        """What is wrong with what a record says was written, if `kept` tells when a form was written last; empty for
        one that isn't there.
        """
        for form in forms if at >= self.before else ():
            if kept(form) < at:
                yield f"what `{call}` wrote in a tainted session is not known any more: form `{form}`"

    def made_up(self, call: str, form: str, said: bool) -> Iterator[str]:
        """What is wrong with a form that is kept of a call, if its rows `said` that it was written then."""
        if not said and not self.pruned:
            yield f"no record tells that `{call}` wrote form `{form}` in a tainted session"


def _named(key: Key) -> str:
    principal, client, session = key
    return f"session `{session}`" if session else f"what `{principal}` does with `{client}`"
