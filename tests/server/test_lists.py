"""Lists as clients get them: pages, cursors, what is cached, and what is said with them."""

from datetime import timedelta
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError
from msgspec.structs import replace

from gateway.config import Limits
from gateway.server import lists
from gateway.server.lists import Lists
from tests.server.room import PEER, FakeCatalogue, Room, a_thing, only

KINDS = {
    "tools/list": ("tools", "tools"),
    "resources/list": ("resources", "resources"),
    "resources/templates/list": ("templates", "resourceTemplates"),
    "prompts/list": ("prompts", "prompts"),
}


def a_list(catalogue: FakeCatalogue, size: int = 1000) -> Lists:
    return Lists(catalogue.offers, lambda only: 0, lambda: catalogue.revision, size)


def things(count: int, kind: str = "tools") -> Any:
    return [a_thing(kind, f"t{number:04}") for number in range(count)]


@pytest.mark.parametrize("era", ["legacy", "modern"])
@pytest.mark.parametrize("method", KINDS)
async def test_a_list_comes_in_pages_of_at_most_the_limit(era: str, method: str) -> None:
    kind, key = KINDS[method]
    room = Room(Limits(page=2))
    for count, pages in ((0, [0]), (2, [2]), (3, [2, 1]), (5, [2, 2, 1])):
        room.catalogue.put(kind, things(count, kind))
        async with room.wire(era) as wire:
            got, cursor = [], None
            while True:
                answer = await wire.ask(method, {} if cursor is None else {"cursor": cursor})
                got.append(answer[key])
                cursor = answer.get("nextCursor")
                if cursor is None:
                    break
        assert [len(page) for page in got] == pages
        seen = [item.get("name") or item.get("uri") for page in got for item in page]
        assert seen == sorted(seen)


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_cursor_that_is_unknown_or_stale_is_refused(era: str) -> None:
    room = Room(Limits(page=1))
    room.catalogue.put("tools", things(3))
    async with room.wire(era) as wire:
        stale = (await wire.ask("tools/list"))["nextCursor"]
        assert "tools" in await wire.ask("tools/list", {"cursor": stale})
        room.catalogue.put("tools", things(4))
        for cursor in (stale, "", "1", 7, ["x"]):
            assert (await wire.ask("tools/list", {"cursor": cursor}))["error"]["code"] == -32602
        assert (await wire.ask("prompts/list", {"cursor": stale}))["error"]["code"] == -32602


def test_a_cursor_holds_as_long_as_the_list_is_the_same() -> None:
    catalogue = FakeCatalogue()
    catalogue.put("tools", things(3))
    listed = a_list(catalogue, 2)
    cursor = listed.of("tools", "", "").page(None).next
    catalogue.put("prompts", [])
    assert len(listed.of("tools", "", "").page(cursor).items) == 1
    with pytest.raises(MCPError):
        listed.of("tools", "up", "").page(cursor)


def test_a_list_is_encoded_once_for_each_revision() -> None:
    catalogue = FakeCatalogue()
    listed = a_list(catalogue)
    for _ in range(3):
        listed.of("tools", "", "").page(None)
        listed.etag("tools", "", "")
    assert catalogue.asked == 1
    listed.of("tools", "up", "").page(None)
    catalogue.put("tools", [])
    listed.of("tools", "", "").page(None)
    assert catalogue.asked == 3
    listed.forget()
    listed.of("tools", "", "").page(None)
    assert catalogue.asked == 4


def test_a_page_ends_before_it_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "LARGEST_PAGE", 1000)
    catalogue = FakeCatalogue()
    catalogue.put(
        "tools",
        [a_thing("tools", f"t{number}", description="x" * size) for number, size in enumerate((2000, 300, 300, 300))],
    )
    listed = a_list(catalogue)
    counts, cursor = [], None
    while True:
        page = listed.of("tools", "", "").page(cursor)
        counts.append(len(page.items))
        cursor = page.next
        if cursor is None:
            break
    assert counts == [1, 2, 1]


async def test_definitions_come_out_whole_under_their_exposed_names() -> None:
    room, vendor = Room(), {"icons": [{"src": "x"}], "vendor": {"n": None}}
    for kind in ("tools", "prompts", "resources", "templates"):
        room.catalogue.put(kind, [a_thing(kind, "one", **vendor)])
    async with room.wire("legacy") as wire:
        for method, (kind, key) in KINDS.items():
            (item,) = (await wire.ask(method))[key]
            assert item.items() >= vendor.items()
            assert item["name"] == ("up__one" if kind in ("tools", "prompts") else "one")


async def test_a_modern_list_may_be_kept_for_a_while_and_by_nobody_else() -> None:
    room = Room(hidden=3)
    async with room.wire("modern") as wire:
        for method in KINDS:
            answer = await wire.ask(method)
            assert (answer["resultType"], answer["cacheScope"], answer["ttlMs"]) == ("complete", "private", 5000)
    async with room.wire("legacy") as wire:
        for method in KINDS:
            assert not {"resultType", "cacheScope", "ttlMs"} & (await wire.ask(method)).keys()


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_hidden_tools_are_said_to_be_hidden(era: str) -> None:
    for hidden, said in ((3, 3), (0, None)):
        async with Room(hidden=hidden).wire(era) as wire:
            meta = (await wire.ask("tools/list")).get("_meta", {})
            assert meta.get("dev.wardgate/hidden") == said
            assert "dev.wardgate/hidden" not in (await wire.ask("prompts/list")).get("_meta", {})


async def test_each_endpoint_has_its_own_list() -> None:
    room = Room()
    room.catalogue.put("tools", [a_thing("tools", "x", "one"), a_thing("tools", "x", "two")])
    for peer, names in ((PEER, ["one__x", "two__x"]), (only("one"), ["one__x"]), (only("none"), [])):
        async with room.wire("modern", peer=peer) as wire:
            assert [tool["name"] for tool in (await wire.ask("tools/list"))["tools"]] == names


def test_the_order_of_keys_in_a_definition_makes_no_other_list() -> None:
    catalogue = FakeCatalogue()
    listed = a_list(catalogue)
    catalogue.put("tools", [a_thing("tools", "t", title="T", description="D")])
    before = listed.etag("tools", "", "")
    (tool,) = catalogue.offered["tools"]
    catalogue.put("tools", [replace(tool, definition=dict(reversed(tool.definition.items())))])
    assert listed.etag("tools", "", "") == before
    catalogue.put("tools", [a_thing("tools", "t", title="T", description="E")])
    assert listed.etag("tools", "", "") != before


async def test_each_client_has_its_own_list_of_tools_and_the_same_of_all_else() -> None:
    room = Room()
    seen: list[tuple[str, str]] = []
    offers = room.catalogue.offers

    def note(kind: str, only: str, client: str) -> Any:
        seen.append((kind, client))
        return offers(kind, only, client)

    room.face._lists._offers = note
    for client in ("claude-code", "unknown", "claude-code"):
        async with room.wire("modern", peer=replace(PEER, client=client)) as wire:
            for method in KINDS:
                await wire.ask(method)
    others = [("resources", ""), ("templates", ""), ("prompts", "")]
    assert seen == [("tools", "claude-code"), *others, ("tools", "unknown")]


async def test_a_list_that_depends_on_the_day_is_made_anew_on_the_next() -> None:
    room = Room()
    async with room.wire("modern") as wire:
        for hours, asked in ((0, 1), (1, 1), (24, 2)):
            room.clock.wall += timedelta(hours=hours)
            await wire.ask("tools/list")
            assert room.catalogue.asked == asked
