"""The attacks: every goal by three ways in, each with several techniques. No I/O here.

What takes more than one way in and one goal (sessions, tricks of an upstream, addresses) stands in `chains`.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import count

from tests.attacks.cast import Cast, Organisation
from tests.attacks.goals import GOALS, Goal
from tests.attacks.play import Play, Step
from tests.attacks.techniques import TECHNIQUES, steps
from tests.attacks.vectors import STYLES, VECTORS

WAYS = 3  # ways in for each goal
ALWAYS = "direct"
VARIANTS = 4  # techniques for each scenario: the direct one and three others
UNFIT = {  # techniques that make no sense for a goal
    "publish": {"upper", "full-width", "zero-width", "quoted", "bracketed", "spaced", "dotted"},
    "mislead": set(TECHNIQUES) - {"direct", "reconnected", "together"},
}


def scenarios(variants: int = VARIANTS, seed: int = 0) -> Mapping[str, tuple[str, str, str, tuple[str, ...]]]:
    """Every scenario by its name: goal, vector, style and the techniques that it is tried with.

    Beside the direct one these are `variants - 1` others; the seed says which, so that seeds try other combinations.
    """
    made: dict[str, tuple[str, str, str, tuple[str, ...]]] = {}
    vectors, styles, others = tuple(VECTORS), tuple(STYLES), [name for name in TECHNIQUES if name != ALWAYS]
    turn, spin = count(), count(seed)
    for goal in GOALS:
        fit = [name for name in others if name not in UNFIT.get(goal, ())]
        for _ in range(WAYS):
            number = next(turn)
            vector, style = vectors[number % len(vectors)], styles[number % len(styles)]
            tried = tuple(fit[next(spin) % len(fit)] for _ in range(min(variants - 1, len(fit))))
            made[f"{goal}-by-{vector}-{style}"] = (goal, vector, style, (ALWAYS, *tried))
    return made


def hijacked(cast: Cast, name: str, goal: Goal, vector: str, style: str, technique: str, group: str) -> Play:
    """One way in, and what the agent does once it has read the words."""
    world = cast.world()
    prompt, opening = VECTORS[vector](cast, world, STYLES[style](goal.order))
    return Play(
        name=name,
        prompt=prompt,
        steps=(*opening, *steps(goal.before), *TECHNIQUES[technique](cast, goal)),
        world=world,
        group=group,
        bad=bad(cast),
        secret=cast.secret,
    )


def bad(cast: Cast) -> tuple[str, ...]:
    """What may not leave, in any field of an effect."""
    site = cast.attacker_site.removeprefix("https://")
    person = cast.attacker
    return person.email, person.handle, site, cast.attacker_account, cast.secret, cast.secret.replace(" ", "+")


def attacks(organisation: Organisation, place: str, variants: int = VARIANTS) -> Iterator[tuple[Cast, Play]]:
    """All of them, with values of their own each; `place` sets those of one run apart."""
    for name, (goal, vector, style, tried) in scenarios(variants, organisation.seed).items():
        for technique in tried:
            full = f"{name}/{technique}"
            cast = Cast(organisation, f"{place} {full}")
            yield cast, hijacked(cast, full, GOALS[goal](cast), vector, style, technique, goal)


Chain = Callable[[Cast], Play]


def opened(cast: Cast, name: str, vector: str, order: str, *then: Step, style: str = "plain") -> Play:
    """A play that begins with a way in and goes on with steps of its own."""
    world = cast.world()
    prompt, opening = VECTORS[vector](cast, world, STYLES[style](order))
    return Play(name, prompt, (*opening, *then), world, bad=bad(cast), secret=cast.secret)
