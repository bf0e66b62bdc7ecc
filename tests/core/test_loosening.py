"""What can be shown to only tighten acts at once: so nothing may count as that which lets one call more through."""

import pytest

from gateway.core.loosening import differences, only_tightens
from gateway.core.policy import parse
from tests.core.cases import HEAD, KNOWN, policy_of

BASE = """\
upstream = "mail"
review_by = 2027-01-01
[lists]
colleagues = ["*@corp.example", "bob@home.example"]
unused = ["x"]
[[tool]]
match = "search"
effect = "read"
[[tool]]
match = ["send", "reply"]
effect = "egress"
sinks = { to = "email" }
payload = ["text"]
known = { to = "colleagues" }
[[rule]]
id = "never"
tools = "send"
when = "args.n > 10"
decide = "block"
[[rule]]
id = "colleagues"
tools = "send"
when = 'size(sinks) > 0 && sinks.all(s, listed(s, "colleagues"))'
decide = "allow"
[[rule]]
id = "drafts"
tools = "draft"
decide = "allow"
rate = "30/hour"
[[rule]]
id = "notes"
tools = ["note", "memo"]
decide = "allow"
[[rule]]
id = "asked"
tools = "reply"
decide = "ask"
approve = { by = ["alice", "role:admin"], timeout = "10m" }
[[rule]]
id = "proven"
tools = "move"
decide = "ask-unless-proven"
"""


def swapped(old: str, new: str, text: str = BASE) -> str:
    """The text with one part in the place of another one, which must be there."""
    assert text.count(old) == 1, old
    return text.replace(old, new)


def rule(id: str, tools: str, decide: str, more: str = "") -> str:
    return f'[[rule]]\nid = "{id}"\ntools = "{tools}"\ndecide = "{decide}"\n{more}\n'


DRAFTS, COLLEAGUES = '[[rule]]\nid = "drafts"', '[[rule]]\nid = "colleagues"'
NOTES = 'tools = ["note", "memo"]\ndecide = "allow"'
REPLY = 'tools = "reply"\ndecide = "ask"\napprove = { by = ["alice", "role:admin"], timeout = "10m" }\n'
WHEN_3 = "when = 'args.n == 3'"

TIGHTENS = {
    "nothing": BASE,
    "comments-and-blanks": "# a comment\n\n" + BASE,
    "a-block": BASE + rule("new", "w*", "block"),
    "a-block-under-a-condition": BASE + rule("new", "send", "block", "when = 'args.to == \"x\"'"),
    "an-ask-where-nothing-stands": BASE + rule("new", "other", "ask"),
    "an-ask-before-an-unconditional-allow": swapped(DRAFTS, rule("n", "note", "ask") + DRAFTS),
    "a-block-of-more-tools": swapped('tools = "send"\nwhen = "args.n', 'tools = ["send", "reply"]\nwhen = "args.n'),
    "allow-becomes-ask": swapped(NOTES, NOTES.replace("allow", "ask")),
    "allow-becomes-block": swapped('decide = "allow"\nrate = "30/hour"', 'decide = "block"'),
    "allow-becomes-ask-unless-proven": swapped(
        'tools = ["note", "memo"]\ndecide = "allow"', 'tools = ["note", "memo"]\ndecide = "ask-unless-proven"'
    ),
    "ask-unless-proven-becomes-ask": swapped('decide = "ask-unless-proven"', 'decide = "ask"'),
    "ask-becomes-block": swapped(REPLY, 'tools = "reply"\ndecide = "block"\n'),
    "a-lower-rate": swapped("30/hour", "29/hour"),
    "a-longer-window": swapped("30/hour", "30/day"),
    "a-rate-more": swapped(NOTES, NOTES + '\nrate = "5/day"'),
    "an-allow-of-fewer-tools": swapped('["note", "memo"]', '["note"]'),
    "an-allow-under-a-condition": swapped('["note", "memo"]', '["note", "memo"]\nwhen = "args.n == 1"'),
    "an-allow-for-fewer-clients": swapped('["note", "memo"]', '["note", "memo"]\nclients = "cursor"'),
    "an-allow-without-conditions-goes": swapped('[[rule]]\nid = "notes"\n' + NOTES, ""),
    "fewer-approvers-may": swapped('["alice", "role:admin"]', '["alice"]'),
    "more-approvers-must": swapped('timeout = "10m" }', 'timeout = "10m", approvers = 2 }'),
    "a-stronger-proof": swapped('timeout = "10m" }', 'timeout = "10m", proof = "signed" }'),
    "less-time": swapped('timeout = "10m" }', 'timeout = "5m" }'),
    "a-review-before": swapped("2027-01-01", "2026-12-01"),
    "a-list-of-allow-and-known-shrinks": swapped(', "bob@home.example"', ""),
    "a-list-that-nothing-uses-grows": swapped('["x"]', '["x", "y"]'),
    "a-new-list": swapped("unused =", 'more = ["z"]\nunused ='),
    "known-goes": swapped('known = { to = "colleagues" }\n', ""),
    "secrets-block": swapped('effect = "egress"', 'effect = "egress"\noutput = { secrets = "block" }'),
    "personal-data-is-redacted": swapped('effect = "egress"', 'effect = "egress"\noutput = { pii = "redact" }'),
    "a-budget": BASE + '[[budget]]\nid = "b"\ntools = "send"\nper = "day"\ncalls = 5\n',
    "a-loop": BASE + "[loop]\nsame_call = 5\n",
    "other-words": swapped('when = "args.n > 10"', 'reason = "too many"\nwhen = "args.n > 10"'),
}

LOOSENS = {
    "a-block-goes": swapped('[[rule]]\nid = "never"\ntools = "send"\nwhen = "args.n > 10"\ndecide = "block"\n', ""),
    "a-block-becomes-ask": swapped('decide = "block"', 'decide = "ask"'),
    "a-block-under-another-condition": swapped("args.n > 10", "args.n > 11"),
    "a-block-of-other-tools": swapped('tools = "send"\nwhen = "args.n', 'tools = "reply"\nwhen = "args.n'),
    "a-block-for-some-clients": swapped('when = "args.n > 10"', 'when = "args.n > 10"\nclients = "cursor"'),
    "an-allow": BASE + rule("new", "wipe", "allow"),
    "an-ask-before-a-condition": swapped(COLLEAGUES, rule("n", "send", "ask", WHEN_3) + COLLEAGUES),
    "an-ask-before-a-stricter-one": swapped(COLLEAGUES, rule("n", "reply", "ask", WHEN_3) + COLLEAGUES),
    "an-ask-that-sets": BASE + rule("n", "other", "ask", "set = { a = 1 }"),
    "ask-unless-proven": BASE + rule("n", "other", "ask-unless-proven"),
    "an-ask-goes": swapped('[[rule]]\nid = "asked"\n' + REPLY, ""),
    "an-allow-under-a-condition-goes": swapped(
        '[[rule]]\nid = "colleagues"\ntools = "send"\n'
        'when = \'size(sinks) > 0 && sinks.all(s, listed(s, "colleagues"))\'\ndecide = "allow"\n',
        "",
    ),
    "an-allow-with-a-rate-goes": swapped(
        '[[rule]]\nid = "drafts"\ntools = "draft"\ndecide = "allow"\nrate = "30/hour"\n', ""
    ),
    "ask-becomes-allow": swapped('decide = "ask"\n', 'decide = "allow"\n'),
    "ask-becomes-ask-unless-proven": swapped('decide = "ask"\n', 'decide = "ask-unless-proven"\n'),
    "a-rate-becomes-ask-unless-proven": swapped('decide = "allow"\nrate = "30/hour"', 'decide = "ask-unless-proven"'),
    "a-higher-rate": swapped("30/hour", "31/hour"),
    "a-shorter-window": swapped("30/hour", "30/minute"),
    "no-rate": swapped('rate = "30/hour"\n', ""),
    "another-id": swapped('id = "drafts"', 'id = "sketches"'),
    "an-allow-of-more-tools": swapped('["note", "memo"]', '["note", "memo", "diary"]'),
    "an-allow-under-another-condition": swapped("size(sinks) > 0 &&", "size(sinks) > 0 && size(sinks) < 9 &&"),
    "what-it-sets": swapped(NOTES, NOTES + "\nset = { a = 1 }"),
    "other-approvers": swapped('["alice", "role:admin"]', '["alice", "role:other"]'),
    "anybody": swapped('by = ["alice", "role:admin"], ', ""),
    "more-time": swapped('timeout = "10m" }', 'timeout = "11m" }'),
    "a-review-later": swapped("2027-01-01", "2027-01-02"),
    "no-review": swapped("review_by = 2027-01-01\n", ""),
    "a-list-grows": swapped('"bob@home.example"]', '"bob@home.example", "eve@x.example"]'),
    "a-label": BASE + '[[tool]]\nmatch = "wipe"\neffect = "write"\n',
    "a-label-goes": swapped('[[tool]]\nmatch = "search"\neffect = "read"\n', ""),
    "an-effect-falls": swapped('effect = "egress"', 'effect = "write"'),
    "another-effect-of-the-same-tier": swapped('effect = "egress"', 'effect = "money"'),
    "inert": swapped('payload = ["text"]', 'payload = ["text"]\ninert = ["n"]'),
    "known": swapped('known = { to = "colleagues" }', 'known = { to = "unused" }'),
    "sinks": swapped('sinks = { to = "email" }', 'sinks = { to = "text" }'),
    "trust": swapped('effect = "egress"', 'effect = "egress"\noutput = { trust = "trusted" }'),
    "secrets-allow": swapped('effect = "egress"', 'effect = "egress"\noutput = { secrets = "allow" }'),
    "secrets-ask": swapped('effect = "egress"', 'effect = "egress"\noutput = { secrets = "ask" }'),
    "public": swapped('effect = "egress"', 'effect = "egress"\noutput = { private = false }'),
}


def told(before: str, after: str) -> list[str]:
    """What differs, as people read it; the tightening is left out if there is something looser."""
    return [str(one) for one in differences(policy_of(before), policy_of(after)) if one.loosens]


@pytest.mark.parametrize("after", TIGHTENS.values(), ids=TIGHTENS)
def test_what_only_tightens_is_known_as_that(after: str) -> None:
    assert told(BASE, after) == []
    assert only_tightens(policy_of(BASE), policy_of(after))


@pytest.mark.parametrize("after", LOOSENS.values(), ids=LOOSENS)
def test_what_may_loosen_is_told_first_and_by_its_place(after: str) -> None:
    found = differences(policy_of(BASE), policy_of(after))
    assert found[0].loosens
    assert found[0].where in ("policies/p0.toml", "list `colleagues`")
    assert not only_tightens(policy_of(BASE), policy_of(after))


def test_what_differs_is_told_in_words() -> None:
    after = swapped("30/hour", "31/hour", swapped("args.n > 10", "args.n > 11"))
    assert told(BASE, after) == [
        "policies/p0.toml: rule `never`: when: `args.n > 10` -> `args.n > 11`",
        "policies/p0.toml: rule `drafts`: rate: 30 in 1:00:00 -> 31 in 1:00:00",
    ]
    assert told(BASE, swapped('"bob@home.example"]', '"*@evil.example"]')) == [
        "list `colleagues`: new: `*@evil.example`; gone: `bob@home.example`"
    ]


def test_two_policies_that_say_the_same_differ_in_nothing() -> None:
    assert differences(policy_of(BASE), policy_of("\n\n" + BASE)) == ()


def test_an_effect_that_rises_tightens_where_nothing_but_the_tier_hangs_on_it() -> None:
    plain = 'upstream = "mail"\n[[tool]]\nmatch = "send"\neffect = "{}"\n' + rule("a", "send", "ask")
    read, write, high = (policy_of(plain.replace("{}", effect)) for effect in ("read", "write", "destructive"))
    assert only_tightens(read, write)
    assert only_tightens(write, high)
    assert only_tightens(read, high)
    assert not only_tightens(high, write)
    watched = plain + '[[rule]]\nid = "b"\ntools = "*"\nwhen = \'tool.tier == "read"\'\ndecide = "block"\n'
    read, write = (policy_of(watched.replace("{}", effect)) for effect in ("read", "write"))
    assert not only_tightens(read, write)
    proven = plain + rule("p", "send*", "ask-unless-proven", 'when = "args.n == 1"')
    write, money, wipe = (policy_of(proven.replace("{}", effect)) for effect in ("write", "money", "destructive"))
    assert only_tightens(write, wipe)
    assert not only_tightens(write, money)  # its own hints may have made it `destructive` before


def test_a_label_that_another_file_gives_as_well_does_not_rise_alone() -> None:
    plain = 'upstream = "mail"\n[[tool]]\nmatch = "{}"\neffect = "read"\noutput = { secrets = "block" }\n'
    texts = {f"p{index}.toml": HEAD + plain.replace("{}", name) for index, name in enumerate(("send", "s?nd"))}
    raised = {**texts, "p0.toml": texts["p0.toml"].replace('"read"', '"write"')}  # refused where patterns show it
    assert not only_tightens(parse(texts)[0], parse(raised)[0])


def test_a_file_that_speaks_of_other_upstreams_is_another_one() -> None:
    text = '[[tool]]\nmatch = "files/x"\neffect = "read"\n'
    one, two = policy_of(text), policy_of('upstream = "files"\n' + text.replace("files/", ""))
    assert not only_tightens(one, two)


def test_budgets_and_loops_tighten_where_they_get_smaller() -> None:
    text = '[[budget]]\nid = "b"\ntools = "mail/send"\nper = "day"\ncalls = 5\n[loop]\nsame_call = 5\n'
    fewer, less = text.replace("calls = 5", "calls = 4"), text.replace("same_call = 5", "same_call = 4")
    strict = text + 'over = "block"\n'
    for smaller in (fewer, less, strict, text + "same_refusal = 3\n"):
        assert only_tightens(policy_of(text), policy_of(smaller))
        assert not only_tightens(policy_of(smaller), policy_of(text))
    assert only_tightens(policy_of(""), policy_of(text))
    assert not only_tightens(policy_of(text), policy_of(""))
    assert not only_tightens(policy_of(text), policy_of(text.replace('"day"', '"session"')))


def test_a_rule_that_comes_to_speak_of_unknown_clients_takes_them_from_stricter_ones() -> None:
    strict = rule("b", "wipe", "ask", "approve = { approvers = 2 }")
    head = 'upstream = "mail"\n'
    named, everybody = (
        rule("a", "wipe", "{}", f"clients = {names}") for names in ('"cursor"', '["cursor", "unknown"]')
    )
    assert only_tightens(
        *(policy_of(head + named.replace("{}", word) + rule("c", "x", "ask")) for word in ("allow", "ask"))
    )
    before, after = (policy_of(head + everybody.replace("{}", word) + strict) for word in ("allow", "ask"))
    assert not only_tightens(before, after)  # an allow speaks of no unknown client, an ask does


def test_a_block_that_needs_no_condition_any_more_blocks_more() -> None:
    text = 'upstream = "mail"\n[[rule]]\nid = "x"\ntools = "wipe"\ndecide = "block"\n'
    assert only_tightens(policy_of(text + 'when = "args.n > 1"\n'), policy_of(text))
    assert not only_tightens(policy_of(text), policy_of(text + 'when = "args.n > 1"\n'))


@pytest.mark.parametrize(
    ("when", "decide", "longer", "shorter"),
    [
        ('size(sinks) > 0 && sinks.all(s, listed(s, "L"))', "allow", False, True),
        ('listed(args.to, "L")', "allow", False, False),
        ('listed(args.to, "L")', "block", True, False),
        ('sinks.exists(s, listed(s, "L"))', "block", True, False),
        ('sinks.exists(s, !listed(s, "L"))', "block", False, True),
        ('size(sinks) == 0 || !listed(args.to, "L")', "block", False, False),
        ('size(sinks) > 0 && sinks.all(s, listed(s, "L"))', "ask", False, False),
        ('size(sinks) > 0 && sinks.all(s, listed(s, "L"))', "ask-unless-proven", False, False),
    ],
)
def test_a_list_loosens_by_what_is_done_with_it(when: str, decide: str, longer: bool, shorter: bool) -> None:
    text = f"[[rule]]\nid = 'x'\ntools = 'mail/send'\ndecide = '{decide}'\nwhen = '{when}'\n"
    one, two = (policy_of(f"[lists]\nL = {values}\n" + text) for values in ('["a"]', '["a", "b*"]'))
    assert only_tightens(one, two) is longer
    assert only_tightens(two, one) is shorter
    three = policy_of('[lists]\nL = ["c"]\n' + text)
    assert not only_tightens(one, three)


def test_a_file_that_comes_or_goes_is_what_its_rules_are() -> None:
    stops = 'upstream = "mail"\n[[rule]]\nid = "x"\ntools = "*"\ndecide = "block"\n'
    lets = 'upstream = "mail"\n[[rule]]\nid = "x"\ntools = "wipe"\ndecide = "allow"\n'
    assert only_tightens(policy_of(BASE), policy_of(BASE, stops))
    assert not only_tightens(policy_of(BASE, stops), policy_of(BASE))
    assert not only_tightens(policy_of(BASE), policy_of(BASE, lets))
    assert only_tightens(policy_of(BASE, lets), policy_of(BASE))


def test_another_owner_is_not_taken_on_the_quiet() -> None:
    before, _ = parse({"p.toml": HEAD + BASE}, KNOWN)
    after, _ = parse({"p.toml": 'owner = "eve@corp.example"\n' + BASE}, KNOWN)
    assert [str(one) for one in differences(before, after)] == [
        "p.toml: owner: `it@corp.example` -> `eve@corp.example`"
    ]
    assert not only_tightens(before, after)


INBOX = 'upstream = "mail"\n[[resource]]\nmatch = "mail://{}"\noutput = {{ {} }}\n'


def test_labels_of_resources_tighten_by_what_is_done_with_their_output() -> None:
    plain, block = (policy_of(INBOX.format("in", said)) for said in ("private = true", 'secrets = "block"'))
    assert only_tightens(plain, block)
    assert not only_tightens(block, plain)
    assert not only_tightens(plain, policy_of(INBOX.format("out", "private = true")))
    beside = INBOX.format("other", "private = true")
    two = [policy_of(INBOX.format("in", said), beside) for said in ("private = true", 'secrets = "block"')]
    assert not only_tightens(*two)  # where two files label the same and differ, less may hold than either says


def test_an_output_that_is_trusted_less_tightens_where_no_condition_reads_of_it() -> None:
    trusted, neutral, untrusted = (
        policy_of(INBOX.format("in", f'trust = "{word}"')) for word in ("trusted", "neutral", "untrusted")
    )
    assert only_tightens(trusted, neutral)
    assert only_tightens(neutral, untrusted)
    assert not only_tightens(untrusted, neutral)
    public = policy_of(INBOX.format("in", "private = false"))
    assert only_tightens(public, policy_of(INBOX.format("in", "private = true")))
    odd = 'upstream = "mail"\n' + rule("x", "*", "block", 'when = "!session.tainted"')
    before, after = (policy_of(INBOX.format("in", f'trust = "{word}"'), odd) for word in ("trusted", "untrusted"))
    assert not only_tightens(before, after)


def test_labels_that_move_are_told_one_by_one() -> None:
    one, two = ('[[tool]]\nmatch = "{}"\neffect = "{}"\n'.format(*said) for said in (("a*", "read"), ("ab", "write")))
    head = 'upstream = "mail"\n'
    assert told(head + two + one, head + one + two) == [
        "policies/p0.toml: the labels stand in another order, or more or less often"
    ]
    assert told(head + one, head + two + one.replace("read", "write")) == [
        "policies/p0.toml: new label of `mail/ab` (write)",
        "policies/p0.toml: other labels of the file changed as well",
    ]
    assert told(head + one + two, head + one) == ["policies/p0.toml: label of `mail/ab` (write) is gone"]
    old, new = (INBOX.format(name, "private = true")[len(head) :] for name in "ab")
    assert told(head + old, head + new + old) == ["policies/p0.toml: new label of `mail/mail://b`"]
    assert told(head + INBOX.format("a", "private = true")[len(head) :], head) == [
        "policies/p0.toml: label of `mail/mail://a` is gone"
    ]


def test_rules_of_another_order_or_surface_are_no_tightening() -> None:
    ask, let = rule("a", "send", "ask", 'when = "args.n == 1"'), rule("b", "s*", "ask", 'when = "args.n == 2"')
    head = 'upstream = "mail"\n'
    assert told(head + ask + let, head + let + ask) == ["policies/p0.toml: the rules stand in another order"]
    resources = ask.replace("tools", "resources")
    assert not only_tightens(policy_of(head + ask), policy_of(head + resources))
    assert only_tightens(policy_of(head + resources), policy_of(head + rule("n", "x", "ask") + resources))
    changes = rule("c", "send", "ask", "set = { a = 1 }").replace('"send"', '["send", "memo"]')
    free = rule("d", "draft", "allow")
    assert only_tightens(policy_of(head + free + changes), policy_of(head + changes))
    assert not only_tightens(policy_of(head + free.replace("draft", "s*d") + changes), policy_of(head + changes))


def test_rules_of_resources_are_taken_for_ones_that_meet() -> None:
    head, lone = 'upstream = "mail"\n', rule("a", "*", "block").replace("tools", "resources")
    some = lone.replace('"*"', '"mail://x"')
    assert only_tightens(
        policy_of(head + some), policy_of(head + some.replace('"mail://x"', '["mail://x", "mail://y"]'))
    )
    assert not only_tightens(policy_of(head + lone), policy_of(head + some))
    let = rule("b", "mail://*", "ask", 'when = "args.n == 2"').replace("tools", "resources")
    asks = rule("c", "mail://z", "ask", 'when = "args.n == 1"').replace("tools", "resources")
    assert not only_tightens(policy_of(head + asks), policy_of(head + let + asks))


def test_a_rule_that_asks_in_a_file_that_only_observes_asks_nobody() -> None:
    head = 'upstream = "mail"\nobserve_until = 2026-11-25\n'
    assert not only_tightens(policy_of(head), policy_of(head + rule("a", "send", "ask")))
    assert only_tightens(policy_of(head), policy_of(head + rule("a", "send", "block")))
    assert only_tightens(policy_of(head), policy_of(head.replace("25", "24")))
    assert not only_tightens(policy_of(head), policy_of(head.replace("25", "26")))
    let = rule("a", "send", "allow", "rate = '5/day'")
    for after in (rule("a", "send", "ask"), "", let.replace("send", "se?d")):
        assert not only_tightens(policy_of(head + let), policy_of(head + after))
    for after in (rule("a", "send", "block"), let.replace("5/day", "4/day")):
        assert only_tightens(policy_of(head + let), policy_of(head + after))
    label = '[[tool]]\nmatch = "send"\neffect = "read"\n'
    assert not only_tightens(policy_of(head + label), policy_of(head + label.replace("read", "write")))


def test_personal_data_and_explicit_redacting_are_not_given_up() -> None:
    said = 'upstream = "mail"\n[[tool]]\nmatch = "send"\neffect = "read"\noutput = {{ {} }}\n'
    plain, strict, off, flag = (
        policy_of(said.format(word)) for word in ("private = true", 'secrets = "redact"', 'pii = "off"', 'pii = "flag"')
    )
    assert only_tightens(plain, strict)
    assert not only_tightens(strict, plain)
    assert only_tightens(off, flag)
    assert not only_tightens(flag, off)


OTHER = 'owner = "o"\nupstream = "mail"\n[[rule]]\nid = "other"\ntools = "{}"\ndecide = "{}"\n'


@pytest.mark.parametrize(
    ("review", "tools", "decide", "tightens"),
    [
        ("review_by = 2026-11-01\n", "note", "allow", False),
        ("review_by = 2026-11-01\n", "*", "ask-unless-proven", False),
        ("review_by = 2026-11-01\n", "note", "ask", True),
        ("review_by = 2026-11-01\n", "draft", "allow", True),
        ("", "note", "allow", True),
    ],
)
@pytest.mark.parametrize("less", ["", '[[rule]]\nid = "notes"\ntools = "memo"\ndecide = "allow"\n'])
def test_an_allow_that_asks_once_its_review_is_overdue_does_not_go_where_another_file_allows(
    review: str, tools: str, decide: str, tightens: bool, less: str
) -> None:
    mine = f'owner = "o"\nupstream = "mail"\n{review}'
    notes = '[[rule]]\nid = "notes"\ntools = ["note", "memo"]\ndecide = "allow"\n'
    other = OTHER.format(tools, decide)
    before, after = (parse({"a.toml": mine + text, "b.toml": other})[0] for text in (notes, less))
    assert only_tightens(before, after) is tightens
