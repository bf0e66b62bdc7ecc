"""Record the demo as a picture: `python -m gateway.demo.picture docs/demo.svg` plays it and draws what it printed.

Nothing is drawn that was not printed; the picture names no font or address outside itself.
"""

import subprocess
import sys
from html import escape
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

DEMO = ("-m", "gateway.cli.main", "demo")
COLUMNS = 104
TITLE = "$ wardgate demo"
STYLES = (
    (r"^\d\. .*|^[A-Z].*", "bold"),
    (r"^ +\$ wardgate.*", "green"),
    (r"NOT EXECUTED[^.]*\.", "bold red"),
    (r"\[REDACTED:[^\]]*\]", "bold yellow"),
    (r"^ +(approved|denied): .*", "bold cyan"),
    (r"the record is whole", "bold green"),
)
"""What is set off, by how it reads."""
DARK = TerminalTheme(
    (24, 26, 31),
    (215, 218, 224),
    [
        (24, 26, 31),
        (240, 113, 120),
        (127, 200, 127),
        (229, 192, 123),
        (110, 160, 240),
        (198, 146, 233),
        (100, 200, 210),
        (215, 218, 224),
    ],
)
FORM = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: ui-sans-serif, Arial, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def record() -> str:
    """What one real run of the demo prints; raises `RuntimeError` for one that doesn't end well."""
    words = [sys.executable, *DEMO]
    done = subprocess.run(
        words, capture_output=True, text=True, encoding="utf-8", stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        raise RuntimeError(f"the demo ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout.strip("\n")


def draw(printed: str) -> str:
    """A picture (SVG) of what was printed."""
    console = Console(file=StringIO(), width=COLUMNS, record=True, color_system="truecolor", legacy_windows=False)
    for line in printed.splitlines():
        text = Text(line)
        for pattern, style in STYLES:
            text.highlight_regex(pattern, Style.parse(style))
        console.print(text, markup=False, emoji=False, highlight=False)
    return console.export_svg(title=escape(TITLE), theme=DARK, code_format=FORM, unique_id="demo")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw(record()), encoding="utf-8")
