"""`wardgate explain ID`: why one call ended as it did, from the record."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.cli.common import FINDINGS, FINE, UNREACHABLE, fail, parser, print_json, state_dir
from gateway.core.card import visible
from gateway.core.model import Kind, Record
from gateway.core.record import stamp
from gateway.errors import StateError
from gateway.reading import Row, Story, find_call, log_item, reading, story


def run(argv: Sequence[str]) -> int:
    """Tell the whole story of one call; exit codes 0, 1 unknown or ambiguous id, 3 no record."""
    options = parser("explain", __doc__)
    options.add_argument("id", help="a decision's (d_...) or approval's (a_...) id, or its first 4 characters or more")
    given = options.parse_args(argv)
    try:
        with reading(state_dir(given.config)) as db:
            found = find_call(db, given.id)
            if len(found) != 1:
                several = f"`{visible(given.id)}` is the beginning of several ids: give more of it"
                fail(FINDINGS, several if found else f"unknown id `{visible(given.id)}`")
            told = story(db, found[0])
    except StateError as problem:
        fail(UNREACHABLE, str(problem))
    if given.json:
        print_json([explanation(told)])
    else:
        print("\n".join(_lines(told)))
    return FINE


def explanation(told: Story) -> dict[str, Any]:
    """One call's story as `explain --json` prints it (`policy.md`)."""
    last = _last(told)
    return {
        **log_item(last),
        "id": told.call,
        "checks": _checks(last.record),
        "rule_at": ", ".join(last.record.places),
        "proof_of_approval": _proof(told),
        "detail": last.record.detail,
        "records": [log_item(row) for row in told.rows],
        "tree": {"index": last.seq - 1, "size": told.size, "root": told.root},
    }


def _last(told: Story) -> Row:
    """The record that says most: the call's outcome, else its intent, else its approval's latest."""
    own = [row for row in told.rows if row.record.id == told.call]
    return (own or list(told.rows))[-1]


def _checks(record: Record) -> list[dict[str, Any]]:
    results = {
        "decide": f"{record.verdict} ({record.reason})",
        "approval": record.approval,
        "upstream": record.outcome,
        "screen": record.release,
    }
    return [{"name": name, "result": results.get(name, "done"), "us": us} for name, us in record.timings_us.items()]


def _proof(told: Story) -> Mapping[str, Any] | None:
    """Who settled the approval, and how that person is known."""
    for row in reversed(told.rows):
        if row.record.kind is Kind.APPROVAL and row.record.extra.get("decided_by"):
            extra = row.record.extra
            return {"by": extra["decided_by"], "proof": extra.get("proof", ""), "at": stamp(row.record.at)}
    return None


def _lines(told: Story) -> list[str]:
    record = _last(told).record
    ended = record.outcome or str(record.extra.get("state", "")) or "not ended yet"
    lines = [
        f"{told.call}  {record.upstream}/{record.tool}  {ended} ({record.reason})",
        f"  who       {record.principal} ({record.known_by or '?'}) with {record.client}, session {record.session}",
        f"  what      tier {record.tier or '?'}, effect {record.effect or '?'}, def. {record.definition[:12] or '?'}",
        f"  decided   {record.verdict or '?'} under policy {record.policy_revision[:12] or '?'}",
    ]
    lines += [f"  rule      {rule}  {place}" for rule, place in _rules(record)]
    lines += [f"  duty      {duty}" for duty in record.obligations]
    lines += [f"  detail    {record.detail}"] * bool(record.detail)
    lines += [f"  found     {finding.kind} at {finding.place}" for finding in record.findings]
    lines += [f"  arguments {row.record.arguments}" for row in told.rows[:1] if row.record.arguments is not None]
    lines += [f"  {row.seq:<9} {stamp(row.record.at)}  {_step(row.record)}" for row in told.rows]
    lines += [f"  check     {check['name']}: {check['result']}, {check['us']} us" for check in _checks(record)]
    lines.append(f"  tree      leaf {_last(told).seq - 1} of {told.size}, root {told.root}")
    return [visible(line) for line in lines]


def _rules(record: Record) -> list[tuple[str, str]]:
    places = (*record.places, *[""] * len(record.rules))
    return list(zip(record.rules, places, strict=False))


def _step(record: Record) -> str:
    """One record of the story in a few words."""
    if record.kind is not Kind.APPROVAL:
        return f"{record.kind.value} {record.outcome or record.verdict} ({record.reason})"
    extra = record.extra
    by = f" by {extra['decided_by']} (proof {extra.get('proof', '')})" if extra.get("decided_by") else ""
    return f"approval {record.id} {extra.get('state', '')}{by}" + (f": {record.detail}" if record.detail else "")
