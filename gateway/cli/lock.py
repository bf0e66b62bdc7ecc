"""`wardgate lock`: accept what the upstreams offer, as it is now, in `policies/tools.lock`; `--check` compares only.

A gateway that runs is asked; where none does, the upstreams are started for as long as it takes.
"""

import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.cli.common import FINDINGS, FINE, USAGE, fail, flowing, parser, print_json
from gateway.cli.confirm import typed
from gateway.cli.conversing import Answer, Request, converse
from gateway.cli.talk import Unreachable

MARKS = {"new": "+", "changed": "~", "gone": "-"}
NOUNS = {"tools": "tool", "prompts": "prompt", "templates": "resource template", "runtime": "what is run"}
MOST_LINES = 30  # of one difference; `accept NAME` shows all


def run(argv: Sequence[str]) -> int:
    """Lock; exit codes 0, 1 something differs (`--check`), was not accepted or could not be asked, 2 usage, 3 the state
    folder or the record can't be used.
    """
    options = parser("lock", __doc__)
    options.add_argument("--check", action="store_true", help="change nothing; exit with 1 where anything differs")
    options.add_argument("--yes", action="store_true", help="accept all of it without asking")
    given = options.parse_args(argv)
    if given.check and given.yes:
        options.error("`--check` accepts nothing: leave out `--yes`")
    return _Locking(given).run()


class _Locking:
    """One run of the command."""

    def __init__(self, given: Namespace) -> None:
        self._given, self._code = given, FINE

    def run(self) -> int:
        try:
            written = converse(self._given.config, {"op": "lock"}, self._consider, quiet=self._given.json)
        except Unreachable as problem:
            fail(problem.code, str(problem))
        if written is not None:
            items = written["items"]
            if self._given.json:
                print_json(items)
            else:
                print(f"accepted: {_counted(items)} in {written['file']}")
        return self._code

    def _consider(self, shown: Answer) -> Request | None:
        """Show what differs, and ask; what is to be written, if anything."""
        given, items = self._given, shown["items"]
        for one in shown["unasked"]:
            self._code = FINDINGS
            print(
                f"wardgate: upstream `{one['upstream']}` can't be asked: {one['detail'] or one['state']}",
                file=sys.stderr,
            )
        if given.json and (given.check or (not items and shown["locked"])):
            print_json(items)
        elif not given.json:
            print_items(items, MOST_LINES)
        if not items and shown["locked"]:
            if not given.json:
                count = sum(shown["counts"].values())
                print(f"{shown['file']} is up to date: {count} definitions of {len(shown['counts'])} upstreams")
            return None
        if given.check:
            self._code = FINDINGS
            if not given.json:
                print(f"{_counted(items)}; `wardgate lock` accepts it" if items else "there is no tools.lock yet")
            return None
        if not given.yes and not self._agreed(items, first=not shown["locked"]):
            self._code = FINDINGS
            print("nothing was accepted")
            return None
        return {"op": "lock-write", "digest": shown["digest"]}

    def _agreed(self, items: Sequence[Mapping[str, Any]], *, first: bool) -> bool:
        """Whether it is accepted; where nobody can be asked, a first lock is, for nothing stands there yet."""
        if self._given.json or not sys.stdin.isatty():
            if first:
                return True
            fail(USAGE, "nobody can be asked here: `--yes` accepts it without asking, `--check` only compares")
        return typed(f"Accept {_counted(items)}, exactly as shown?")


def print_items(items: Sequence[Mapping[str, Any]], most: int) -> None:
    """Print differences for a person: what, as what it would count and why, remarks, and the lines that differ."""
    from gateway.core.visible import visible

    for item in items:
        noun = NOUNS.get(item["kind"], item["kind"])
        print(f"{MARKS[item['state']]} {item['state']} {noun} `{visible(item['exposed_as'])}` of {item['upstream']}")
        if item["state"] != "gone" and "effect" in item:
            print(flowing(f"    {_effect(item)}"))
        for remark in item["remarks"]:
            print(flowing(f"    ! {visible(remark)}"))
        lines = (
            item["difference"] if item["state"] == "changed" or most > MOST_LINES or item["kind"] == "runtime" else ()
        )
        for line in lines[:most]:
            print(f"    {visible(line)}")
        if len(lines) > most:
            print(f"    … {len(lines) - most} more lines: `wardgate accept {visible(item['exposed_as'])}` shows them")
        if item["accept"] and item["kind"] != "runtime":
            print(f"    {visible(item['accept'])}")


def _effect(item: Mapping[str, Any]) -> str:
    counts = f"effect {item['effect']}, tier {item['tier']}"
    if item["entry"]:
        return f"{counts}, by {item['entry']}"
    return f"{counts}: nobody labelled it (its name suggests {item['proposed']}; `wardgate tools --propose`)"


def _counted(items: Sequence[Mapping[str, Any]]) -> str:
    counts = Counter(item["state"] for item in items)
    return ", ".join(f"{count} {state}" for state in MARKS if (count := counts[state])) or "nothing"
