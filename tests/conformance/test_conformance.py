"""The conformance suite, direct and through Wardgate: nothing scored may fail, and the documents tell what was seen."""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import anyio
import pytest

from tests.conformance.run import DOCS, REVISIONS, Compared, Suite, compare, documented, made
from tests.conftest import settle
from tests.e2e.real import missing

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, rules_cache: Path) -> Iterator[Sequence[Compared]]:
    """Both requirement sets, run once for all tests: about 20 s."""
    suite = Suite(ROOT / ".upstreams")
    if lacking := suite.missing():
        missing(lacking)
    place = tmp_path_factory.mktemp("conformance")
    house = made(place, settle(place / "home", rules_cache))
    try:
        yield anyio.run(partial(compare, suite, house, place / "suite"))
    finally:
        house.close()


@pytest.mark.parametrize("at", range(len(REVISIONS)), ids=REVISIONS)
def test_every_scored_scenario_passes_through_the_gateway(seen: Sequence[Compared], at: int) -> None:
    compared = seen[at]
    assert compared.through.failures() == []
    assert compared.through.code == 0, compared.through.said
    scored = {name for name, row in compared.direct.rows.items() if not row.unscored}
    assert scored
    assert scored == {name for name, row in compared.through.rows.items() if not row.unscored}
    assert all(compared.through.rows[name].passed for name in scored)


def test_the_documents_show_what_was_seen(seen: Sequence[Compared]) -> None:
    """Every scenario, and of each scored one how many checks there are and failed; warnings may depend on the clock."""
    assert checks(DOCS.read_text(encoding="utf-8")) == checks(documented(seen))


def checks(document: str) -> dict[tuple[str, str], tuple[int, ...]]:
    """By revision and scenario, checks and failures, direct and through; nothing of those that aren't scored."""
    found: dict[tuple[str, str], tuple[int, ...]] = {}
    revision = ""
    for line in document.splitlines():
        if line.startswith("## "):
            revision = line[3:]
        elif line.startswith("| `"):
            name, *cells, note = (cell.strip() for cell in line.strip("|").split("|"))
            counted = [[int(number) for number in re.findall(r"\d+", cell)] for cell in cells]
            totals = [(of + sum(warned), of - passed) for passed, of, *warned in counted if not note]
            found[revision, name] = tuple(number for total in totals for number in total)
    return found
