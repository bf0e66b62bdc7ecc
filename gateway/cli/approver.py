"""`wardgate approver add|endorse|list|revoke`: the keys with which approvers sign."""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.cli.common import FINDINGS, FINE, aligned, fail, parser, print_json
from gateway.cli.sign import endorsed
from gateway.cli.talk import Unreachable, ask


def run(argv: Sequence[str]) -> int:
    """Enrol, list or revoke keys; exit codes 0, 1 a key or name that doesn't count, 2 usage, 3 no gateway."""
    options = parser("approver", __doc__)
    options.add_argument("action", choices=("add", "endorse", "list", "revoke"))
    options.add_argument(
        "name",
        nargs="?",
        help="add, list: a name of [approvers]; endorse: the code of a key that waits; revoke: its id",
    )
    options.add_argument("--ssh-key", metavar="FILE", help="the public half of the key to add")
    options.add_argument("--private", metavar="FILE", help="its private half, if that is not beside it: it is tried")
    options.add_argument("--key", metavar="FILE", help="a key of that name which signs for the one that is added")
    given = options.parse_args(argv)
    _usage(options, given)
    try:
        match given.action:
            case "add":
                return _add(given)
            case "endorse":
                made = ask(given.config, "key-document", nonce=given.name)
                return _endorse(given, given.name, made)
            case "revoke":
                return _tell(given, ask(given.config, "key-revoke", id=given.name)["items"], "revoked")
            case _:
                return _list(given)
    except Unreachable as problem:
        if given.action == "add" and problem.code == FINDINGS:
            from gateway.cli.completion import near

            fail(problem.code, f"{problem}{near('approver name', given.name, given.config)}")
        fail(problem.code, str(problem))


def _usage(options: ArgumentParser, given: Namespace) -> None:
    if given.action != "list" and not given.name:
        options.error(f"`{given.action}` needs {'the id of a key' if given.action == 'revoke' else 'a name'}")
    if given.action == "add" and not given.ssh_key:
        options.error("`add` needs `--ssh-key FILE.pub`; a passkey is added in the console (`wardgate console`)")
    if given.action == "endorse" and not given.key:
        options.error("`endorse` needs `--key FILE`")


def _add(given: Namespace) -> int:
    file = Path(given.ssh_key).expanduser()
    try:
        line = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        print(f"wardgate: `{file}` can't be read as a public key: {problem}", file=sys.stderr)
        return FINDINGS
    beside = file.with_suffix("") if file.suffix == ".pub" and file.with_suffix("").exists() else None
    private = Path(given.private).expanduser() if given.private else beside
    made = ask(
        given.config,
        "key-add",
        name=given.name,
        public=line.strip(),
        private=str(private.absolute()) if private else "",
        agent=os.environ.get("SSH_AUTH_SOCK", ""),
    )
    if made["items"]:
        return _tell(given, made["items"], "added")
    if given.key:
        return _endorse(given, made["nonce"], made)
    print(
        f"wardgate: `{given.name}` has a key already, which has to sign for another one: `--key FILE`", file=sys.stderr
    )
    return FINDINGS


def _endorse(given: Namespace, nonce: str, made: Mapping[str, Any]) -> int:
    signature = endorsed(made["document"], Path(given.key).expanduser())
    return _tell(given, ask(given.config, "endorse", nonce=nonce, signature=signature)["items"], "added")


def _list(given: Namespace) -> int:
    items = ask(given.config, "keys", **({"name": given.name} if given.name else {}))["items"]
    if given.json:
        print_json(items)
        return FINE
    rows = [(item["name"], item["kind"], item["id"], _counts_as(item), f"since {item['added_at']}") for item in items]
    print(aligned(rows) or "nobody has a key: `wardgate approver add NAME --ssh-key FILE.pub` adds one")
    return FINE


def _tell(given: Namespace, items: Sequence[Mapping[str, Any]], what: str) -> int:
    if given.json:
        print_json(items)
        return FINE
    for item in items:
        print(f"{what}: {item['id']} of {item['name']}, {_counts_as(item)}")
        if what == "added" and not item["attended"]:
            print(f"note: {item['how']}. What it signs weighs as proof `local`, not as `signed`.", file=sys.stderr)
    return FINE


def _counts_as(item: Mapping[str, Any]) -> str:
    return "signed" if item["attended"] else "unattended: weighs as local"
