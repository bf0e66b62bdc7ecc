"""Hand rows to an OpenTelemetry receiver over OTLP/HTTP: a log record for each, a span for each call that ended, and
while it follows the record how long calls take (`meter.py`).

The encoding and the sending are the SDK's (extra `otel`); here is what is sent, and that no row is dropped: a batch is
offered until the receiver has taken it. The SDK's own variables (`OTEL_EXPORTER_OTLP_HEADERS`, `..._CERTIFICATE`,
`..._TIMEOUT`, `..._COMPRESSION`) are heeded. Importing this module imports the SDK.
"""

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import requests
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has no types of its own
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from gateway import __version__
from gateway.core import telemetry
from gateway.core.cef import unix_us
from gateway.core.model import Kind, Record
from gateway.core.record import decode
from gateway.exporting.meter import Meter
from gateway.exporting.outlets import Place, Undelivered
from gateway.exporting.run import Stop
from gateway.reading import Row, bodies_of, reading

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds until a batch that was not taken is offered again
TRIES = 5  # how often it is offered by an export that doesn't go on for ever
_PROTOBUF = "application/x-protobuf"


class Receiver:
    """An outlet to the receiver at `url` (its base: `/v1/logs`, `/v1/traces` and `/v1/metrics` are added).

    `tries` is how often a batch is offered before `Undelivered` is raised; None: until `stop`, and metrics are sent.
    """

    def __init__(
        self,
        url: str,
        state: Path,
        gateway: str,
        stop: Stop,
        say: Callable[[str], None],
        *,
        tries: int | None = TRIES,
        content: bool = False,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self._state, self._gateway, self._stop, self._say = state, gateway, stop, say
        self._tries, self._content = tries, content
        named = {"service.name": "wardgate", "service.version": __version__, "service.instance.id": gateway}
        self._resource, self._scope = Resource.create(named), InstrumentationScope("wardgate", __version__)
        self._answer: requests.Response | None = None
        session = requests.Session()
        session.hooks["response"].append(self._heard)
        base = url.rstrip("/")
        self._urls = (f"{base}/v1/logs", f"{base}/v1/traces")
        self._meter_url, self._unmeasured = f"{base}/v1/metrics", ""
        self._meter = Meter(self._meter_url, session, self._resource, self._scope, now) if tries is None else None
        self._logs = OTLPLogExporter(endpoint=self._urls[0], session=session)
        self._spans = OTLPSpanExporter(endpoint=self._urls[1], session=session)
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # what fails is said here, once

    def __enter__(self) -> "Receiver":
        return self

    def __exit__(self, *_: object) -> None:
        if self._meter is not None:
            self._send_metrics(self._meter)
            self._meter.close()
        for exporter in (self._logs, self._spans):
            exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK's own

    def hand_over(self, rows: Sequence[Row]) -> None:
        """Offer the rows until both their log records and the spans that end in them are taken."""
        records = [self._log(telemetry.note_of(self._gateway, *row, content=self._content)) for row in rows]
        spans = self._ended(rows)
        if records:
            self._offer(self._urls[0], lambda: self._logs.export(records).name == "SUCCESS")
            self._look("logs", ExportLogsServiceResponse)
        if spans:
            self._offer(self._urls[1], lambda: self._spans.export(spans).name == "SUCCESS")
            self._look("spans", ExportTraceServiceResponse)
        if self._meter is not None:
            self._meter.count(row.record for row in rows)
            self.rest()

    def rest(self) -> None:
        """Send how long calls took, now and then: what is counted meanwhile goes with the next."""
        if self._meter is not None and self._meter.due:
            self._send_metrics(self._meter)

    def place(self) -> Place:
        """A receiver has no length."""
        return Place()

    def _send_metrics(self, meter: Meter) -> None:
        """Offer them once; a receiver that takes none is told of once, until it takes some."""
        if not meter.news:
            return
        self._answer = None
        taken = meter.send() and self._status() < 300
        why = "" if taken else f"HTTP {self._status()}" if self._status() else "no answer"
        if why and not self._unmeasured:
            self._say(f"`{self._meter_url}` takes no metrics ({why}); what they hold goes with the next ones")
        self._unmeasured = why

    def _ended(self, rows: Sequence[Row]) -> list[ReadableSpan]:
        ends = [row for row in rows if row.record.kind is Kind.OUTCOME]
        if not ends:
            return []
        with reading(self._state) as db:
            told = [_told_until(db, row) for row in ends]
        return [self._span(telemetry.span_of(self._gateway, story, content=self._content)) for story in told]

    def _offer(self, url: str, export: Callable[[], bool]) -> None:
        wait, tries = FIRST_WAIT, 0
        while True:
            self._answer = None
            taken, status = export(), self._status()
            if taken and status < 300:  # the SDK takes a redirect for a success
                return
            why = f"HTTP {status}" if status else "no answer"
            tries += 1
            if tries == self._tries:
                raise Undelivered(f"`{url}` takes nothing ({why})")
            self._say(f"`{url}` takes nothing ({why}); again in {wait:.0f} s")
            if self._stop.wait(wait):
                raise Undelivered(f"`{url}` had not taken what it was offered ({why})")
            wait = min(2 * wait, LONGEST_WAIT)

    def _status(self) -> int:
        return self._answer.status_code if self._answer is not None else 0

    def _heard(self, answer: requests.Response, **_: Any) -> None:
        self._answer = answer

    def _look(self, what: str, form: Callable[[], Any]) -> None:
        """Say it where a receiver took a batch but for some, which must not be offered again (OTLP, partial)."""
        answer = self._answer
        if answer is None or answer.headers.get("content-type", "").split(";")[0].strip() != _PROTOBUF:
            return
        said = form()
        try:
            said.ParseFromString(answer.content)
        except DecodeError:
            return
        part = said.partial_success
        count = part.rejected_log_records if what == "logs" else part.rejected_spans
        if count:
            self._say(f"the receiver rejected {count} {what} for good: {part.error_message[:200]!r}")

    def _log(self, note: telemetry.Note) -> ReadableLogRecord:
        at = unix_us(note.at) * 1000
        place = note.place
        record = LogRecord(
            timestamp=at,
            observed_timestamp=at,
            trace_id=int.from_bytes(place.trace, "big") if place else 0,
            span_id=int.from_bytes(place.span, "big") if place else 0,
            trace_flags=TraceFlags(place.flags if place else 0),
            severity_text=_severity(note.severity).name,
            severity_number=_severity(note.severity),
            body=note.text,
            attributes=dict(note.attributes),
        )
        record.event_name = note.name
        return ReadableLogRecord(record, self._resource, self._scope)

    def _span(self, span: telemetry.Span) -> ReadableSpan:
        start, place = unix_us(span.start) * 1000, span.place
        return ReadableSpan(
            name=span.name,
            context=_context(place.trace, place.span, place.flags, remote=False),
            parent=_context(place.trace, place.parent, place.flags, remote=True) if place.parent else None,
            resource=self._resource,
            attributes=span.attributes,
            events=[Event(each.name, dict(each.attributes), unix_us(each.at) * 1000) for each in span.events],
            kind=SpanKind.SERVER,
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET),
            start_time=start,
            end_time=max(start, unix_us(span.end) * 1000),
            instrumentation_scope=self._scope,
        )


def _told_until(db: sqlite3.Connection, end: Row) -> list[Record]:
    """All records of a call and of its approvals up to its outcome, in order; the same whenever it is asked."""
    found = {seq: body for seq, body in bodies_of(db, end.record.id) if seq < end.seq}
    if end.record.approval:
        query = "SELECT seq, body FROM record WHERE approval = ? AND approval <> '' AND kind = 'approval' AND seq < ?"
        found.update(db.execute(query, (end.record.approval, end.seq)))
    return [*(decode(found[seq])[1] for seq in sorted(found)), end.record]


def _context(trace: bytes, span: bytes, flags: int, *, remote: bool) -> SpanContext:
    number = int.from_bytes
    return SpanContext(number(trace, "big"), number(span, "big"), remote, TraceFlags(flags))


def _severity(found: int) -> SeverityNumber:
    if found >= 7:
        return SeverityNumber.ERROR
    return SeverityNumber.WARN if found >= 4 else SeverityNumber.INFO
