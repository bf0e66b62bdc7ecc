"""Grades: what is exact, what has a vendor's shape, what only stands under a telling key."""

from pathlib import Path

import pytest

from gateway.core.grading import GENERIC, grade
from gateway.core.model import Grade
from gateway.core.secrets import GATEWAY_SECRET, slug


@pytest.mark.parametrize("kind", [GATEWAY_SECRET, *sorted(GENERIC)])
def test_what_the_gateway_knows_itself_is_exact_whatever_its_kind(kind: str) -> None:
    assert grade(kind, True) is Grade.EXACT


@pytest.mark.parametrize("kind", sorted(GENERIC))
def test_the_value_of_a_telling_key_is_generic(kind: str) -> None:
    assert grade(kind, False) is Grade.GENERIC


@pytest.mark.parametrize(
    "kind", ["github-pat", "private-key", "url-password", "aws-secret-access-key", "never-heard-of"]
)
def test_vendors_shapes_private_keys_url_passwords_and_unknown_kinds_count_as_vendors(kind: str) -> None:
    assert grade(kind, False) is Grade.VENDOR


def test_every_generic_kind_is_one_of_a_rule_of_ours() -> None:
    rules = Path(__file__).parents[2].joinpath("gateway", "rules", "wardgate.yml").read_text(encoding="utf-8")
    ours = {slug(line.split(":", 1)[1].strip()) for line in rules.splitlines() if line.startswith("    id:")}
    assert ours >= GENERIC
    assert {kind for kind in ours if kind.startswith("generic-")} == GENERIC
