"""The picture of the demo: what was printed, whole, and nothing from elsewhere; `docs/demo.svg` tells today's story."""

import html
import re
from pathlib import Path

import pytest

from gateway.demo.picture import draw, record
from gateway.demo.play import SCENES

PICTURE = Path(__file__).parents[1] / "docs" / "demo.svg"


def text_of(picture: str) -> str:
    """What can be read in a picture, without spaces and line breaks."""
    lines = re.findall(r"<text class=\"demo-r[^>]*>([^<]*)</text>", picture)
    return re.sub(r"\s", "", html.unescape("".join(lines)))


def test_what_was_printed_is_drawn_whole_and_only_as_text() -> None:
    printed = "1. A read flows\n  mail__send -> NOT EXECUTED - refused. [bold]x[/bold] <script>&amp; " + "y" * 300
    drawn = draw(printed)
    assert text_of(drawn) == re.sub(r"\s", "", printed)
    assert "<script" not in drawn


@pytest.mark.parametrize("picture", [draw("x"), PICTURE.read_text(encoding="utf-8")], ids=["drawn", "kept"])
def test_a_picture_fetches_nothing(picture: str) -> None:
    assert set(re.findall(r"[a-z]+://[^\s\"']+", picture)) == {"http://www.w3.org/2000/svg"}
    for word in ("@font-face", "@import", "href", "<script", "url(http"):
        assert word not in picture


def test_the_kept_picture_shows_each_scene_with_a_refusal_and_an_approval() -> None:
    told = text_of(PICTURE.read_text(encoding="utf-8"))
    for number, scene in enumerate(SCENES, 1):
        assert re.sub(r"\s", "", f"{number}. {scene}") in told
    for sight in ("$wardgateapprovea_", "approved:a_", "[REDACTED:", "NOTEXECUTED-refusedbypolicy", "denied:a_"):
        assert sight in told
    assert "therecordiswhole" in told


def test_a_demo_that_does_not_end_well_is_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.demo.picture.DEMO", ("-c", "raise SystemExit(1)"))
    with pytest.raises(RuntimeError, match="ended with 1"):
        record()
