"""`wardgate policy test`: play `policies/*.test.toml` and print what is not as they expect. It starts nothing."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from gateway.cli.common import FINDINGS, FINE, fail, parser, print_json
from gateway.cli.progress import progress
from gateway.config import load_policy, load_policy_at, load_settings, policy_tests
from gateway.core.problems import Problem, Severity
from gateway.core.trials import Outcome, play, read_trials
from gateway.errors import ConfigurationError


def run(argv: Sequence[str]) -> int:
    """Play every test; exit codes 0, 1 where one fails or a file is wrong, 2 usage."""
    options = parser("policy test", __doc__)
    options.add_argument("--policy", metavar="DIR", help="another folder of policies and their tests")
    given = options.parse_args(argv)
    today = datetime.now(UTC).date()
    try:
        settings = load_settings(Path(given.config) if given.config else None, os.environ)
        other = Path(given.policy).absolute() if given.policy else None
        policy = load_policy(settings, today) if other is None else load_policy_at(other, settings, today)
    except ConfigurationError as broken:
        fail(FINDINGS, str(broken))
    outcomes: list[Outcome] = []
    problems: list[Problem] = []
    with progress("playing the tests", given.json):
        for name, text, wrong in policy_tests(settings, other):
            trials, more = ((), ()) if wrong else read_trials(name, text, policy, settings.known(), today)
            problems += [*wrong, *more]
            outcomes += [play(trial, policy) for trial in trials]
    failed = [outcome for outcome in outcomes if outcome.failures]
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    if given.json:
        print_json([*map(_item, outcomes), *map(_problem, problems)])
    else:
        for problem in problems:
            print(f"{problem.severity.value}: {problem}")
        for outcome in failed:
            print(f"{outcome.trial.where}: {_shown(outcome.trial.name)}")
            print("".join(f"    {_shown(line)}\n" for line in outcome.failures), end="")
        print(_summary(len(outcomes), len(failed), len(errors)))
    return FINDINGS if failed or errors else FINE


def _item(outcome: Outcome) -> dict[str, object]:
    decision = outcome.found.decision
    return {
        "name": outcome.trial.name,
        "where": outcome.trial.where,
        "ok": not outcome.failures,
        "failures": list(outcome.failures),
        "verdict": decision.verdict.word,
        "reason": decision.reason.value,
        "rules": list(decision.rules),
    }


def _problem(problem: Problem) -> dict[str, object]:
    ok = problem.severity is not Severity.ERROR
    told = {"name": "", "where": problem.where, "ok": ok, "failures": [str(problem)]}
    return {**told, "verdict": "", "reason": "", "rules": []}


def _summary(played: int, failed: int, errors: int) -> str:
    if not played and not errors:
        return "no tests: write policies/NAME.test.toml"
    tests = "1 test" if played == 1 else f"{played} tests"
    wrong = f", {errors} {'error' if errors == 1 else 'errors'} in their files" if errors else ""
    return f"{tests}, {f'{failed} failed' if failed else 'all as expected'}{wrong}"


def _shown(text: str) -> str:
    from gateway.core.visible import visible  # imported late: only what fails is printed

    return visible(text)
