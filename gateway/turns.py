"""Turns, behind `ports.Turns`: what the user asked for last in each session, and what was delivered there since.

In memory, and bounded; prompts and the client's own tools are written to the record, redacted. It decides nothing, and
what one principal or client says reaches no session of another.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio
import anyio.to_thread
from msgspec import Struct, field
from msgspec.structs import replace

from gateway.core.canon import canonical, keyed_digest
from gateway.core.capture import name_digest
from gateway.core.carried import Carried, carried, disguised, needles
from gateway.core.hooks import Happened, HookEvent
from gateway.core.model import Call, Finding, Kind, Record
from gateway.core.screen import place
from gateway.core.turns import UNKNOWN, Session, Turn
from gateway.errors import GatewayError
from gateway.ids import ENTRY, new_id
from gateway.ports import Background, Clock, Records, Screener

REMEMBERED = 1_000  # sessions; the one that was quiet longest is forgotten first
KEPT = 32 * 1024 * 1024  # bytes of outputs, of all sessions together
SEATS = 100  # principals and clients whose hooks are heard
ANNOUNCED = 1_000  # tool-use ids of one of them
ANNOUNCED_SECONDS = 3600.0  # how long an announced call may take to arrive: a person may be asked before
CAPTURED = 16 * 1024  # bytes of a prompt, and of the input of a client's tool, that a record keeps
PATIENCE = 5.0  # seconds for redacting one of them

FRESH = ("startup", "clear")  # how a session begins that has read nothing
UNTYPED = ("not-interactive", "not-typed")  # why a prompt is as little to be believed as any other text

Key = tuple[str, str, str]  # principal, client, session


class _Session(Session, eq=False):
    writing: anyio.Lock = field(default_factory=anyio.Lock)  # held while a new prompt is recorded


class _Use(Struct, eq=False):
    """A tool-use id: announced for a turn of a session, or (without one) used before anything announced it."""

    at: float
    key: Key | None = None
    turn: Turn = field(default_factory=Turn)
    by: str = ""  # the call, or the record of the client's own tool, that used it; empty: nothing yet
    digest: str = ""  # of that call's arguments

    def ties(self, call: Call, now: float) -> bool:
        """Whether the id ties this call to its turn: one call, and the further rounds of it."""
        if self.key is None:
            return False
        if not self.by and now - self.at <= ANNOUNCED_SECONDS:
            self.by, self.digest = call.id, call.digest
        return self.by == call.id or (call.resume is not None and self.digest == call.digest)


class Turns:
    """The turns of one gateway; implements `ports.Turns`, and hears the hooks of clients that are trusted for it."""

    def __init__(self, records: Records, screener: Screener, clock: Clock, key: bytes) -> None:
        """`key` makes the digests.

        `on_prompt` hears of each prompt that proves what a person asked for, `on_begin` of each session whose hook saw
        it begin with nothing read, `on_client_tool` of what a tool of the client's own read, or what else is not known.
        """
        self.on_prompt: Callable[[Key, str], None] = lambda key, text: None
        self.on_begin: Callable[[Key], None] = lambda key: None
        self.on_client_tool: Callable[[Key, str], Awaitable[None]] = _nothing
        self._records, self._screener, self._clock, self._key = records, screener, clock, key
        self._sessions: OrderedDict[Key, _Session] = OrderedDict()
        self._uses: OrderedDict[tuple[str, str], OrderedDict[str, _Use]] = OrderedDict()
        self._kept = 0

    async def prompted(self, call: Call) -> None:
        """The client handed over its user's prompt with this call: recorded where it is new, and a turn begins.

        What a hook said of the same call stands. It proves what the user asked for: the client is trusted for that.
        Raises `RecordError` if the prompt can't be recorded.
        """
        use, text = self._use(call), call.context.prompt or ""
        key = _own(call) if use is None or use.key is None else use.key
        digest = keyed_digest(self._key, canonical(text))
        session = self._session(key)
        if use is not None and use.turn.id:
            return
        if session.turn.digest != digest:
            async with session.writing:
                if session.turn.digest != digest:
                    session.enter(Turn())  # unknown, until it is on the record
                    told = {"source": "meta", "why_not": ""}
                    session.enter(await self._prompt(_of_call(call, key, self._clock), text, digest, told))
        if session.turn.digest == digest and session.turn.proves:  # a hook knows better who typed it
            self.on_prompt(key, text)
        if use is not None:
            use.turn = session.turn

    def turn(self, call: Call) -> tuple[str, str]:
        """The id of the record of the turn's prompt and the prompt's keyed digest; ("", "unknown") without one."""
        use = self._use(call) if call.context.tool_use else None
        if use is not None:
            return use.turn.id, use.turn.digest
        session = self._sessions.get(_own(call))
        return (session.turn.id, session.turn.digest) if session is not None else ("", UNKNOWN)

    def key(self, call: Call) -> Key:
        """Principal, client and session that a call belongs to, as its hooks tie it."""
        use = self._use(call) if call.context.tool_use else None
        return _own(call) if use is None or use.key is None else use.key

    def before(self, call: Call) -> Background:
        """What was delivered before this call since the turn's prompt. To be asked once for a call."""
        session, turn, _ = self._place(call)
        found, left = carried(needles(call.arguments), session.kept) if session.kept else ([], 0)
        context = dict(turn.listed(call.id))
        if left:
            context["unsearched"] = left
        return Background(context, self._shown(found) if found else ())

    async def carried(self, call: Call) -> tuple[Mapping[str, Any], ...]:
        """Which of its argument values stood in outputs of the session, also in disguise; for a card.

        What stood there undisguised is told again in the record.
        """
        session, _, _ = self._place(call)
        if not session.kept:
            return ()
        wanted, kept = needles(call.arguments), tuple(session.kept)
        found, _ = carried(wanted, kept)
        seen = {one.place for one in found}
        left = [needle for needle in wanted if place(needle.place) not in seen]
        if left:
            found += await anyio.to_thread.run_sync(disguised, left, kept, abandon_on_cancel=True)
        return self._shown(found) if found else ()

    def delivered(self, call: Call, digest: str, data: bytes) -> None:
        """An output is about to leave: its digest as recorded, and the canonical bytes of what is released."""
        session, turn, key = self._place(call)
        turn.add(call.id, digest)
        self._keep(session, key, call.id, data)

    async def hook(self, client: str, principal: str, event: HookEvent) -> None:
        """Hear one event of a client that is trusted for it; `principal` is whose process told it.

        Raises `RecordError` if what it says can't be recorded: the prompt is unknown then.
        """
        event = await self._named(event)
        key = (principal, client, f"{principal}/{client}/{event.session}")  # as if the client named its session itself
        session = self._session(key)
        self._seat(key)  # from now on its calls are watched for their ids
        if event.happened is Happened.PROMPT:
            await self._hear_prompt(key, session, event)
            return
        if event.happened is Happened.BEFORE_TOOL:
            self._announce(key, session, event)
        if event.happened is Happened.SESSION_START and event.source in FRESH:
            self.on_begin(key)
        session.note(event)
        if event.happened is Happened.SESSION_END:
            self._kept -= session.forget()
        elif event.happened in (Happened.AFTER_TOOL, Happened.TOOL_FAILED):
            await self._hear_tool(key, session, event)

    async def _named(self, event: HookEvent) -> HookEvent:
        """The event with names that may be written down; see `core.capture.name_digest`."""
        names = {name: getattr(event, name) for name in ("session", "prompt_id", "tool", "tool_use", "agent")}
        try:
            seen, _ = await self._screener.redact(names, self._clock.monotonic() + PATIENCE)
        except GatewayError:
            seen = dict.fromkeys(names, "")  # what can't be looked at counts as a secret
        if seen == names:
            return event
        told: Mapping[str, Any] = {
            name: text if text == seen.get(name, "") else name_digest(self._key, text) for name, text in names.items()
        }
        return replace(event, **told)

    async def _hear_prompt(self, key: Key, session: _Session, event: HookEvent) -> None:
        inside = session.turn.id if session.open else ""
        why_not = session.begin(event)
        session.enter(Turn(), event.prompt_id)  # unknown, until it is on the record
        if why_not in UNTYPED:
            await self.on_client_tool(key, why_not)
        digest = keyed_digest(self._key, canonical(event.prompt))
        told: dict[str, Any] = {"source": "hook", "why_not": why_not, "client_session": event.session}
        told |= {"client_prompt": event.prompt_id, "inside": inside, "cut": (event.cut or {}).get("prompt", 0)}
        async with session.writing:
            named = _of_hook(Kind.PROMPT, key, self._clock)
            session.enter(await self._prompt(named, event.prompt, digest, told), event.prompt_id)
        if not why_not:
            self.on_prompt(key, event.prompt)

    async def _prompt(self, named: Record, text: str, digest: str, told: Mapping[str, Any]) -> Turn:
        """Record a prompt, redacted; what can't be screened is told by its digest and length alone."""
        length = len(text.encode("utf-8", "replace"))
        about: dict[str, Any] = {"proves": not told["why_not"], "length": length, **told}
        findings: tuple[Finding, ...] = ()
        try:
            redacted, findings = await self._screener.redact(text, self._clock.monotonic() + PATIENCE)
            about["text"] = str(redacted).encode("utf-8", "replace")[:CAPTURED].decode("utf-8", "ignore")
        except GatewayError:
            about["unscreened"] = True
        turn = Turn(named.id, digest, not told["why_not"])
        extra = {name: value for name, value in about.items() if value or name == "proves"}
        await self._records.append(replace(named, prompt=digest, turn=turn.id, findings=findings, extra=extra))
        return turn

    def _announce(self, key: Key, session: _Session, event: HookEvent) -> _Use:
        """A call is about to come, or was told of only now; an id that is known already is not announced anew."""
        uses = self._seat(key)
        use = uses.setdefault(event.tool_use, _Use(self._clock.monotonic(), key, session.of(event.prompt_id)))
        if len(uses) > ANNOUNCED:
            uses.popitem(last=False)
        return use

    def _seat(self, key: Key) -> OrderedDict[str, _Use]:
        """The tool-use ids of a principal and client."""
        uses = self._uses.setdefault(key[:2], OrderedDict())
        self._uses.move_to_end(key[:2])
        if len(self._uses) > SEATS:
            self._uses.popitem(last=False)
        return uses

    async def _hear_tool(self, key: Key, session: _Session, event: HookEvent) -> None:
        """Record a tool of the client's own, once; a call that came through the gateway has its records already."""
        use = self._announce(key, session, event)
        if use.by:
            return
        # INVARIANT: the session is tainted also where nothing of it can be recorded.
        await self.on_client_tool(key, event.tool)
        if use.key != key:
            return
        named = _of_hook(Kind.CLIENT_TOOL, key, self._clock)
        use.by, turn = named.id, use.turn
        asked = canonical(event.input)
        answer = b"" if event.response is None else canonical(event.response)
        cut = event.cut or {}
        omitted = {"result": cut.get("tool_response", len(answer))}
        arguments, findings = await self._input(event, len(asked))
        if arguments is None:
            omitted["arguments"] = cut.get("tool_input", len(asked))
        record = replace(
            named,
            tool=event.tool,
            tool_use=event.tool_use,
            outcome="error" if event.happened is Happened.TOOL_FAILED else "ok",
            findings=findings,
            arguments=arguments,
            arguments_digest="" if "tool_input" in cut else keyed_digest(self._key, asked),
            result_digest="" if "tool_response" in cut or not answer else keyed_digest(self._key, answer),
            omitted=omitted,
            prompt=turn.digest,
            turn=turn.id,
            extra={"client_session": event.session, **({"agent": event.agent} if event.agent else {})},
        )
        await self._records.append(record)
        turn.add(record.id, record.result_digest)
        self._keep(session, key, record.id, b"" if "tool_response" in cut else answer)

    async def _input(self, event: HookEvent, size: int) -> tuple[Mapping[str, Any] | None, tuple[Finding, ...]]:
        """The redacted input of a client's tool; None for one that is too long, cut, or can't be screened."""
        if size > CAPTURED or not isinstance(event.input, Mapping) or "tool_input" in (event.cut or {}):
            return None, ()
        try:
            redacted: tuple[Mapping[str, Any], tuple[Finding, ...]] = await self._screener.redact(
                event.input, self._clock.monotonic() + PATIENCE
            )
        except GatewayError:
            return None, ()
        return redacted

    def _use(self, call: Call) -> _Use | None:
        """What ties a call to a turn by its tool-use id; None for one that nothing tied."""
        uses = self._uses.get((call.principal.id, call.client.name))
        if uses is None or not call.context.tool_use:
            return None
        use = uses.get(call.context.tool_use)
        if use is None:  # so that the hook behind it knows that it was a call of ours
            uses[call.context.tool_use] = _Use(0.0, by=call.id)
            if len(uses) > ANNOUNCED:
                uses.popitem(last=False)
            return None
        return use if use.ties(call, self._clock.monotonic()) else None

    def _place(self, call: Call) -> tuple[_Session, Turn, Key]:
        """The session and the turn that a call belongs to."""
        use = self._use(call) if call.context.tool_use else None
        if use is not None and use.key is not None:
            return self._session(use.key), use.turn, use.key
        key = _own(call)
        session = self._session(key)
        return session, session.turn, key

    def _session(self, key: Key) -> _Session:
        session = self._sessions.get(key)
        if session is None:
            session = self._sessions[key] = _Session()
            if len(self._sessions) > REMEMBERED:
                self._kept -= self._sessions.popitem(last=False)[1].forget()
        else:
            self._sessions.move_to_end(key)
        return session

    def _keep(self, session: _Session, key: Key, id: str, data: bytes) -> None:
        """Keep an output's bytes; where all sessions together keep too much, the quietest ones lose theirs."""
        if self._sessions.get(key) is not session:
            return  # it was forgotten meanwhile
        self._kept += session.keep(id, data)
        if self._kept > KEPT:
            for quiet in self._sessions.values():
                self._kept -= quiet.forget()
                if self._kept <= KEPT:
                    return

    def _shown(self, found: list[Carried]) -> tuple[Mapping[str, Any], ...]:
        """What was carried, for the record: places by number where one of them may hold a secret."""
        places = "\n".join(each.place for each in found)
        named = self._screener.clean_text(places) == places
        return tuple(
            {
                "argument": each.place if named else f"#{number}",
                "source": each.source,
                "length": each.length,
                **({"disguised": True} if each.disguised else {}),
            }
            for number, each in enumerate(found)
        )


async def _nothing(key: Key, tool: str) -> None:
    """Nobody wants to hear it."""


def _own(call: Call) -> Key:
    """The session that a call belongs to where no hook ties it to another."""
    return call.principal.id, call.client.name, call.context.session


def _of_hook(kind: Kind, key: Key, clock: Clock) -> Record:
    """A record of what a hook told; the control socket knows whose process that was."""
    return Record(kind, new_id(ENTRY), clock.now(), principal=key[0], known_by="os-user", client=key[1], session=key[2])


def _of_call(call: Call, key: Key, clock: Clock) -> Record:
    """A record of what came with a call."""
    return Record(
        Kind.PROMPT,
        new_id(ENTRY),
        clock.now(),
        principal=call.principal.id,
        known_by=call.principal.known_by,
        client=call.client.name,
        claimed=call.client.claimed,
        session=key[2],
        transport=call.context.transport,
        era=call.context.era,
        trace=call.context.trace,
        tool_use=call.context.tool_use,
    )
