"""How far an upstream is screened, in words: what passes by label and what is out of reach is named."""

from typing import Any

import pytest
from msgspec.structs import replace

from gateway.core.coverage import MOST_NAMES, Part, Sight, badge, coverage, part_item
from gateway.core.model import OutputLabel, SecretAction, Surface, Tool, Trust
from tests.core.cases import tool_of

ALWAYS = {"results", "lists", "arguments", "notices", "questions", "errors"}


def a_tool(name: str, surface: Surface = Surface.TOOLS, output: OutputLabel | None = None, **definition: Any) -> Tool:
    made = tool_of(name=name, output=output or OutputLabel())
    return replace(made, surface=surface, definition={"name": name, **definition})


def part(tools: list[Tool], sight: Sight) -> Part:
    (found,) = (each for each in coverage(tools) if each.sight is sight)
    return found


def test_of_an_upstream_that_offers_nothing_all_text_is_screened_and_media_are_out_of_reach() -> None:
    parts = coverage([])
    assert {each.surface for each in parts if each.sight is Sight.SCREENED} == ALWAYS
    assert [(each.surface, each.names) for each in parts if each.sight is not Sight.SCREENED] == [
        ("images and sound", ())
    ]
    assert badge(parts) == "all text screened"


@pytest.mark.parametrize(
    ("label", "sight"),
    [
        (OutputLabel(secrets=SecretAction.ALLOW), Sight.PASSES),
        (OutputLabel(trust=Trust.TRUSTED), Sight.FLAGGED),
        (OutputLabel(trust=Trust.TRUSTED, strict=True), None),
        (OutputLabel(trust=Trust.TRUSTED, secrets=SecretAction.BLOCK), None),
        (OutputLabel(secrets=SecretAction.ASK), None),
        (OutputLabel(), None),
    ],
    ids=["allow", "trusted", "trusted and strict", "block", "ask", "no label"],
)
def test_what_passes_by_label_is_named(label: OutputLabel, sight: Sight | None) -> None:
    parts = coverage([a_tool("send", output=label), a_tool("look")])
    named = {each.sight: each.names for each in parts if each.names}
    assert named == ({} if sight is None else {sight: ("send",)})


@pytest.mark.parametrize(
    ("tool", "seen"),
    [
        (a_tool("take_screenshot"), False),
        (a_tool("render", description="Gives an image of the page."), False),
        (a_tool("speak", title="Speech"), False),
        (a_tool("read", description="Imagery is no word of these."), True),
        (a_tool("x://pic", Surface.RESOURCES, mimeType="image/png"), False),
        (a_tool("x://image.txt", Surface.RESOURCES, mimeType="text/plain"), True),
        (a_tool("x://none", Surface.RESOURCES), True),
        (a_tool("image", Surface.PROMPTS), True),
    ],
    ids=lambda each: each.ref.name if isinstance(each, Tool) else "",
)
def test_what_may_answer_with_images_or_sound_is_named(tool: Tool, seen: bool) -> None:
    assert part([tool], Sight.UNSEEN).names == (() if seen else (tool.ref.name,))


def test_the_badge_counts_and_the_list_is_bounded() -> None:
    allow = OutputLabel(secrets=SecretAction.ALLOW)
    many = [a_tool(f"t{number:03}", output=allow) for number in range(MOST_NAMES + 5)]
    tools = [*many, a_tool("trusted", output=OutputLabel(trust=Trust.NEUTRAL)), a_tool("screenshot")]
    passes = part(tools, Sight.PASSES)
    assert (len(passes.names), passes.more) == (MOST_NAMES, 5)
    assert part_item(passes)["more"] == 5
    assert badge(coverage(tools)) == (
        "all text screened; 25 let secrets pass by label; 1 let guesses pass; "
        "1 may answer with images or sound, which are not read"
    )
