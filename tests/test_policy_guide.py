"""The guide to policies can't lie: each recipe is a policy without a problem, and every key stands there."""

import re
from datetime import date
from pathlib import Path

import pytest

from gateway.core.policy import parse
from gateway.core.section import Section

GUIDE = (Path(__file__).parents[1] / "docs" / "policy-guide.md").read_text(encoding="utf-8")
RECIPES = re.findall(r"```toml\n(.*?)```", GUIDE, re.S)
WRITTEN = date(2026, 11, 29)


@pytest.mark.parametrize("text", RECIPES, ids=range(len(RECIPES)))
def test_each_recipe_is_a_policy_without_a_problem(text: str) -> None:
    assert parse({"p.toml": text}, today=WRITTEN)[1] == ()


def test_every_key_of_a_policy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, set[str]] = {}
    close = Section.close

    def note(self: Section, also: tuple[str, ...] = ()) -> None:
        place = ".".join(part for part in map(str, self.path) if not part.isdigit())
        asked.setdefault(place, set()).update(self._known, also)
        close(self, also)

    monkeypatch.setattr(Section, "close", note)
    for text in RECIPES:
        parse({"p.toml": text}, today=WRITTEN)
    assert {"", "tool", "rule", "rule.approve", "budget", "loop", "resource", "tool.output"} <= set(asked)
    missing = {key for keys in asked.values() for key in keys if not re.search(rf"[`\[. ]{key}\b", GUIDE)}
    assert missing <= {"untrusted"}  # an older spelling of `trust`
