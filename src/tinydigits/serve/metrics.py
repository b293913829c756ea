"""What the service has done, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4"
_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """Counters since the start of one service; paths are those of the API, so a stranger's path makes no new line.

    >>> metrics = Metrics()
    >>> metrics.count("/health", 200, 0.0004)
    >>> b'tinydigits_requests_total{path="/health",status="200"} 1.0' in metrics.text()
    True
    """

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.images = Counter("tinydigits_images", "Images answered.", ["model"], registry=registry)
        self.under_way = Gauge("tinydigits_requests_under_way", "Requests not answered yet.", registry=registry)
        self._requests = Counter("tinydigits_requests", "Requests answered.", ["path", "status"], registry=registry)
        self._seconds = Histogram(
            "tinydigits_request_seconds", "Time from a request to its answer.", buckets=_BOUNDS, registry=registry
        )

    def count(self, path: str, status: int, seconds: float) -> None:
        """Note one answered request."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.observe(seconds)

    def text(self) -> bytes:
        """All counters, in Prometheus's text form."""
        return generate_latest(self._registry)
