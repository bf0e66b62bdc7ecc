"""Policy files: what is read of them, and what is wrong in them."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.model import (
    Decide,
    Effect,
    Obligation,
    ObligationKind,
    Owner,
    Place,
    Proof,
    SecretAction,
    SinkKind,
    Surface,
    ToolRef,
    Trust,
)
from gateway.core.policy import Known, parse
from tests.core.cases import HEAD, KNOWN, policy_of, problems_of

WHOLE = """
upstream  = "mail"
owner     = { business = "office@corp.example", technical = "it@corp.example" }
review_by = 2027-02-01
observe_until = 2026-11-25

[lists]
colleagues = ["*@corp.example"]

[[tool]]
match   = ["send_email", "reply_email"]
effect  = "egress"
sinks   = { to = "email", cc = "email", attachments = "id" }
payload = ["subject", "body"]
inert   = ["priority"]
known   = { to = "colleagues" }
preview = { tool = "get_email", args = { id = "email_id" } }
output  = { trust = "neutral", private = false, secrets = "block" }
record  = "digest"
fetches = true

[[resource]]
match  = "mail://inbox/*"
output = { trust = "trusted" }

[[prompt]]
match = ["weekly"]

[[rule]]
id     = "mail.no-bulk"
tools  = ["send_email", "reply_email"]
when   = "size(args.to) > 10 || session.calls_10m > 20"
decide = "block"
reason = "bulk mail is never an agent's job"

[[rule]]
id     = "mail.to-colleagues"
tools  = ["send_email", "reply_email"]
when   = 'size(sinks) > 0 && sinks.all(s, listed(s, "colleagues"))'
decide = "allow"
rate   = "30/hour"
set    = { priority = "low", copies = 1 }
drop   = ["bcc"]

[[rule]]
id      = "mail.otherwise"
tools   = "*"
clients = ["claude-code", "cursor*"]
decide  = "ask-unless-proven"
approve = { by = ["role:admin", "alice", "os:bob"], proof = "local", approvers = 2, timeout = "5m" }

[[rule]]
id = "mail.sampling"
methods = ["sampling/createMessage"]
decide = "block"

[[rule]]
id = "mail.inbox"
resources = "mail://inbox/*"
decide = "allow"

[[rule]]
id = "mail.prompts"
prompts = "*"
decide = "ask"

[[budget]]
id = "mail.daily"
tools = "send_email"
per = "day"
calls = 100
over = "block"

[[budget]]
id = "mail.money"
tools = "send_email"
per = "session"
sum = "args.amount"
limit = 10.5

[loop]
same_call = 5
same_refusal = 3
over = "ask"
"""


def test_a_whole_file_is_read() -> None:
    policy, problems = parse({"policies/mail.toml": WHOLE}, KNOWN, date(2026, 11, 22))
    assert problems == ()
    (file,) = policy.files
    assert file.owner == Owner("office@corp.example", "it@corp.example")
    assert (file.upstream, file.review_by) == ("mail", date(2027, 2, 1))
    labels = file.tools[0].labels
    assert file.tools[0].patterns == ("mail/send_email", "mail/reply_email")
    assert (labels.effect, labels.payload, labels.inert) == (Effect.EGRESS, ("subject", "body"), ("priority",))
    assert labels.sinks == {"to": SinkKind.EMAIL, "cc": SinkKind.EMAIL, "attachments": SinkKind.ID}
    assert (labels.output.trust, labels.output.private) == (Trust.NEUTRAL, False)
    assert labels.output.secrets is SecretAction.BLOCK
    assert labels.preview is not None
    assert labels.preview.args == {"id": "email_id"}
    assert (labels.record, labels.fetches, labels.known) == ("digest", True, {"to": "colleagues"})
    assert labels.at == Place("policies/mail.toml", 10)
    assert [entry.surface for entry in file.surfaces] == [Surface.RESOURCES, Surface.PROMPTS]
    bulk, colleagues, otherwise, *others = file.rules
    assert (bulk.decide, bulk.at) == (Decide.BLOCK, Place("policies/mail.toml", 29))
    assert colleagues.rate is not None
    assert (colleagues.rate.count, colleagues.rate.window) == (30, timedelta(hours=1))
    assert colleagues.obligations == {
        Obligation(ObligationKind.SET, "priority", "low"),
        Obligation(ObligationKind.SET, "copies", 1),
        Obligation(ObligationKind.DROP, "bcc"),
    }
    assert otherwise.approve is not None
    assert (otherwise.approve.proof, otherwise.approve.approvers) == (Proof.LOCAL, 2)
    assert otherwise.approve.timeout == timedelta(minutes=5)
    assert [rule.surface for rule in others] == [Surface.METHODS, Surface.RESOURCES, Surface.PROMPTS]
    assert [budget.over for budget in file.budgets] == [Decide.BLOCK, Decide.ASK]
    assert file.loop is not None
    assert policy.rates() == {"mail.to-colleagues": timedelta(hours=1)}


RULE = '[[rule]]\nid = "r"\ntools = "mail/*"\ndecide = "{}"\n'
TOOL = '[[tool]]\nmatch = "mail/*"\neffect = "read"\n'
IF = "when = 'session.tainted'"
LISTS = '[lists]\nfriends = ["*@corp.example"]\n'
LATER = '[[rule]]\nid = "s"\ntools = "mail/send"\ndecide = "ask"\n'
SINKS = '[[tool]]\nmatch = "mail/send*"\neffect = "egress"\nsinks = { to = "email", cc = "email" }\n'


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        pytest.param("onwer = 1", 2, "did you mean `owner`", id="unknown key"),
        pytest.param('upstream = "mial"', 2, "did you mean `mail`", id="unknown upstream"),
        pytest.param(RULE.replace("mail/*", "mial/*").format("ask"), 4, "did you mean `mail`", id="in a pattern"),
        pytest.param(RULE.replace("mail/*", "*").format("ask"), 4, "did you mean `*/*`", id="no upstream in a pattern"),
        pytest.param(RULE.replace("mail/*", "mail/[ab]").format("ask"), 4, "only `*` and `?`", id="a class"),
        pytest.param(RULE.replace('"mail/*"', "[]").format("ask"), 4, "at least one", id="no pattern"),
        pytest.param(RULE.format("alow"), 5, "did you mean `allow`", id="unknown word"),
        pytest.param('[[rule]]\nid = "r"\ntools = "mail/*"', 2, "missing", id="decides nothing"),
        pytest.param('[[rule]]\ntools = "mail/*"\ndecide = "ask"', 2, "missing", id="no id"),
        pytest.param('[[rule]]\nid = "a b"\ntools = "mail/*"\ndecide = "ask"', 3, "an id", id="an id with a space"),
        pytest.param('[[rule]]\nid = "r"\ndecide = "ask"', 3, "found nothing", id="speaks of nothing"),
        pytest.param(RULE.format("ask") + 'prompts = "*"', 3, "found tools, prompts", id="speaks of two"),
        pytest.param(
            '[[rule]]\nid = "r"\nmethods = ["sampling/create"]\ndecide = "ask"',
            4,
            "sampling/createMessage",
            id="method",
        ),
        pytest.param(RULE.format("ask") + 'clients = "cursr"', 6, "did you mean `cursor`", id="unknown client"),
        pytest.param(RULE.format("ask") + "clients = []", 6, "at least one", id="no client"),
        pytest.param(RULE.format("ask") + "when = 'sesion.tainted'", 6, "did you mean `session`", id="condition"),
        pytest.param(RULE.format("ask") + "when = '1 +'", 6, "not a valid condition", id="broken condition"),
        pytest.param(
            LISTS + RULE.format("allow") + "when = 'sinks.all(s, listed(s, \"friends\"))'",
            8,
            "size(sinks) > 0",
            id="empty",
        ),
        pytest.param(
            LISTS + RULE.format("allow") + "when = '!sinks.exists(s, !listed(s, \"friends\"))'",
            8,
            "size(",
            id="negated",
        ),
        pytest.param(RULE.format("ask") + 'rate = "3/hour"', 6, "only in a rule that allows", id="rate of an ask"),
        pytest.param(RULE.format("allow") + 'rate = "3/week"', 6, "`30/hour`", id="rate of a week"),
        pytest.param(RULE.format("allow") + 'rate = "0/hour"', 6, "`30/hour`", id="rate of none"),
        pytest.param(RULE.format("block") + "approve = {}", 6, "no `approve`", id="approve of a block"),
        pytest.param(RULE.format("ask") + 'approve = { by = "alcie" }', 6, "did you mean `alice`", id="approver"),
        pytest.param(RULE.format("ask") + 'approve = { proof = "singed" }', 6, "did you mean `signed`", id="proof"),
        pytest.param(RULE.format("ask") + "approve = { approvers = 0 }", 6, "from 1 to 10", id="no approvers"),
        pytest.param(RULE.format("ask") + 'approve = { timeout = "2d" }', 6, "a duration", id="too long to wait"),
        pytest.param(RULE.format("block") + 'drop = ["x"]', 6, "no change", id="drop in a block"),
        pytest.param(RULE.format("block") + "set = { x = 1 }", 6, "no change", id="set in a block"),
        pytest.param(RULE.format("ask") + "set = { x = [1] }", 6, "a text, a number", id="set a list"),
        pytest.param(RULE.format("ask") + "set = { x = nan }", 6, "a text, a number", id="set no number"),
        pytest.param(RULE.format("ask") + 'set = { x = 1 }\ndrop = ["x"]', 6, "either", id="set and drop"),
        pytest.param(RULE.format("ask") + LATER, 6, "never decides: `r`", id="dead after an ask"),
        pytest.param(LATER + RULE.format("block"), 2, "never decides: `r`", id="dead before a block"),
        pytest.param(
            RULE.format("ask") + "when = ' true // all'\n" + LATER, 7, "never decides: `r`", id="dead after true"
        ),
        pytest.param(
            LATER + RULE.format("block") + "when = 'true'",
            2,
            "never decides: `r`",
            id="dead before a block that is true",
        ),
        pytest.param(
            RULE.format("ask") + f"{IF}\n" + LATER.replace("ask", "allow") + IF,
            7,
            "never decides: `r`",
            id="the same twice",
        ),
        pytest.param(
            LATER.replace('ask"', f'ask"\n{IF}\n') + RULE.format("block") + IF,
            2,
            "never decides: `r`",
            id="before a block under the same condition",
        ),
        pytest.param(
            RULE.format("ask") + 'clients = "c*"\n' + f"{IF}\n" + LATER + f"{IF}\nclients = 'cursor'",
            8,
            "never decides: `r`",
            id="the same for a client of them",
        ),
        pytest.param(
            RULE.format("block") + f"{IF}\n" + RULE.replace('"r"', '"s"').format("block") + IF.replace(" ", "  "),
            7,
            "never decides: `r`",
            id="a block twice",
        ),
        pytest.param(
            RULE.format("allow") + 'clients = "unknown"', 2, "never decides: nothing", id="an allow for nobody"
        ),
        pytest.param(RULE.format("ask") + RULE.format("ask"), 6, "used once", id="an id twice"),
        pytest.param('[[tool]]\nmatch = "mail/*"', 2, "missing", id="no effect"),
        pytest.param('[[tool]]\neffect = "read"', 2, "missing", id="no match"),
        pytest.param(TOOL.replace("read", "raed"), 4, "did you mean `read`", id="unknown effect"),
        pytest.param(TOOL + 'sinks = { to = "e-mail" }', 5, "did you mean `email`", id="unknown kind"),
        pytest.param(TOOL + 'sinks = { to = "email" }\ninert = ["to"]', 3, "once among", id="sink and inert"),
        pytest.param(TOOL + 'payload = ["a", "a"]', 3, "once among", id="payload twice"),
        pytest.param(
            TOOL + 'sinks = { to = "email" }\nknown = { to = "frends" }', 6, "unknown list", id="list of a sink"
        ),
        pytest.param(LISTS + TOOL + 'known = { to = "friends" }', 7, "expected a sink", id="known of no sink"),
        pytest.param(
            TOOL + 'output = { trust = "trusted", untrusted = true }', 5, "`trust` alone", id="both spellings"
        ),
        pytest.param(TOOL + "preview = {}", 5, "missing", id="a preview of nothing"),
        pytest.param(TOOL + "record = 1", 5, "one of full, digest", id="record"),
        pytest.param("[[resource]]", 2, "missing", id="a resource of nothing"),
        pytest.param('[lists]\n"a b" = []', 3, "a name", id="a list's name"),
        pytest.param('[lists]\na = ["\\u0001"]', 3, "control characters", id="a list's value"),
        pytest.param('[[budget]]\nid = "b"\ntools = "mail/*"\nper = "day"', 3, "exactly one", id="a budget of nothing"),
        pytest.param(
            '[[budget]]\nid = "b"\ntools = "mail/*"\nper = "day"\nsum = "args.n"',
            2,
            "missing",
            id="a sum without limit",
        ),
        pytest.param('[[budget]]\nid = "b"\ncalls = 1\nlimit = "x"', 2, "missing", id="a budget without tools"),
        pytest.param('[[budget]]\ntools = "mail/*"\nper = "day"\ncalls = 1', 2, "missing", id="a budget without id"),
        pytest.param("[loop]\nsame_call = 1", 3, "from 2 to", id="a loop of one"),
        pytest.param(SINKS + RULE.format("allow") + "when = 'args.to == \"a\"'", 6, "not `cc`", id="half the sinks"),
        pytest.param(
            SINKS + RULE.format("allow") + "when = 'size(sinks) == 1 && args.to == \"a\"'",
            6,
            "not `cc`",
            id="how many sinks there are",
        ),
        pytest.param(SINKS + RULE.format("allow") + 'when = \'args["t" + "o"] == "a"\'', 6, "`cc`", id="computed"),
        pytest.param(
            SINKS + RULE.format("allow") + "when = 'has(args.cc) && args.to == \"a\"'", 6, "`cc`", id="it is there"
        ),
        pytest.param(
            LISTS
            + RULE.format("ask-unless-proven")
            + "when = 'session.tainted && !sinks.exists(s, !listed(s, \"friends\"))'",
            8,
            "size(sinks) > 0",
            id="empty behind a claim that is seldom true",
        ),
        pytest.param("= 1", 2, "not valid TOML", id="no TOML"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, line: int, said: str) -> None:
    problems = problems_of(text)
    assert any(problem.startswith(f"p.toml:{line} ") or f"p.toml:{line}:" in problem for problem in problems), problems
    assert any(said in problem for problem in problems), problems


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(RULE.format("ask") + LATER.replace("ask", "block"), id="a block is never dead"),
        pytest.param(LATER + RULE.format("ask"), id="the narrow one first"),
        pytest.param(RULE.format("ask") + f"{IF}\n" + LATER, id="a condition leaves some"),
        pytest.param(RULE.format("ask") + f"{IF}\n" + LATER + "when = '!session.tainted'", id="another condition"),
        pytest.param(
            RULE.format("ask") + f"{IF}\nclients = 'cursor'\n" + LATER + IF, id="the same condition for other clients"
        ),
        pytest.param(
            RULE.format("block") + f"{IF}\n" + RULE.replace('"r"', '"s"').format("block") + f"{IF}\nclients = 'cursor'",
            id="a block under the same condition for others",
        ),
        pytest.param(RULE.format("ask") + f"{IF}\n" + LATER.replace("ask", "block") + IF, id="a block after an ask"),
        pytest.param(RULE.format("allow") + 'clients = ["cursor", "unknown"]', id="an allow for somebody, too"),
        pytest.param(RULE.format("ask") + 'clients = "cursor"\n' + LATER, id="a client leaves others"),
        pytest.param(RULE.format("allow") + 'clients = "*"\n' + LATER + 'clients = "*"', id="unknown goes on"),
        pytest.param(RULE.format("ask") + 'clients = "cursor"\n' + LATER + 'clients = "claude*"', id="other clients"),
        pytest.param(RULE.format("ask") + LATER.replace("tools", "prompts"), id="another surface"),
        pytest.param(
            RULE.replace("mail/*", "mail/send").format("ask") + LATER.replace('"mail/send"', '["mail/send", "mail/a"]'),
            id="more tools",
        ),
        pytest.param(LATER + RULE.format("block") + IF, id="a condition on the block"),
        pytest.param(SINKS + RULE.format("allow") + 'when = \'args.to == "a" && args.cc == "b"\'', id="all sinks"),
        pytest.param(
            SINKS + RULE.format("allow") + 'when = \'args.to == "a" && sinks.all(s, s != "b")\'', id="each sink"
        ),
        pytest.param(SINKS + RULE.format("allow") + "when = 'args.subject == \"a\"'", id="no sink at all"),
        pytest.param(SINKS + RULE.format("allow") + "when = '!has(args.cc) && args.to == \"a\"'", id="one isn't there"),
        pytest.param(SINKS + RULE.format("ask") + "when = 'args.to == \"a\"'", id="an ask may read one"),
        pytest.param(
            SINKS + RULE.replace("mail", "files").format("allow") + "when = 'args.to == \"a\"'", id="other tools"
        ),
        pytest.param(LISTS + RULE.format("block") + "when = '!sinks.all(s, listed(s, \"friends\"))'", id="a block"),
        pytest.param(RULE.format("ask") + 'approve = { by = "os:alice" }', id="an os user"),
        pytest.param(RULE.replace("mail/*", "ma*/send?").format("ask"), id="a pattern of upstreams"),
        pytest.param(RULE.format("ask") + 'clients = "unknown"', id="the unknown client"),
        pytest.param('owner = "a"', id="nothing"),
    ],
)
def test_what_is_right_is_no_problem(text: str) -> None:
    assert problems_of(text, head="" if text.startswith("owner") else HEAD) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(TOOL + TOOL.replace("mail/*", "mail/send"), "wins whole", id="an entry that never counts"),
        pytest.param(TOOL + "output = { untrusted = true }", "older spelling", id="an older spelling"),
        pytest.param(RULE.format("ask") + 'approve = { by = "role:boss" }', "no approver", id="a role that nobody has"),
    ],
)
def test_what_is_doubtful_is_a_warning(text: str, said: str) -> None:
    ((problem,)) = parse({"p.toml": HEAD + text}, KNOWN)[1]
    assert problem.severity.value == "warning"
    assert said in problem.message


@pytest.mark.parametrize(("flag", "trust"), [("true", Trust.UNTRUSTED), ("false", Trust.NEUTRAL)])
def test_the_older_spelling_of_trust_is_taken(flag: str, trust: Trust) -> None:
    policy, _ = parse({"p.toml": HEAD + TOOL + f"output = {{ untrusted = {flag} }}"})
    assert policy.files[0].tools[0].labels.output.trust is trust


@pytest.mark.parametrize("owner", ["", "owner = 1", 'owner = ""', 'owner = { business = "a" }', "owner = {}"])
def test_a_file_needs_an_owner(owner: str) -> None:
    assert problems_of("", head=owner)


def test_dates_are_checked_against_today() -> None:
    text = HEAD + "review_by = 2026-11-01\nobserve_until = 2026-12-24\n"
    problems = parse({"p.toml": text}, today=date(2026, 11, 22))[1]
    assert [(problem.key, problem.severity.value) for problem in problems] == [
        ("review_by", "warning"),
        ("observe_until", "error"),
    ]


def test_an_observation_that_is_over_is_told() -> None:
    problems = parse({"p.toml": HEAD + "observe_until = 2026-11-21\n"}, today=date(2026, 11, 22))[1]
    assert [(problem.key, problem.severity.value) for problem in problems] == [("observe_until", "warning")]


def test_two_files_that_label_a_tool_differently_are_an_error() -> None:
    one = HEAD + 'upstream = "mail"\n[[tool]]\nmatch = "send_*"\neffect = "egress"\n'
    other = HEAD + 'upstream = "mail"\n[[tool]]\nmatch = "*_mail"\neffect = "write"\n'
    assert [problem.key for problem in parse({"a.toml": one, "b.toml": other}, KNOWN)[1]] == ["match"]
    agreed = one.replace("send_*", "*_mail")
    assert parse({"a.toml": one, "b.toml": agreed}, KNOWN)[1] == ()
    apart = other.replace("*_mail", "other")
    assert parse({"a.toml": one, "b.toml": apart}, KNOWN)[1] == ()
    elsewhere = other.replace('upstream = "mail"', 'upstream = "files"')
    assert parse({"a.toml": one, "b.toml": elsewhere}, KNOWN)[1] == ()


def test_a_list_means_the_same_everywhere() -> None:
    one, other = HEAD + LISTS, HEAD + LISTS.replace("corp", "evil")
    assert parse({"a.toml": one, "b.toml": one})[1] == ()
    assert [problem.key for problem in parse({"a.toml": one, "b.toml": other})[1]] == ["friends"]


def test_without_known_names_none_is_checked() -> None:
    text = RULE.replace("mail", "any").format("ask") + 'clients = "any"\napprove = { by = "any" }\n'
    assert problems_of(text, known=None) == []
    assert problems_of('upstream = "any"', known=Known()) == []


@given(st.permutations(["a.toml", "b.toml", "c.toml"]))
def test_the_revision_knows_no_order_of_files(order: list[str]) -> None:
    texts = {name: f'owner = "{name}"' for name in order}
    assert parse(texts)[0].revision == parse(dict(sorted(texts.items())))[0].revision


def test_the_revision_is_of_the_texts() -> None:
    assert parse({"a.toml": HEAD})[0].revision != parse({"a.toml": HEAD + "\n"})[0].revision


@pytest.mark.parametrize(
    ("rule", "hidden"),
    [
        (RULE.format("block"), True),
        (RULE.format("block") + 'clients = "*"', True),
        (RULE.format("block") + 'clients = "cursor"', False),
        (RULE.format("block") + "when = 'true'", False),
        (RULE.format("ask"), False),
        (RULE.replace("mail", "files").format("block"), False),
        (RULE.replace("tools", "prompts").format("block"), False),
        ("", False),
    ],
)
def test_what_a_rule_blocks_for_everybody_is_hidden(rule: str, hidden: bool) -> None:
    assert policy_of(rule).hides(ToolRef("mail", "send")) is hidden


@pytest.mark.parametrize(
    ("output", "strict"),
    [
        ("", False),
        ('output = { trust = "neutral" }', False),
        ('output = { secrets = "redact" }', True),
        ('output = { secrets = "ask" }', False),
    ],
)
def test_redact_in_words_is_more_than_the_default(output: str, strict: bool) -> None:
    policy, problems = parse({"p.toml": HEAD + TOOL + output}, KNOWN)
    assert (policy.files[0].tools[0].labels.output.strict, problems) == (strict, ())
