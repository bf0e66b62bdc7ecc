"""What `approve` and `deny` share: show the card, ask at a terminal, and send the answer to the gateway."""

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.cli.answers import arguments_of, minutes, refusal
from gateway.cli.approvals import print_card
from gateway.cli.common import fail, parser, print_json
from gateway.cli.sign import add_options, signed
from gateway.cli.talk import Unreachable, ask, with_near

READING = 0.7  # seconds that a person takes at least; what was typed before the card stood there is no answer
SKIP = "skip"

Answer = Mapping[str, Any]


def vote(argv: Sequence[str], *, approve: bool) -> int:
    """Send one answer; exit codes 0 settled, or it counts and more are needed; 1 unknown, expired, settled before or
    not to be chosen (or the person said no); 2 usage; 3 no gateway.
    """
    options = _options(approve)
    given = options.parse_args(argv)
    try:
        fields: dict[str, Any] = _chosen(given, options) if approve else {"choice": "bar" if given.bar else "deny"}
        shown = ask(given.config, "approval", id=given.id)
        if not given.json:
            print_card(shown)
            print(_opens(shown["view"], fields), end="")
        item = shown["items"][0]
        asks = approve and sys.stdin.isatty() and not given.yes and not given.json
        if asks and (ended := _at_terminal(given, shown, fields)) is not None:
            return ended
        fields["id"] = item["id"]
        word = "approve" if approve else "deny"
        if given.key or given.sign:
            if fields.pop("approve", False):  # what is signed is the row that the edit makes
                item = ask(given.config, word, **fields, arguments_digest=item["arguments_digest"])["items"][0]
                fields = {"id": item["id"], "choice": "once"}
            fields["signed"] = signed(given.config, fields, item, given.key)
        settled = ask(given.config, word, **fields, reason=given.reason, arguments_digest=item["arguments_digest"])
    except Unreachable as problem:
        fail(problem.code, with_near(problem, "approve id", given.id, given.config))
    if given.json:
        print_json(settled["items"])
    else:
        print(_said(settled["items"][0]))
    return 0


def _options(approve: bool) -> ArgumentParser:
    if not approve:
        options = parser("deny", "Deny one waiting call.")
        options.add_argument("--bar", action="store_true", help="and block the tool for this session, until `thaw`")
    else:
        options = parser("approve", "Approve one waiting call: exactly the one on the card, once. Or more, if told so.")
        scope = options.add_mutually_exclusive_group()
        scope.add_argument("--arguments", action="store_true", help="these exact arguments, for a while")
        scope.add_argument("--pattern", action="store_true", help="any payload, and the rest as it is, for a while")
        scope.add_argument("--session", action="store_true", help="this tool in this session, for a while")
        scope.add_argument("--vouch", metavar="VALUE", action="append", help="the value is good in this session")
        scope.add_argument("--edit", metavar="FILE", help="with other arguments: a JSON object; `-` is standard input")
        options.add_argument("--for", dest="time", metavar="TIME", help="how long that stands: 15m, 2h (1h)")
        options.add_argument("--uses", type=int, metavar="N", help="how often that can be used (100)")
    options.add_argument("id", help="an approval's id, or the first characters of it")
    told = "a note for the record" if approve else "words for the model that asked"
    options.add_argument("--reason", default="", help=told)
    options.add_argument("--yes", action="store_true", help="don't ask at the terminal")
    add_options(options)
    return options


def _chosen(given: Namespace, options: ArgumentParser) -> dict[str, Any]:
    """The choice that the options name, as the gateway takes it."""
    scopes = ("arguments", "pattern", "session", "vouch")
    choice = next((name for name in scopes if getattr(given, name)), "edit" if given.edit else "once")
    fields: dict[str, Any] = {"choice": choice}
    if (given.time or given.uses is not None) and choice not in scopes:
        options.error("`--for` and `--uses` go with `--arguments`, `--pattern`, `--session` or `--vouch`")
    if given.time and (count := minutes(given.time)):
        fields["minutes"] = count
    elif given.time:
        options.error(f"--for: expected a time such as 15m or 2h, found `{given.time}`")
    if given.uses is not None:
        fields["uses"] = given.uses
        if given.uses < 1:
            options.error(f"--uses: expected 1 or more, found `{given.uses}`")
    if given.vouch:
        fields["values"] = given.vouch
    if given.edit:
        fields |= {"arguments": _edited(given.edit), "approve": True}
    return fields


def _edited(name: str) -> dict[str, Any]:
    try:
        return arguments_of(sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8"))
    except OSError as problem:
        fail(1, f"`{name}` can't be read: {problem.strerror}")
    except ValueError as problem:
        fail(1, f"`{name}`: {problem}")


def _at_terminal(given: Namespace, shown: Answer, fields: Mapping[str, Any]) -> int | None:
    """Ask the person at the terminal; None to go on, else the exit code."""
    view = shown["view"]
    if wrong := refusal(view, fields["choice"]):
        fail(1, wrong)
    if not view["labelled"] and (effect := _label(view)) != SKIP:
        ask(given.config, "label", id=view["id"], effect=effect)
        print(f"labelled as {effect}: the call is decided again. `wardgate approvals` shows whether it still waits")
        return 0
    word = view["confirm"] or "yes"
    answer = _read(f"Type `{word}` to approve {_what(fields)}: ")
    if answer == word or (not view["confirm"] and answer.lower() == "yes"):
        return None
    print("nothing was decided")
    return 1


def _what(fields: Mapping[str, Any]) -> str:
    match fields["choice"]:
        case "once":
            return "exactly this call"
        case "edit":
            import json

            return f"it with these arguments: {json.dumps(fields['arguments'], ensure_ascii=True)}"
        case "vouch":
            return f"it, and vouch for {', '.join(ascii(value) for value in fields['values'])}"
        case scope:
            return {"arguments": "these exact arguments", "pattern": "this pattern", "session": "this tool here"}[scope]


def _opens(view: Mapping[str, Any], fields: Mapping[str, Any]) -> str:
    """A line on what the choice would let pass unasked from now on, if it is a grant."""
    if fields["choice"] in ("once", "edit", "deny", "bar"):
        return ""
    from gateway.core.model import Choice
    from gateway.core.openings import of_grant

    names = [given["name"] for given in view["arguments"] if given.get("change") != "gone"]
    opens = of_grant(Choice(fields["choice"]), names, view["free"])
    often = f"{fields.get('uses', 100)} times"
    return f"It would let pass unasked, up to {often} in {fields.get('minutes', 60)} min: {opens}\n"


def _label(view: Mapping[str, Any]) -> str:
    """What the tool does, as the person says; `skip` to decide on the call without."""
    print(f"Nobody said what this tool does. One of: {', '.join(view['effects'])}")
    while True:
        said = _read(f"What does it do? (Enter: {view['proposed']}; `{SKIP}`: not now) ") or view["proposed"]
        if said == SKIP or said in view["effects"]:
            return str(said)
        print(f"expected one of them, found {said!a}")


def _read(question: str) -> str:
    """A line that was typed after the question stood there long enough to be read."""
    while True:
        began = time.monotonic()
        answer = input(question).strip()
        if time.monotonic() - began >= READING:
            return answer
        print("that came faster than anybody reads: once more, please")


def _said(row: Answer) -> str:
    if row["state"] == "waiting":
        return f"counted: {row['id']} still waits for an answer"
    return f"{row['state']}: {row['id']} by {row['decided_by']}"
