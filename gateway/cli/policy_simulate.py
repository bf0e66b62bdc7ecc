"""`wardgate policy simulate`: what another policy would have decided on the calls of the record. It changes nothing."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.common import FINDINGS, FINE, UNREACHABLE, fail, moment_of, parser, print_json, state_dir
from gateway.cli.progress import progress

if TYPE_CHECKING:
    from gateway.core.simulate import Group, Report

LONGEST = 200  # characters of an example's arguments


def run(argv: Sequence[str]) -> int:
    """Simulate; exit codes 0, 1 an invalid configuration or policy, 2 usage, 3 no record. No gateway needs to run."""
    options = parser("policy simulate", __doc__)
    options.add_argument("--policy", metavar="DIR", help="the folder of policies to try (the configured one)")
    options.add_argument(
        "--since", metavar="TIME", help="calls since: RFC 3339, a date, or how long ago (`7d`); else all"
    )
    given = options.parse_args(argv)
    since = moment_of(options, "since", given.since) if given.since is not None else None
    state = state_dir(given.config)

    from gateway.cli.log import seen_by  # imported late: wrong options need none of it
    from gateway.config import load_policy, load_policy_at, load_settings
    from gateway.core.simulate import report_items
    from gateway.errors import ConfigurationError, StateError
    from gateway.reading import reading
    from gateway.replaying import simulate
    from gateway.store.folder import digest_keys

    try:
        settings = load_settings(Path(given.config) if given.config else None, os.environ)
        if given.policy and not Path(given.policy).is_dir():
            fail(FINDINGS, f"--policy: there is no folder `{given.policy}`")
        policy = load_policy_at(Path(given.policy).absolute(), settings) if given.policy else load_policy(settings)
        viewer = seen_by(state, given.config, "")
        with reading(state) as db, progress("deciding again on the calls of the record", given.json):
            report = simulate(db, policy, since, viewer.restriction, digest_keys(state) if viewer.auditor else ())
    except ConfigurationError as problem:
        fail(FINDINGS, str(problem))
    except StateError as broken:
        fail(UNREACHABLE, str(broken))
    if given.json:
        print_json(report_items(report))
    else:
        print("\n".join(_lines(report)))
    return FINE


def _lines(report: "Report") -> Iterator[str]:
    from gateway.core.simulate import untold_words
    from gateway.core.visible import visible

    if not report.calls:
        yield "no call is on the record since then"
        return
    untold = sum(report.untold.values())
    told = report.calls - untold
    changed = sum(group.count for group in report.groups)
    yield f"{told} calls decided again: {changed} with another verdict, {report.otherwise} by other rules"
    for group in report.groups:
        yield visible(_head(group))
        yield from (f"    {visible(line)}" for line in _example(group))
    week = report.prompts_a_week
    fewer = f"{abs(week):.1f} {'more' if week > 0 else 'fewer'} a week" if week else "as many"
    yield f"prompts: {report.prompts_then} then, {report.prompts_now} with this policy: {fewer}"
    if untold:
        yield f"{untold} calls can't be decided again:"
        yield from (f"    {line}" for line in untold_words(report.untold))
    if report.waited:
        yield f"{report.waited} of these calls only ever waited: no client came back for the answer"
    if report.questions:
        yield f"{report.questions} questions of upstreams are not among them"


def _head(group: "Group") -> str:
    rules = zip(group.rules, (*group.places, *[""] * len(group.rules)), strict=False)
    by = ", ".join(f"`{rule}` at {place}" if place else f"`{rule}`" for rule, place in rules) or "no rule"
    return f"{group.change.value.replace('-', ' ')}: {group.count} by {by} ({group.reason})"


def _example(group: "Group") -> Iterator[str]:
    import json

    from gateway.core.simulate import shown_arguments

    made, record = group.example, group.example.past.record
    kept = shown_arguments(record)
    text = json.dumps(kept, ensure_ascii=False) if kept is not None else "(arguments not shown)"
    shown = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    by = ", ".join(f"`{rule}`" for rule in made.then.rules) or made.then.reason
    yield f"such as {record.id} {record.called} {shown}"
    who = f"{record.principal} with {record.client}"
    yield f"then {made.then.verdict.word} ({by}), {record.at:%Y-%m-%d %H:%M:%S} UTC, {who}"
