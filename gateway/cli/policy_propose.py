"""`wardgate policy propose`: labels, lists and narrower rules that follow from the record. It changes nothing."""

import os
from collections.abc import Sequence
from pathlib import Path

from gateway.cli.common import FINDINGS, FINE, UNREACHABLE, fail, moment_of, parser, print_json, state_dir
from gateway.cli.progress import progress

MOST = 100_000  # approvals that are looked at


def run(argv: Sequence[str]) -> int:
    """Propose; exit codes 0, 1 an invalid configuration or no auditor, 2 usage, 3 no record."""
    options = parser("policy propose", __doc__)
    options.add_argument(
        "--since", metavar="TIME", default="30d", help="what happened since: RFC 3339, a date, or `30d`"
    )
    options.add_argument("--times", type=int, default=3, metavar="N", help="how often a value was approved (3)")
    given = options.parse_args(argv)
    if not 2 <= given.times <= 1000:
        options.error(f"--times: expected 2 to 1000, found `{given.times}`")
    since = moment_of(options, "since", given.since)
    state = state_dir(given.config)

    from gateway.config import load_policy, load_settings  # imported late: wrong options need none of it
    from gateway.core.propose_rules import Proposals, advice_item, document
    from gateway.errors import ConfigurationError, StateError
    from gateway.place import config_file
    from gateway.reading import approvals_since, reading, viewer_in
    from gateway.replaying import rows

    try:
        policy = load_policy(load_settings(Path(given.config) if given.config else None, os.environ))
        if not viewer_in(config_file(given.config, os.environ), state).auditor:
            fail(FINDINGS, "only auditors are told what follows from everybody's calls")
        made = Proposals(policy, given.times)
        with reading(state) as db, progress("reading the record", given.json):
            for row in rows(db, since):
                if row.record.at >= since:
                    made.take(row.record)
            advice = made.of(approvals_since(db, since, MOST))
    except ConfigurationError as broken:
        fail(FINDINGS, str(broken))
    except StateError as broken:
        fail(UNREACHABLE, str(broken))
    if given.json:
        print_json([advice_item(one) for one in advice])
    else:
        print(document(advice) or "nothing follows from what is on the record since then")
    return FINE
