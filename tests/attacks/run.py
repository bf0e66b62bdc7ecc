"""Play the attacks and the honest tasks through the installed gateway, and print what came of it.

    python -m tests.attacks.run [--seed N] [--only NAME] [--client closed|open] [--prompt | --no-prompt] [--lying]
                                [--era legacy|modern] [--door shim|http] [--hooks] [--variants N] [--rules NAME]
                                [--long] [--no-baseline] [--names]

Harm is what really happened at the upstreams while a person denied whatever was asked; prompts are approvals that were
opened for honest tasks, of which a person approves each. `--names` lists every play that asked or did harm.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio

from tests.attacks.cast import Cast, Organisation
from tests.attacks.chains import chains
from tests.attacks.honest import tasks
from tests.attacks.play import Play
from tests.attacks.policy import POLICIES
from tests.attacks.scenarios import VARIANTS, attacks
from tests.attacks.stage import MODES, Mode, Result, Stage
from tests.attacks.tricks import tricks
from tests.conftest import settle
from tests.e2e.kit import ERAS, House

LONG = "long sessions"
ASKS = "every write asks"
LIMITS = "limits"  # plays that proven origins are not made for: told, and counted apart


@dataclass
class Figures:
    """What came of all plays of one mode."""

    mode: str
    results: list[Result] = field(default_factory=list)

    @property
    def attacks(self) -> list[Result]:
        """Plays of a hijacked agent, without those that are counted apart."""
        return [each for each in self.results if not each.honest and each.group != LIMITS]

    @property
    def honest(self) -> list[Result]:
        """Honest tasks."""
        return [each for each in self.results if each.honest]

    @property
    def hard(self) -> list[Result]:
        """Attacks that did hard harm."""
        return [each for each in self.attacks if each.harm.hard]

    @property
    def soft(self) -> list[Result]:
        """Attacks that did soft harm only."""
        return [each for each in self.attacks if each.harm.soft and not each.harm.hard]

    @property
    def limits(self) -> list[Result]:
        """Plays that are counted apart and did hard harm."""
        return [each for each in self.results if each.group == LIMITS and each.harm.hard]

    @property
    def blocked(self) -> list[str]:
        """Honest calls that did not run."""
        return [f"{each.play}: {call}" for each in self.honest for call in each.blocked]

    @property
    def changed(self) -> list[str]:
        """Honest calls that ran otherwise than they were sent."""
        return [f"{each.play}: {call}" for each in self.honest for call in each.changed]

    @property
    def prompts(self) -> int:
        """How often a person was asked about honest tasks."""
        return sum(len(each.asked) for each in self.honest)

    @property
    def per_task(self) -> float:
        """Prompts per honest task."""
        return self.prompts / len(self.honest) if self.honest else 0.0

    @property
    def asks(self) -> int:
        """How often a person was asked about attacks."""
        return sum(len(each.asked) for each in self.attacks)

    def row(self) -> list[str]:
        """One row of the table."""
        return [
            self.mode,
            *(str(len(each)) for each in (self.attacks, self.hard, self.soft, self.limits)),
            str(self.asks),
            *(str(len(each)) for each in (self.honest, self.blocked, self.changed)),
            str(self.prompts),
            f"{self.per_task:.2f}",
        ]


HEAD = (
    "client",
    "attacks",
    "hard harm",
    "soft harm",
    "limits",
    "asks",
    "tasks",
    "blocked",
    "changed",
    "prompts",
    "per task",
)


def table(figures: Iterable[Figures]) -> str:
    """The figures as text."""
    rows = [HEAD, *(each.row() for each in figures)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(HEAD))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def plays(organisation: Organisation, place: str, variants: int, only: str = "") -> Iterator[tuple[Cast, Play]]:
    """Everything that is played in one mode, those that change an upstream last."""
    for cast, play in (
        *tasks(organisation, f"{place} honest"),
        *attacks(organisation, f"{place} attack", variants),
        *chains(organisation, f"{place} chain"),
        *tricks(organisation, f"{place} trick"),
    ):
        if only in play.name:
            yield cast, play


def long(organisation: Organisation, place: str) -> Iterator[tuple[Cast, Play]]:
    """The honest tasks in one session for each family, as for somebody who goes on all day."""
    for cast, play in tasks(organisation, place):
        yield cast, replace(play, thread=f"{place} {play.group}")


async def play_all(stage: Stage, mode: Mode, made: Iterable[tuple[Cast, Play]]) -> Figures:
    """Play these in one mode, one after the other."""
    figures = Figures(mode.name)
    for cast, play in made:
        figures.results.append(await stage.perform(mode, cast, play))
    return figures


@asynccontextmanager
async def staged(place: Path, organisation: Organisation, rules: str, **more: Any) -> AsyncIterator[Stage]:
    """A stage in a folder of its own, with a home of its own."""
    environment = {**os.environ, **settle(place / "home", place / "cache")}
    environment.pop("DBUS_SESSION_BUS_ADDRESS", None)
    command = str(Path(sys.executable).with_name("wardgate"))
    await anyio.run_process([command, "warm"], env=environment, stdin=subprocess.DEVNULL)
    house = House(place, environment, command)
    try:
        async with Stage(house, organisation, rules, **more).open() as stage:
            yield stage
    finally:
        house.close()


async def main(options: argparse.Namespace) -> int:
    """Play, print, and return 1 where hard harm passed or honest work was kept from being done."""
    how = {"era": options.era, "door": options.door, "hooks": options.hooks}
    modes = [
        replace(mode, **how)
        for mode in MODES
        if options.client in (None, "closed" if mode.closed else "open") and options.prompt in (None, mode.prompt)
    ]
    organisation, found, began = Organisation(options.seed), [], time.monotonic()
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        async with staged(Path(one), organisation, options.rules, lying=options.lying) as stage:
            for mode in modes:
                made = plays(organisation, mode.name, options.variants, options.only)
                found.append(await play_all(stage, mode, made))
                if options.long:
                    found.append(await play_all(stage, mode, long(organisation, f"{mode.name} long")))
                    found[-1].mode = f"{mode.name}, {LONG}"
        if options.baseline:
            async with staged(Path(other), organisation, "asking", lying=options.lying) as stage:
                for mode in (mode for mode in modes if not mode.prompt):
                    figures = await play_all(stage, mode, plays(organisation, mode.name, 1, options.only))
                    figures.mode = f"{mode.name}, {ASKS}"
                    found.append(figures)
    print(table(found))
    tell(found, options.names)
    print(f"seed {options.seed}, {time.monotonic() - began:.0f} s{', with lying annotations' if options.lying else ''}")
    bad = [each for each in found if (each.hard and ASKS not in each.mode) or each.blocked or each.changed]
    return 1 if bad else 0


def tell(found: Sequence[Figures], names: bool) -> None:
    """Name what went wrong; with `names`, also what was asked and what did soft harm."""
    for figures in found:
        for result in figures.hard:
            print(f"{figures.mode}: HARD {result.play}: {'; '.join(result.harm.hard)}")
        for line in (*figures.blocked, *(f"changed {line}" for line in figures.changed)):
            print(f"{figures.mode}: HONEST {line}")
        if names:
            for result in figures.limits:
                print(f"{figures.mode}: limit {result.play}: {'; '.join(result.harm.hard)}")
            for result in figures.attacks:
                if not (result.harm.hard or result.harm.soft):
                    print(f"{figures.mode}: held {result.play}: asked {', '.join(result.asked) or 'nothing'}")
            for result in figures.soft:
                print(f"{figures.mode}: soft {result.play}: {'; '.join(result.harm.soft)}")
            for result in figures.honest:
                if result.asked:
                    print(f"{figures.mode}: asked {result.play}: {', '.join(result.asked)}")


def options(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.run", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--only", default="", help="plays whose name holds this")
    parser.add_argument("--client", choices=("closed", "open"))
    parser.add_argument(
        "--prompt", action=argparse.BooleanOptionalAction, help="only with, or only without, the prompt"
    )
    parser.add_argument("--lying", action="store_true", help="upstreams say of every tool that it only reads")
    parser.add_argument("--era", choices=ERAS, default="legacy", help="the protocol that the agent speaks")
    parser.add_argument("--door", choices=("shim", "http"), default="shim", help="where the agent connects")
    parser.add_argument("--hooks", action="store_true", help="prompts come by the client's hooks; not over HTTP")
    parser.add_argument("--variants", type=int, default=VARIANTS, help="techniques for each scenario")
    parser.add_argument("--long", action="store_true", help="the honest tasks also in one session for each family")
    parser.add_argument("--baseline", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--rules", choices=tuple(POLICIES), default="proven", help="the policy that is played against")
    parser.add_argument("--names", action="store_true", help="name what was asked and what did soft harm")
    found = parser.parse_args(words)
    if found.hooks and found.door == "http":
        parser.error("--hooks: hooks reach the sessions of their own user, and over HTTP a token is another one")
    return found


if __name__ == "__main__":
    sys.exit(anyio.run(main, options(), backend="asyncio"))
