"""An OTLP/HTTP receiver for tests: it decodes what comes, and answers as it is told."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Answer = tuple[int, dict[str, str], bytes]
TAKEN: Answer = (200, {"Content-Type": "application/x-protobuf"}, b"")


class Receiver:
    """What came and was taken; `answers` are given first, one for each request, and then all is taken."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[tuple[str, int, dict[str, str]]] = []  # path, status, headers
        self.logs: list[Any] = []
        self.spans: list[Any] = []
        self.metrics: list[dict[str, Any]] = []  # by name, of each sending
        self.unmeasured: Answer | None = None  # what every sending of metrics is answered with; None: it is taken
        self.resources: list[dict[str, str]] = []
        self.url = ""

    def heard(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        if path.endswith("/v1/metrics") and self.unmeasured is not None:
            self.requests.append((path, self.unmeasured[0], headers))
            return self.unmeasured
        answer = self.answers.pop(0) if self.answers else TAKEN
        self.requests.append((path, answer[0], headers))
        if answer[0] != 200:
            return answer
        if path.endswith("/v1/logs"):
            for logs in ExportLogsServiceRequest.FromString(body).resource_logs:
                self.resources.append(plain(logs.resource.attributes))
                self.logs += [record for scope in logs.scope_logs for record in scope.log_records]
        elif path.endswith("/v1/traces"):
            for spans in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.spans += [span for scope in spans.scope_spans for span in scope.spans]
        elif path.endswith("/v1/metrics"):
            for metrics in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                self.resources.append(plain(metrics.resource.attributes))
                told = [metric for scope in metrics.scope_metrics for metric in scope.metrics]
                self.metrics.append({metric.name: metric for metric in told})
        return answer


def plain(attributes: Any) -> dict[str, Any]:
    """Attributes as a dictionary."""
    return {each.key: value(each.value) for each in attributes}


def value(of: Any) -> Any:
    """One value."""
    which = of.WhichOneof("value")
    found = getattr(of, which)
    return [value(each) for each in found.values] if which == "array_value" else found


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A receiver on a free port of loopback."""
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, headers, content = made.heard(self.path, dict(self.headers), body)
            self.send_response(status)
            for name, text in headers.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            """What stands behind a redirect."""
            made.requests.append((self.path, 200, {}))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield made
        finally:
            server.shutdown()
