"""What stands in a message or a log when a value is printed: never the secret that it holds."""

from pathlib import Path

import pytest

from gateway.core.model import Release, Screened
from gateway.core.render import Rendering
from gateway.core.secrets import Pattern, Span
from gateway.core.traced import Budget, Traced
from gateway.initial.nouns import Hidden
from gateway.initial.placing import Draft
from gateway.transport.process import Command

SECRET = "correct horse battery staple"


def traced() -> Traced:
    """A text with a region."""
    made = Traced(Budget(1000, 10))
    made.add(SECRET.encode(), lambda: ())
    made.join()
    return made


@pytest.mark.parametrize(
    "value",
    [
        Span(0, 3, "password", SECRET.encode()),
        Pattern(SECRET.encode()),
        Screened(Release.FULL, {"content": []}, whole={"content": SECRET}, data=SECRET.encode(), recorded=SECRET),
        Rendering(SECRET.encode(), (((), "text", SECRET.encode()),), ()),
        traced(),
        Command("server", environment={"TOKEN": SECRET}),
        Hidden("TOKEN", "by its name", SECRET),
        Draft(Path("upstreams.toml"), Path("policies"), {Path("secrets/token"): SECRET.encode()}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_secret_is_not_told(value: object) -> None:
    assert "horse" not in repr(value)
    assert type(value).__name__ in repr(value)
