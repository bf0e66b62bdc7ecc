"""`wardgate policy`: review (how people decide, by rule) is here; test, explain, simulate and propose have modules."""

from argparse import Namespace
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib import import_module

from gateway.cli.common import FINE, UNREACHABLE, aligned, fail, parser, print_json, state_dir
from gateway.core.figures import Figures, Question, Tally, figures, questions, tally_item
from gateway.core.spare import Proposal, proposal_item, proposals

ACTIONS = {
    "test": "gateway.cli.policy_test",
    "explain": "gateway.cli.policy_explain",
    "simulate": "gateway.cli.policy_simulate",
    "propose": "gateway.cli.policy_propose",
}
"""What has a module of its own; it is imported only when it is called."""
MOST = 100_000  # approvals that are looked at
HEAD = ("rule", "asked", "approved", "denied", "expired", "edited", "yes", "under 2 s", "median")


def run(argv: Sequence[str]) -> int:
    """Run one action; exit codes 0, 1 findings or an invalid configuration, 2 wrong options, 3 no record.

    No action needs a gateway that runs, and none changes anything.
    """
    if argv and argv[0] in ACTIONS:
        code: int = import_module(ACTIONS[argv[0]]).run(argv[1:])
        return code
    return _review(argv)


def _review(argv: Sequence[str]) -> int:
    """Print the figures of some days."""
    options = parser("policy", __doc__)
    options.add_argument("action", choices=("review", *ACTIONS), help="`wardgate policy ACTION --help` tells more")
    options.add_argument("--days", type=int, default=30, metavar="N", help="how far back to look (30; at most 3,650)")
    given = options.parse_args(argv)
    if given.action in ACTIONS:
        options.error(f"`{given.action}` stands first: wardgate policy {given.action} ...")
    if not 0 < given.days <= 3650:
        options.error(f"--days: expected 1 to 3650, found `{given.days}`")
    state = state_dir(given.config)

    from gateway.errors import StateError
    from gateway.reading import approvals_since, reading

    try:
        with reading(state) as db:
            rows = approvals_since(db, datetime.now(UTC) - timedelta(days=given.days), MOST)
    except StateError as problem:
        fail(UNREACHABLE, str(problem))
    return _print(figures(rows), questions(rows), given)


def _print(found: Figures, asked: Sequence[Question], given: Namespace) -> int:
    spared = {tally.name: proposals(tally.name, asked) for tally in found.rules if tally.waved_through}
    if given.json:
        whole = {"prompts_per_hour": round(found.per_hour, 3), "busiest_hour": found.busiest_hour}
        rules = [
            {**tally_item("rule", tally), "proposals": [proposal_item(made) for made in spared.get(tally.name, ())]}
            for tally in found.rules
        ]
        people = [tally_item("approver", tally) for tally in found.people]
        print_json([{**tally_item("all", found.whole), **whole}, *rules, *people])
        return FINE
    if not asked:
        print(f"nobody was asked anything in {_days(given.days)}")
        return FINE
    print(f"{found.whole.asked} questions in {_days(given.days)}: {found.per_hour:.1f} in an hour with any, ", end="")
    print(f"{found.busiest_hour} in the busiest")
    rows = [_cells(tally) for tally in (*found.rules, *found.people)]
    print(aligned([HEAD, *rows[: len(found.rules)]]))
    print()
    print(aligned([("who decided", *HEAD[1:]), *rows[len(found.rules) :]]))
    for name, made in spared.items():
        print(f"\n{name} is waved through: change it, or it protects nothing.{_told(made)}")
    return FINE


def _days(count: int) -> str:
    return "a day" if count == 1 else f"{count} days"


def _cells(tally: Tally) -> tuple[str, ...]:
    from gateway.core.visible import visible

    counts = (tally.asked, tally.approved, tally.denied, tally.expired, tally.edited)
    took = "-" if tally.median_seconds is None else f"{tally.median_seconds:.1f} s"
    return (
        visible(tally.name),
        *map(str, counts),
        _share(tally.share_approved),
        _share(tally.share_too_fast),
        took,
    )


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _told(made: Sequence[Proposal]) -> str:
    if not made:
        return "\nNothing narrower follows from what was approved: the calls have little in common."
    return "".join(
        f"\nA {each.kind} would have answered {each.covers} of {each.of} questions of {each.upstream}/{each.tool}:\n"
        + "\n".join(f"    {line}" for line in each.text.splitlines())
        for each in made
    )
