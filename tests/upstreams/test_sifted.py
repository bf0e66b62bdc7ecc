"""What an upstream says of itself goes through the sieve before anybody sees it: lists, notes, and why it failed."""

import anyio
from msgspec.structs import replace

from gateway.errors import UpstreamError
from gateway.upstreams.definitions import Listing
from gateway.upstreams.spec import UpstreamSpec
from tests.upstreams.fleet import GOOD, running, spec


class Sieve:
    """Leaves out the first tool, and tells of each line that it was here; or refuses."""

    def __init__(self, refuses: bool = False) -> None:
        self.refuses = refuses
        self.lines: list[str] = []
        self.left = 0.0  # seconds that it was given for a listing

    async def listing(self, upstream: str, listing: Listing) -> Listing:
        self.left = anyio.current_effective_deadline() - anyio.current_time()
        if self.refuses:
            raise UpstreamError("what it lists could not be screened")
        return replace(listing, tools=listing.tools[1:], left_out=(f"sifted for {upstream}",))

    async def words(self, upstream: str, text: str) -> str:
        self.lines.append(text)
        return "[R]"


def crashing(words: str) -> UpstreamSpec:
    """An upstream that says something on stderr and ends."""
    return spec("up", "-c", f"import sys; sys.stderr.write({words!r}); sys.exit(3)")


async def test_what_the_sieve_leaves_is_what_is_offered() -> None:
    plain, sieve = spec("up", GOOD), Sieve()
    async with running(plain) as upstreams:
        whole = [tool.ref.name for tool in upstreams.catalogue.offered("tools")]
    async with running(plain, sieve=sieve) as upstreams:
        assert [tool.ref.name for tool in upstreams.catalogue.offered("tools")] == whole[1:]
        assert upstreams.state("up") == ("ready", "sifted for up")


async def test_what_can_not_be_sifted_is_not_offered() -> None:
    sieve = Sieve(refuses=True)
    async with running(spec("up", GOOD), sieve=sieve) as upstreams:
        assert upstreams.catalogue.offered("tools") == ()
        assert upstreams.state("up") == ("failed", "[R]")
        assert "could not be screened" in sieve.lines[0]


async def test_the_time_for_a_start_is_the_upstreams_own_and_not_the_scanners() -> None:
    sieve = Sieve()
    async with running(spec("up", GOOD, start_timeout=20.0), sieve=sieve):
        assert sieve.left > 20.0


async def test_why_an_upstream_failed_is_sifted_whole_before_it_is_cut() -> None:
    sieve = Sieve()
    async with running(crashing("begin " + "x" * 1000 + " end"), sieve=sieve) as upstreams:
        assert upstreams.state("up") == ("failed", "[R]")
    assert "begin x" in sieve.lines[0]
    async with running(crashing("begin " + "x" * 1000 + " end")) as upstreams:
        _, detail = upstreams.state("up")
        assert "stderr ends with: x" in detail
        assert detail.endswith("x end")
        assert "begin" not in detail


async def test_a_program_that_there_is_not_is_told_in_our_own_words() -> None:
    sieve = Sieve()
    missing = replace(spec("up", GOOD), command="no-such-program-here")
    async with running(missing, sieve=sieve) as upstreams:
        state, detail = upstreams.state("up")
        assert (state, sieve.lines) == ("failed", [])
        assert "no-such-program-here" in detail
