"""Counts and times for Prometheus: of routes, statuses and codes, never of patients.

https://prometheus.io/docs/practices/naming/. With several workers each keeps its numbers in files that all can read
(`PROMETHEUS_MULTIPROC_DIR`, which `serving` sets).
"""

from __future__ import annotations

import hmac
import os
import time
from collections.abc import Iterable

from flask import Blueprint, Flask, Response, current_app, g, has_request_context, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from careplan.errors import NotSignedIn
from careplan.settings import Settings, is_loopback

_EXTENSION = "careplan-metrics"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-Ip")

blueprint = Blueprint("metrics", __name__)


class Metrics:
    """The numbers of one app."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.requests = Counter(
            "careplan_requests", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self.seconds = Histogram("careplan_request_seconds", "Seconds until the answer.", ["route"], registry=registry)
        self.upstream = Histogram(
            "careplan_upstream_seconds",
            "Seconds until the FHIR server began to answer, by how it ended (none: not at all).",
            ["method", "ended"],
            registry=registry,
        )
        self.plans = Counter("careplan_plans", "Plans made, by what was asked for.", ["mode"], registry=registry)
        self.refusals = Counter(
            "careplan_refusals", "Refusals, by the code of each reason.", ["code"], registry=registry
        )
        self.audit = Counter("careplan_audit_unsent", "Audit records not sent on.", ["code"], registry=registry)

    def observe_upstream(self, method: str, ended: str, seconds: float) -> None:
        """Note one call to the FHIR server, and for the log what the request has waited for it."""
        self.upstream.labels(method, ended).observe(seconds)
        if has_request_context():
            g.upstream = g.get("upstream", 0.0) + seconds

    def exposed(self) -> bytes:
        """All numbers as text: of this process, or of all workers."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)


def init_app(app: Flask, metrics: Metrics, settings: Settings) -> None:
    """Count every request of *app*."""
    app.extensions[_EXTENSION] = (metrics, settings)
    app.after_request(_count)


def count_plan(mode: str) -> None:
    """Note that a plan was made."""
    _metrics().plans.labels(mode).inc()


def count_refusal(codes: Iterable[str]) -> None:
    """Note why no plan was made."""
    for code in codes:
        _metrics().refusals.labels(code).inc()


@blueprint.get("/metrics")
def read() -> Response:
    """For Prometheus, with its token or from this machine."""
    metrics, settings = current_app.extensions[_EXTENSION]
    if not _may_read(settings):
        raise NotSignedIn("The metrics are read with CAREPLAN_METRICS_TOKEN as bearer token, or from this machine.")
    return Response(metrics.exposed(), content_type=CONTENT_TYPE_LATEST)


def _may_read(settings: Settings) -> bool:
    """A token, once there is one, is needed from everywhere: behind a proxy everybody comes from this machine."""
    if settings.metrics_token:
        expected = f"Bearer {settings.metrics_token}"
        return hmac.compare_digest(request.headers.get("Authorization", "").encode(), expected.encode())
    return is_loopback(request.remote_addr or "") and not any(name in request.headers for name in _FORWARDED)


def _count(response: Response) -> Response:
    metrics = _metrics()
    route = request.url_rule.rule if request.url_rule else "unmatched"
    method = request.method if request.method in _METHODS else "other"
    metrics.requests.labels(method, route, str(response.status_code)).inc()
    metrics.seconds.labels(route).observe(time.perf_counter() - g.started)
    return response


def _metrics() -> Metrics:
    metrics: Metrics = current_app.extensions[_EXTENSION][0]
    return metrics
