"""References whose values are too weak to be searched for, as far as that can be told offline. Shows no value.

Only variables and files are looked at: `check` runs no program and opens no keychain. `doctor` tells of the rest.
"""

from collections.abc import Iterator, Mapping

from gateway.config.nouns import Settings
from gateway.config.references import resolve, split_reference
from gateway.core.problems import Severity
from gateway.core.secrets import parts, weakness
from gateway.core.section import Document
from gateway.errors import ConfigurationError

OFFLINE = ("env", "file")  # kinds of references that are resolved here


def note_weak(document: Document, settings: Settings, environ: Mapping[str, str]) -> None:
    """Warn of each value that will be left out of the exact search. One that isn't there now is no matter here."""
    for upstream, table, name, reference in _references(settings):
        try:
            why = left_out(resolve(reference, settings.upstreams[upstream].base, environ))
        except ConfigurationError:
            continue
        if why:
            told = f"its value is {why}: it is not looked for in outputs and arguments, for honest texts hold such"
            path = ("upstreams", upstream, table)
            document.problem(path, name, told, reference, severity=Severity.WARNING)


def left_out(value: str) -> str:
    """Why nothing of a value is searched for exactly, or an empty string."""
    weak = [weakness(part) for part in parts(value)]
    return weak[0] if all(weak) else ""


def _references(settings: Settings) -> Iterator[tuple[str, str, str, str]]:
    for upstream in settings.upstreams.values():
        for table, values in (("env", upstream.env), ("headers", upstream.headers)):
            for name, reference in values.items():
                if split_reference(reference)[0] in OFFLINE:
                    yield upstream.name, table, name, reference
