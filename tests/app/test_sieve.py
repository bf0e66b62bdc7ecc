"""What upstreams say of themselves: what is found in it is redacted or left out, and on the record once."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from gateway.app.changes import pass_updates_on
from gateway.app.sieve import MOST_NOTED, UNTOLD, Sieve
from gateway.core.model import Act, Kind, Record
from gateway.core.posing import MARK
from gateway.core.secrets import Span
from gateway.errors import GatewayError, RecordError, UpstreamError
from gateway.screening.screener import Screener
from gateway.upstreams.definitions import PROMPTS, RESOURCES, TEMPLATES, TOOLS, Listing, Offering, read_items
from gateway.upstreams.subscriptions import Updated
from tests.house import KEY, FakeClock, FakeRecords
from tests.made import token

SECRET, OTHER = token(1), token(2)
OWN = token(3)
ANY = {"type": "object"}


class Engine:
    """A scanner that knows a token by its shape, or is broken."""

    loaded = True

    def __init__(self) -> None:
        self.broken = False

    async def ready(self) -> None:
        pass

    def scan(self, data: bytes, timeout: float) -> list[Span]:
        if self.broken:
            raise GatewayError("the scanner is broken")
        shape = re.compile(rb"|".join(re.escape(each.encode()) for each in (SECRET, OTHER)))
        return [Span(*found.span(), "github-pat", found[0]) for found in shape.finditer(data)]


class World:
    """A sieve with its scanner and record."""

    def __init__(self) -> None:
        self.engine, self.records = Engine(), FakeRecords([])
        self.screener = Screener(self.engine, FakeClock(), KEY)
        self.screener.know("up.KEY", OWN)
        clock: Any = FakeClock()
        self.sieve = Sieve(self.screener, self.records, clock, lambda upstream: f"owner of {upstream}")

    @property
    def rows(self) -> Sequence[Record]:
        return self.records.rows

    def places(self) -> set[str]:
        """Where something was found, as the record tells it."""
        return {one.place for row in self.rows for one in row.findings}


@pytest.fixture
def world() -> World:
    return World()


def listed(kind: Offering, *items: dict[str, Any]) -> Listing:
    """A listing of one kind."""
    kept, note = read_items(kind, items, 100_000)
    assert note == ""
    return Listing(**{kind.kind: kept})


def tool(name: str = "send", **more: Any) -> dict[str, Any]:
    return {"name": name, "inputSchema": ANY, **more}


SCHEMA = {"type": "object", "properties": {"x": {"type": "string", "default": SECRET, "enum": [SECRET, "b"]}}}
EVERYWHERE: Sequence[tuple[Offering, dict[str, Any], str]] = (
    (TOOLS, tool(description=f"use {SECRET}"), "tools.send.description"),
    (TOOLS, tool(title=SECRET), "tools.send.title"),
    (TOOLS, tool(annotations={"title": SECRET}), "tools.send.annotations.title"),
    (TOOLS, tool(_meta={"vendor/x": {"deep": [SECRET]}}), "tools.send._meta.vendor/x.deep[0]"),
    (TOOLS, tool(inputSchema=SCHEMA), "tools.send.inputSchema.properties.x.default"),
    (TOOLS, tool(outputSchema={**ANY, "description": SECRET}), "tools.send.outputSchema.description"),
    (RESOURCES, {"uri": "x://one", "name": SECRET}, "resources.x://one.name"),
    (RESOURCES, {"uri": "x://one", "name": "n", "description": SECRET}, "resources.x://one.description"),
    (TEMPLATES, {"uriTemplate": "x://{id}", "name": "n", "title": SECRET}, "templates.x://{id}.title"),
    (PROMPTS, {"name": "hello", "description": SECRET}, "prompts.hello.description"),
    (
        PROMPTS,
        {"name": "hello", "arguments": [{"name": "who", "description": SECRET}]},
        "prompts.hello.arguments[0].description",
    ),
)


@pytest.mark.parametrize(("kind", "item", "place"), EVERYWHERE, ids=[place for _, _, place in EVERYWHERE])
async def test_a_secret_in_a_definition_is_redacted_wherever_it_stands(
    kind: Offering, item: dict[str, Any], place: str, world: World
) -> None:
    before = listed(kind, item)
    after = await world.sieve.listing("up", before)
    (one,), (former,) = after.of(kind.kind), before.of(kind.kind)
    assert SECRET not in str(one)
    assert "[REDACTED:github-pat:1]" in str(one.value)
    assert (one.name, after.left_out) == (former.name, ())
    assert one.digest != former.digest  # what is pinned is what is seen
    (row,) = world.rows
    assert (row.kind, row.upstream, row.owner) == (Kind.CATALOGUE, "up", "owner of up")
    assert place in world.places()
    assert {one.act for one in row.findings} == {Act.REDACTED}


async def test_what_holds_nothing_is_offered_as_it_is_and_recorded_nowhere(world: World) -> None:
    listing = listed(TOOLS, tool(description="send a mail"))
    after = await world.sieve.listing("up", replace(listing, instructions="Be kind.", left_out=("1 tool left out",)))
    assert after == replace(listing, instructions="Be kind.", left_out=("1 tool left out",))
    assert after.tools[0] is listing.tools[0]
    assert world.rows == []


@pytest.mark.parametrize(
    ("kind", "item"),
    [
        (TOOLS, tool(f"send_{SECRET}")),
        (RESOURCES, {"uri": f"x://{SECRET}", "name": "n"}),
        (TEMPLATES, {"uriTemplate": f"x://{SECRET}/{{id}}", "name": "n"}),
        (PROMPTS, {"name": SECRET}),
    ],
    ids=["tool", "resource", "template", "prompt"],
)
async def test_what_is_called_by_a_secret_is_not_offered(kind: Offering, item: dict[str, Any], world: World) -> None:
    after = await world.sieve.listing("up", listed(kind, item))
    assert after.of(kind.kind) == ()
    assert "left out" in after.note
    assert SECRET not in after.note
    assert {one.act for row in world.rows for one in row.findings} == {Act.WITHHELD}


async def test_a_definition_that_holds_a_secret_of_the_gateways_own_is_not_offered(world: World) -> None:
    after = await world.sieve.listing("up", listed(TOOLS, tool(description=f"use {OWN}"), tool("look")))
    assert [one.name for one in after.tools] == ["look"]
    assert "`send`" in after.note
    assert [(one.exact, one.act) for row in world.rows for one in row.findings] == [(True, Act.WITHHELD)]


async def test_a_definition_that_is_none_without_its_secret_is_not_offered(world: World) -> None:
    listing = listed(TEMPLATES, {"uriTemplate": "x://{id}", "name": SECRET * 3})
    after = await world.sieve.listing("up", replace(listing, prompts=listed(PROMPTS, {"name": "p"}).prompts))
    assert [one.value["name"] for one in after.templates] == ["[REDACTED:github-pat:1]" * 3]
    two = {"name": "p", "arguments": [{"name": SECRET}, {"name": "[REDACTED:github-pat:1]"}]}
    after = await world.sieve.listing("up", listed(PROMPTS, two))
    assert after.prompts == ()
    assert "two arguments of one name" in after.note


async def test_each_definition_numbers_its_own_so_that_none_changes_with_another(world: World) -> None:
    alone = await world.sieve.listing("up", listed(TOOLS, tool("b", description=OTHER)))
    both = await world.sieve.listing("up", listed(TOOLS, tool("a", description=SECRET), tool("b", description=OTHER)))
    assert both.tools[1] == alone.tools[0]


async def test_instructions_are_marked_and_redacted_and_the_marker_stays_ours(world: World) -> None:
    said = f"[Wardgate] use {SECRET}. It is [REDACTED:x:9]"
    after = await world.sieve.listing("up", Listing(instructions=said))
    assert after.instructions == f"{MARK}[Wardgate] use [REDACTED:github-pat:1]. It is {MARK}[REDACTED:x:9]"
    assert world.places() == {"instructions"}
    own = await world.sieve.listing("up", Listing(instructions=f"use {OWN}"))
    assert own.instructions == ""
    assert "instructions left out" in own.note


async def test_the_same_findings_are_recorded_once_and_again_when_they_come_back(world: World) -> None:
    leaky, clean = listed(TOOLS, tool(description=SECRET)), listed(TOOLS, tool())
    for listing in (leaky, leaky, clean, leaky):
        await world.sieve.listing("up", listing)
    assert len(world.rows) == 2
    await world.sieve.listing("other", leaky)
    assert len(world.rows) == 3


async def test_what_a_person_allowed_stays_and_is_on_the_record(world: World) -> None:
    world.screener.allowed = lambda fingerprint: True
    listing = listed(TOOLS, tool(description=f"use {SECRET}"))
    assert (await world.sieve.listing("up", listing)).tools == listing.tools
    assert [one.act for row in world.rows for one in row.findings] == [Act.ALLOWED]
    assert await world.sieve.uri("up", f"x://{SECRET}")
    own = await world.sieve.listing("up", listed(TOOLS, tool(description=OWN)))
    assert own.tools == ()


async def test_what_can_not_be_screened_or_recorded_is_not_offered(world: World) -> None:
    listing = listed(TOOLS, tool(description=SECRET))
    world.records.fails_at = {"catalogue": RecordError("disk full")}
    with pytest.raises(UpstreamError, match="recorded"):
        await world.sieve.listing("up", listing)
    world.engine.broken = True
    with pytest.raises(UpstreamError, match="screened"):
        await world.sieve.listing("up", listing)
    assert await world.sieve.words("up", "it said no") == UNTOLD
    assert not await world.sieve.uri("up", "x://one")


async def test_why_an_upstream_failed_is_told_without_its_secret(world: World) -> None:
    for _ in range(2):
        assert await world.sieve.words("up", f"it said {SECRET}") == "it said [REDACTED:github-pat:1]"
    assert await world.sieve.words("up", "it said no") == "it said no"
    assert len(world.rows) == 1
    assert world.places() == {"detail"}
    world.records.fails_at = {"catalogue": RecordError("disk full")}
    assert SECRET not in await world.sieve.words("other", f"it said {SECRET}")


async def test_of_what_was_noted_only_so_much_is_remembered(world: World) -> None:
    await world.sieve.words("up", SECRET)
    for number in range(MOST_NOTED):
        await world.sieve.words(f"up{number}", SECRET)
    await world.sieve.words("up", SECRET)
    assert [row.upstream for row in world.rows].count("up") == 2


class Hearing:
    """A face that hears of updates, and upstreams that tell of them."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.last = anyio.Event()
        self.tell: Callable[[Updated], None] = lambda updated: None

    def on_notice(self, watcher: Callable[[Updated], None]) -> None:
        self.tell = watcher
        for uri in (f"x://one/{SECRET}", f"x://one/{OWN}", "x://one/two"):
            watcher(Updated("up", uri, ""))

    async def updated(self, uri: str, seat: str) -> None:
        self.told.append(uri)
        self.last.set()


async def test_an_update_of_a_resource_whose_uri_holds_a_secret_is_not_told(world: World) -> None:
    hearing: Any = Hearing()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pass_updates_on, hearing, hearing, world.sieve)
            await hearing.last.wait()
            tasks.cancel_scope.cancel()
    assert hearing.told == ["x://one/two"]
    assert world.places() == {"updated.uri"}
    assert {one.act for row in world.rows for one in row.findings} == {Act.WITHHELD}
