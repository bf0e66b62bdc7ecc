"""`wardgate approvals watch`: what waits for a person, live; cards and keys at a terminal, plain lines when piped.

It outlives a restart of the gateway. Ctrl-C ends it with exit code 0.
"""

import os
import select
import sys
from collections.abc import Mapping
from typing import Any

from gateway.cli.common import at_terminal, fail, json_line
from gateway.cli.feed import Event, Feed
from gateway.cli.talk import Unreachable

RETRY = 0.5  # seconds between two tries while no gateway answers


def watch(config: str | None, as_json: bool) -> int:
    """Watch until it is ended; exit codes 0, 1 a configuration that can't be read."""
    try:
        feed = Feed(config)
    except Unreachable as problem:
        fail(problem.code, str(problem))
    try:
        if sys.stdin.isatty() and at_terminal(sys.stdout) and not as_json:
            from gateway.cli.terminal import show  # imported late: it draws with rich

            return show(feed, config)
        return lines(feed, as_json)
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on; nothing is left to flush
        return 0


def lines(feed: Feed, as_json: bool) -> int:
    """One line for each event, until interrupted."""
    away = False
    while True:
        link = feed.listen()
        events = None
        if link is not None:
            select.select([link], [], [])
            events = feed.hear(link)
        if events is None:
            if not away:
                print("wardgate: no gateway answers; waiting for one", file=sys.stderr)
            away = True
            select.select([], [], [], RETRY)
            continue
        away = False
        for event in events:
            print(json_line({"schema": 1, **event}) if as_json else line(event), flush=True)


def line(event: Event) -> str:
    """One event as a line for people."""
    from gateway.core.visible import visible

    item: Mapping[str, Any] = event["item"]
    at = (event["at"] or "now")[:19].replace("T", " ")
    if event["event"] == "held":
        return visible(f"{at}  held     {item['what']}  {len(item['differences'])} differences  {item['do']}")
    what = f"{item['id']}  {item['upstream']}/{item['tool']}"
    if event["event"] == "opened":
        who = f"{item['principal']} with {item['client']}, session {item['session']}"
        return visible(f"{at}  waiting  {what}  tier {item['tier']}  {who}  until {item['expires_at'][11:16]}Z")
    by = f" by {item['decided_by']}" if item["decided_by"] else ""
    return visible(f"{at}  {item['state']}{by}  {what}")
