"""Where the console sits: how its links are made, and what clients and notices are told of cards."""

from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway.app.seat import Seat
from gateway.errors import ApprovalError
from tests.fakes import FakeClock, a_call, a_row, a_tool, an_ask


def a_gateway(host: str = "127.0.0.1") -> Any:
    """As much of a gateway as its seat looks at; `known` is what its search was told."""
    known: list[tuple[str, str]] = []
    return SimpleNamespace(
        known=known,
        screener=SimpleNamespace(know_for_now=lambda *told: known.append(told)),
        clock=FakeClock(),
        settings=SimpleNamespace(gateway=SimpleNamespace(host=host)),
        approvals=SimpleNamespace(link=None, on_change=[]),
        notices=SimpleNamespace(page=None),
        upstreams=SimpleNamespace(catalogue=SimpleNamespace(on_change=lambda hook: None, offered=lambda kind: ())),
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "::1"])
async def test_a_link_leads_to_this_machine_and_each_has_a_secret_of_its_own(host: str) -> None:
    seat = Seat(a_gateway(host), 8765)
    one, two = urlsplit(await seat.link("ada")), urlsplit(await seat.link("ada"))
    assert one.netloc == two.netloc == "localhost:8765"
    assert one.fragment != two.fragment
    assert len(one.fragment.removeprefix("key=")) >= 43


async def test_the_exact_search_is_told_of_each_secret_of_the_console() -> None:
    gateway = a_gateway()
    link = urlsplit(await Seat(gateway, 8765).link("ada"))
    assert gateway.known == [("console", link.fragment.removeprefix("key="))]


async def test_a_gateway_that_no_browser_of_this_machine_reaches_gives_no_link() -> None:
    with pytest.raises(ApprovalError, match="localhost"):
        await Seat(a_gateway("10.0.0.5"), 8765).link("ada")


async def test_a_port_is_opened_once_when_it_is_first_asked_for_and_then_told() -> None:
    gateway, opened = a_gateway(), list[Seat]()

    async def listen(seat: Seat) -> int:
        opened.append(seat)
        return 4321

    seat = Seat(gateway, listen=listen)
    assert (gateway.approvals.link, opened) == (None, [])
    assert await seat.address() == await seat.address() == "http://localhost:4321"
    assert opened == [seat]
    row = a_row("a_0000000001", a_call(), a_tool(), an_ask())
    assert gateway.approvals.link(row) == "http://localhost:4321/approvals/a_0000000001"
    assert gateway.notices.page("leaks/l_1") == "http://localhost:4321/leaks/l_1"
