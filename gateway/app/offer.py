"""What of the upstreams is offered to clients, as what, and what each side is told of the other.

It forwards nothing and waits for nobody.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

from msgspec.structs import replace

from gateway.app.locking import Locking
from gateway.config import Settings
from gateway.core.attended import attended
from gateway.core.inquiry import declarable
from gateway.core.model import ELICIT, Surface, Tool, ToolRef
from gateway.core.policy import Policy
from gateway.core.risk import classify, labels_for, surface_labels
from gateway.upstreams.catalogue import Catalogue

TITLE = (
    "Wardgate stands before these servers and decides on each call. A result that begins with NOT EXECUTED was "
    "refused, or waits for a person: do what it says."
)

ATTENDED = "anthropic/requiresUserInteraction"  # in Claude Code no rule or mode lets a call of such a tool pass unseen


class Offer:
    """What one configuration and policy make of what upstreams list, which was screened before it got here."""

    def __init__(
        self,
        settings: Settings,
        policy: Callable[[], Policy],
        today: Callable[[], date],
        locking: Locking | None = None,
    ) -> None:
        """`policy` tells the one that counts now, `locking` what nobody has accepted as it is."""
        self._settings, self._in_force, self._today, self._locking = settings, policy, today, locking

    @property
    def _policy(self) -> Policy:
        return self._in_force()

    def classify(
        self, ref: ToolRef, exposed: str, definition: Mapping[str, Any], digest: str, surface: Surface, listed: bool
    ) -> Tool:
        """A definition with its labels; see `catalogue.Classify`."""
        tool = surface is Surface.TOOLS
        labels = labels_for(self._policy, ref) if tool else surface_labels(self._policy, ref, surface, listed=listed)
        upstream = self._settings.upstreams[ref.upstream]
        acts_as = f"{upstream.acts_as.kind} {upstream.acts_as.identity}" if upstream.acts_as else ""
        return classify(definition, ref, exposed, digest, labels, upstream.owner, surface, acts_as)

    def declare(self, upstream: str, client: str, capabilities: Mapping[str, Any]) -> Mapping[str, Any]:
        """What an upstream may hear of what a client can do: what its `elicit` key and the policy might let through."""
        if not capabilities:
            return capabilities

        def admits(method: str) -> bool:
            ref = ToolRef(upstream, method)
            if method == ELICIT:
                return not self._policy.hides(ref, Surface.METHODS)
            return self._policy.may_allow(ref, Surface.METHODS, client)

        return declarable(capabilities, self._settings.upstreams[upstream].elicit, admits)

    def shown(self, catalogue: Catalogue, kind: str, only: str, client: str) -> Sequence[Tool]:
        """What a list of one kind holds: everything but what a rule blocks for everybody and always. What is held is
        shown as it was accepted, and of each tool whether a person is asked about it.
        """
        policy, today = self._policy, self._today()
        shown = [tool for tool in catalogue.shown(kind, only) if not policy.hides(tool.ref, tool.surface)]
        if self._locking is not None:
            shown = [self._locking.shown(kind, tool) for tool in shown]
        return [_marked(tool) if kind == "tools" and attended(policy, tool, client, today) else tool for tool in shown]

    def hidden(self, catalogue: Catalogue, only: str) -> int:
        """How many tools that leaves out."""
        return sum(self._policy.hides(tool.ref) for tool in catalogue.shown("tools", only))

    def about(self, catalogue: Catalogue, only: str) -> str:
        """The instructions that clients get: what stands here, what is hidden, and the words of believed upstreams."""
        names = [name for name in self._settings.upstreams if only in ("", name)]
        said = [f"{TITLE} Servers: {', '.join(names)}."]
        if left_out := self.hidden(catalogue, only):
            said.append(f"{left_out} of their tools are hidden by policy.")
        for name, text in catalogue.instructions.items():
            if self._locking is not None and self._locking.withholds(name, text):
                continue
            if name in names and self._settings.upstreams[name].instructions:
                said.append(f"Instructions of the server `{name}`:\n{text}")
        return "\n\n".join(said)


def _marked(tool: Tool) -> Tool:
    """The tool as one that a person is asked about."""
    meta = tool.definition.get("_meta")
    return replace(tool, definition={**tool.definition, "_meta": {**(meta or {}), ATTENDED: True}})
