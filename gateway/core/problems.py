"""What is wrong in a file of the user's, told so that a person can mend it. No I/O here."""

from collections.abc import Iterable, Mapping
from enum import Enum

from msgspec import Struct


class Severity(str, Enum):
    """Whether a problem stops the gateway."""

    ERROR = "error"
    WARNING = "warning"


class Problem(Struct, frozen=True, order=True):
    """One finding: where it stands (`line` 0: the file as a whole), what was found, and the nearest right name."""

    file: str
    line: int
    table: str
    key: str
    found: str
    message: str
    nearest: str = ""
    severity: Severity = Severity.ERROR

    @property
    def where(self) -> str:
        """`file:line`, or the file alone."""
        return f"{self.file}:{self.line}" if self.line else self.file

    def __str__(self) -> str:
        table = f" [{self.table}]" if self.table else ""
        key = f" `{self.key}`" if self.key else ""
        hint = f"; did you mean `{self.nearest}`?" if self.nearest else ""
        return f"{self.where}{table}{key}: {self.message}{hint}"


def item(problem: Problem) -> Mapping[str, str]:
    """A problem in the shape of `--json`."""
    table = f"[{problem.table}] " if problem.table else ""
    return {
        "what": f"{table}{problem.key}".strip() or "file",
        "where": problem.where,
        "found": problem.found,
        "do": f"did you mean `{problem.nearest}`? {problem.message}" if problem.nearest else problem.message,
        "severity": problem.severity.value,
    }


def nearest(word: str, names: Iterable[str]) -> str:
    """The most similar of `names`, or an empty string if none is similar."""
    from difflib import get_close_matches  # only paid for when something is wrong

    return next(iter(get_close_matches(word, list(names), 1, 0.6)), "")
