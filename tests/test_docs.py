"""The docs can't lie about the code: what they list is what there is."""

import re
import tomllib
from pathlib import Path

import pytest

from gateway.cli.main import COMMANDS
from gateway.config import check
from gateway.config.limits import TABLE
from gateway.core.model import Outcome, Reason
from gateway.core.section import Section

ROOT = Path(__file__).parents[1]
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(name: str) -> str:
    """The text below one heading of the reference."""
    return REFERENCE.split(f"\n## {name}\n")[1].split("\n## ")[0]


def test_every_reason_is_documented_and_no_other() -> None:
    assert set(re.findall(r"^\| `([a-z-]+)` \|", section("Reasons"), re.M)) == {reason.value for reason in Reason}


@pytest.mark.parametrize("outcome", list(Outcome), ids=lambda outcome: outcome.value)
def test_every_outcome_is_documented(outcome: Outcome) -> None:
    assert f"`{outcome.value}`" in section("Outcomes")


def test_every_limit_is_documented_and_no_other() -> None:
    assert re.findall(r"^\| `([a-z_.]+)` \|", section("Limits"), re.M) == [limit.name for limit in TABLE]


def test_every_key_of_the_configuration_is_documented_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[tuple[object, ...], set[str]] = {}
    monkeypatch.setattr(
        Section, "close", lambda self, also=(): asked.setdefault(self.path, set()).update(self._known, also)
    )
    text = 'schema = 1\n[upstreams.u]\nurl = "https://x.example"\nowner = "a"\noauth = {}\nacts_as = {}\n'
    text += '[clients.c]\nowner = "a"\n[approvers.a]\n[auth]\n'
    (tmp_path / "upstreams.toml").write_text(text, encoding="utf-8")
    check(tmp_path, {})
    whole = section("upstreams.toml")
    gateway, upstream, rest, record = (
        set(re.findall(r"^\| `([A-Za-z_.]+)` \|", part, re.M)) for part in whole.split("\n### ")[1:]
    )
    assert gateway == asked["gateway",]
    assert record == asked["record",]
    assert upstream == asked["upstreams", "u"]
    tables = {"clients.NAME": ("clients", "c"), "approvers.NAME": ("approvers", "a"), "auth": ("auth",)}
    tables["notify"] = ("notify",)
    assert rest == {f"{shown}.{key}" for shown, path in tables.items() for key in asked[path]}
    assert [key for key in asked[()] - {"schema", "limits"} if f"[{key}" not in whole] == []
    assert [key for key in asked["upstreams", "u", "oauth"] if f"`{key}`" not in whole] == []
    assert [key for key in asked["upstreams", "u", "acts_as"] if key not in whole] == []


def test_every_command_is_documented_and_no_other() -> None:
    assert set(re.findall(r"^\| `wardgate ([a-z]+)` \|", section("Commands"), re.M)) == set(COMMANDS)


def test_links_of_the_documents_lead_somewhere() -> None:
    for document in [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_every_document_is_in_the_index_and_on_the_site() -> None:
    there = {path.name for path in (ROOT / "docs").glob("*.md")}
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert there - set(re.findall(r"\]\(([^)/#]+\.md)\)", index)) == {"index.md"}
    pages = tomllib.loads((ROOT / "docs" / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]
    shown = [page for part in pages for names in part.values() for page in names]
    assert len(shown) == len(set(shown))
    assert set(shown) == there | {"README.md", "CHANGELOG.md", "decisions/README.md"}


def test_the_samples_of_the_readme_are_a_configuration_that_works(tmp_path: Path) -> None:
    from gateway.core.problems import Severity

    blocks = re.findall(r"```toml\n(.*?)```", README, re.S)
    (tmp_path / "policies").mkdir(mode=0o700)
    (tmp_path / "upstreams.toml").write_text(blocks[0], encoding="utf-8")
    (tmp_path / "policies" / "files.toml").write_text(blocks[1], encoding="utf-8")
    for path in (tmp_path / "upstreams.toml", tmp_path / "policies" / "files.toml"):
        path.chmod(0o600)
    problems = [problem for problem in check(tmp_path, {}) if problem.severity is Severity.ERROR]
    assert problems == []
