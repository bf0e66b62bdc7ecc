"""What clients are told of the servers behind the gateway."""

from types import SimpleNamespace
from typing import Any

from gateway.app.offer import Offer
from tests.house import policy_of


def about(instructions: str, *, believed: bool = True) -> str:
    """The instructions that a client gets, before one server that says this."""
    settings: Any = SimpleNamespace(upstreams={"up": SimpleNamespace(instructions=believed)})
    catalogue: Any = SimpleNamespace(instructions={"up": instructions}, offered=lambda kind, only: ())
    policy = policy_of()
    return Offer(settings, lambda: policy).about(catalogue, "")


def test_instructions_of_a_server_that_is_believed_are_told_as_its_own() -> None:
    assert about("Be kind.").endswith("Instructions of the server `up`:\nBe kind.")
    assert "kind" not in about("Be kind.", believed=False)
