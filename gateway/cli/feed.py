"""What waits for a person, as a gateway tells it: each told once, whatever gateway comes and goes.

Light: a socket that can be waited on, and no more.
"""

import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from gateway.cli.talk import Unreachable, ask_at, call, find_state, take

Event = Mapping[str, Any]  # event: opened | settled | held, at (RFC 3339), item


class Feed:
    """The events of the gateway of one configuration. `rows` are those that wait, by id, oldest first."""

    def __init__(self, config: str | None) -> None:
        """Raises `Unreachable` for a configuration that can't be read; a gateway need not run."""
        self._state = find_state(config)
        self._epoch, self._number = "", -1
        self.rows: dict[str, Mapping[str, Any]] = {}
        self._held: set[str] = set()  # digests of policies that waited when it was asked for all of them, or since

    def listen(self) -> socket.socket | None:
        """A link that can be read once there is news; None while no gateway answers."""
        request = {"op": "news", "epoch": self._epoch, "number": self._number}
        try:
            return call(self._state, json.dumps(request).encode() + b"\n")
        except (OSError, ValueError):
            return None

    def hear(self, link: socket.socket) -> list[Event] | None:
        """What is new on a link that can be read, and closes it; None where the gateway went away."""
        try:
            with link:
                answer = take(link)
            if not answer.get("ok"):
                return None
            self._epoch, self._number = answer["epoch"], answer["number"]
            events = self._anew() if answer["missed"] else answer["events"]
        except (OSError, ValueError, Unreachable):
            return None
        return [event for event in events if self._note(event)]

    def _note(self, event: Event) -> bool:
        """Keep what waits; whether an event tells anything new."""
        item = event["item"]
        if event["event"] == "held":
            known = item["digest"] in self._held
            self._held.add(item["digest"])
            return not known
        known = item["id"] in self.rows
        if event["event"] == "opened":
            self.rows[item["id"]] = item
            return not known
        self.rows.pop(item["id"], None)
        return True

    def _anew(self) -> list[Event]:
        """What there is now against what was known: after the start, a restart of the gateway, or a long silence."""
        waiting = {item["id"]: item for item in ask_at(self._state, "approvals", state="waiting")["items"]}
        events: list[Event] = []
        for id in [id for id in self.rows if id not in waiting]:
            with suppress(Unreachable):  # it was let go of meanwhile
                item = ask_at(self._state, "approval", id=id)["items"][0]
                events.append({"event": "settled", "at": "", "item": item})
        held = ask_at(self._state, "accept-policy", look=True, digest="")["items"]
        self._held.intersection_update(item["digest"] for item in held)
        events += ({"event": "opened", "at": item["created_at"], "item": item} for item in waiting.values())
        return [*events, *({"event": "held", "at": "", "item": item} for item in held)]
