"""What `doctor` says: one finding, and every line that there is. Plain values: nothing is looked at here."""

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from gateway.cli.doctor.case import Case


class Severity(str, Enum):
    """Whether something has to be done."""

    NOTE = "note"
    WARNING = "warning"


class Line(str, Enum):
    """What a finding is about: how its `what` begins, and a row of docs/doctor.md each."""

    WARDGATE = "wardgate"
    PYTHON = "python"
    SDK = "mcp sdk"
    SCANNER = "scanner"
    PACKAGE = "package"
    SQLITE = "sqlite"
    GATEWAY = "gateway"
    CONFIGURATION = "configuration"
    POLICY = "policy"
    POLICY_HELD = "policy held"
    UPSTREAMS_HELD = "upstreams held"
    REFUSED = "policy refused"
    RESTART = "restart"
    REFERENCE = "reference"
    KEYRING = "keyring"
    SECRET = "secret"  # noqa: S105 - a name of a line, and no secret
    PERMISSIONS = "permissions"
    UPSTREAM = "upstream"
    SCREENING = "screening"
    LABELS = "labels"
    OWNER = "owner"
    HELD = "held"
    LONG = "long names"
    COLLIDING = "colliding names"
    SANDBOX = "sandbox"
    STORE = "store"
    TREE = "tree"
    FLOW = "flow"
    CHECKPOINT = "checkpoint"
    DISK = "disk"
    CLOCK = "clock"
    PORT = "port"
    RULES = "scanner rules"
    CLIENT = "client"
    CLIENT_FILE = "client file"
    BYPASS = "bypass"
    TIMEOUT = "timeout"
    CLIENT_SECRET = "client secret"  # noqa: S105 - a name of a line, and no secret
    AUTOPILOT = "autopilot"
    KEY = "key"
    NOTICES = "notices"
    ISOLATION = "isolation"
    CHECK = "check"


class Finding(Struct, frozen=True):
    """One thing that was looked at. `of` says which one, `do` the command or the edit that mends it."""

    line: Line
    found: str
    of: str = ""
    where: str = ""
    do: str = ""
    severity: Severity = Severity.NOTE

    @property
    def what(self) -> str:
        """What it is about, and which one."""
        return f"{self.line.value} {self.of}".strip()

    @property
    def wrong(self) -> bool:
        """Whether something has to be done."""
        return self.severity is Severity.WARNING

    def item(self) -> Mapping[str, str]:
        """It in the shape of `--json`."""
        return {
            "what": self.what,
            "where": self.where,
            "found": self.found,
            "do": self.do,
            "severity": self.severity.value,
        }


def warning(line: Line, found: str, do: str, of: str = "", where: str = "") -> Finding:
    """A finding about which something has to be done, and what."""
    return Finding(line, found, of, where, do, Severity.WARNING)


Check = Callable[["Case"], Iterator[Finding]]
"""One check: it looks, changes nothing, and tells what it found."""


class Group(Struct, frozen=True):
    """Checks of one noun."""

    title: str
    checks: tuple[Check, ...]
