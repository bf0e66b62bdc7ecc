"""Templates, static files, and how values look: times, shares, hidden characters. All of it is read at once, early.

Every text that is not ours is escaped; nothing here asks the gateway for anything.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup, escape

from gateway.console.differences import lines, pieces
from gateway.core.leaks import leak_id
from gateway.core.model import Finding
from gateway.core.personal import is_personal
from gateway.core.record import stamp, unstamp
from gateway.core.visible import visible

HERE = Path(__file__).parent
PAGES = (
    ("/", "Waiting", "What waits for a person"),
    ("/grants", "Grants", "What was allowed for a while"),
    ("/decisions", "Decisions", "What was decided, and why"),
    ("/figures", "Figures", "How much is asked, and how it is answered"),
    ("/sessions", "Sessions", "Who is connected, and what they did"),
    ("/upstreams", "Upstreams", "Servers and their tools"),
    ("/leaks", "Leaks", "Secrets that were seen, each until it is rotated"),
    ("/policy", "Policy", "What is in force"),
    ("/you", "You", "Signed in here"),
)
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HIDDEN = re.compile(r"\\u\{[0-9a-f]{1,6}\}")

PROOFS = {
    "client": "in the agent's own client",
    "local": "signed in here, or by the command line",
    "signed": "with a passkey or a signing key",
}
ACTS = {
    "redacted": "taken out before it was passed on",
    "flagged": "passed on, and noted here",
    "allowed": "passed on, since a label or a person says so",
    "withheld": "kept back, with all that it stood in",
    "blocked": "kept back, with the call that carried it",
}
"""What became of a secret, in words."""

SIGHTS = {"screened": "yes", "flagged": "yes, guesses pass", "passes": "what is found passes", "unseen": "out of reach"}
GRADES = {
    "exact": "one of the gateway's own secrets",
    "vendor": "it has the form of a real one",
    "generic": "the value of something that is called like a secret",
}
KINDS = {
    "tools": "tool",
    "prompts": "prompt",
    "templates": "resource template",
    "runtime": "what is run of",
    "instructions": "instructions of",
}
"""What can be held of an upstream, in words."""
CHOICES = {
    "once": "Approve once",
    "arguments": "These exact arguments",
    "pattern": "This pattern",
    "session": "This tool in this session",
    "vouch": "Vouch for a value",
    "edit": "Edit the arguments",
    "deny": "Deny",
    "bar": "Deny and block the tool",
}


class Looks:
    """Renders the pages. Making one reads every file: do it in a thread."""

    def __init__(self) -> None:
        texts = {file.name: file.read_text(encoding="utf-8") for file in sorted((HERE / "templates").glob("*.html"))}
        self._environment = Environment(
            loader=DictLoader(texts),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(
            when=when,
            day=day,
            coded=coded,
            leak=leak_of,
            share=share,
            span=span,
            hidden=hidden,
            shown=visible,
            pieces=_pieces,
            lines=lines,
            ids=short,
        )
        self._environment.globals.update(
            PAGES=PAGES, PROOFS=PROOFS, CHOICES=CHOICES, ACTS=ACTS, GRADES=GRADES, SIGHTS=SIGHTS, KINDS=KINDS
        )
        for name in texts:
            self._environment.get_template(name)
        self.static: Mapping[str, tuple[bytes, str]] = {
            file.name: (file.read_bytes(), TYPES[file.suffix])
            for file in sorted((HERE / "static").iterdir())
            if file.suffix in TYPES
        }

    def render(self, template: str, **values: Any) -> str:
        """A template as HTML."""
        return self._environment.get_template(template).render(**values)


def when(at: datetime | str | None) -> Markup:
    """A time in UTC, which the page's script shows in the reader's own zone; nothing where there is none."""
    if not at:
        return Markup("")
    text = at if isinstance(at, str) else stamp(at)
    shown = f"{unstamp(text):%Y-%m-%d %H:%M:%S} UTC"
    return Markup('<time datetime="{}">{}</time>').format(text, shown)


def day(at: datetime) -> str:
    """The day of a time, in UTC."""
    return f"{at:%Y-%m-%d}"


def leak_of(finding: Finding) -> str:
    """The id of the leak that a finding is of; empty where it is of none."""
    return "" if is_personal(finding.kind) else leak_id(finding.kind, finding.fingerprint)


def share(part: float | None) -> str:
    """A share from 0 to 1 in percent."""
    return "–" if part is None else f"{part * 100:.0f} %"


def span(seconds: float | None) -> str:
    """A length of time in one or two units."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def hidden(text: str, marked: bool = True) -> Markup:
    """A text in which the characters that don't show, written as `\\u{..}`, are marked as such."""
    if not marked:
        return escape(text)
    parts: list[Markup] = []
    end = 0
    for found in _HIDDEN.finditer(text):
        parts.append(escape(text[end : found.start()]))
        parts.append(Markup('<mark class="hid" title="a character that does not show">{}</mark>').format(found[0]))
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])


def coded(text: str) -> Markup:
    """A text of ours, in which what stands between backticks is code."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part) for place, part in enumerate(parts)
    )


def short(digest: str) -> str:
    """The beginning of a digest or a session, enough to tell them apart."""
    return digest[:12]


def _pieces(after: str, before: str) -> tuple[Any, ...]:
    return pieces(before, after)
