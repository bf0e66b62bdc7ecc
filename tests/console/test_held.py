"""What is held, in the console: shown as it is, and accepted there by who may, exactly as it was shown."""

import re
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.console.pages import MOST_HELD
from gateway.core.model import Proof
from gateway.core.visible import visible
from tests.console.room import POLICY, Room, Tab, holdings, signed_in

READ, WIPE = holdings()


def body_of(row: Any, **more: Any) -> dict[str, Any]:
    """What the form of something held posts."""
    return {"upstream": row.upstream, "kind": row.kind, "name": visible(row.name), "digest": row.digest, **more}


async def look(room: Room, tab: Tab, page: str = "upstreams") -> str:
    """Show a tab a page for as long as it needs to be read."""
    text = (await tab.get(f"/data/{page}")).text
    room.read()
    return text


async def objection(tab: Tab, path: str, body: dict[str, Any]) -> tuple[int, str]:
    """How the gateway refuses something."""
    answer = await tab.post(path, body)
    return answer.status_code, answer.json()["objection"]


async def test_a_held_tool_says_why_and_which_command_shows_it() -> None:
    async with signed_in() as (_, tab):
        text = (await tab.get("/data/upstreams")).text
    assert "new: &lt;i&gt;nobody&lt;/i&gt; has accepted it" in text
    assert "<code>wardgate accept files__wipe</code>" in text


async def test_what_is_held_stands_there_with_state_effect_entry_remarks_and_its_difference() -> None:
    async with signed_in() as (_, tab):
        text = (await tab.get("/data/upstreams")).text
    for words in (
        *("Held until somebody accepts exactly this: 2", '<span class="tag h-changed">changed</span> tool'),
        *('<span class="tag t-read">read</span>, tier read, by <code>read</code> at files.toml:3', "its name suggests"),
        *('<span class="gone">- &lt;b&gt;a&lt;/b&gt;</span>', '<mark class="hid"', READ.command, WIPE.digest),
        *(
            "description: &lt;i&gt;orders&lt;/i&gt; the model about",
            "+ &lt;script&gt;",
            "Type <code>files__wipe</code>",
        ),
        'value="wi\\u{200b}pe"',
    ):
        assert words in text, words
    assert text.count("Type <code>") == 1, "a read needs no name"
    assert len(re.findall(r'data-form="held"', text)) == 2
    assert "\u200b" not in text


async def test_what_was_shown_is_accepted_by_who_is_signed_in() -> None:
    async with signed_in() as (room, tab):
        await look(room, tab)
        answer = await tab.post("/do/held", body_of(READ, by="os:root"))
        assert (answer.status_code, answer.json()) == (200, {"accepted": "files__read", "digest": READ.digest})
        assert room.gate.done == [("accept", "files", "tools", "read", READ.digest, "os:ada", Proof.LOCAL)]
        assert "files__read" not in (await tab.get("/data/upstreams")).text
        assert await objection(tab, "/do/held", body_of(READ)) == (404, "unknown")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"digest": READ.digest[:12]}, (409, "shape")),
        ({"digest": WIPE.digest}, (409, "shape")),
        ({"digest": None}, (409, "shape")),
        ({"digest": READ.digest.upper()}, (409, "shape")),
        ({"name": "raed"}, (404, "unknown")),
        ({"kind": "prompts"}, (404, "unknown")),
        ({"upstream": "web"}, (404, "unknown")),
        ({"name": ["read"]}, (404, "unknown")),
    ],
    ids=["beginning", "of-another", "none", "upper-case", "name", "kind", "upstream", "list"],
)
async def test_nothing_but_the_whole_digest_of_what_is_held_accepts_it(
    more: dict[str, Any], told: tuple[int, str]
) -> None:
    async with signed_in() as (room, tab):
        await look(room, tab)
        assert await objection(tab, "/do/held", body_of(READ, **more)) == told
        assert room.gate.done == []


@pytest.mark.parametrize(
    "change",
    [{"effect": "egress"}, {"entry": "files.toml:9"}, {"remarks": ("new",)}, {"before": "00" * 32}],
    ids=["effect", "entry", "remark", "before"],
)
async def test_what_became_another_question_since_it_was_shown_is_not_accepted(change: dict[str, Any]) -> None:
    async with signed_in() as (room, tab):
        await look(room, tab)
        room.gate.changed[0] = replace(READ, **change)
        assert await objection(tab, "/do/held", body_of(READ)) == (409, "unread")
        room.gate.changed[0] = replace(READ, digest="12" * 32)
        assert await objection(tab, "/do/held", body_of(READ)) == (409, "shape")
        assert await objection(tab, "/do/held", body_of(READ, digest="12" * 32)) == (409, "unread")
        assert room.gate.done == []


async def test_what_was_not_shown_here_or_not_long_enough_is_not_accepted() -> None:
    async with signed_in() as (room, tab):
        for path, body in (("/do/held", body_of(READ)), ("/do/policy", {"digest": POLICY})):
            assert await objection(tab, path, body) == (409, "unread")
        await tab.get("/data/upstreams")
        await tab.get("/data/policy")
        for path, body in (("/do/held", body_of(READ)), ("/do/policy", {"digest": POLICY})):
            assert await objection(tab, path, body) == (409, "unread")
        assert room.gate.done == []


@pytest.mark.parametrize("typed", ["", "wipe", "FILES__WIPE", "files__read", None, ["files__wipe"], True])
async def test_what_would_be_of_tier_high_is_not_accepted_without_its_name(typed: object) -> None:
    async with signed_in() as (room, tab):
        await look(room, tab)
        assert await objection(tab, "/do/held", body_of(WIPE, confirm=typed)) == (409, "confirm")
        assert await objection(tab, "/do/held", body_of(WIPE)) == (409, "confirm")
        assert room.gate.done == []
        assert (await tab.post("/do/held", body_of(WIPE, confirm="files__wipe"))).status_code == 200
        assert [done[3] for done in room.gate.done] == [WIPE.name]


async def test_who_only_reads_is_offered_nothing_and_accepts_nothing() -> None:
    async with signed_in() as (room, tab):
        room.gate.reads_only = True
        texts = [await look(room, tab, page) for page in ("upstreams", "policy")]
        assert "can’t accept it here" in texts[0]
        assert READ.difference[0][2:4] in texts[0].replace("&lt;", "<"), "it is shown all the same"
        assert not any("data-form=" in text for text in texts)
        assert await objection(tab, "/do/held", body_of(READ)) == (409, "not-permitted")
        assert await objection(tab, "/do/policy", {"digest": POLICY}) == (409, "not-permitted")
        assert room.gate.done == []


@pytest.mark.parametrize("path", ["/do/held", "/do/policy"])
async def test_another_page_accepts_nothing(path: str) -> None:
    async with signed_in() as (room, tab), room.browser() as stranger:
        await look(room, tab)
        await look(room, tab, "policy")
        body = body_of(READ) if path == "/do/held" else {"digest": POLICY}
        answers = [
            await tab.post(path, body, origin="http://localhost:9999"),
            await tab.post(path, body, **{"sec-fetch-site": "cross-site"}),
            await tab.post(path, body, **{"x-wardgate-key": "A" * 43}),
            await stranger.post(path, json=body, headers=tab.headers()),
            await tab.get(path),
        ]
        assert [answer.status_code for answer in answers] == [403, 403, 401, 401, 405]
        assert room.gate.done == []
        assert (await tab.post(path, body)).status_code == 200, "it was all that kept it from counting"


async def test_more_than_a_page_takes_is_counted_and_not_accepted_unseen() -> None:
    async with signed_in() as (room, tab):
        room.gate.changed = [replace(READ, name=f"r{n}", exposed=f"files__r{n}") for n in range(MOST_HELD + 2)]
        text = await look(room, tab)
        assert "2 more are held" in text
        assert text.count('data-form="held"') == MOST_HELD
        assert await objection(tab, "/do/held", body_of(room.gate.changed[-1])) == (404, "unknown")


async def test_a_policy_that_is_held_is_accepted_with_its_difference_in_sight() -> None:
    async with signed_in() as (room, tab):
        text = await look(room, tab, "policy")
        for words in ("&lt;b&gt;new&lt;/b&gt; rule", "reach: 3 more", 'data-form="policy"', f'value="{POLICY}"'):
            assert words in text
        for digest in (POLICY[:16], "ab" * 32, None):
            assert await objection(tab, "/do/policy", {"digest": digest}) == (409, "unread")
        answer = await tab.post("/do/policy", {"digest": POLICY})
        assert (answer.status_code, answer.json()) == (200, {"digest": POLICY, "restart": False})
        assert room.gate.done == [("accept-policy", POLICY, "os:ada", Proof.LOCAL)]
