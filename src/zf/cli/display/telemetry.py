"""A run sent to a collector as spans, over OTLP/HTTP, by OpenTelemetry's own exporter: its
variables hold (headers, certificates, compression, resource attributes).

https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from zf.cli.display.reports import done_or_told, recorded
from zf.cli.display.streams import say
from zf.errors import ZfError, printable
from zf.lean.records import Struct
from zf.report.telemetry import spans

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan

    from zf.report.formats.recorded import RecordedRun
    from zf.settings import RunOptions

# What a run waits for a collector that does not answer, so that it costs 2 s with what is imported
# for it; and for one that has begun to.
_FIRST_S, _REST_S = 1.8, 10.0
# How many spans a request has, as OpenTelemetry's own batches.
_BATCH = 512
# What `--otlp` says that names no collector.
ENVIRONMENT = "env"
_LOCAL = "http://localhost:4318"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


class Sent(Struct, frozen=True):
    """What was sent where."""

    spans: int
    trace_id: str
    endpoint: str

    def render(self) -> str:
        return f"sent {self.spans} spans of trace {self.trace_id} to {self.endpoint}"

    def as_json(self) -> dict[str, Any]:
        return {"spans": self.spans, "trace_id": self.trace_id, "endpoint": self.endpoint}


def send_of_run(folder: str, options: RunOptions, hide: Callable[[str], str]) -> None:
    """Send a run that is over, if it is to be sent. Nothing that fails here changes what it came
    to: it is said on stderr, and `zf export --otlp` sends the same later.
    """
    run = recorded(folder)
    if not options.otlp and not _wanted_by(os.environ, run):
        return
    told: list[str] = []

    def tell() -> None:
        sent = send(run, options.otlp or ENVIRONMENT, first_s=_FIRST_S, rest_s=_REST_S)
        told.append(sent.render() + "\n")

    problem = done_or_told(tell)
    say(sys.stderr, hide(problem or told[0]))


def _wanted_by(environ: Mapping[str, str], run: RecordedRun) -> bool:
    """Whether what OpenTelemetry's variables say is meant for runs, too: they may be there for
    other programs, and a parent that is not sampled has children that are not.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = environ.get("OTEL_TRACES_EXPORTER", "").strip()
    if exporters and "otlp" not in exporters:
        return False
    parent = spans.trace_of(run).parent
    return parent is None or parent.sampled


def send(
    run: RecordedRun, where: str, *, first_s: float | None = None, rest_s: float | None = None
) -> Sent:
    """Send a run to a collector by its URL, or the one that the environment names.

    It is given up when it has not taken the first spans after `first_s` seconds, or all of them
    `rest_s` after that; by default, after what OpenTelemetry's variables say (10 s) of each
    request. Raises ZfError when it was not sent, or not all of it.
    """
    endpoint = _endpoint(where, os.environ)
    shown = _without_password(endpoint)
    sending = _Sending(run, endpoint, first_s)
    # The run is over, and its runner exits: what hangs in a name server ends with it.
    threading.Thread(target=sending.carry_out, daemon=True).start()
    try:
        if sending.begun.wait(first_s):
            sending.over.wait(rest_s)
    except KeyboardInterrupt:
        sending.failure = "it was interrupted"
    if isinstance(sending.failure, Exception):
        raise sending.failure
    if sending.failure is None and not sending.over.is_set():
        sending.failure = _reason(sending.said) or "it did not answer in time"
    if sending.failure is not None:
        raise ZfError(
            f"the collector at {printable(shown)} has not taken the spans of run"
            f" {printable(run.id)}: {printable(sending.failure)}",
            code="ZF663",
            hint=f"nothing is lost: zf export --otlp {printable(run.id)} sends them later",
        )
    return Sent(sending.sent, spans.trace_of(run).trace_id, shown)


def _endpoint(where: str, environ: Mapping[str, str]) -> str:
    """The whole URL that spans go to; raises ZfError where another protocol is asked for."""
    if where != ENVIRONMENT:
        return _with_path(where)
    protocol = next(filter(None, map(environ.get, _PROTOCOLS)), "")
    if protocol == "grpc":
        raise ZfError(
            "OTEL_EXPORTER_OTLP_PROTOCOL is grpc, but zf sends runs over HTTP",
            code="ZF663",
            hint="name the collector's HTTP endpoint, such as --otlp=http://localhost:4318",
        )
    of_traces, of_all = map(environ.get, _ENDPOINTS)
    return of_traces or _with_path(of_all or _LOCAL)


def _with_path(base: str) -> str:
    base = base.rstrip("/")
    return base if base.endswith("/v1/traces") else f"{base}/v1/traces"


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class _Sending:
    """The sending of a run, in a thread of its own; `failure` says why it came to nothing."""

    def __init__(self, run: RecordedRun, endpoint: str, timeout_s: float | None) -> None:
        self.begun, self.over = threading.Event(), threading.Event()
        self.sent = 0
        # What OpenTelemetry says of it.
        self.said: list[str] = []
        self.failure: Exception | str | None = None
        self._run, self._endpoint, self._timeout_s = run, endpoint, timeout_s

    def carry_out(self) -> None:
        try:
            self._send_all()
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            self.failure = error
        self.over.set()
        self.begun.set()

    def _send_all(self) -> None:
        self.said = _listen()
        exporter, success = _exporter(self._endpoint, self._timeout_s, self.said)
        made = _as_opentelemetry(self._run)
        while batch := list(islice(made, _BATCH)):
            if exporter.export(batch) is not success:
                self.failure = _reason(self.said) or "it refused them"
                return
            self.sent += len(batch)
            self.begun.set()


def _exporter(endpoint: str, timeout_s: float | None, said: list[str]) -> tuple[Any, Any]:
    """What sends, and what it returns when it has. Raises ZfError where it is not installed."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import SpanExportResult
    except ImportError:
        raise ZfError(
            "runs can be sent to a collector only with OpenTelemetry's packages",
            code="ZF664",
            hint="pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http",
        ) from None
    exporter = OTLPSpanExporter(endpoint=endpoint, timeout=timeout_s, session=_session(said))
    return exporter, SpanExportResult.SUCCESS


# Of an answer: what is said of spans that were refused.
_ANSWER_BYTES = 64 * 1024


def _session(said: list[str]) -> Any:
    """What carries the requests. An answer is read no further than it may say something; one that
    leads elsewhere took nothing, though OpenTelemetry counts whatever is below 400 as taken.
    """
    import requests

    class Session(requests.Session):
        def request(self, *args: Any, **more: Any) -> requests.Response:
            whole = super().request(*args, **{**more, "stream": True, "allow_redirects": False})
            answer = requests.Response()
            answer.status_code, answer.reason = whole.status_code, whole.reason
            answer.headers, answer.url = whole.headers, whole.url
            try:
                answer.raw = BytesIO(whole.raw.read(_ANSWER_BYTES, decode_content=True))
            finally:
                whole.close()
            if 300 <= answer.status_code < 400:
                said.insert(0, f"{_REDIRECTED}: {answer.status_code}")
                raise requests.RequestException(said[0])
            return answer

    return Session()


_REDIRECTED = "it answered with a redirect, which is not followed"


def _listen() -> list[str]:
    """What OpenTelemetry says of failures, kept from the terminal, where it would be lines of its
    own.
    """
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger = logging.getLogger("opentelemetry")
    logger.handlers, logger.propagate = [Listener()], False
    return said


# How an error of the system is quoted, amid what was to be done.
_OF_THE_SYSTEM = re.compile(r"\[Errno -?\d+\] ([^)\"']+)")


def _reason(said: list[str]) -> str:
    """The first reason in what was said, without the words around it; empty where there is none."""
    for text in said:
        if text.startswith(_REDIRECTED):
            return text
        if found := _OF_THE_SYSTEM.search(text):
            return found[1]
    return said[0].partition(" encountered while")[0] if said else ""


def _as_opentelemetry(run: RecordedRun) -> Iterator[ReadableSpan]:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

    import zf

    trace_id = int(spans.trace_of(run).trace_id, 16)
    flags = TraceFlags(TraceFlags.SAMPLED)
    scope, common = InstrumentationScope("zf", zf.__version__), _resource(run)

    def context(span_id: str, *, is_remote: bool = False) -> SpanContext:
        return SpanContext(trace_id, int(span_id, 16), is_remote, flags)

    for span in spans.of_run(run):
        parent = context(span.parent_id, is_remote=span.is_root) if span.parent_id else None
        failed = span.error is not None
        yield ReadableSpan(
            span.name,
            context(span.span_id),
            parent,
            common,
            span.attributes,
            kind=SpanKind.SERVER if span.is_root else SpanKind.INTERNAL,
            instrumentation_scope=scope,
            status=Status(StatusCode.ERROR, span.error) if failed else Status(StatusCode.UNSET),
            start_time=span.start_ns,
            end_time=span.end_ns,
        )


def _resource(run: RecordedRun) -> Resource:
    """What the run's resource is; OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME win."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    own = Resource({"service.name": "zf", **spans.resource(run)})
    return own.merge(OTELResourceDetector().detect())
