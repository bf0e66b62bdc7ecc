"""Send one notice with apprise: a program of its own, which gets the address on its standard input and ends.

So neither a target that hangs, nor what a plugin loads, is ever in the way of a call, and the address is gone with it.
It imports nothing of the gateway, and says in words that never hold the address what went wrong.
"""

import importlib
import json
import logging
import sys
from typing import Any

MISSING = "it needs the extra: pip install 'wardgate[notify]'"


def deliver(address: str, title: str | None, text: str) -> str:
    """Hand a notice to one address, and wait for it; returns what went wrong, or an empty text. Without a title nothing
    is sent: the address is only looked at.
    """
    try:
        apprise = importlib.import_module("apprise")
    except ImportError:
        return MISSING
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # it would log addresses
    try:
        sender: Any = apprise.Apprise(asset=apprise.AppriseAsset(app_id="Wardgate", app_desc="Wardgate", app_url=""))
        if not sender.add(address):
            return "the address is none that apprise knows"
        if title is None:
            return ""
        done = sender.notify(title=title, body=text, body_format="text")  # a mail's is markup, if nobody says so
    except Exception as broken:  # noqa: BLE001 - whatever a target's plugin raises, the notice did not leave
        return type(broken).__name__
    return "" if done else "the target did not take it"


def main() -> None:
    """Send what is on standard input: {address, title, text}; what went wrong goes to standard output."""
    asked = json.load(sys.stdin)
    sys.stdout.write(deliver(asked["address"], asked.get("title"), asked.get("text", "")))


if __name__ == "__main__":
    main()
