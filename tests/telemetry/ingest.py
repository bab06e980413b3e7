"""A server that takes what Sentry and an OpenTelemetry collector are sent, and gives it back decoded."""

from __future__ import annotations

import gzip
import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True)
class Received:
    """One request; the body is decompressed, header names are in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Span:
    """A span as it was sent; ids in hexadecimal, `parent` empty for the root."""

    name: str
    kind: int
    trace: str
    id: str
    parent: str
    service: str
    attributes: dict[str, str | int]
    events: int


class Ingest:
    """The server, on a port of its own. Use as a context manager."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        received = self.received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                headers = {name.lower(): value for name, value in self.headers.items()}
                received.append(Received(self.path, headers, body))
                is_otlp = self.path.startswith("/v1/")
                answer = ExportTraceServiceResponse().SerializeToString() if is_otlp else b"{}"
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf" if is_otlp else "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        """For `OTEL_EXPORTER_OTLP_ENDPOINT`."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def dsn(self, key: str) -> str:
        """For `SENTRY_DSN`."""
        return f"http://{key}@127.0.0.1:{self._server.server_port}/1"

    def events(self) -> list[dict[str, Any]]:
        """Every error event, out of Sentry's envelopes."""
        found = []
        for request in self.received:
            if request.path == "/api/1/envelope/":
                _, *lines = request.body.split(b"\n")
                for header, item in zip(lines[::2], lines[1::2], strict=False):
                    if json.loads(header)["type"] == "event":
                        found.append(json.loads(item))
        return found

    def spans(self) -> list[Span]:
        """Every span, decoded by the official definition of OTLP."""
        return [
            Span(
                name=span.name,
                kind=span.kind,
                trace=span.trace_id.hex(),
                id=span.span_id.hex(),
                parent=span.parent_span_id.hex(),
                service=next(it.value.string_value for it in whole.resource.attributes if it.key == "service.name"),
                attributes={it.key: it.value.string_value or it.value.int_value for it in span.attributes},
                events=len(span.events),
            )
            for request in self.received
            if request.path == "/v1/traces"
            for whole in ExportTraceServiceRequest.FromString(request.body).resource_spans
            for scope in whole.scope_spans
            for span in scope.spans
        ]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
