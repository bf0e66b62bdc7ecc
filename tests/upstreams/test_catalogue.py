"""The catalogue: stable names for what upstreams offer, URIs that are nobody's when two claim them, one at a time."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.shared.uri_template import UriTemplate
from msgspec.structs import replace

from gateway.core.model import Surface, Tool, ToolRef
from gateway.upstreams.catalogue import KINDS, Catalogue, Classify
from gateway.upstreams.definitions import RESOURCES, TOOLS, Listing
from gateway.upstreams.names import LONGEST_URI, is_uri
from gateway.upstreams.templates import MOST_WORK, Templates
from tests.upstreams.offers import classify, listing, read, resource, tool

READ = "resources/read"
COMPLETE = "completion/complete"


def catalogue(*upstreams: str, bare: bool = False) -> Catalogue:
    """An empty catalogue."""
    return Catalogue([(name, bare) for name in upstreams], classify)


def owner(found: Tool | None) -> str:
    """The upstream that something was found at."""
    return found.ref.upstream if found is not None else "nobody"


def test_tools_are_in_the_order_of_the_configuration_and_then_by_name() -> None:
    offers = catalogue("b", "a")
    offers.replace("a", listing(("z", "y")))
    offers.replace("b", listing(("y", "x")))
    assert list(offers.snapshot.tools) == ["b__x", "b__y", "a__y", "a__z"]
    assert [one.ref.name for one in offers.offered("tools", "a")] == ["y", "z"]
    assert offers.offered("tools") == tuple(offers.snapshot.tools.values())
    found = offers.find("a__z")
    assert found is not None
    assert (found.ref, found.surface) == (ToolRef("a", "z"), Surface.TOOLS)
    assert offers.find("a__x") is None


def test_prompts_are_exposed_like_tools_and_kept_apart_from_them() -> None:
    offers = catalogue("a")
    offers.replace("a", listing(("x",), prompts=("x", "long" * 20)))
    found = offers.find("a__x", "prompts/get")
    assert found is not None
    assert (found.ref, found.surface) == (ToolRef("a", "x"), Surface.PROMPTS)
    assert found is not offers.find("a__x")
    assert all(len(name) <= 50 for name in offers.snapshot.prompts)
    assert offers.find("x", "prompts/get") is None


def test_one_endpoint_shows_one_upstream() -> None:
    offers = catalogue("a", "b")
    for name in ("a", "b"):
        offers.replace(name, listing(("t",), (f"x://{name}",), (f"{name}://{{x}}",), ("p",)))
    assert owner(offers.find("a__t", only="a")) == "a"
    for exposed, method in [
        ("a__t", "tools/call"),
        ("a__p", "prompts/get"),
        ("x://a", READ),
        ("a://1", READ),
        ("a__p", COMPLETE),
        ("a://{x}", COMPLETE),
    ]:
        assert owner(offers.find(exposed, method)) == "a", method
        assert owner(offers.find(exposed, method, "a")) == "a", method
        assert offers.find(exposed, method, "b") is None, method
    assert [one.exposed_as for kind in KINDS for one in offers.offered(kind, "b")] == [
        "b__t",
        "x://b",
        "b://{x}",
        "b__p",
    ]


@pytest.mark.parametrize("method", [READ, "resources/subscribe", "resources/unsubscribe"])
def test_a_resource_is_found_by_listing_then_by_template(method: str) -> None:
    offers = catalogue("a", "b")
    offers.replace("a", listing(resources=("x://one",)))
    offers.replace("b", listing(templates=("x://{name}",)))
    listed, made = offers.find("x://one", method), offers.find("x://two", method)
    assert listed is not None
    assert made is not None
    assert (listed.ref, listed.tier.value) == (ToolRef("a", "x://one"), "read")
    assert (made.ref, made.tier.value) == (ToolRef("b", "x://two"), "high")  # nobody listed it
    assert (made.exposed_as, made.surface) == ("x://two", Surface.RESOURCES)
    template = offers.snapshot.templates["x://{name}"]
    assert (made.definition, made.digest) == (template.definition, template.digest)
    assert offers.find("x://two/deeper", method) is None


def test_uris_are_compared_as_they_are() -> None:
    offers = catalogue("a")
    offers.replace("a", listing(resources=("x://One",)))
    for other in ("x://one", "x://One/", "X://One", "x://%4Fne", " x://One"):
        assert offers.find(other, READ) is None


def test_a_uri_that_two_upstreams_list_is_nobodys_but_at_their_own_endpoints() -> None:
    offers = catalogue("a", "b", "c")
    for name in ("b", "a", "c"):
        offers.replace(name, listing(resources=("x://same", f"x://{name}")))
    offers.replace("c", listing(templates=("x://{any}",)))
    assert offers.find("x://same", READ) is None
    assert [owner(offers.find("x://same", READ, name)) for name in "abc"] == ["a", "b", "c"]
    assert list(offers.snapshot.resources) == ["x://a", "x://b"]
    assert [one.ref.upstream for one in offers.snapshot.contested["resources", "x://same"]] == ["a", "b"]
    assert [one.exposed_as for one in offers.offered("resources", "a")] == ["x://a", "x://same"]
    offers.replace("b", Listing())
    assert owner(offers.find("x://same", READ)) == "a"


def test_three_upstreams_can_claim_one_uri() -> None:
    offers = catalogue("a", "b", "c")
    for name in "cab":
        offers.replace(name, listing(resources=("x://same",)))
    assert [one.ref.upstream for one in offers.snapshot.contested["resources", "x://same"]] == ["a", "b", "c"]
    assert offers.snapshot.resources == {}


def test_a_uri_that_templates_of_two_upstreams_match_is_nobodys() -> None:
    offers = catalogue("a", "b")
    offers.replace("a", listing(templates=("x://{+path}",)))
    offers.replace("b", listing(templates=("x://notes/{id}",)))
    assert offers.find("x://notes/1", READ) is None
    assert owner(offers.find("x://notes/1/2", READ)) == "a"
    assert owner(offers.find("x://notes/1", READ, "b")) == "b"
    assert owner(offers.find("x://notes/1", READ, "a")) == "a"


def test_one_template_of_two_upstreams_is_nobodys() -> None:
    offers = catalogue("a", "b")
    for name in "ab":
        offers.replace(name, listing(templates=("x://{id}",)))
    assert offers.snapshot.templates == {}
    assert offers.find("x://1", READ) is None
    assert offers.find("x://{id}", COMPLETE) is None
    assert owner(offers.find("x://1", READ, "b")) == "b"
    assert owner(offers.find("x://{id}", COMPLETE, "b")) == "b"
    assert [one.ref.upstream for one in offers.offered("templates", "b")] == ["b"]


def test_the_most_specific_template_of_an_upstream_counts() -> None:
    offers = catalogue("a")
    offers.replace("a", listing(templates=("x://{+all}", "x://notes/{+path}", "x://notes/{id}", "x://notes/new{?as}")))

    def template(uri: str) -> object:
        found = offers.find(uri, READ)
        return found and found.definition["uriTemplate"]

    assert template("x://notes/new?as=x") == "x://notes/new{?as}"
    assert template("x://notes/1") == "x://notes/{id}"
    assert template("x://notes/1/2") == "x://notes/{+path}"
    assert template("x://other") == "x://{+all}"
    assert template("y://other") is None


@pytest.mark.parametrize("uri", ["x://a\nb", "x://a\u200bb", "x:" + "a" * LONGEST_URI, "", "{x}"])
def test_a_uri_that_no_upstream_could_list_matches_no_template(uri: str) -> None:
    offers = catalogue("a")
    offers.replace("a", listing(templates=("x:{+any}",)))
    assert offers.find(uri, READ) is None
    assert owner(offers.find("x:" + "a" * (LONGEST_URI - 2), READ)) == "a"


def test_matching_costs_no_more_than_its_limit() -> None:
    long = "x://" + "a" * 6_000
    few = MOST_WORK // (2 * len(long))
    offers = catalogue("a", "b")
    offers.replace("a", listing(templates=tuple(f"x://{{v}}/{number:04}" for number in range(few - 1))))
    offers.replace("b", listing(templates=("x://{+all}",)))
    assert owner(offers.find(long, READ)) == "b"
    offers.replace("a", listing(templates=tuple(f"x://{{v}}/{number:04}" for number in range(few + 1))))
    assert offers.find(long, READ) is None
    assert owner(offers.find(long, READ, "b")) == "b"
    assert owner(offers.find("x://short", READ)) == "b"


def test_a_completion_is_a_method_of_the_upstream_whose_prompt_or_template_is_meant() -> None:
    offers = catalogue("a")
    offers.replace("a", listing(("t",), ("x://r",), ("x://{id}",), ("p",)))
    for exposed in ("a__p", "x://{id}"):
        found = offers.find(exposed, COMPLETE)
        assert found is not None
        assert (found.ref, found.surface) == (ToolRef("a", COMPLETE), Surface.METHODS)
        meant = offers.snapshot.prompts.get(exposed) or offers.snapshot.templates[exposed]
        assert (found.definition, found.digest, found.exposed_as) == (meant.definition, meant.digest, exposed)
    for other in ("a__t", "x://r", "x://1", "p", ""):
        assert offers.find(other, COMPLETE) is None


def test_what_an_upstream_asks_is_a_method_of_its_own() -> None:
    offers = catalogue("a")
    asked = offers.method("a", "elicitation/create")
    assert (asked.ref, asked.surface) == (ToolRef("a", "elicitation/create"), Surface.METHODS)
    assert asked == offers.method("a", "elicitation/create")
    assert asked.digest != offers.method("a", "sampling/createMessage").digest


def test_no_other_method_finds_anything() -> None:
    offers = catalogue("a")
    offers.replace("a", listing(("t",), ("x://r",), ("x://{id}",), ("p",)))
    for exposed in ("a__t", "x://r", "a__p"):
        assert offers.find(exposed, "tools/list") is None
        assert offers.find(exposed, "") is None


def test_the_nearest_name_is_of_the_same_kind() -> None:
    offers = catalogue("github")
    offers.replace("github", listing(("create_issue",), ("x://readme",), ("x://{page}",), ("summary",)))
    assert offers.nearest("github__crate_issue") == "github__create_issue"
    assert offers.nearest("github__sumary") is None
    assert offers.nearest("github__sumary", "prompts/get") == "github__summary"
    assert offers.nearest("github__sumary", COMPLETE) == "github__summary"
    assert offers.nearest("x://reedme", READ) is None
    assert offers.nearest("nothing like it at all") is None
    offers.replace("github", listing(tuple(f"tool_{number}" for number in range(1_000))))
    assert offers.nearest("github__toool_77") is not None


def test_names_of_two_upstreams_that_run_together_stay_apart() -> None:
    offers = catalogue("a", "a__b")
    offers.replace("a__b", listing(("c",), prompts=("c",)))
    offers.replace("a", listing(("b__c",), prompts=("b__c",)))
    for kind in ("tools", "prompts"):
        refs = {name: one.ref for name, one in offers.snapshot.of(kind).items()}
        assert refs.pop("a__b__c") == ToolRef("a", "b__c")
        assert list(refs.values()) == [ToolRef("a__b", "c")]


@pytest.mark.parametrize("kind", ["tools", "prompts"])
def test_a_collision_of_bare_names_takes_the_later_upstream_out_whoever_came_first(kind: str) -> None:
    offers = catalogue("first", "second", bare=True)
    more: dict[str, Any] = {"resources": ("x://r",), "templates": ("y://{x}",), "instructions": "hello"}
    offers.replace("second", listing(**{kind: ("read", "other")}, **more))
    assert list(offers.snapshot.of(kind)) == ["other", "read"]
    offers.replace("first", listing(**{kind: ("read",)}))
    assert [(name, one.ref.upstream) for name, one in offers.snapshot.of(kind).items()] == [("read", "first")]
    assert offers.snapshot.clashes == {"second": f"{kind[:-1]} `read` is already offered by `first`"}
    assert offers.find("x://r", READ) is None
    assert offers.find("y://1", READ) is None
    assert offers.find("x://r", READ, "second") is None
    assert offers.instructions == {}
    offers.replace("first", listing(**{kind: ("write",)}))
    assert offers.snapshot.clashes == {}
    assert list(offers.snapshot.of(kind)) == ["write", "other", "read"]
    assert owner(offers.find("x://r", READ)) == "second"


def test_instructions_stand_in_the_order_of_the_configuration() -> None:
    offers = catalogue("b", "a", "silent")
    offers.replace("a", listing(instructions="A"))
    offers.replace("b", listing(instructions="B"))
    offers.replace("silent", listing(("x",)))
    assert list(offers.instructions.items()) == [("b", "B"), ("a", "A")]


def test_watchers_hear_what_changed_and_only_that() -> None:
    offers = catalogue("a", "b")
    heard: list[tuple[int, frozenset[str]]] = []
    offers.on_change(lambda kinds: heard.append((offers.revision, kinds)))
    first = listing(("x",), prompts=("p",))
    offers.replace("a", first)
    offers.replace("a", first)
    offers.replace("b", Listing(left_out=("1 tools left out: `x` (no object)",)))
    offers.reclassify()
    assert heard == [(1, frozenset({"tools", "prompts"}))]
    offers.replace("a", listing(("x",), ("x://r",), prompts=("p",)))
    assert heard[1:] == [(2, frozenset({"resources"}))]
    offers.replace("b", listing(resources=("x://r",), templates=("y://{x}",)))
    assert heard[2:] == [(3, frozenset({"resources", "templates"}))]
    offers.replace("b", listing(resources=("x://r",), templates=("y://{x}",), instructions="new"))
    assert offers.instructions == {"b": "new"}
    assert (offers.revision, len(heard)) == (4, 3)


def test_what_could_not_be_listed_this_time_is_as_it_was() -> None:
    offers = catalogue("a")
    offers.replace("a", listing(("x",), ("x://r",), ("y://{x}",), ("p",)))
    failed = frozenset({"resources", "templates"})
    offers.replace("a", replace(listing(("y",)), failed=failed, left_out=("resources not listed: error -32603",)))
    assert list(offers.snapshot.tools) == ["a__y"]
    assert list(offers.snapshot.prompts) == []
    assert list(offers.snapshot.resources) == ["x://r"]
    assert owner(offers.find("y://1", READ)) == "a"
    offers.replace("a", listing(("y",)))
    assert offers.snapshot.resources == {}


def noting(asked: list[str]) -> Classify:
    """What classifies, and notes what it was asked about."""

    def note(
        ref: ToolRef, exposed: str, definition: Mapping[str, Any], digest: str, surface: Surface, listed: bool
    ) -> Tool:
        asked.append(exposed)
        return classify(ref, exposed, definition, digest, surface, listed)

    return note


def test_a_tool_is_classified_again_only_when_its_definition_or_the_policy_changed() -> None:
    asked: list[str] = []

    offers = Catalogue([("a", False), ("b", False)], noting(asked))
    offers.replace("a", listing(("x", "y"), ("x://r",)))
    offers.replace("b", listing(("x",)))
    assert asked == ["a__x", "a__y", "x://r", "b__x"]
    offers.replace(
        "a", Listing(tools=read(TOOLS, tool("x", title="new"), tool("y")), resources=read(RESOURCES, resource("x://r")))
    )
    assert asked[4:] == ["a__x"]
    offers.reclassify()
    assert sorted(asked[5:]) == ["a__x", "a__y", "b__x", "x://r"]


def test_parts_that_are_not_pinned_are_passed_on_as_they_are_now() -> None:
    offers = catalogue("a")
    offers.replace("a", Listing(resources=read(RESOURCES, resource("x://r", size=1))))
    offers.replace("a", Listing(resources=read(RESOURCES, resource("x://r", size=2))))
    assert offers.snapshot.resources["x://r"].definition["size"] == 2


def test_a_classification_that_fails_changes_nothing() -> None:
    broken = False

    def fail(
        ref: ToolRef, exposed: str, definition: Mapping[str, Any], digest: str, surface: Surface, listed: bool
    ) -> Tool:
        if broken:
            raise ValueError(exposed)
        return classify(ref, exposed, definition, digest, surface, listed)

    offers = Catalogue([("a", False)], fail)
    offers.replace("a", listing(("x",)))
    before = offers.snapshot
    broken = True
    for _ in range(2):
        with pytest.raises(ValueError):
            offers.replace("a", listing(("x", "y")))
    with pytest.raises(ValueError):
        offers.reclassify()
    assert offers.snapshot is before
    broken = False
    offers.replace("a", listing(("x", "y")))
    assert list(offers.snapshot.tools) == ["a__x", "a__y"]


NAMES = st.lists(st.sampled_from(["a", "b", "a.b", "a_b", "b__c", "x" * 60, "x" * 61]), unique=True, max_size=5)
URIS = st.lists(st.sampled_from(["x://a", "x://b", "y:c"]), unique=True, max_size=3)
PATTERNS = st.lists(st.sampled_from(["x://{a}", "x://{+b}", "y:{c}"]), unique=True, max_size=3)
LISTINGS = st.builds(
    lambda tools, uris, patterns, prompts: listing(tuple(tools), tuple(uris), tuple(patterns), tuple(prompts)),
    NAMES,
    URIS,
    PATTERNS,
    NAMES,
)


@given(
    st.lists(LISTINGS, min_size=3, max_size=3),
    st.permutations(range(3)),
    st.lists(st.booleans(), min_size=3, max_size=3),
    LISTINGS,
)
def test_catalogues_of_the_same_listings_are_equal_whatever_came_first(
    listings: list[Listing], order: list[int], bare: list[bool], earlier: Listing
) -> None:
    keys = ["a", "a__b", "c"]
    one, other = (Catalogue(list(zip(keys, bare, strict=True)), classify) for _ in range(2))
    for number, offered in enumerate(listings):
        one.replace(keys[number], offered)
    other.replace(keys[order[0]], earlier)
    for number in order:
        other.replace(keys[number], listings[number])
    other.reclassify()
    nothing = Templates()
    assert replace(one.snapshot, matcher=nothing) == replace(other.snapshot, matcher=nothing)
    assert [list(one.snapshot.of(kind)) for kind in KINDS] == [list(other.snapshot.of(kind)) for kind in KINDS]
    for kind, method in (("tools", "tools/call"), ("prompts", "prompts/get"), ("resources", READ)):
        for exposed, found in one.snapshot.of(kind).items():
            assert found.exposed_as == exposed
            assert one.find(exposed, method) == found
            assert one.find(exposed, method, found.ref.upstream) == found
    seen = {one_.ref for one_ in one.offered("tools")}
    offered_by = {ToolRef(key, d.name) for key, each in zip(keys, listings, strict=True) for d in each.tools}
    assert seen == {ref for ref in offered_by if ref.upstream not in one.snapshot.clashes}


TEMPLATES = [
    "x://{a}",
    "x://{+b}",
    "x://n/{a}",
    "x://n/{a}{?q}",
    "x:{/p*}",
    "x://n/",
    "x://n/{a}.txt",
    "y:{c}",
    "x:{+d}",
]


@given(
    st.tuples(*(st.lists(st.sampled_from(TEMPLATES), unique=True) for _ in range(2))),
    st.text("xyn:/.t?q=a", max_size=12) | st.sampled_from(["x://n/1", "x://n/1.txt", "x://n/", "x:/a/b", "y:1", "x:"]),
)
def test_the_index_finds_what_trying_every_template_would(offered: tuple[list[str], list[str]], uri: str) -> None:
    offers = catalogue("a", "b")
    claims = set()
    for name, templates in zip("ab", offered, strict=True):
        offers.replace(name, listing(templates=tuple(templates)))
        if is_uri(uri) and any(UriTemplate.parse(text).match(uri) is not None for text in templates):
            claims.add(name)
    assert owner(offers.find(uri, READ)) == (claims.pop() if len(claims) == 1 else "nobody")


def test_what_is_recalled_is_shown_and_no_call_finds_it() -> None:
    offers = catalogue("a", "b")
    heard: list[frozenset[str]] = []
    offers.on_change(heard.append)
    offers.replace("b", listing(("t",)))
    accepted = listing(("t", "u"), (), ("x://{name}",), ("p",), instructions="Be kind.")
    offers.recall("a", accepted)
    assert [one.exposed_as for one in offers.shown("tools")] == ["a__t", "a__u", "b__t"]
    assert [one.exposed_as for one in offers.shown("tools", "a")] == ["a__t", "a__u"]
    assert (offers.instructions, offers.recalled) == ({"a": "Be kind."}, {"a"})
    assert (offers.listing("a"), offers.shelved("a", "tools"), offers.offered("tools", "a")) == (None, (), ())
    assert list(offers.snapshot.tools) == ["b__t"]
    assert (offers.nearest("a__tt"), offers.of("a", "t")) == ("b__t", None)
    for exposed, method in (("a__t", "tools/call"), ("a__p", "prompts/get"), ("x://1", READ), ("a__p", COMPLETE)):
        assert offers.find(exposed, method) is None
        assert owner(offers.expected(exposed, method)) == "a"
        assert owner(offers.expected(exposed, method, "a")) == "a"
        assert offers.expected(exposed, method, "b") is None
    for exposed, method in (("b__t", "tools/call"), ("a__v", "tools/call"), ("y://1", READ), ("no uri", READ)):
        assert offers.expected(exposed, method) is None
    assert heard == [{"tools"}, {"tools", "templates", "prompts"}]


def test_what_an_upstream_lists_takes_the_place_of_what_was_recalled_of_it() -> None:
    offers = catalogue("a")
    offers.recall("a", listing(("t", "u"), prompts=("p",)))
    revision = offers.revision
    offers.replace("a", replace(listing(("t",)), failed=frozenset({"prompts"})))
    assert [one.exposed_as for one in offers.shown("tools")] == ["a__t"]
    assert offers.shown("prompts") == ()
    assert (offers.recalled, offers.expected("a__u"), offers.revision > revision) == (frozenset(), None, True)
    assert owner(offers.find("a__t")) == "a"
    offers.recall("a", listing(("u",)))  # it is here
    assert (offers.recalled, [one.exposed_as for one in offers.shown("tools")]) == (frozenset(), ["a__t"])


def test_what_was_recalled_of_one_that_does_not_come_is_shown_no_more() -> None:
    offers = catalogue("a", "b")
    offers.replace("b", listing(("t",)))
    offers.recall("a", listing(("t",)))
    heard: list[frozenset[str]] = []
    offers.on_change(heard.append)
    offers.forget("a")
    offers.forget("a")
    offers.forget("b")
    assert ([one.exposed_as for one in offers.shown("tools")], heard) == (["b__t"], [{"tools"}])


def test_a_bare_name_that_is_recalled_of_one_upstream_waits_for_it_though_another_has_it() -> None:
    offers = catalogue("a", "b", bare=True)
    offers.replace("b", listing(("t",)))
    offers.recall("a", listing(("t",)))
    assert [one.ref.upstream for one in offers.shown("tools")] == ["a"]
    assert (owner(offers.find("t")), owner(offers.expected("t"))) == ("b", "a")


def test_what_is_recalled_is_classified_again_with_all_else() -> None:
    asked: list[str] = []

    offers = Catalogue([("a", False)], noting(asked))
    offers.recall("a", listing(("t",)))
    offers.reclassify()
    assert (asked, offers.recalled) == (["a__t", "a__t"], {"a"})


def test_a_refresh_tells_everybody_though_nothing_changed() -> None:
    offers = catalogue("a")
    heard: list[frozenset[str]] = []
    offers.on_change(heard.append)
    offers.refresh()
    assert (offers.revision, heard) == (1, [frozenset(KINDS)])


def test_a_name_says_which_upstream_is_awaited_until_it_lists_something_or_does_not_come() -> None:
    offers = catalogue("a", "a__b", "bare")
    owners = {"a__x": "a", "a__b__x": "a__b", "a__": "a", "ab__x": None, "x": None, "memo://a__x": None}
    for exposed, of in owners.items():
        assert offers.awaits(exposed) == of, exposed
    assert (offers.awaits("a__x", "a"), offers.awaits("a__x", "bare")) == ("a", None)
    offers.replace("a", Listing())
    offers.forget("a__b")
    assert [offers.awaits(exposed) for exposed in ("a__x", "a__b__x")] == [None, None]
    assert offers.awaited == {"bare"}
