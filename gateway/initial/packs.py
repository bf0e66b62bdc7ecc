"""The policy packs that come with the gateway: which one fits an upstream, and its text for that upstream.

A pack is offered, never taken: a person says so. One that labels tools which the upstream doesn't have fits nothing.
"""

import json
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

import gateway
from gateway.core.launch import package_of
from gateway.core.model import Effect

ENOUGH = 4  # tools that have to be the same where the package isn't
_WRITTEN_FROM = re.compile(r"Written from the tool list of (\S+)")


class Pack(Struct, frozen=True):
    """One pack: its name, the package that it was written from, its text, the one of its tests, and tool -> effect."""

    name: str
    package: str
    text: str
    tests: str
    effects: Mapping[str, Effect]
    rules: int

    @property
    def tools(self) -> frozenset[str]:
        """The tools that it labels."""
        return frozenset(self.effects)

    def for_upstream(self, upstream: str, owner: str) -> str:
        """Its text for an upstream of that name: with ids and lists of its own, and its owner."""
        text = re.sub(
            r"^owner(\s*)=.*$",
            lambda found: f"owner{found[1]}= {json.dumps(owner, ensure_ascii=False)}",
            self.text,
            count=1,
            flags=re.MULTILINE,
        )
        text = "\n".join(line for line in text.splitlines() if not line.startswith("# Copy it to policies/"))
        return (
            f"# The pack `{self.name}` as `wardgate init` copied it for `{upstream}`; docs/packs.md tells more.\n"
            + (self._renamed(text, upstream) + "\n")
        )

    def tests_for(self, upstream: str) -> str:
        """The text of its tests for an upstream of that name; empty where it has none."""
        return self._renamed(self.tests, upstream)

    def _renamed(self, text: str, upstream: str) -> str:
        if upstream == self.name:
            return text
        text = re.sub(rf'^(upstream\s*=\s*)"{re.escape(self.name)}"', rf'\1"{upstream}"', text, flags=re.MULTILINE)
        for word in self._own_words():
            text = re.sub(rf"(?<![\w.-]){re.escape(word)}(?![\w.-])", upstream + word[len(self.name) :], text)
        return text

    def _own_words(self) -> Sequence[str]:
        """Ids and names of lists, which are used once over all files; longer ones first."""
        said = tomllib.loads(self.text)
        words = [*said.get("lists", {}), *(one["id"] for kind in ("rule", "budget") for one in said.get(kind, ()))]
        return sorted((word for word in words if word.startswith(self.name)), key=len, reverse=True)


def folder() -> Path:
    """Where the packs are: in the package, or beside it in a checkout."""
    root = Path(gateway.__file__).parent
    inside = root / "packs"
    return inside if inside.is_dir() else root.parent / "policies" / "packs"


def packs(where: Path | None = None) -> tuple[Pack, ...]:
    """Every pack; none where there are none."""
    files = sorted((where or folder()).glob("*.toml"))
    return tuple(_read(file) for file in files if not file.name.endswith(".test.toml"))


def _read(file: Path) -> Pack:
    text = file.read_text(encoding="utf-8")
    tests = file.with_suffix(".test.toml")
    said = tomllib.loads(text)
    written = _WRITTEN_FROM.search(text)
    return Pack(
        file.stem,
        written[1] if written else "",
        text,
        tests.read_text(encoding="utf-8") if tests.exists() else "",
        {name: Effect(entry["effect"]) for entry in said.get("tool", ()) for name in _listed(entry["match"])},
        len(said.get("rule", ())),
    )


def _listed(match: Any) -> Iterable[str]:
    return [match] if isinstance(match, str) else match


def fitting(known: Iterable[Pack], command: str, args: Sequence[str], tools: Collection[str]) -> Pack | None:
    """The pack for what is run, or for exactly these tools; None where none fits."""
    offered = frozenset(tools)
    run = (command, *args)
    fits = [pack for pack in known if pack.tools and pack.tools <= offered]
    for pack in fits:
        if pack.package and any(_names(word, pack.package) for word in (package_of(command, args), *run)):
            return pack
    return next((pack for pack in fits if pack.tools == offered and len(offered) >= ENOUGH), None)


def _names(word: str, package: str) -> bool:
    """Whether a word of a command is a package, in some version, or a path to its program."""
    bare = re.sub(r"(?<=.)(@|==)[^@/]*$", "", word)
    return bare == package or bare.endswith(f"/bin/{package}") or f"/node_modules/{package}/" in word
