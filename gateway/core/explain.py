"""The screen of `wardgate explain`: what was read of a call, as sections of text for people. No I/O here.

What upstreams, agents and models wrote is folded, and every hidden character of it is visible.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from gateway.core.canon import canonical
from gateway.core.grounds import FOR_REPLAY
from gateway.core.isolation import MEANS
from gateway.core.model import Kind, Record, Tier
from gateway.core.otherwise import expiry, named_rules
from gateway.core.reasons import sentence
from gateway.core.told import (
    Brief,
    Telling,
    approval_proof,
    checks,
    decided,
    ended,
    findings,
    kept_arguments,
    otherwise,
)
from gateway.core.visible import visible

VALUE = 160  # characters of one value, or of one text, that are shown
ARGUMENTS = 6  # arguments that are shown
OUTPUTS = 3  # of the outputs before the call, the newest
MOST = 12  # lines of any other section

_UNKNOWN = "the record doesn't tell what would have changed the answer"


def headline(telling: Telling) -> str:
    """The first line: what the id is of, and how it ended."""
    record = telling.main[1]
    return visible("  ".join(filter(None, (telling.id, _where(record.upstream, record.tool), ended(telling)))))


def sections(telling: Telling) -> Iterator[tuple[str, Sequence[str]]]:
    """The sections below it, each a label and its lines; those that have nothing to tell are left out."""
    for label, lines in (*_decision(telling), *_content(telling), *_around(telling)):
        told = [visible(line) for line in lines if line]
        if len(told) > MOST:
            told = [*told[:MOST], f"and {len(told) - MOST} more: `--json` has them"]
        if told:
            yield label, told


def _decision(telling: Telling) -> Iterator[tuple[str, Sequence[str]]]:
    """Who asked for what, and what was decided on it by whom."""
    record, grounds = telling.main[1], telling.grounds
    yield "who", [_who(grounds), _isolation(grounds)]
    yield "what", [_what(grounds)]
    yield "when", [_when(telling)]
    if telling.is_call:
        yield "verdict", _verdict(telling)
    else:
        yield "policy", [grounds.policy_revision[:12]]
    yield "rule", [named_rules(record if record.places else grounds)] if grounds.rules else []
    yield "detail", [_folded(record.detail or grounds.detail)]
    yield "asked", _question(telling)
    yield "answer", _answer(telling)
    yield "allowed by", [_named(grounds.authorised) if approval_proof(telling) is None else ""]
    yield "facts", [_named({name: said for name, said in grounds.facts.items() if name not in FOR_REPLAY})]
    yield "origins", _origins(grounds.facts.get("values"))
    yield "duties", [", ".join(grounds.obligations)]
    made = checks(telling)
    name = max((len(check.name) for check in made), default=0)
    result = max((len(check.result) for check in made), default=0)
    yield "checks", [f"{check.name:<{name}}  {check.result:<{result}}  {_took(check.us)}" for check in made]


def _content(telling: Telling) -> Iterator[tuple[str, Sequence[str]]]:
    """What it carried, what came before it, and what was released."""
    record = telling.main[1]
    yield "arguments", _arguments(telling)
    if telling.is_call:
        yield "carried", _carried(telling)
        yield "before", _before(telling)
        yield "prompt", [_prompt(telling)]
    else:
        yield "holds", [f"{name}: {_folded(_text(value))}" for name, value in record.extra.items() if value != ""]
    yield "found", [f"{found.kind} at {found.place}" for found in findings(telling)]
    yield "released", [_released(record)]


def _around(telling: Telling) -> Iterator[tuple[str, Sequence[str]]]:
    """Its records, others like it, its place in the tree, and what would have changed the answer."""
    if telling.is_call:
        yield "records", [_step(seq, record, telling.id) for seq, record in telling.rows]
    yield "similar", [_similar(each, telling.grounds.session) for each in telling.similar]
    yield "tree", [f"leaf {telling.main[0] - 1} of {telling.size}, root {telling.root}", _covered(telling)]
    if telling.is_call:
        yield "otherwise", otherwise(telling) or (_UNKNOWN,)


def _origins(values: Any) -> Sequence[str]:
    """Where the values came from on which the effect lands, for a call of a tainted session."""
    told = [value for value in values if isinstance(value, list | tuple) and len(value) > 1] if values else []
    return [f"{value[0]}: {value[1] or 'no good origin'}" for value in told]


def _who(record: Record) -> str:
    known = f" (known by {record.known_by})" if record.known_by else ""
    claims = f" (says `{record.claimed}`)" if record.claimed else ""
    who = record.principal + known + (f" with {record.client}{claims}" if record.client else "")
    session = f"session {record.session}" if record.session else ""
    return ", ".join(filter(None, (who, session, record.transport, record.era)))


def _isolation(record: Record) -> str:
    """How far the caller was from the gateway."""
    if record.isolation is None:
        return ""
    known = {level.value: words for level, (words, _) in MEANS.items()}
    return f"isolation {record.isolation}: {known.get(record.isolation, 'a level of another version')}"


def _what(record: Record) -> str:
    said = {
        "request": record.method,
        "effect": record.effect,
        "tier": record.tier,
        "definition": record.definition[:12],
        "owner": record.owner,
        "acts as": record.acts_as,
    }
    return _named(said)


def _when(telling: Telling) -> str:
    first, last = telling.rows[0][1].at, telling.main[1].at
    return _clock(first) if first >= last else f"{_clock(first)}, last step {_clock(last)}"


def _verdict(telling: Telling) -> Sequence[str]:
    """The decision and, where it ended for another reason, that one too."""
    record, revision = telling.main[1], telling.grounds.policy_revision[:12]
    verdict, reason = decided(telling)
    under = f" under policy {revision}" if revision else ""
    lines = [f"{verdict or 'none'}{under}{f': {_reason(reason)}' if reason else ''}"]
    if record.reason != reason:
        lines.append(f"then {record.outcome or record.verdict}: {_reason(record.reason)}")
    return lines


def _reason(reason: str) -> str:
    said = sentence(reason)
    return f"{reason}, {said}" if said else reason


def _question(telling: Telling) -> Sequence[str]:
    """What a person was asked for, and why."""
    asked = telling.asked
    if asked is None:
        return ()
    until, people = expiry(asked), asked.extra.get("approvers_required", 1)
    needs = f"proof {asked.extra.get('proof_required', '?')}" + (f" of {people} people" if people != 1 else "")
    end = f", until {_clock(until)}" if until is not None else ""
    return (f"approval {asked.approval}: needs {needs}{end}", f"because of {_reason(asked.reason)}")


def _answer(telling: Telling) -> Sequence[str]:
    """Who settled the approval, and what was said with it."""
    proof = approval_proof(telling)
    if proof is None:
        return ()
    note = f": {_folded(proof['note'])}" if proof["note"] else ""
    return (f"{proof['state']} by {proof['by']} (proof {proof['proof']}), {_short(proof['at'])} UTC{note}",)


def _named(values: Mapping[str, Any]) -> str:
    """Names with their values on one line; a fact that is true is its name alone."""
    told = []
    for key, value in values.items():
        name = key.replace("_", " ")
        if isinstance(value, bool):
            told.append(name if value else f"not {name}")
        elif value != "":
            told.append(f"{name} {_folded(_text(value))}")
    return ", ".join(told)


def _arguments(telling: Telling) -> Sequence[str]:
    grounds, kept = telling.grounds, kept_arguments(telling)
    if kept is not None:
        lines = [f"{name}: {_folded(_text(value))}" for name, value in sorted(kept.items())]
        rest = [f"and {len(lines) - ARGUMENTS} more: `--json` has them"] if len(lines) > ARGUMENTS else []
        by = ["a person put them in the place of the agent's"] if "origin" in grounds.extra else []
        return [*(lines[:ARGUMENTS] or ["none"]), *rest, *by]
    digest = f"digest {grounds.arguments_digest[:12]}"
    if "arguments" in grounds.omitted:
        return (f"not kept, {grounds.omitted['arguments']} bytes: {digest}",)
    if grounds.leaves:
        return (f"kept as digests of {len(grounds.leaves)} values: {digest}",)
    return (f"not kept: {digest}",) if grounds.arguments_digest else ()


def _carried(telling: Telling) -> Sequence[str]:
    """Argument values that stood in earlier outputs: that doesn't say that they came from there."""
    lines = []
    for each in telling.grounds.carried:
        source = str(each.get("source", ""))
        stood = _brief(telling.sources.get(source, Brief(source)))
        lines.append(f"{each.get('argument')} ({each.get('length')} characters) stood in {stood}")
    if missed := telling.grounds.context.get("unsearched"):
        lines.append(f"{missed} values were not looked for everywhere: that would have taken too long")
    return lines


def _before(telling: Telling) -> Sequence[str]:
    grounds, before = telling.grounds, telling.before
    if grounds.kind is Kind.APPROVAL:
        return ("not recorded until the call runs or ends",)
    if grounds.tier in ("", Tier.READ.value):
        return ()  # nothing is listed before a read
    if not before.count:
        return ("no output is known that came before it in its turn",)
    more = " or more" if before.cut else ""
    return (f"outputs in its turn: {before.count}{more}; the newest:", *map(_brief, before.latest[:OUTPUTS]))


def _prompt(telling: Telling) -> str:
    grounds, prompt = telling.grounds, telling.prompt
    if not grounds.turn:
        return "" if grounds.kind is Kind.APPROVAL else "unknown: nobody handed it over"
    if prompt is None:
        return f"{grounds.turn}, which is not on the record any more"
    extra = prompt.extra
    proves = "a person typed it" if extra.get("proves") else f"proves nothing: {extra.get('why_not', '?')}"
    said = _folded(_text(extra.get("text", "not kept")))
    return f"{grounds.turn}  {_clock(prompt.at)}  by {extra.get('source', '?')} ({proves})  {said}"


def _released(record: Record) -> str:
    if not record.release:
        return ""
    size = f", {record.omitted['result']} bytes are more than is kept" if "result" in record.omitted else ""
    digest = f", digest {record.result_digest[:12]}" if record.result_digest else ""
    return f"{record.release}{digest}{size}"


def _step(seq: int, record: Record, id: str) -> str:
    """One record of the call in a few words."""
    extra = record.extra
    if record.kind is Kind.APPROVAL:
        by = f" by {extra['decided_by']} (proof {extra.get('proof', '')})" if extra.get("decided_by") else ""
        votes = f", {len(extra['votes'])} votes" if extra.get("votes") and not by else ""
        said = f"approval {extra.get('state', '')}{by}{votes}"
    else:
        method = f" {extra['method']}" if "method" in extra else ""
        at_round = f", round {extra['round']}" if "round" in extra else ""
        said = f"{record.kind.value}{method} {record.outcome or record.verdict} ({record.reason}){at_round}"
    other = "" if record.id in (id, record.approval) else f" of {record.id}"
    return f"{seq}  {_clock(record.at)}  {said}{other}"


def _similar(each: Brief, session: str) -> str:
    by = f" by {each.by} (proof {each.proof})" if each.by else ""
    where = "this session" if each.session == session else "another session"
    return f"{each.id}  {_short(each.at)}  {each.outcome} ({each.reason}){by}, {where}"


def _covered(telling: Telling) -> str:
    covered = telling.checkpoint
    if covered is None:
        return "no checkpoint covers it yet"
    return f"covered by checkpoint {covered.id} over {covered.extra.get('size')} records, {_clock(covered.at)}"


def _brief(each: Brief) -> str:
    if not each.kind:
        return f"{each.id}, which is not on the record any more"
    return f"{each.id}  {_where(each.upstream, each.tool) or each.kind}  {_short(each.at)}"


def _where(upstream: str, tool: str) -> str:
    return f"{upstream}/{tool}" if upstream else tool


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _short(at: str) -> str:
    """A recorded time, to the second."""
    return at[:19].replace("T", " ")


def _took(us: int) -> str:
    return f"{us} us" if us < 1_000 else f"{us / 1_000:.1f} ms" if us < 1_000_000 else f"{us / 1_000_000:.1f} s"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value).decode()


def _folded(text: str) -> str:
    """A text with its hidden characters visible, cut where it is long, with its length."""
    shown = visible(text)
    return shown if len(shown) <= VALUE else f"{shown[:VALUE]}… ({len(text)} characters in all)"
