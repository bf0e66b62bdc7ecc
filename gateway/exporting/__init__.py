"""Hand the record on to others: as JSON lines, CEF or OpenTelemetry, once or continuously, with a bookmark.

It runs in a process of its own and only reads the store: no call waits for it, and nothing that becomes of it reaches
one.
"""

from gateway.exporting.bookmark import Bookmark, Keeper
from gateway.exporting.outlets import LINES, Form, Lines, Outlet, OutputFile, Undelivered, attach, item
from gateway.exporting.run import Export, Page, Stop, Window, gateway_of, page

__all__ = [
    "LINES",
    "Bookmark",
    "Export",
    "Form",
    "Keeper",
    "Lines",
    "Outlet",
    "OutputFile",
    "Page",
    "Stop",
    "Undelivered",
    "Window",
    "attach",
    "gateway_of",
    "item",
    "page",
]
