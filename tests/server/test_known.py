"""The table of what is known of clients: whole, in an order in which each row can be reached, and bounded."""

import pytest

from gateway.server.known import TABLE, Clock, clock_of


def test_the_last_row_fits_every_client_and_no_other_row_does() -> None:
    *others, last = TABLE
    assert (last.name, last.transport) == ("", "")
    assert all(row.name for row in others)


def test_a_call_is_never_held_beyond_the_clients_own_limit() -> None:
    for row in TABLE:
        assert 0 < row.clock.silent <= row.clock.heard
        assert not row.clock.limit or row.clock.heard < row.clock.limit


@pytest.mark.parametrize(
    ("claimed", "transport", "clock"),
    [
        ("claude-code 2.1.330", "http", Clock(50, 240, 300)),
        ("claude-code 2.1.330", "stdio", Clock(50, 240, 0)),
        ("cursor 1", "stdio", Clock(25, 50, 60)),
        ("", "http", Clock(25, 50, 60)),
    ],
)
def test_a_client_is_known_by_what_it_calls_itself(claimed: str, transport: str, clock: Clock) -> None:
    assert clock_of(claimed, transport) == clock
