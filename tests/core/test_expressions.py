"""What a condition's text shows before it is run."""

import pytest

from gateway.core.expressions import FUNCTIONS, MAX_LENGTH, METHODS, read, tokens

LISTS = ("colleagues",)


@pytest.mark.parametrize(
    ("text", "near"),
    [
        pytest.param("sesion.tainted", "session", id="variable"),
        pytest.param("session.calls > 1", "calls_10m", id="field"),
        pytest.param('session["taint"]', "tainted", id="field by subscript"),
        pytest.param("sizes(args.to) > 1", "size", id="function"),
        pytest.param('args.to.startWith("a")', "startsWith", id="method"),
        pytest.param('listed(args.to, "colleages")', "colleagues", id="list"),
        pytest.param("listed(args.to, args.list)", "", id="a list by a value"),
        pytest.param("listed(args.to", "", id="never closed"),
        pytest.param("listed(args.to)", "", id="too few arguments"),
        pytest.param('listed(args.to, "colleagues", 1)', "", id="too many arguments"),
        pytest.param('args.to.listed("colleagues")', "", id="listed as a method"),
        pytest.param("args.to.map(t, t)", "", id="map copies"),
        pytest.param("args.a.all(x, args.b.all(y, args.c.all(z, true)))", "", id="nested too deep"),
        pytest.param("args.a.all(x, args.b.filter(y, true) == [])", "", id="filter inside a macro"),
        pytest.param("args.a.all(x, true) && x", "", id="a bound name outside its macro"),
        pytest.param("(" * 33 + "1" + ")" * 33, "", id="too many brackets"),
        pytest.param(" " * MAX_LENGTH + "1", "", id="too long"),
        pytest.param("{who: 1}", "", id="a key that is a name"),
    ],
)
def test_what_can_not_be_meant_is_a_problem_with_a_near_name(text: str, near: str) -> None:
    problems = read(text, LISTS).problems
    assert problems
    assert problems[0][1] == near


@pytest.mark.parametrize(
    "text",
    [
        "size(args.to) > 10 || session.calls_10m > 20",
        'size(sinks) > 0 && sinks.all(s, listed(s, "colleagues"))',
        "args.a.all(x, args.b.exists(y, x == y)) && args.c.exists_one(z, z == 1)",
        'has(args.to) && type(args.to) == string && args["to"] in ["a", b"b", r"c"]',
        'now > timestamp("2026-01-01T00:00:00Z") // a comment with wrong(names)',
        'principal.roles.exists(r, r == "admin") ? flow.sources == [] : client.registered',
        "{'x': 1}.x == 1 && '''it's all(fine''' != \"\"\"say \"no\" \"\"\"",
        'now.getHours() < 6 && tool.name.matches("^a\\\\(") && !(null == 1.5e3)',
        "size(args.to) > 1)",
    ],
)
def test_what_can_be_meant_is_none(text: str) -> None:
    assert read(text, LISTS).problems == []


def test_every_function_that_is_allowed_is_known_to_the_engine() -> None:
    import cel

    calls = {
        "bytes": 'bytes("a")', "double": "double(1)", "duration": 'duration("1s")', "dyn": "dyn(1)", "has": "has(a.b)",
        "int": 'int("1")', "listed": 'listed("a", "b")', "size": "size([1])", "string": "string(1)",
        "timestamp": 'timestamp("2026-01-01T00:00:00Z")', "type": "type(1)", "uint": "uint(1)",
    }  # fmt: skip
    assert set(calls) == set(FUNCTIONS)
    for method in METHODS:
        instant = method.startswith("get")
        calls[method] = f"now.{method}()" if instant else '"a".size()' if method == "size" else f'"a".{method}("a")'
    names = {"a": {"b": 1}, "now": __import__("datetime").datetime(2026, 1, 1, tzinfo=__import__("datetime").UTC)}
    for text in calls.values():
        cel.compile(text).execute(cel.Context(names, {"listed": lambda value, name: True}))


def test_arguments_and_names_and_lists_are_told() -> None:
    reading = read('args.to == args["cc"] && listed(args.bcc, "colleagues") && args.all(k, args[k] == 1)', LISTS)
    assert reading.arguments == {"to", "cc", "bcc"}
    assert reading.names == {"args"}
    assert reading.lists == {"colleagues"}


@pytest.mark.parametrize(
    ("text", "arguments", "computed"),
    [
        ('args.to == "a" && args["cc"] == "b"', {"to", "cc"}, False),
        ("has(args.cc) && args.to != ''", {"to"}, False),
        ("!has(args.cc) && args.to != ''", {"to", "cc"}, False),
        ('"cc" in args && args.to.all(t, t in ["a"])', {"to"}, False),
        ('!("cc" in args) || "a" in args.to || "b" in args["bcc"]', {"to", "cc", "bcc"}, False),
        ('args["t" + "o"] == "a"', set(), True),
        ("args['t\\x6f'] == \"a\"", set(), True),
        ("[args].exists(a, a.to == 'a')", set(), True),
        ("args.exists(k, k == 'to' && args[k] == 'a')", set(), True),
        ("args.size() == 1 && args.to == 'a'", {"to"}, True),
        ("size(sinks) > 0", set(), False),
    ],
)
def test_an_argument_is_read_by_its_name_and_its_value_or_it_is_computed(
    text: str, arguments: set[str], computed: bool
) -> None:
    reading = read(text, LISTS)
    assert (reading.arguments, reading.computed, reading.problems) == (arguments, computed, [])


@pytest.mark.parametrize(
    ("text", "each"),
    [
        ("sinks.all(s, s != '')", True),
        ("!sinks.exists(s, s == 'a') && args.to == 'a'", True),
        ("sinks.filter(s, s != '').size() == 0", True),
        ("size(sinks) > 0 && args.to == 'a'", False),
        ("sinks.size() == 1", False),
        ("sinks[0] != '' && 'a' in sinks", False),
        ("args.sinks.all(s, s != '')", False),
    ],
)
def test_only_a_macro_goes_over_all_sinks(text: str, each: bool) -> None:
    assert read(text, LISTS).each is each


def test_nesting_is_told() -> None:
    assert read("args.a.all(x, args.b.exists(y, x == y))", LISTS).nested
    assert not read("args.a.all(x, true) && args.b.exists(y, true)", LISTS).nested


def test_tokens_leave_blanks_and_comments_out() -> None:
    assert [token.text for token in tokens("a  && // b\n'c d'")] == ["a", "&&", "'c d'"]
