"""Exports over OTLP/HTTP to a receiver that decodes them: what is told, and that nothing is lost while it is ill."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from gateway.approvals import Approvals
from gateway.core.model import Held, Kind, Proof
from gateway.exporting import Export, Undelivered, Window
from gateway.exporting import otlp as sending
from gateway.records import Records
from gateway.store import open_store
from tests.exports import Never
from tests.fakes import KEY, FakeCaller, FakeClock, a_call, a_record, a_tool, a_wait, an_ask
from tests.receiver import Answer, Receiver, plain, receiver
from tests.store.keep import AT_ONCE

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GATEWAY = "feed"
SIZE = 8
PROTOBUF = {"Content-Type": "application/x-protobuf"}


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record of a call that a person approved, one that was blocked, and one that is still open."""
    state = tmp_path_factory.mktemp("otlp") / "state"

    async def write() -> None:
        clock = FakeClock()
        async with open_store(state, AT_ONCE) as store:
            records, approvals = Records(store, clock), Approvals(store, clock, KEY)
            held = await approvals.obtain(*a_wait(a_call(7), a_tool(), an_ask(), {"path": "a"}), FakeCaller(budget=0))
            assert isinstance(held, Held)
            row = await approvals.vote(held.approval.id, True, "os:bob", Proof.LOCAL)
            trace = f"00-{TRACE}-{PARENT}-01"
            told = {"approval": row.id, "trace": trace}
            await records.append(a_record(8, arguments={"path": "private"}, **told), consume=(row.id,))
            await records.append(
                a_record(8, Kind.OUTCOME, outcome="ok", release="full", result={"a": "private"}, **told)
            )
            await records.append(a_record(9, Kind.OUTCOME, outcome="blocked", verdict="block", tier="high"))
            await records.append(a_record(10))
            await records.append(a_record(11, Kind.SIGNAL, tier=""))
            await records.append(a_record(12, Kind.INTENT))

    anyio.run(write)
    return state


@pytest.fixture
def far() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


class Patience:
    """Notes how long was waited, without waiting; is set after so many waits."""

    def __init__(self, most: int = 1000) -> None:
        self.waits: list[float] = []
        self._most = most

    def is_set(self) -> bool:
        return len(self.waits) >= self._most

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return self.is_set()


def send(
    state: Path,
    url: str,
    stop: Patience | None = None,
    say: Callable[[str], None] = lambda text: None,
    *,
    tries: int | None = 3,
    content: bool = False,
) -> Export:
    """Export all to a receiver."""
    patient = stop or Patience()
    export = Export(state, Window(), Never(), say)
    export.begin(None)
    with sending.Receiver(url, state, GATEWAY, patient, say, tries=tries, content=content) as outlet:
        try:
            assert export.run(outlet, lambda: None, follow=False)
        except Undelivered:
            assert export.seq == 0  # what was not taken does not count
            raise
    return export


def test_each_record_is_a_log_record_and_each_call_that_ended_a_span(state: Path, far: Receiver) -> None:
    send(state, far.url)
    assert [plain(log.attributes)["wardgate.seq"] for log in far.logs] == list(range(1, SIZE + 1))
    assert {plain(log.attributes)["log.record.uid"] for log in far.logs} == {
        f"{GATEWAY}/{seq}" for seq in range(1, SIZE + 1)
    }
    assert far.resources[0]["service.name"] == "wardgate"
    assert far.resources[0]["service.instance.id"] == GATEWAY
    approved, blocked = far.spans
    assert (approved.trace_id.hex(), approved.parent_span_id.hex()) == (TRACE, PARENT)
    assert [event.name for event in approved.events] == ["wardgate.approval", "wardgate.approval"]
    assert plain(approved.events[1].attributes)["wardgate.approval.decided_by"] == "os:bob"
    assert plain(approved.attributes)["gen_ai.operation.name"] == "execute_tool"
    assert approved.start_time_unix_nano <= approved.end_time_unix_nano == far.logs[3].time_unix_nano
    assert (approved.kind, approved.status.code, blocked.status.code, blocked.status.message) == (2, 0, 2, "rule")
    assert (far.logs[3].trace_id, far.logs[3].span_id) == (approved.trace_id, approved.span_id)
    assert (far.logs[4].severity_number, far.logs[4].severity_text, far.logs[6].trace_id) == (17, "ERROR", b"")
    assert far.logs[5].severity_number == 9
    assert far.logs[4].event_name == "wardgate.outcome"


def test_what_is_sent_again_is_the_same_to_the_byte(state: Path, far: Receiver) -> None:
    send(state, far.url)
    send(state, far.url + "/")
    assert far.logs[:SIZE] == far.logs[SIZE:]
    assert far.spans[:2] == far.spans[2:]


def test_a_span_is_the_same_when_its_beginning_was_sent_before(
    state: Path, far: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(state, far.url)
    monkeypatch.setattr("gateway.exporting.run.PAGE", 1)
    send(state, far.url)
    assert far.spans[:2] == far.spans[2:]


def test_arguments_and_results_are_sent_only_if_they_are_asked_for(state: Path, far: Receiver) -> None:
    send(state, far.url)
    assert "private" not in repr(far.logs) + repr(far.spans)
    send(state, far.url, content=True)
    assert plain(far.spans[2].attributes)["gen_ai.tool.call.arguments"] == '{"path":"private"}'
    assert plain(far.spans[2].attributes)["gen_ai.tool.call.result"] == '{"a":"private"}'


ILL: dict[str, Answer] = {
    "broken": (500, {}, b""),
    "unknown": (404, {}, b"no such page"),
    "too-large": (413, {}, b""),
    "elsewhere": (302, {"Location": "/sign-in"}, b""),
}


@pytest.mark.parametrize("ill", ILL)
def test_what_an_ill_receiver_did_not_take_is_offered_again_and_never_lost(
    state: Path, far: Receiver, ill: str
) -> None:
    said: list[str] = []
    patient = Patience()
    far.answers = [ILL[ill], ILL[ill], (200, PROTOBUF, b""), ILL[ill]]
    send(state, far.url, patient, said.append)
    assert patient.waits == [1.0, 2.0, 1.0]
    assert [path for path, _, _ in far.requests] == ["/v1/logs"] * 3 + ["/v1/traces"] * 2
    assert (len(far.logs), len(far.spans), len(said)) == (SIZE, 2, 3)


def test_an_export_that_ends_gives_up_and_its_bookmark_stays(state: Path, far: Receiver) -> None:
    far.answers = [(500, {}, b"")] * 9
    patient = Patience()
    with pytest.raises(Undelivered, match="HTTP 500"):
        send(state, far.url, patient)
    assert patient.waits == [1.0, 2.0]


def test_one_that_follows_never_gives_up_and_waits_a_minute_at_most(state: Path, far: Receiver) -> None:
    far.answers = [(500, {}, b"")] * 9
    patient = Patience()
    send(state, far.url, patient, tries=None)
    assert patient.waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert len(far.logs) == SIZE


def test_a_stop_ends_the_waiting(state: Path, far: Receiver) -> None:
    far.answers = [(500, {}, b"")] * 9
    with pytest.raises(Undelivered):
        send(state, far.url, Patience(2), tries=None)
    assert len(far.requests) == 2


def test_a_receiver_that_is_not_there_takes_nothing(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")  # within which the SDK tries again by itself
    with receiver() as gone:
        url = gone.url
    with pytest.raises(Undelivered, match="no answer"):
        send(state, url)


def test_what_a_receiver_rejects_for_good_is_told_and_not_sent_again(state: Path, far: Receiver) -> None:
    partial = ExportLogsServiceResponse()
    partial.partial_success.rejected_log_records = 2
    partial.partial_success.error_message = "too old"
    said: list[str] = []
    far.answers = [(200, PROTOBUF, partial.SerializeToString()), (200, PROTOBUF, b"\xff\xff")]
    send(state, far.url, say=said.append)
    assert [(path, status) for path, status, _ in far.requests] == [("/v1/logs", 200), ("/v1/traces", 200)]
    assert len(said) == 1
    assert "2 logs" in said[0]


def test_headers_come_from_the_variable_of_the_sdk(state: Path, far: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=blue")
    send(state, far.url)
    assert {headers.get("x-tenant") for _, _, headers in far.requests} == {"blue"}


def test_exports_to_lines_never_load_the_sdk() -> None:
    heavy = "'opentelemetry', 'requests', 'anyio', 'asyncio', 'mcp', 'cel', 'rich'"
    code = "import sys, gateway.exporting, gateway.cli.export; "
    code += f"print([name for name in ({heavy}) if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
