"""The pages' data as HTML: each asks the gate for values and gives them to a template. It changes nothing."""

import json
import unicodedata
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec

from gateway.console.access import DeniedError
from gateway.console.leaks import DAYS_OF_LEAKS, SHOWN, USUAL_DAYS, call_line, line_of, offered_for
from gateway.console.looks import Looks
from gateway.console.plots import stacked
from gateway.console.ports import Counts, Gate
from gateway.console.signin import SignIns, Tab
from gateway.core.card import why
from gateway.core.grants import ONCE_ONLY, SCOPES, stands
from gateway.core.model import Approval, Choice, Proof
from gateway.core.openings import of_grant
from gateway.core.query import FILTERS, Query
from gateway.core.record import stamp
from gateway.core.view import Card
from gateway.core.visible import visible
from gateway.errors import ApprovalError

PAGE = 50  # records on one page of decisions
DAYS = (1, 7, 30)
MOST_LEAKS = 200  # on one page
MOST_HELD = 50  # things that are held, with their differences
WHOLE = 300  # characters of one value in a list from which a call can be approved
ONE_LINE = 140  # characters of a row's arguments in a list

Params = Mapping[str, str]
Fragment = Callable[[Tab, Params], Awaitable[str]]


class Pages:
    """Every fragment, by the path of its page."""

    def __init__(self, gate: Gate, looks: Looks, signins: SignIns, *, passkeys: bool) -> None:
        self._gate, self._looks, self._signins, self._passkeys = gate, looks, signins, passkeys
        self.fragments: Mapping[str, Fragment] = {
            "/head": self.head,
            "/": self.waiting,
            "/grants": self.grants,
            "/decisions": self.decisions,
            "/figures": self.figures,
            "/sessions": self.sessions,
            "/upstreams": self.upstreams,
            "/leaks": self.leaks,
            "/policy": self.policy,
            "/you": self.you,
        }

    async def head(self, tab: Tab, params: Params) -> str:
        """What stands above every page: how many wait, what is held, who is signed in."""
        waiting = await self._gate.waiting()
        held = [freeze for freeze in self._gate.freezes() if not freeze.tool]
        return self._looks.render("head.html", waiting=len(waiting), held=held, name=tab.name, now=self._gate.now())

    async def waiting(self, tab: Tab, params: Params) -> str:
        """What waits for a person, by session: oldest first."""
        sessions: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
        for row in await self._gate.waiting():
            sessions.setdefault((row.principal, row.client, row.session), []).append(self._line(row))
        return self._looks.render("waiting.html", sessions=sessions)

    async def card(self, tab: Tab, prefix: str, params: Params) -> str:
        """One card: it counts as shown from now on, and so does what stands whole beside it."""
        row = await self._gate.row(prefix)
        card, plan, voter = await self._gate.card(row), await self._gate.plan(row), self._gate.voter(tab.name)
        order = [one.id for one in await self._gate.waiting()]
        now = self._gate.monotonic()
        beside = [self._line(one) for one in plan]
        for id in (row.id, *(str(line["id"]) for line in beside if line["plain"])):
            tab.show(id, now)
        return self._looks.render(
            "card.html",
            card=card,
            row=row,
            scopes=[choice for choice in card.choices if Choice(choice) in SCOPES],
            plan=beside,
            minutes=[minutes for minutes in (15, 60, 240, 480) if minutes <= self._gate.longest_grant()],
            editable=editable(row.arguments) if "edit" in card.choices else "",
            around=_around(order, row.id),
            passkeys=self._passkeys,
            signed=card.proof_required == "signed",
            may=_may(card, voter.by, voter.roles),
            follows=row.follows,
            followed_by=row.followed_by,
        )

    async def covers(self, tab: Tab, prefix: str, params: Params) -> str:
        """What a grant from a card would have covered; asked for once somebody thinks of giving it."""
        row, word = await self._gate.row(prefix), params.get("choice", "")
        if word not in [choice.value for choice in SCOPES]:
            raise DeniedError(400, f"no grant is called `{visible(word)}`")
        covered, of = await self._gate.would_cover(row, Choice(word), self._gate.voter(tab.name))
        opens = visible(of_grant(Choice(word), list(row.arguments), row.free))
        return self._looks.render("covers.html", covered=covered, of=of, opens=opens)

    def _line(self, row: Approval) -> Mapping[str, Any]:
        """A row as lists show it."""
        arguments = ", ".join(f"{visible(name)}: {_brief(value)}" for name, value in sorted(row.arguments.items()))
        left = (row.expires_at - self._gate.now()).total_seconds()
        whole = [(visible(name), _brief(value, WHOLE)) for name, value in sorted(row.arguments.items())]
        legible = all(not text.endswith("…") for _, text in whole) and not row.shown.redacted
        return {
            "id": row.id,
            "exposed": visible(row.exposed),
            "tool": visible(row.tool),
            "upstream": row.upstream,
            "effect": row.effect.value,
            "tier": row.tier.value,
            "why": visible(why(row)),
            "arguments": arguments[:ONE_LINE] + ("…" if len(arguments) > ONE_LINE else "") or "no arguments",
            "whole": whole,
            "left": max(0, int(left)),
            "expires_at": row.expires_at,
            "created_at": row.created_at,
            "digest": row.arguments_digest,
            # INVARIANT: what is approved from a list stands there whole, and takes no more than a yes.
            "plain": row.effect not in ONCE_ONLY
            and row.requirement.proof is not Proof.SIGNED
            and row.shown.labelled
            and legible,
            "labelled": row.shown.labelled,
            "edited": bool(row.follows),
        }

    async def grants(self, tab: Tab, params: Params) -> str:
        """All grants: those that stand first."""
        now, found = self._gate.now(), await self._gate.grants()
        standing = [grant for grant in found if stands(grant, now)]
        over = [grant for grant in found if not stands(grant, now)]
        return self._looks.render("grants.html", standing=standing, over=over, now=now)

    async def decisions(self, tab: Tab, params: Params) -> str:
        """One page of the record, newest first."""
        query = query_of(params)
        rows = await self._gate.decisions(tab.name, query)
        more = rows[-1].seq if len(rows) == query.limit and rows[-1].seq > 1 else None
        kept = {name: value for name, value in params.items() if name != "before" and value}
        return self._looks.render("decisions.html", rows=rows, given=params, more=more, kept=kept, filters=FILTERS)

    async def decision(self, tab: Tab, prefix: str, params: Params) -> str:
        """The story of one call."""
        told = await self._gate.story(tab.name, prefix)
        if told is None:
            raise ApprovalError(f"unknown id `{visible(prefix)}`, or the beginning of several", "unknown")
        own = [row for row in told.rows if row.record.id == told.call] or list(told.rows)
        record = own[-1].record
        asked = next((row.record.arguments for row in told.rows if row.record.arguments is not None), None)
        rules = list(zip(record.rules, (*record.places, *[""] * len(record.rules)), strict=False))
        return self._looks.render(
            "decision.html",
            told=told,
            last=own[-1],
            record=record,
            rules=rules,
            arguments=_pretty(asked),
            result=_pretty(next((row.record.result for row in reversed(own) if row.record.result is not None), None)),
        )

    async def figures(self, tab: Tab, params: Params) -> str:
        """Plots, and the figures of the approvers."""
        days = int(params["days"]) if params.get("days", "") in {str(one) for one in DAYS} else 7
        told = await self._gate.told(days)
        prompts = _per_hour(told.rows, told.tiers.hours)
        return self._looks.render(
            "figures.html",
            told=told,
            days=days,
            choices=DAYS,
            name=tab.name,
            verdicts=_plot(told.verdicts, ("allow", "ask", "block"), "calls", "Calls by verdict, over time"),
            tiers=_plot(told.tiers, ("read", "write", "high"), "calls", "Calls by tier, over time"),
            prompts=_plot(prompts, ("questions",), "questions", "Questions to people, over time"),
            longest=max((rule.median_seconds or 0 for rule in told.figures.rules), default=0),
        )

    async def sessions(self, tab: Tab, params: Params) -> str:
        """What each session did, the most recently active first."""
        frozen = {freeze.session: freeze for freeze in self._gate.freezes() if freeze.session and not freeze.tool}
        barred: dict[str, list[str]] = {}
        for freeze in self._gate.freezes():
            if freeze.tool:
                barred.setdefault(freeze.session, []).append(f"{freeze.upstream}/{visible(freeze.tool)}")
        found = list(reversed(self._gate.sessions(tab.name)))
        return self._looks.render("sessions.html", sessions=found, frozen=frozen, barred=barred)

    async def upstreams(self, tab: Tab, params: Params) -> str:
        """Upstreams with their tools; what of them is held counts as shown from now on."""
        (held, more), now = await self._gate.holdings(MOST_HELD), self._gate.monotonic()
        for row in held:
            tab.show(row.mark, now)
        return self._looks.render(
            "upstreams.html",
            upstreams=await self._gate.upstreams(),
            held=held,
            more=more,
            may=self._gate.may_accept(tab.name),
        )

    async def leaks(self, tab: Tab, params: Params) -> str:
        """Leaks by their state, never the secret itself."""
        found, now = await self._gate.leaks(tab.name), self._gate.now()
        shown = params.get("show", "") if params.get("show", "") in SHOWN else "todo"
        fitting = [leak for leak in found if SHOWN[shown][1](leak, now)]
        lines = [line_of(leak, now) for leak in fitting[:MOST_LEAKS]]
        counts = {word: sum(fits(leak, now) for leak in found) for word, (_, fits) in SHOWN.items()}
        names = {word: name for word, (name, _) in SHOWN.items()}
        return self._looks.render(
            "leaks.html", lines=lines, more=len(fitting) - len(lines), shown=shown, counts=counts, names=names
        )

    async def leak(self, tab: Tab, prefix: str, params: Params) -> str:
        """One leak: it counts as shown from now on."""
        told = await self._gate.leak(tab.name, prefix)
        if told is None:
            raise ApprovalError(f"unknown leak `{visible(prefix)}`, or the beginning of several", "unknown")
        tab.show(told.leak.id, self._gate.monotonic())
        now = self._gate.now()
        calls = [call_line(row, told.leak) for row in told.calls]
        return self._looks.render(
            "leak.html", told=told, leak=told.leak, line=line_of(told.leak, now), calls=calls,
            choices=offered_for(told.leak) if told.may else (), days=DAYS_OF_LEAKS,
            usual=USUAL_DAYS, ends=now + timedelta(days=USUAL_DAYS),
        )  # fmt: skip

    async def policy(self, tab: Tab, params: Params) -> str:
        """Files, revision, what is held, and what is wrong with those on the disk."""
        policy, now = await self._gate.policy(), self._gate.monotonic()
        for held in policy.held:
            tab.show(held.mark, now)
        return self._looks.render("policy.html", policy=policy, may=self._gate.may_accept(tab.name))

    async def you(self, tab: Tab, params: Params) -> str:
        """Who is signed in, what they may answer, and their passkeys."""
        voter = self._gate.voter(tab.name)
        return self._looks.render(
            "you.html", name=tab.name, roles=sorted(voter.roles), tabs=self._signins.count, passkeys=self._passkeys
        )


def query_of(params: Params) -> Query:
    """What a page's filters ask; raises `DeniedError` for what can't be read."""
    filters = {name: value for name in FILTERS if (value := params.get(name, "").strip())}
    filters.setdefault("kind", "outcome")
    if filters["kind"] == "any":
        del filters["kind"]
    before = params.get("before", "")
    if before and not (before.isascii() and before.isdigit() and len(before) < 16):
        raise DeniedError(400, f"expected a number, found `{visible(before[:40])}`")
    times = {name: _time(params.get(name, "")) for name in ("since", "until")}
    return Query(
        filters,
        since=times["since"],
        until=times["until"],
        text=params.get("text", "")[:200],
        before=int(before) if before else None,
        limit=PAGE,
    )


def editable(arguments: Mapping[str, Any]) -> str:
    """Arguments as JSON to be edited: exact, with every character that doesn't show as an escape."""
    text = json.dumps(arguments, ensure_ascii=False, indent=2)
    return "".join(_escaped(char) for char in text)


def _escaped(char: str) -> str:
    if char in "\n " or (char.isprintable() and unicodedata.category(char) not in ("Cf", "Zs")):
        return char
    return json.dumps(char)[1:-1] if not char.isascii() or char < " " else char


def _time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise DeniedError(400, f"expected a time such as 2026-11-22T14:00, found `{visible(text[:40])}`") from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _brief(value: Any, limit: int = 60) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    shown = visible(text[: limit + 1])
    return f"{shown[:limit]}…" if len(text) > limit else shown


def _pretty(value: Any) -> str:
    if value is None:
        return ""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return "\n".join(visible(line) for line in text.split("\n"))


def _around(order: Sequence[str], row: str) -> tuple[str, str]:
    """The waiting rows before and after one; after one that waits no more comes the oldest."""
    for before, after in pairwise(["", *order, ""]):
        if before == row:
            return (order[order.index(row) - 1] if order.index(row) else "", after)
    return "", order[0] if order else ""


def _may(card: Card, by: str, roles: Any) -> bool:
    """Whether the list of approvers, where there is one, names this person."""
    names = {by, by.removeprefix("os:"), *(f"role:{role}" for role in roles)}
    return not card.approve_by or bool(names & set(card.approve_by))


def _per_hour(rows: Sequence[Approval], hours: Sequence[str]) -> Counts:
    counts = dict.fromkeys(hours, 0)
    for row in rows:
        hour = stamp(row.created_at)[:13]
        if hour in counts and not row.follows:
            counts[hour] += 1
    return Counts(tuple(hours), {"questions": tuple(counts.values())})


def _plot(counts: Counts, order: Sequence[str], unit: str, about: str) -> Mapping[str, Any]:
    """A plot with its legend and totals; over a week an hour is too narrow, and a bar is of a day."""
    labels, series = _by_day(counts) if len(counts.hours) > 24 * 8 else (counts.hours, counts.by)
    shown = {name: series[name] for name in order if name in series}
    names = [label[5:].replace("T", " ") + (":00" if "T" in label else "") for label in labels]
    return {
        "svg": stacked(names, shown, about),
        "about": about,
        "totals": {name: sum(values) for name, values in shown.items()},
        "unit": unit,
        "rows": [(label, [values[index] for values in shown.values()]) for index, label in enumerate(names)],
    }


def _by_day(counts: Counts) -> tuple[tuple[str, ...], Mapping[str, tuple[int, ...]]]:
    days = tuple(dict.fromkeys(hour[:10] for hour in counts.hours))
    found = {}
    for name, values in counts.by.items():
        sums = dict.fromkeys(days, 0)
        for hour, value in zip(counts.hours, values, strict=True):
            sums[hour[:10]] += value
        found[name] = tuple(sums.values())
    return days, found


def hours_back(now: datetime, days: int) -> tuple[str, ...]:
    """The hours of so many days up to now, oldest first, as `Counts` names them."""
    return tuple(stamp(now - timedelta(hours=back))[:13] for back in range(days * 24 - 1, -1, -1))
