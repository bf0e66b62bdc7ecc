"""`wardgate tools`: every tool, as what it counts, and whether it is held; `--propose` prints labels to confirm."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.cli.common import FINE, aligned, fail, parser, print_json
from gateway.cli.conversing import Answer, Request, converse
from gateway.cli.talk import Unreachable

HEAD = ("upstream", "tool", "exposed as", "effect", "tier", "state", "digest")
SHORT = 12  # digits of a digest


def run(argv: Sequence[str]) -> int:
    """List the tools; exit codes 0, 2 usage, 3 the state folder or the record can't be used. A gateway that runs is
    asked; where none does, the upstreams are started for as long as it takes.
    """
    options = parser("tools", __doc__)
    options.add_argument("--propose", action="store_true", help="print `[[tool]]` entries for tools without a label")
    given = options.parse_args(argv)
    found: list[Mapping[str, Any]] = []

    def then(answer: Answer) -> Request | None:
        found.extend(answer["items"])
        return None

    try:
        converse(given.config, {"op": "tools"}, then)
    except Unreachable as problem:
        fail(problem.code, str(problem))
    items = [item for item in found if item["proposed"]] if given.propose else found
    if given.json:
        print_json(items)
    elif given.propose:
        print(_proposed(items) or "every tool has a label")
    else:
        print(aligned([HEAD, *map(_cells, items)]))
    return FINE


def _cells(item: Mapping[str, Any]) -> tuple[str, ...]:
    from gateway.core.card import visible

    cells = (
        *(item[key] for key in ("upstream", "tool", "exposed_as", "effect", "tier", "state")),
        item["digest"][:SHORT],
    )
    return tuple(map(visible, cells))


def _proposed(items: Sequence[Mapping[str, Any]]) -> str:
    """One policy file for a person to confirm, by effect: of the one upstream, or where there are several, of all. It
    grants nothing by itself.
    """
    import json

    if not items:
        return ""
    upstreams = list(dict.fromkeys(item["upstream"] for item in items))
    lines = ["# Proposed by names and annotations: look at each before it goes into a file of `policies/`."]
    lines += [f"upstream = {json.dumps(upstreams[0])}"] if len(upstreams) == 1 else []
    lines.append(f"owner = {json.dumps(items[0]['owner'])}")
    for effect in dict.fromkeys(item["proposed"] for item in items):
        mine = [item for item in items if item["proposed"] == effect]
        names = [item["tool"] if len(upstreams) == 1 else f"{item['upstream']}/{item['tool']}" for item in mine]
        lines += ["", "[[tool]]", f"match = {json.dumps(names)}", f'effect = "{effect}"']
    return "\n".join(lines)
