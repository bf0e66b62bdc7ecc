"""Lists are walked to their end, within bounds, and only the list of the tools can stop an upstream."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from mcp.shared.exceptions import MCPError
from msgspec.structs import replace

from gateway.core.canon import canonical
from gateway.errors import UpstreamError
from gateway.upstreams.definitions import Offering
from gateway.upstreams.lists import MOST_PAGES, walk
from gateway.upstreams.spec import UpstreamSpec
from tests.upstreams.offers import ALL, MAKE, make

Answer = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
OTHERS = ALL[1:]
EACH = pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.kind)
EACH_OTHER = pytest.mark.parametrize("kind", OTHERS, ids=lambda kind: kind.kind)
SPEC = UpstreamSpec(
    "up",
    most_tools=3,
    most_resources=3,
    most_templates=3,
    most_prompts=3,
    largest_definition=4096,
    largest_list=8192,
    most_instructions=10,
)


@dataclass
class FakeLink:
    """A link that answers from a table of methods; what isn't in it is an unknown method."""

    answers: dict[str, Answer]
    capabilities: tuple[str, ...] = ("tools", "resources", "prompts")
    instructions: str = ""
    asked: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    learned: list[Mapping[str, Any]] = field(default_factory=list)

    def offers(self, kind: str) -> bool:
        return kind in self.capabilities

    async def request(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        self.asked.append((method, params))
        if method not in self.answers:
            raise MCPError(-32601, "no such method")
        return dict(await self.answers[method](params))

    def learn_headers(self, tools: Sequence[Mapping[str, Any]]) -> None:
        self.learned.extend(tools)


def pages(kind: Offering, *lists: Sequence[Any], cursors: Sequence[object] = ()) -> Answer:
    """One page for each list; the cursors are numbers, unless others are given."""
    keys: list[object] = list(cursors) or [str(number) for number in range(1, len(lists))]

    async def answer(params: Mapping[str, Any]) -> Mapping[str, Any]:
        at = keys.index(params["cursor"]) + 1 if "cursor" in params else 0
        return {kind.items: lists[at], **({"nextCursor": keys[at]} if at < len(keys) else {})}

    return answer


def raw(value: Mapping[str, Any]) -> Answer:
    """Always this answer."""

    async def answer(params: Mapping[str, Any]) -> Mapping[str, Any]:
        return value

    return answer


def some(kind: Offering, count: int) -> list[dict[str, Any]]:
    """So many of a kind."""
    form = {"tools": "t{}", "resources": "x://{}", "templates": "x://{}/{{a}}", "prompts": "p{}"}[kind.kind]
    return [MAKE[kind.kind](form.format(number)) for number in range(count)]


def full(**others: Answer) -> FakeLink:
    """A link with one of everything, except for what is given by method (`/` written as `_`)."""
    answers = {kind.method: pages(kind, [make(kind)]) for kind in ALL}
    return FakeLink({**answers, **others})


def broken(kind: Offering, answer: Answer) -> FakeLink:
    """A link whose answer to one list is another."""
    return FakeLink({**full().answers, kind.method: answer})


async def test_everything_that_is_declared_is_listed() -> None:
    found = await walk(full(), SPEC)
    assert [[one.value for one in found.of(kind.kind)] for kind in ALL] == [[make(kind)] for kind in ALL]
    assert (found.note, found.failed, found.instructions) == ("", frozenset(), "")


async def test_nothing_is_asked_that_was_not_declared() -> None:
    link = full()
    link.capabilities = ("prompts",)
    found = await walk(link, SPEC)
    assert [method for method, _ in link.asked] == ["prompts/list"]
    assert (len(found.tools), len(found.prompts)) == (0, 1)
    link.capabilities = ()
    assert (await walk(link, SPEC)).note == ""


@EACH
async def test_all_pages_are_walked_and_an_empty_cursor_is_one(kind: Offering) -> None:
    one, two, three = some(kind, 3)
    link = broken(kind, pages(kind, [three], [], [one, two], cursors=["", "x"]))
    found = await walk(link, SPEC)
    assert [each.value for each in found.of(kind.kind)] == [one, two, three]
    assert [params for method, params in link.asked if method == kind.method] == [{}, {"cursor": ""}, {"cursor": "x"}]
    link = broken(kind, raw({kind.items: [one], "nextCursor": None}))
    assert len((await walk(link, SPEC)).of(kind.kind)) == 1


async def refused(kind: Offering, answer: Answer) -> str:
    """What is told of a list that can't be taken: an error for the tools, a note for all others."""
    link = broken(kind, answer)
    if kind.kind == "tools":
        with pytest.raises(UpstreamError) as caught:
            await walk(link, SPEC)
        return str(caught.value)
    found = await walk(link, SPEC)
    assert found.failed == {kind.kind}
    assert [len(found.of(other.kind)) for other in ALL] == [int(other is not kind) for other in ALL]
    return found.note


@EACH
async def test_entries_end_at_their_limit(kind: Offering) -> None:
    link = broken(kind, pages(kind, some(kind, 2), some(kind, 3)[2:]))
    assert len((await walk(link, SPEC)).of(kind.kind)) == 3
    assert await refused(kind, pages(kind, some(kind, 2), some(kind, 4)[2:])) == f"it lists more than 3 {kind.noun}"


@EACH
async def test_bytes_end_at_their_limit_over_all_pages(kind: Offering) -> None:
    first, second, _ = some(kind, 3)
    room = SPEC.largest_list - len(canonical([first])) - len(canonical([{**second, "x": "", "y": ""}])) - len("1")
    half = room // 2
    large = {**second, "x": "x" * (room - half), "y": "x" * half}
    larger = {**large, "x": large["x"] + "x"}
    told = f"its {kind.noun} take more than {SPEC.largest_list} bytes"
    assert await refused(kind, pages(kind, [first], [larger])) == told
    assert await refused(kind, pages(kind, [], [], cursors=["x" * SPEC.largest_list])) == told
    link = broken(kind, pages(kind, [first], [large]))
    found = await walk(link, SPEC)
    assert [one.value for one in found.of(kind.kind)] == [first]
    assert f"(over {SPEC.largest_definition} bytes)" in found.note


@EACH
async def test_pages_end_at_their_limit(kind: Offering) -> None:
    at_limit: list[list[Any]] = [[] for _ in range(MOST_PAGES)]
    assert (await walk(broken(kind, pages(kind, *at_limit)), SPEC)).note == ""
    told = await refused(kind, pages(kind, *at_limit, []))
    assert told == f"its list of {kind.noun} has more than {MOST_PAGES} pages"


@EACH
@pytest.mark.parametrize("cursor", ["again", ""])
async def test_a_list_that_goes_round_is_ended(kind: Offering, cursor: str) -> None:
    told = await refused(kind, raw({kind.items: [], "nextCursor": cursor}))
    assert told == f"its list of {kind.noun} goes round in a circle"


@EACH
@pytest.mark.parametrize("page", [{}, {"ITEMS": None}, {"ITEMS": {}}, {"ITEMS": [], "nextCursor": 7}], ids=str)
async def test_what_is_no_list_is_refused(kind: Offering, page: Mapping[str, Any]) -> None:
    answer = raw({kind.items if key == "ITEMS" else key: value for key, value in page.items()})
    assert await refused(kind, answer) == f"its answer to `{kind.method}` is no list of {kind.noun}"


def failing(problem: Exception) -> Answer:
    """An answer that is an error."""

    async def answer(params: Mapping[str, Any]) -> Mapping[str, Any]:
        raise problem

    return answer


@EACH_OTHER
@pytest.mark.parametrize(
    ("problem", "why"),
    [
        (MCPError(-32603, "a secret"), "error -32603"),
        (ValueError("x"), "ValueError"),
        (RuntimeError("x"), "RuntimeError"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_an_error_costs_one_kind_and_its_text_is_not_told(kind: Offering, problem: Exception, why: str) -> None:
    assert await refused(kind, failing(problem)) == f"{kind.noun} not listed: {why}"


@EACH_OTHER
async def test_a_list_that_the_upstream_does_not_have_is_an_empty_one(kind: Offering) -> None:
    link = full()
    del link.answers[kind.method]
    found = await walk(link, SPEC)
    assert (found.note, found.failed, found.of(kind.kind)) == ("", frozenset(), ())


async def test_an_error_for_the_tools_is_an_error_of_the_upstream() -> None:
    link = full()
    del link.answers["tools/list"]
    with pytest.raises(MCPError):
        await walk(link, SPEC)
    assert [method for method, _ in link.asked] == ["tools/list"]


@EACH_OTHER
async def test_a_list_that_is_never_answered_takes_half_of_the_time_that_is_left(kind: Offering) -> None:
    ended: list[str] = []

    async def never(params: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(kind.kind)

    link = broken(kind, never)
    with anyio.fail_after(2):
        found = await walk(link, SPEC)
    assert ended == [kind.kind]
    assert found.failed == {kind.kind}
    assert re.fullmatch(rf"{kind.noun} not listed within (1|0\.[89]\d*) s", found.note)
    assert [len(found.of(other.kind)) for other in ALL] == [int(other is not kind) for other in ALL]


async def test_a_caller_that_gives_up_ends_the_walk() -> None:
    async def never(params: Mapping[str, Any]) -> Mapping[str, Any]:
        await anyio.sleep_forever()
        return {}

    for kind in ALL:
        with anyio.move_on_after(60) as scope:
            link = broken(kind, never)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(walk, link, SPEC)
                with anyio.fail_after(5):
                    while kind.method not in [method for method, _ in link.asked]:
                        await anyio.lowlevel.checkpoint()
                scope.cancel()
        assert scope.cancelled_caught


async def test_headers_are_learned_of_the_tools_that_are_offered() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "x-mcp-header": "A"}}}
    kind = ALL[0]
    link = broken(kind, pages(kind, [make(kind, name="good", inputSchema=schema), make(kind, name="bad name")]))
    found = await walk(link, SPEC)
    assert link.learned == [make(kind, name="good", inputSchema=schema)]
    assert found.note == "1 tool left out: `bad name` (illegal name)"


async def test_notes_of_several_kinds_stand_in_one_line() -> None:
    link = full()
    for kind in ALL:
        link.answers[kind.method] = pages(kind, [make(kind), "x"])
    link.answers["prompts/list"] = failing(MCPError(-32000, ""))
    note = (await walk(link, SPEC)).note
    assert note.split("; ") == [
        "1 tool left out: one without a name (no object)",
        "1 resource left out: one without a name (no object)",
        "1 resource template left out: one without a name (no object)",
        "prompts not listed: error -32000",
    ]


@pytest.mark.parametrize(
    ("believed", "text", "kept", "note"),
    [
        (False, "x" * 10, "", ""),
        (True, "x" * 10, "x" * 10, ""),
        (True, "x" * 11, "", "instructions left out (over 10 characters)"),
    ],
)
async def test_instructions_are_bounded_and_only_of_upstreams_that_are_believed(
    believed: bool, text: str, kept: str, note: str
) -> None:
    link = full()
    link.instructions = text
    found = await walk(link, replace(SPEC, instructions=believed))
    assert (found.instructions, found.note) == (kept, note)


async def test_others_get_their_turn_while_a_long_list_is_checked() -> None:
    kind = ALL[0]
    link = broken(kind, pages(kind, some(kind, 100)))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        await walk(link, replace(SPEC, most_tools=100, largest_list=100_000))
        tasks.cancel_scope.cancel()
    assert turns >= 5
