"""The life of a session: which prompts open a turn, and what each call lists."""

import pytest
from msgspec.structs import replace

from gateway.core.hooks import Happened, HookEvent
from gateway.core.turns import (
    KEPT_EACH,
    KEPT_SESSION,
    MOST_FLYING,
    MOST_KEPT,
    MOST_OUTPUTS,
    MOST_PROMPTS,
    Session,
    Turn,
)

TYPED = HookEvent(Happened.PROMPT, "7e10", prompt="do it", interactive=True)
START = HookEvent(Happened.SESSION_START, "7e10", source="startup")
STOP = HookEvent(Happened.STOP, "7e10", busy=False)


def tool(happened: Happened, id: str = "t1", name: str = "Bash") -> HookEvent:
    return HookEvent(happened, "7e10", tool=name, tool_use=id)


def play(*events: HookEvent) -> list[str]:
    """Why each prompt among the events proves nothing."""
    session, said = Session(), []
    for event in events:
        if event.happened is Happened.PROMPT:
            said.append(session.begin(event))
        else:
            session.note(event)
    return said


BEFORE, AFTER = tool(Happened.BEFORE_TOOL), tool(Happened.AFTER_TOOL)


@pytest.mark.parametrize(
    ("events", "said"),
    [
        pytest.param((START, TYPED), [""], id="the first of a session"),
        pytest.param((START, TYPED, STOP, TYPED), ["", ""], id="each after a turn's end"),
        pytest.param((TYPED, STOP, TYPED), ["start-unseen", ""], id="a start that nobody told of"),
        pytest.param((START, TYPED, TYPED), ["", "open-turn"], id="no turn between it and the last"),
        pytest.param((START, TYPED, BEFORE, TYPED), ["", "open-turn"], id="inside an open turn"),
        pytest.param((START, TYPED, TYPED, STOP, TYPED), ["", "open-turn", ""], id="after a turn that was broken off"),
        pytest.param((START, TYPED, BEFORE, STOP, TYPED), ["", "open-turn"], id="a stop while its own tool runs"),
        pytest.param((START, TYPED, BEFORE, AFTER, STOP, TYPED), ["", ""], id="tools that are over"),
        pytest.param(
            (START, TYPED, BEFORE, TYPED, STOP, TYPED), ["", "open-turn", ""], id="a tool that was denied long ago"
        ),
        pytest.param((START, TYPED, replace(STOP, busy=True), TYPED), ["", "background"], id="work goes on behind it"),
        pytest.param((START, TYPED, replace(STOP, busy=None), TYPED), ["", ""], id="an older client's stop"),
        pytest.param(
            (START, TYPED, tool(Happened.BEFORE_TOOL, name="ScheduleWakeup"), AFTER, STOP, TYPED),
            ["", "background"],
            id="a timer was set",
        ),
        pytest.param((START, replace(TYPED, interactive=False)), ["not-interactive"], id="nobody attends"),
        pytest.param((START, replace(TYPED, prompt="<task-notification>")), ["not-typed"], id="the client's own"),
        pytest.param(
            (START, TYPED, replace(START, source="compact"), TYPED), ["", "open-turn"], id="compaction ends no turn"
        ),
        pytest.param((START, TYPED, HookEvent(Happened.SESSION_END, "7e10"), TYPED), ["", "start-unseen"], id="ended"),
    ],
)
def test_which_prompts_prove_something(events: tuple[HookEvent, ...], said: list[str]) -> None:
    assert play(*events) == said


def test_of_tools_that_are_never_over_the_oldest_are_forgotten() -> None:
    session = Session()
    for number in range(MOST_FLYING + 1):
        session.note(tool(Happened.BEFORE_TOOL, f"t{number}"))
    assert len(session.flying) == MOST_FLYING
    assert "t0" not in session.flying
    assert f"t{MOST_FLYING}" in session.flying


def test_a_prompt_without_an_id_of_the_clients_begins_a_turn_all_the_same() -> None:
    session, turn = Session(), Turn("l_1")
    session.enter(turn)
    assert session.turn is session.of("") is turn
    assert session.prompts == {}


def test_each_output_is_listed_once_and_the_calls_are_linked() -> None:
    turn = Turn("l_1", "digest", True)
    assert turn.listed("d_1") == {}
    turn.add("d_2", "two")
    turn.add("d_3", "three")
    assert turn.listed("d_4") == {"outputs": (("d_2", "two"), ("d_3", "three"))}
    turn.add("d_4", "four")
    assert turn.listed("d_5") == {"after": "d_4", "outputs": (("d_4", "four"),)}
    assert turn.listed("d_6") == {"after": "d_5"}


def test_what_is_over_the_limit_of_a_turn_is_counted() -> None:
    turn = Turn()
    for number in range(MOST_OUTPUTS + 2):
        turn.add(f"d_{number}", "")
    told = turn.listed("d_x")
    assert (len(told["outputs"]), told["omitted"]) == (MOST_OUTPUTS, 2)
    turn.add("d_y", "")
    assert turn.listed("d_z") == {"after": "d_x", "omitted": 1}


def test_the_newest_bytes_are_kept() -> None:
    session = Session()
    assert session.keep("d_0", b"x" * (KEPT_EACH + 1)) == KEPT_EACH
    assert sum(session.keep(f"d_{number}", b"x" * KEPT_EACH) for number in range(1, 9)) == KEPT_SESSION - KEPT_EACH
    assert session.size == KEPT_SESSION
    assert [id for id, _ in session.kept] == ["d_5", "d_6", "d_7", "d_8"]
    assert session.forget() == KEPT_SESSION
    assert session.keep("d_9", b"") == 0


def test_of_many_small_outputs_the_newest_are_kept() -> None:
    session = Session()
    grown = sum(session.keep(f"d_{number}", b"x") for number in range(MOST_KEPT + 5))
    assert (grown, session.size, len(session.kept), session.kept[0][0]) == (MOST_KEPT, MOST_KEPT, MOST_KEPT, "d_5")


def test_an_event_belongs_to_the_prompt_that_it_names() -> None:
    session, first, second = Session(), Turn("l_1"), Turn("l_2")
    assert session.of("p1") is session.turn
    session.enter(first, "p1")
    session.enter(second, "p2")
    assert (session.of("p1"), session.of("p2"), session.of("")) == (first, second, second)
    assert session.of("p3").id == ""
    assert session.of("p3") is session.of("p3")
    assert session.turn is second
    for number in range(MOST_PROMPTS):
        session.enter(Turn(), f"q{number}")
    assert session.of("p1") is not first
