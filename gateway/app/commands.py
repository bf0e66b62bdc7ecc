"""What commands ask of a running gateway over the control socket: rows of JSON out, votes in."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from gateway.acceptance import BY_DIGEST
from gateway.app.build import Gateway
from gateway.app.consent import LockCommands, accept_policy
from gateway.app.door import Door
from gateway.app.keys import KeyCommands
from gateway.app.ledger import LeakCommands
from gateway.app.news import News
from gateway.app.owners import OwnerCommands
from gateway.app.planting import plant
from gateway.app.seat import Seat
from gateway.app.status import StatusCommands
from gateway.control import Handler, Refusal, Request
from gateway.core.approval import Voter, item
from gateway.core.card import card
from gateway.core.grants import SCOPES, freeze_item, grant_item, offered
from gateway.core.hooks import read_event
from gateway.core.model import Choice
from gateway.errors import ApprovalError, CallerError, GatewayError, RecordError

USAGE, UNREACHABLE = 2, 3
NAME_LIMIT = 128  # characters of a client's name


class Commands:
    """The handlers of one gateway, by operation."""

    def __init__(self, gateway: Gateway, seat: Seat) -> None:
        self._gateway, self._door, self._seat = gateway, Door(gateway), seat
        self._keys, self._leaks = KeyCommands(gateway, self._door), LeakCommands(gateway, self._door)
        self._news = News(gateway.clock)
        gateway.approvals.on_change.append(self._news.note)
        gateway.reload.on_held.append(self._news.hold)

    def handlers(self) -> Mapping[str, Handler]:
        """Every operation that a command may ask for."""
        return {
            "approvals": self.approvals,
            "accept-policy": self.accept_policy,
            "approval": self.approval,
            "approve": self.approve,
            "checkpoint": self.checkpoint,
            "console": self.console,
            "covers": self.covers,
            "deny": self.deny,
            "freeze": self.freeze,
            "freezes": self.freezes,
            "grants": self.grants,
            "honeytokens": self.honeytokens,
            "hook": self.hook,
            "label": self.label,
            "news": self.news,
            "origins": self.origins,
            "revoke": self.revoke,
            "sessions": self.sessions,
            "thaw": self.thaw,
            **LockCommands(self._gateway).handlers(),
            **OwnerCommands(self._gateway).handlers(),
            **StatusCommands(self._gateway).handlers(),
            **{name: _answering(handler) for name, handler in self._keys.handlers().items()},
            **{name: _answering(handler) for name, handler in self._leaks.handlers().items()},
        }

    async def approvals(self, request: Request, user: str) -> dict[str, Any]:
        """Rows in one state, or in any (`all`)."""
        with answering():
            return {"items": [item(row) for row in await self._door.waiting(str(request.get("state", "waiting")))]}

    async def approval(self, request: Request, user: str) -> dict[str, Any]:
        """One row, its card as text (`card`) and as data (`view`)."""
        with answering():
            row = await self._door.row(str(request.get("id", "")))
            return {"items": [item(row)], "card": card(row), "view": msgspec.to_builtins(await self._door.card(row))}

    async def news(self, request: Request, user: str) -> dict[str, Any]:
        """What happened to approvals, and was held, behind `number` of `epoch`; waits for the next event where there is
        none yet.
        """
        number = request.get("number")
        return await self._news.after(str(request.get("epoch", "")), number if isinstance(number, int) else -1)

    async def covers(self, request: Request, user: str) -> dict[str, Any]:
        """Of how many questions about a row's tool in 30 days (`of`) each grant on its card would have spared how many
        (`covers`, by choice).
        """
        with answering():
            row, voter, found, of = await self._door.row(str(request.get("id", ""))), self._voter(user), {}, 0
            for choice in (choice for choice in offered(row) if choice in SCOPES):
                found[choice.value], of = await self._door.would_cover(row, choice, voter)
            return {"covers": found, "of": of}

    async def approve(self, request: Request, user: str) -> dict[str, Any]:
        """Approve exactly what was shown, with proof `local`: the name is that of the user at the other end."""
        return await self._vote({"choice": "once", **request}, user, denies=False)

    async def deny(self, request: Request, user: str) -> dict[str, Any]:
        """Deny, with a reason for the model."""
        return await self._vote({"choice": "deny", **request}, user, denies=True)

    async def label(self, request: Request, user: str) -> dict[str, Any]:
        """Say what the tool of a waiting row does."""
        with answering():
            row = await self._door.row(str(request.get("id", "")))
            await self._door.label(row, str(request.get("effect", "")), self._voter(user))
            return {"items": [item(await self._door.row(row.id))]}

    async def grants(self, request: Request, user: str) -> dict[str, Any]:
        """All grants that are remembered, the newest first."""
        with answering():
            return {"items": [grant_item(grant) for grant in await self._door.grants()]}

    async def revoke(self, request: Request, user: str) -> dict[str, Any]:
        """End a grant."""
        with answering():
            return {"items": [grant_item(await self._door.revoke(str(request.get("id", "")), self._voter(user)))]}

    async def freezes(self, request: Request, user: str) -> dict[str, Any]:
        """All that is held now."""
        return {"items": [freeze_item(freeze) for freeze in self._door.freezes()]}

    async def freeze(self, request: Request, user: str) -> dict[str, Any]:
        """Hold everything (`all`), one `upstream` or one `session`."""
        upstream, session = str(request.get("upstream", "")), str(request.get("session", ""))
        if (request.get("all") is True) == bool(upstream or session):
            raise Refusal("expected an upstream, a session, or all", USAGE)
        with answering():
            held = await self._door.freeze(upstream, session, self._voter(user), str(request.get("reason", "")))
            return {"items": [freeze_item(held)]}

    async def thaw(self, request: Request, user: str) -> dict[str, Any]:
        """Let go what was held: `all` of it, or what names one `upstream` or `session`."""
        upstream, session = str(request.get("upstream", "")), str(request.get("session", ""))
        with answering():
            gone = await self._door.thaw(upstream, session, self._voter(user), everything=request.get("all") is True)
            return {"items": [freeze_item(freeze) for freeze in gone]}

    async def checkpoint(self, request: Request, user: str) -> dict[str, Any]:
        """Make a checkpoint over all that is durable now."""
        try:
            return {"items": [{"note": await self._gateway.checkpoints.make()}]}
        except RecordError as problem:
            raise Refusal(str(problem), UNREACHABLE) from None

    async def console(self, request: Request, user: str) -> dict[str, Any]:
        """A link that signs the user at the other end in to the console: once, within a minute."""
        with answering():
            return {"items": [{"url": await self._seat.link(user)}]}

    async def honeytokens(self, request: Request, user: str) -> dict[str, Any]:
        """Look for what `wardgate honeytoken` has minted, too."""
        with answering():
            return {"items": [], "count": await plant(self._gateway.settings.gateway.state, self._gateway.screener)}

    async def hook(self, request: Request, user: str) -> dict[str, Any]:
        """One event of a client's hook; only clients are heard that are trusted to hand over prompts."""
        client = str(request.get("client", ""))[:NAME_LIMIT]
        entry = self._gateway.settings.clients.get(client)
        if entry is None or "prompt" not in entry.trust:
            raise Refusal(
                f'client `{client}` is not trusted with prompts: `trust = ["prompt"]` in `[clients.{client}]`'
            )
        try:
            await self._gateway.turns.hook(client, f"os:{user}", read_event(request))
        except CallerError as problem:
            raise Refusal(str(problem)) from None
        except RecordError as problem:
            raise Refusal(str(problem), UNREACHABLE) from None
        return {}

    async def sessions(self, request: Request, user: str) -> dict[str, Any]:
        """What the monitor has seen of each session."""
        return {"items": list(self._gateway.monitor.sessions())}

    async def origins(self, request: Request, user: str) -> dict[str, Any]:
        """Whose a `session` is, and from which origins something good is known in it: words, and no values."""
        name = str(request.get("session", ""))
        mine = [item for item in self._gateway.monitor.sessions() if item["session"] == name]
        if not mine:
            raise Refusal(f"unknown session `{name}`: `wardgate sessions` lists them")
        principal, client = str(mine[0]["principal"]), str(mine[0]["client"])
        known = sorted(self._gateway.flows.holds((principal, client, name)))
        return {"items": [{"session": name, "principal": principal, "client": client, "origins": known}]}

    async def accept_policy(self, request: Request, user: str) -> dict[str, Any]:
        """What is held and has this `digest`; with `look` it is shown, else it counts from now on. Proof `local`."""
        reload, word = self._gateway.reload, str(request.get("digest", ""))
        with answering():
            if request.get("look") is True:
                return {"items": [row for row in reload.status()["held"] if row["digest"].startswith(word)]}
            held = await accept_policy(self._gateway, word, self._voter(user), BY_DIGEST)
            return {"items": [{"what": held.what, "digest": held.digest, "restart": held.policy is None}]}

    async def _vote(self, request: Request, user: str, *, denies: bool) -> dict[str, Any]:
        if (request["choice"] in (Choice.DENY.value, Choice.BAR.value)) is not denies:
            raise Refusal(f"`{'deny' if denies else 'approve'}` is no word for the choice `{request['choice']}`", USAGE)
        with answering():
            row = await self._door.row(str(request.get("id", "")))
            shown = request.get("arguments_digest")
            if shown is not None and shown != row.arguments_digest:
                raise Refusal(f"approval `{row.id}` is not of the call that was shown")
            body = {**request, "note": request.get("reason", request.get("note", ""))}
            voter = await self._keys.voter(row, body, user)
            return {"items": [item(await self._door.answer(row, body, voter))]}

    def _voter(self, user: str) -> Voter:
        """The user at the other end, whom the socket tells; roles are those of the configuration."""
        return self._gateway.proofs.voter(f"os:{user}")


def _answering(handler: Handler) -> Handler:
    async def answer(request: Request, user: str) -> dict[str, Any]:
        with answering():
            return await handler(request, user)

    return answer


@contextmanager
def answering() -> Iterator[None]:
    """Tell what does not count as a refusal (exit code 1), and what broke as unreachable (3)."""
    try:
        yield
    except ApprovalError as problem:
        raise Refusal(str(problem), USAGE if problem.objection == "state" else 1) from None
    except GatewayError as problem:
        raise Refusal(str(problem), UNREACHABLE) from None
