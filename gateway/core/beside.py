"""Whether the tables beside the record say what the record tells: rows of people, as they were kept. No I/O here.

The tables change, and are not hashed; what of them is bound here is bound by the record alone.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct, field

from gateway.core.model import ApprovalState, Kind

_BOUND = ("call", "proof_required", "approvers_required", "expires_at")  # of an approval, from its opening on
_OVER = (ApprovalState.DENIED.value, ApprovalState.EXPIRED.value, ApprovalState.WITHDRAWN.value)


def mark(kept: bytes) -> str:
    """What the record says of bytes that are kept beside it (SHA-256, hex): they never change."""
    return hashlib.sha256(kept).hexdigest()


class Beside(Struct):
    """What the record tells of people, row by row in order; then the tables are compared with it.

    `pruned` says that the first rows were let go: what is older stands in the tables alone.
    """

    pruned: bool = False
    _open: dict[str, tuple[Mapping[str, Any], Sequence[Any]]] = field(default_factory=dict)  # what is bound, votes
    _votes: dict[str, Sequence[Any]] = field(default_factory=dict)
    _cards: dict[str, str] = field(default_factory=dict)
    _grants: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # as given, with `state` as it is
    _held: set[str] = field(default_factory=set)
    _keys: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    _leaks: dict[str, tuple[str, str, str, bool, int]] = field(default_factory=dict)  # as they were said to be last

    def row(self, kind: Kind, about: Mapping[str, Any]) -> str:
        """Take a row, by its `extra`; what is wrong with it, or an empty text."""
        try:
            match kind:
                case Kind.APPROVAL:
                    return self._approval(about)
                case Kind.GRANT:
                    given = self._grants.get(about["grant"], about)
                    self._grants[about["grant"]] = {**given, "state": about["state"]}
                case Kind.FREEZE:
                    (self._held.add if about["state"] == "freeze" else self._held.discard)(about["freeze"])
                case Kind.APPROVER if about["state"] == "revoked":
                    self._keys.pop(about["key"], None)
                case Kind.APPROVER:
                    told = (about["name"], about["kind"], about["public"], bool(about["attended"]))
                    self._keys[about["key"]] = told
                case Kind.LEAK if "state" in about:
                    said = (about["state"], about["at"], about["until"], about["false_positive"], about["reopened"])
                    self._leaks[about["leak"]] = said
                case _:
                    pass
        except (KeyError, TypeError, AttributeError):
            return "what it says of people can't be read"
        return ""

    def _approval(self, about: Mapping[str, Any]) -> str:
        """An approval goes on as it was opened, by one vote at a time."""
        statement = {name: said for name, said in about["statement"].items() if name != "shown"}
        id, votes = statement["approval"], list(about["votes"])
        bound = {**statement, **{name: about[name] for name in _BOUND}}
        if "kept" in about:
            self._cards[id] = about["kept"]
        before, given = self._open.get(id, (bound, votes[:-1]))
        self._open[id], self._votes[id] = (bound, votes), votes
        if about["state"] in _OVER:
            del self._open[id]
        if before != bound:
            return f"approval `{id}` is not what it was when it was opened"
        if votes[: len(given)] != list(given) or len(votes) > len(given) + 1:
            return f"votes for approval `{id}` are told that were never given"
        return ""

    def card(self, id: str, kept: bytes) -> str:
        """What is wrong with the card of an approval, as it is kept."""
        told = self._cards.get(id)
        return "" if told in (None, mark(kept)) else f"the card of approval `{id}` is not the one that was opened"

    def votes(self, id: str, kept: bytes) -> str:
        """What is wrong with the votes for an approval, as they are kept: notes aside, those that were told last."""
        try:
            found = [
                {name: said for name, said in vote.items() if name != "note" and (name, said) != ("evidence", {})}
                for vote in msgspec.json.decode(kept)
            ]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError, AttributeError):
            found = [{}]
        return "" if self._votes.get(id) in (None, found) else f"the votes for approval `{id}` are not those given"

    def grant(self, id: str, kept: bytes, ended: str, expires_at: str, uses: int, used: int, sent: int = 0) -> str:
        """What is wrong with a grant, as it is kept, if so many calls were `sent` by it."""
        told = self._grants.get(id)
        if told is None:
            return "" if self.pruned else f"no record tells of grant `{id}`"
        if ended != ("" if told["state"] == "given" else told["state"]):
            return f"grant `{id}` is not ended as the record says"
        same = (expires_at, uses) == (told.get("expires_at"), told.get("uses")) and sent <= used <= uses
        same = same and told.get("kept") in (None, mark(kept))
        return "" if same else f"grant `{id}` is not what was given"

    def freezes(self, kept: Sequence[str]) -> str:
        """What is wrong with what is held."""
        if gone := sorted(self._held.difference(kept)):
            return f"freeze `{gone[0]}` was lifted, and no record tells by whom"
        more = sorted(set(kept) - self._held)
        return f"no record tells of freeze `{more[0]}`" if more and not self.pruned else ""

    def keys(self, kept: Mapping[str, tuple[Any, ...]]) -> str:
        """What is wrong with the keys of approvers: by id their name, kind, public half, and whether attended."""
        for id, told in sorted(self._keys.items()):
            if kept.get(id) != told:
                return f"key `{id}` is not the one that was enrolled"
        more = sorted(set(kept) - set(self._keys))
        return f"no record tells of key `{more[0]}`" if more and not self.pruned else ""

    def leak(self, id: str, state: str, at: str, until: str, false_positive: bool, reopened: int) -> str:
        """What is wrong with what is kept of a leak: that it is open follows from what was seen, all else was said."""
        told = self._leaks.get(id)
        if told is None:
            return "" if state == "open" or self.pruned else f"no record tells why leak `{id}` is {state}"
        if state == "open" and reopened > told[-1]:
            return ""  # it was seen again since
        return "" if (state, at, until, false_positive, reopened) == told else f"leak `{id}` is not what was said of it"
