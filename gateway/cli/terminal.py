"""The terminal of `approvals watch`: keys are read, `screen.py` says what they do, rich draws, deeds are sent.

One loop, no threads: it waits on the keyboard and the gateway's news together. The terminal is given back as it was.
"""

import codecs
import os
import select
import socket
import subprocess
import sys
import tempfile
import termios
import time
import tty
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.segment import Segment
from rich.text import Text

from gateway.cli.answers import CHOICES, KEYS, arguments_of
from gateway.cli.card import draw, grid
from gateway.cli.feed import Feed
from gateway.cli.screen import DOWN, ENTER, ERASE, ESCAPE, UP, Deed, Mode, Screen, prompt
from gateway.cli.talk import Unreachable, ask
from gateway.core.visible import visible

TICK = 1.0  # seconds between two looks at the time that is left
RETRY = 0.5  # seconds between two tries while no gateway answers
EDITOR = "vi"
_KEYS = {
    "\r": ENTER,
    "\n": ENTER,
    "\x7f": ERASE,
    "\x08": ERASE,
    "\x1b[A": UP,
    "\x1b[B": DOWN,
    "\x1bOA": UP,
    "\x1bOB": DOWN,
}


def show(feed: Feed, config: str | None) -> int:
    """Show what waits until `q` or Ctrl-C; returns the exit code."""
    console = Console(highlight=False, markup=False, emoji=False)
    with raw(sys.stdin.fileno()) as before, console.screen(hide_cursor=True):
        Watch(feed, config, console, before).run()
    return 0


@contextmanager
def raw(fd: int) -> Iterator[list[Any]]:
    """Keys one by one and unseen, until the block ends; Ctrl-C still interrupts. Gives the terminal's own settings."""
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield before
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def keys(text: str) -> Iterator[str]:
    """The keys in what was read: characters, and the few that have names."""
    while text:
        found = next((known for known in _KEYS if text.startswith(known)), "")
        if found:
            yield _KEYS[found]
        elif text[0] == "\x1b":
            if len(text) > 1 and text[1] in "[O":  # another key with a name that is not ours
                end = next((place for place, char in enumerate(text[2:], 2) if char.isalpha() or char == "~"), 1)
                text = text[end + 1 :]
                continue
            yield ESCAPE
        else:
            yield text[0]
        text = text[len(found) or 1 :]


class Watch:
    """One terminal before one gateway."""

    def __init__(self, feed: Feed, config: str | None, console: Console, before: list[Any]) -> None:
        """`before` are the terminal's settings, which an editor gets back."""
        self._feed, self._config, self._console, self._before = feed, config, console, before
        self._digest = ""  # of the arguments on the card that is open
        self._screen = Screen()
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._link: socket.socket | None = None

    def run(self) -> None:
        """Read keys and news until it is to end."""
        while True:
            self._link = self._link or self._feed.listen()
            self._screen.online = self._link is not None
            self._draw()
            waits = [sys.stdin, *([self._link] if self._link else [])]
            ready, _, _ = select.select(waits, [], [], TICK if self._link else RETRY)
            if self._link in ready:
                self._news()
            if sys.stdin in ready:
                for key in keys(self._decode(os.read(sys.stdin.fileno(), 4096))):
                    deed = self._screen.press(key, time.monotonic())
                    if deed.op == "quit":
                        return
                    self._do(deed)
            elif self._screen.view is not None and self._screen.mode in (Mode.CARD, Mode.LABEL):
                self._renew()

    def _news(self) -> None:
        assert self._link is not None
        events, self._link = self._feed.hear(self._link), None
        self._screen.list(list(self._feed.rows.values()))
        for event in events or ():
            if event["event"] == "held":
                self._screen.message = f"held: {event['item']['what']} waits for a person: {event['item']['do']}"
        view = self._screen.view
        if events and view is not None and any(event["item"].get("id") == view["id"] for event in events):
            self._renew()

    def _renew(self) -> None:
        """Bring the open card up to date."""
        if self._screen.view is not None and (answer := self._ask("approval", id=self._screen.view["id"])):
            self._screen.renew(answer["view"])

    def _ask(self, op: str, **fields: Any) -> Mapping[str, Any] | None:
        """Ask the gateway; what it objects to becomes the message."""
        try:
            return ask(self._config, op, **fields)
        except Unreachable as problem:
            self._screen.message = str(problem)
            return None

    def _do(self, deed: Deed) -> None:
        match deed.op:
            case "":
                return
            case "open":
                self._open(deed.fields["id"])
            case "edit":
                self._edit()
            case "covers":
                if answer := self._ask("covers", **deed.fields):
                    self._screen.covers, self._screen.of = answer["covers"], answer["of"]
            case "label":
                if self._ask("label", **deed.fields):
                    self._screen.settled(f"labelled as {deed.fields['effect']}: the call is decided again")
            case _:
                self._send(deed)

    def _open(self, id: str) -> None:
        if answer := self._ask("approval", id=id):
            self._screen.show(answer["view"], time.monotonic())
            self._digest = answer["items"][0]["arguments_digest"]

    def _send(self, deed: Deed) -> None:
        if answer := self._ask(deed.op, **deed.fields, arguments_digest=self._digest):
            row = answer["items"][0]
            if row["state"] == "waiting":
                self._screen.settled(f"counted: {row['id']} still needs another approver")
            else:
                self._screen.settled(f"{row['state']}: {row['id']} by {row['decided_by']}")

    def _edit(self) -> None:
        """Let a person edit the arguments, and open the card of the row that takes the place."""
        id = self._screen.view["id"] if self._screen.view is not None else ""
        answer = self._ask("approval", id=id)
        if answer is None:
            return
        item = answer["items"][0]
        try:
            text = self._edited(json_of(item["arguments"]))
            arguments = arguments_of(text)
        except (OSError, ValueError) as problem:
            self._screen.message = str(problem)
            return
        if arguments == item["arguments"]:
            self._screen.message = "nothing was changed"
        elif made := self._ask("approve", id=id, choice="edit", arguments=arguments, arguments_digest=self._digest):
            self._open(made["items"][0]["id"])
            self._screen.message = self._screen.message or "edited: this is the call as it would run now"

    def _edited(self, text: str) -> str:
        """What comes back from the editor, which has the terminal meanwhile."""
        words = (os.environ.get("VISUAL") or os.environ.get("EDITOR") or EDITOR).split()
        with tempfile.TemporaryDirectory(prefix="wardgate-") as folder:  # mode 0700
            file = Path(folder) / "arguments.json"
            file.write_text(text, encoding="utf-8")
            self._console.set_alt_screen(False)
            self._console.show_cursor(True)
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)
            try:
                code = subprocess.run([*words, str(file)], check=False).returncode
            finally:
                tty.setcbreak(sys.stdin.fileno())
                self._console.show_cursor(False)
                self._console.set_alt_screen(True)
            if code:
                raise ValueError(f"the editor ended with {code}: nothing was changed")
            return file.read_text(encoding="utf-8")

    # --- drawing

    def _draw(self) -> None:
        """Draw the whole screen, never higher than the terminal: the footer is always seen."""
        width, height = self._console.size
        foot = self._console.render_lines(self._footer())[: max(1, height // 2)]
        body = self._console.render_lines(self._body())
        room = max(1, height - len(foot) - 1)
        self._screen.scroll = max(0, min(self._screen.scroll, len(body) - room))
        shown = body[self._screen.scroll : self._screen.scroll + room]
        shown += [[Segment(" " * width)] for _ in range(room - len(shown))]
        self._console.update_screen_lines([*shown, [Segment("─" * width)], *foot])

    def _body(self) -> RenderableType:
        screen = self._screen
        if screen.mode is Mode.HELP:
            return _help()
        if screen.view is None:
            return _rows(screen)
        if screen.mode is Mode.LABEL:
            return _label(screen)
        return draw(screen.view, unfolded=screen.unfolded, keys=True)

    def _footer(self) -> RenderableType:
        screen = self._screen
        if screen.mode is Mode.TYPE:
            asked = Text(f"{screen.message}\n" if screen.message else "", style="bold")
            return Group(asked.append(prompt(screen), style="bold"), Text(f"> {visible(screen.typed)}_"))
        away = "" if screen.online else "no gateway answers; waiting for one.  "
        hints = "j k move   Enter open   ? keys   q quit"
        if screen.view is not None:
            hints = "j k scroll   Enter unfold   ? keys   Esc back"
        if screen.mode is Mode.LABEL:
            hints = "j k choose   Enter write it down   Esc not now"
        return Text(f"{away}{visible(screen.message) or hints}")


def json_of(arguments: Mapping[str, Any]) -> str:
    """Arguments as a person edits them."""
    import json

    return json.dumps(arguments, ensure_ascii=False, indent=2) + "\n"


def _rows(screen: Screen) -> RenderableType:
    if not screen.rows:
        return Text("Nothing waits for a person." if screen.online else "")
    table = grid(5)
    session = None
    for row in screen.rows:
        if row["session"] != session:
            session = row["session"]
            table.add_row(Text(), Text(visible(f"{row['principal']} with {row['client']}, {session}"), style="dim"))
        chosen = row["id"] == screen.at
        cells = (">" if chosen else " ", f"{row['upstream']}/{row['tool']}", row["effect"], row["id"])
        style = "reverse" if chosen else ""
        table.add_row(*(Text(visible(cell), style=style) for cell in (*cells, f"until {row['expires_at'][11:16]}Z")))
    return Group(Text(f"{len(screen.rows)} waiting\n", style="bold"), table)


def _label(screen: Screen) -> RenderableType:
    assert screen.view is not None
    view = screen.view
    told = [Text(f"What does {view['exposed']} do?", style="bold")]
    told.append(Text("Nobody said so yet. Your answer is written into policies/, and the call is decided again.\n"))
    for place, effect in enumerate(view["effects"]):
        proposed = "  (proposed)" if effect == view["proposed"] else ""
        chosen = place == screen.effect
        told.append(Text(f"{'>' if chosen else ' '} {effect}{proposed}", style="reverse" if chosen else ""))
    return Group(*told, Text(), draw(view))


def _help() -> RenderableType:
    table = grid()
    for key, words in (
        ("j k", "down, up"),
        ("Enter", "open a card; on it, unfold what is long"),
        ("Esc q", "back, end"),
    ):
        table.add_row(Text(key, style="bold"), Text(words))
    for choice, words in CHOICES.items():
        table.add_row(Text(KEYS[choice], style="bold"), Text(words))
    table.add_row(Text("?", style="bold"), Text("these keys"))
    return table
