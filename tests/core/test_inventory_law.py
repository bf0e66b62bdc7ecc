"""Who may call, as the inventory tells it, is what `decide` does, whatever the policy, call and session."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.core.conditions import Scene
from gateway.core.decide import decide
from gateway.core.flow import PROMPT, Origins, trace, weighs
from gateway.core.inventory import ALLOW, ASK, BLOCK, PROVEN, Callers
from gateway.core.model import Reason, Verdict
from gateway.core.reach import landing
from tests.core.attacked import CLIENTS
from tests.core.cases import NOW, call_of, facts_of, labelled
from tests.core.test_reach_law import TEXTS, VALUES, WEIGHTY, a_policy

NAMES = (*WEIGHTY, "get", "unheard")


@settings(max_examples=500, deadline=None)
@given(st.randoms(use_true_random=True), st.sampled_from(NAMES), st.booleans())
def test_who_may_call_is_what_is_decided(rnd: Random, name: str, tainted: bool) -> None:
    policy, client = a_policy(rnd, name), rnd.choice(CLIENTS)
    tool = labelled(policy, name)
    fields = ["name", "any", *landing(tool), *tool.labels.payload]
    arguments = {key: rnd.choice(VALUES) for key in rnd.sample(fields, rnd.randint(0, len(fields)))}
    origins = Origins()
    origins.add(PROMPT, rnd.choice(TEXTS))
    values = trace(tool, arguments, origins) if weighs(tool) else ()
    call = replace(call_of(arguments, client), exposed=tool.exposed_as)
    facts = replace(facts_of(tool, call), tainted=tainted, values=values)
    found = decide(call, facts, policy)
    word = Callers(policy, CLIENTS, NOW.date()).of(tool)[client]
    assert (word == BLOCK) <= (found.verdict is Verdict.BLOCK)
    assert (word == ALLOW) <= (found.verdict is Verdict.ALLOW)
    if tainted:
        assert (word == ASK) <= (found.verdict is not Verdict.ALLOW)
        # Where a rule of another file allows it, too, that is the reason that is told.
        proven = found.reason is Reason.PROVEN or not Scene(call, facts, tool, policy.lists, frozenset()).unproven()
        assert (word == PROVEN) <= (found.verdict is not Verdict.ALLOW or proven)
