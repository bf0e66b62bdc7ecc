"""Names as they may be written down: the very same where nothing is in them, a digest where a secret is."""

import pytest
from msgspec.structs import replace

from gateway.core.capture import name_digest
from gateway.core.model import Call
from gateway.screening.names import LONGEST, REMEMBERED, Names
from gateway.screening.screener import Screener
from tests.fakes import KEY, a_call
from tests.made import credentials
from tests.test_screening import SECRET, Clock, Engine

TRACE = f"00-{'ab' * 16}-{'cd' * 8}-01"


class Room:
    """Names before a scanner that counts what it scans."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.screener = Screener(self.engine, Clock(), KEY)
        self.names = Names(self.screener, Clock(), KEY)

    @property
    def scans(self) -> int:
        return len(self.engine.timeouts)


def call_of(exposed: str = "files__read", session: str = "s1", tool_use: str = "", trace: str = "") -> Call:
    call = a_call(session=session)
    return replace(call, exposed=exposed, context=replace(call.context, tool_use=tool_use, trace=trace))


async def test_a_call_with_plain_names_is_the_very_same_and_looked_at_once() -> None:
    room = Room()
    call = call_of(trace=TRACE, tool_use="toolu_1")
    assert await room.names.of(call) is call
    scans = room.scans
    assert scans > 0
    assert await room.names.of(call) is call
    assert room.scans == scans


async def test_names_that_hold_a_secret_are_told_by_digests() -> None:
    call = call_of(f"leak://{SECRET}", f"os:alice/claude-code/{SECRET}", SECRET, SECRET)
    call = replace(call, client=replace(call.client, claimed=f"agent {SECRET}"))
    told = await Room().names.of(call)
    assert (told.exposed, told.alias) == (call.exposed, name_digest(KEY, call.exposed))
    assert told.told == told.alias
    assert told.context.session == f"os:alice/claude-code/{name_digest(KEY, SECRET)}"  # as the hooks' session is
    assert told.context.tool_use == name_digest(KEY, SECRET)
    assert told.client.claimed == name_digest(KEY, f"agent {SECRET}")
    assert told.context.trace == ""  # it is no trace
    assert (told.arguments, told.canonical, told.digest) == (call.arguments, call.canonical, call.digest)
    again = await Room().names.of(call)
    assert again == told  # one name stays one name


@pytest.mark.parametrize("trace", ["00-x", TRACE.upper(), TRACE + "-1", " " + TRACE])
async def test_a_trace_that_is_none_is_left_out(trace: str) -> None:
    assert (await Room().names.of(call_of(trace=trace))).context.trace == ""


async def test_a_name_that_can_not_be_looked_at_counts_as_one_with_a_secret() -> None:
    room = Room()
    room.engine.problem = ValueError("broken")
    told = await room.names.of(call_of())
    assert told.alias == name_digest(KEY, "files__read")
    room.engine.problem = None
    assert (await room.names.of(call_of())).alias == ""


async def test_a_secret_that_the_gateway_learns_later_is_found_in_names_that_were_plain() -> None:
    room, secret = Room(), credentials(9)["gitlab"][1]
    call = call_of(f"leak://{secret}")
    assert await room.names.of(call) is call
    room.screener.know("files.TOKEN", secret)
    assert (await room.names.of(call)).alias != ""


async def test_what_is_remembered_is_bounded() -> None:
    room = Room()
    long = "x" * (LONGEST + 1)
    assert await room.names.told([long]) == (long,)
    await room.names.told([f"n{number}" for number in range(REMEMBERED + 1)])
    assert len(room.names._plain) == REMEMBERED
    assert "n0" not in room.names._plain
    assert long not in room.names._plain
