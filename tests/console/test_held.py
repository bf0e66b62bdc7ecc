"""The page of upstreams says which tools are held, and what to do about it."""

from tests.console.room import signed_in


async def test_a_held_tool_says_why_and_which_command_shows_it() -> None:
    async with signed_in() as (_, tab):
        text = (await tab.get("/data/upstreams")).text
    assert "new: &lt;i&gt;nobody&lt;/i&gt; has accepted it" in text
    assert "<code>wardgate accept files__wipe</code>" in text
