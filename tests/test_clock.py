"""The machine's clock keeps its promises."""

from datetime import timedelta

from gateway.clock import SystemClock


async def test_times_are_aware_and_monotonic_time_goes_on() -> None:
    clock = SystemClock()
    began = clock.monotonic()
    await clock.sleep(0)
    assert clock.monotonic() >= began
    assert clock.now().utcoffset() == timedelta(0)
