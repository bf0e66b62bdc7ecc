"""Reach tells never less than `decide` lets pass unasked in a tainted session, whatever the policy, call and grants."""

from random import Random
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.core.decide import decide
from gateway.core.flow import ARGUMENT, PROMPT, READ_ARGUMENT, TRUSTED, Origins, trace, weighs
from gateway.core.globs import matches
from gateway.core.grants import pins
from gateway.core.model import Choice, Tool, Verdict
from gateway.core.openings import REST, Opening
from gateway.core.policy import Policy, parse
from gateway.core.problems import Severity
from gateway.core.reach import landing
from gateway.core.sinks import leaves
from tests.core.attacked import CLIENTS, EVERYBODY, KEY, LABELS, granted, reached, rule
from tests.core.cases import HEAD, KNOWN, call_of, facts_of, labelled

CONDITIONS = (
    "",
    "",
    'has(args.to) && args.to == "eve@evil.example"',
    'has(args.body) && args.body == "b"',
    "size(args) > 0",
    "session.tainted && session.calls_10m == 0",
    'size(sinks) > 0 && sinks.all(s, listed(s, "colleagues"))',
    'has(args.to) && listed(args.to, "colleagues")',
    "!session.tainted",
    "session.tainted || size(args) > 1",
    'size(sinks) > 0 && sinks.all(s, listed(s, "nobody"))',
    'size(flow.unproven) == 0 && tool.tier != "high"',
)
PATTERNS = ("*", "s*", "put_*", "o*", "?????")
WEIGHTY = ("send", "send", "put", "put_two", "drop", "fetch", "odd")
VALUES: tuple[Any, ...] = (
    "bob@corp.example",
    "bob@home.example",
    "eve@evil.example",
    "/srv/a",
    "https://evil.example/",
    "named-thing",
    "b",
    "",
    None,
    ["eve@evil.example", "bob@corp.example"],
)
SCOPES = (None, None, None, None, Choice.ARGUMENTS, Choice.PATTERN, Choice.SESSION, Choice.VOUCH)
TEXTS = ("write to eve@evil.example and bob@home.example, save /srv/a", "named-thing https://evil.example/", "nothing")


def a_policy(rnd: Random, name: str) -> Policy:
    """Two files: one of `mail` with the labels, and one that speaks of all; most rules speak of one tool."""
    files = []
    for number, prefix in enumerate(("", "mail/")):
        rules = []
        for index in range(rnd.choice(((1, 2, 3), (0, 0, 1))[number])):
            pattern = rnd.choice((name, name, name, name, *PATTERNS))
            decides = rnd.choice(("allow", "allow", "ask-unless-proven", "ask-unless-proven", "ask", "block"))
            clients = rnd.choice(("", "", "", 'clients = ["cursor"]', 'clients = ["c*"]'))
            when = rnd.choice(CONDITIONS)
            rules.append(rule(f'"{prefix}{pattern}"', decides, when, clients, id=f"r{number}.{index}"))
        dates = rnd.choice(("", "", "review_by = 2026-11-01\n", "observe_until = 2026-11-24\n"))
        files.append(HEAD + dates + ("" if number else 'upstream = "mail"\n' + LABELS) + "".join(rules))
    policy, problems = parse({f"p{number}.toml": text for number, text in enumerate(files)}, KNOWN)
    assume(not any(problem.severity is Severity.ERROR for problem in problems))
    return policy


def _covered(opening: Opening, tool: Tool, client: str, value: Any, origins: Origins, policy: Policy) -> bool:
    """Whether an opening tells that this value passes for the client."""
    for passage, clients in opening.passages.items():
        if client not in clients:
            continue
        match passage.values:
            case "list":
                texts = [text for _, text in leaves(value)]
                fits = any(all(listed.holds(text) for text in texts) for listed in policy.lists.values())
            case "origin":
                found = trace(tool, {opening.sink: value}, origins)
                fits = all(passage.detail in one.origins or one.origins for one in found)
            case _:
                fits = True
        if fits:
            return True
    return False


@settings(max_examples=500, deadline=None)
@given(st.randoms(use_true_random=True), st.sampled_from(WEIGHTY), st.booleans())
def test_whatever_is_allowed_unasked_is_told(rnd: Random, name: str, accepted: bool) -> None:
    policy, client, word = (
        a_policy(rnd, name),
        rnd.choice(CLIENTS),
        rnd.choice((PROMPT, ARGUMENT, READ_ARGUMENT, TRUSTED)),
    )
    texts, scope = rnd.choices(TEXTS, k=rnd.choice((0, 1, 1))), rnd.choice(SCOPES)
    tool = labelled(policy, name)
    assert weighs(tool)
    free = () if tool.labels.sinks is None else (*tool.labels.payload, *tool.labels.inert)
    fields = ["name", "any"] if tool.labels.sinks is None else [*landing(tool), *free]
    arguments = {key: rnd.choice(VALUES) for key in rnd.sample(fields, rnd.randint(0, len(fields)))}
    call, origins = replace(call_of(arguments, client), exposed=tool.exposed_as), Origins()
    for text in texts:
        origins.add(word, text)
    grants = ()
    if scope is not None:
        made = granted(policy, name, scope, arguments, client=client, arguments_digest=call.digest)
        plain = replace(facts_of(tool, call), values=trace(tool, arguments, origins))
        asked = decide(call, plain, policy)
        fitting = replace(made, reason=asked.reason, rules=asked.rules, obligations=("redact",), free=free)
        grants = (replace(fitting, value="eve@evil.example"),)
    facts = replace(facts_of(tool, call), tainted=True, values=trace(tool, arguments, origins))
    facts = replace(facts, standing=replace(facts.standing, grants=grants), pins=pins(tool, arguments, KEY))
    if decide(call, facts, policy).verdict is not Verdict.ALLOW:
        return
    held = frozenset({word} if texts else ())
    found = reached(policy, replace(EVERYBODY, held=held, grants=grants), accepted=accepted)
    mine = [one for one in found.openings if matches(str(one.tool.ref), str(tool.ref))]
    landed = {key: value for key, value in arguments.items() if key not in free and list(leaves(value))}
    for key, value in landed.items():
        places = [one for one in mine if one.sink in (key, REST)]
        assert any(_covered(one, tool, client, value, origins, policy) for one in places), (key, value)
    if not landed and any(arguments.get(key) is not None for key in tool.labels.payload):
        assert any(client in clients for one in mine for clients in one.passages.values())
