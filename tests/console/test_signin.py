"""Links and tabs: what signs in, for how long, and what a browser's cookie is worth."""

import pytest

from gateway.console.signin import (
    ARMED_AFTER,
    IDLE,
    LINK_TIME,
    LONGEST,
    MOST_LINKS,
    MOST_SEEN,
    MOST_TABS,
    SignIns,
)
from tests.fakes import FakeClock


class Keeper:
    """Sign-ins on a clock of the test's."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.signins = SignIns(self.clock.monotonic)


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()


def test_a_link_counts_once(keeper: Keeper) -> None:
    link = keeper.signins.link("os:ada")
    assert keeper.signins.redeem(link) == "os:ada"
    assert keeper.signins.redeem(link) is None


@pytest.mark.parametrize(("seconds", "name"), [(LINK_TIME - 0.1, "os:ada"), (LINK_TIME, None)], ids=["in", "late"])
def test_a_link_is_good_for_a_minute(seconds: float, name: str | None, keeper: Keeper) -> None:
    link = keeper.signins.link("os:ada")
    keeper.clock.advance(seconds)
    assert keeper.signins.redeem(link) == name


def test_of_too_many_links_the_oldest_is_forgotten(keeper: Keeper) -> None:
    links = [keeper.signins.link("os:ada") for _ in range(MOST_LINKS + 1)]
    assert [keeper.signins.redeem(link) for link in links] == [None, *["os:ada"] * MOST_LINKS]


def test_who_listens_hears_of_each_secret_when_it_is_made(keeper: Keeper) -> None:
    heard: list[str] = []
    keeper.signins.on_secret = heard.append
    link, halves = keeper.signins.link("os:ada"), keeper.signins.open("os:ada")
    assert heard == [link, *halves]


def test_a_tab_needs_both_halves(keeper: Keeper) -> None:
    cookie, key = keeper.signins.open("os:ada")
    other_cookie, other_key = keeper.signins.open("os:bob")
    find = keeper.signins.find
    assert find(cookie, key) is not None
    assert [
        find(*pair) for pair in ((cookie, ""), ("", key), (cookie, other_key), (other_cookie, key), ("x", "y"))
    ] == [None] * 5


def test_nothing_done_for_hours_signs_out_and_what_no_person_did_does_not_count(keeper: Keeper) -> None:
    cookie, key = keeper.signins.open("os:ada")
    keeper.clock.advance(IDLE - 1)
    assert keeper.signins.find(cookie, key, by_person=False) is not None
    keeper.clock.advance(1)
    assert keeper.signins.find(cookie, key) is None


def test_the_longest_time_ends_a_tab_that_is_always_used(keeper: Keeper) -> None:
    cookie, key = keeper.signins.open("os:ada")
    for _ in range(int(LONGEST // (IDLE / 2)) - 1):
        keeper.clock.advance(IDLE / 2)
        assert keeper.signins.find(cookie, key) is not None
    keeper.clock.advance(IDLE / 2)
    assert keeper.signins.find(cookie, key) is None
    assert keeper.signins.count == 0


def test_signing_in_makes_the_cookie_that_was_brought_worthless(keeper: Keeper) -> None:
    planted, key = keeper.signins.open("os:mallory")
    cookie, _ = keeper.signins.open("os:ada", instead_of=planted)
    assert cookie != planted
    assert keeper.signins.find(planted, key) is None
    assert keeper.signins.find(cookie, key) is None, "another name's tab does not come along"


def test_other_tabs_of_the_same_name_go_on_under_the_new_cookie(keeper: Keeper) -> None:
    old, first = keeper.signins.open("os:ada")
    new, second = keeper.signins.open("os:ada", instead_of=old)
    assert [keeper.signins.find(old, first), keeper.signins.find(old, second)] == [None, None]
    assert None not in (keeper.signins.find(new, first), keeper.signins.find(new, second))
    keeper.signins.close(new)
    assert [keeper.signins.find(new, key) for key in (first, second)] == [None, None]


def test_of_too_many_tabs_the_oldest_browser_is_signed_out(keeper: Keeper) -> None:
    first = keeper.signins.open("os:ada")
    for _ in range(MOST_TABS):
        last = keeper.signins.open("os:ada")
    assert keeper.signins.find(*first) is None
    assert keeper.signins.find(*last) is not None
    assert keeper.signins.count == MOST_TABS


def test_of_too_many_tabs_in_one_browser_the_oldest_goes(keeper: Keeper) -> None:
    cookie, first = keeper.signins.open("os:ada")
    for _ in range(MOST_TABS):
        cookie, last = keeper.signins.open("os:ada", instead_of=cookie)
    assert keeper.signins.find(cookie, first) is None
    assert keeper.signins.find(cookie, last) is not None
    assert keeper.signins.count == MOST_TABS


def test_a_card_is_armed_once_it_has_stood_there_and_anew_each_time(keeper: Keeper) -> None:
    tab = keeper.signins.find(*keeper.signins.open("os:ada"))
    assert tab is not None
    assert not tab.armed("a_1", keeper.clock.monotonic())
    tab.show("a_1", keeper.clock.monotonic())
    keeper.clock.advance(ARMED_AFTER - 0.01)
    assert not tab.armed("a_1", keeper.clock.monotonic())
    keeper.clock.advance(0.01)
    assert tab.armed("a_1", keeper.clock.monotonic())
    tab.show("a_1", keeper.clock.monotonic())
    assert not tab.armed("a_1", keeper.clock.monotonic())


def test_a_tab_remembers_so_many_cards(keeper: Keeper) -> None:
    tab = keeper.signins.find(*keeper.signins.open("os:ada"))
    assert tab is not None
    for number in range(MOST_SEEN + 1):
        tab.show(str(number), 0)
    assert ("0" in tab.seen, len(tab.seen)) == (False, MOST_SEEN)
