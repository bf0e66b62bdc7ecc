"""What `approve` and `deny` share: show the card, ask at a terminal, and send the vote to the gateway."""

import sys
from collections.abc import Sequence

from gateway.cli.common import parser, print_json
from gateway.cli.talk import Unreachable, ask


def vote(argv: Sequence[str], *, approve: bool) -> int:
    """Send one vote; exit codes 0 settled, 1 unknown, expired or settled before (or the person said no), 3 no
    gateway.
    """
    word = "approve" if approve else "deny"
    options = parser(word, f"{word.capitalize()} one waiting call: exactly the one on the card, once.")
    options.add_argument("id", help="an approval's id, or the first characters of it")
    options.add_argument(
        "--reason", default="", help="words for the model that asked" if not approve else "a note for the record"
    )
    options.add_argument("--yes", action="store_true", help="don't ask at the terminal")
    given = options.parse_args(argv)
    try:
        shown = ask(given.config, "approval", id=given.id)
        if not given.json:
            print(shown["card"])
        if approve and sys.stdin.isatty() and not given.yes and not given.json:
            answer = input("Type `yes` to approve exactly this call: ")
            if answer.strip().lower() != "yes":
                print("nothing was decided")
                return 1
        item = shown["items"][0]
        settled = ask(given.config, word, id=item["id"], reason=given.reason, arguments_digest=item["arguments_digest"])
    except Unreachable as problem:
        print(f"wardgate: {problem}", file=sys.stderr)
        return problem.code
    if given.json:
        print_json(settled["items"])
    else:
        row = settled["items"][0]
        print(f"{row['state']}: {row['id']} by {row['decided_by']}")
    return 0
