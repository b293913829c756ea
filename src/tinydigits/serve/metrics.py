"""What the service has done, in Prometheus's text form (version 0.0.4)."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Metrics"]

_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


@dataclass
class Metrics:
    """Counters since the start; paths are those of the API, so a stranger's path makes no new line.

    >>> metrics = Metrics()
    >>> metrics.count("/health", 200, 0.0004)
    >>> "tinydigits_requests_total{path=\\"/health\\",status=\\"200\\"} 1" in metrics.text()
    True
    """

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    images: Counter[str] = field(default_factory=Counter)
    seconds: list[int] = field(default_factory=lambda: [0] * (len(_BOUNDS) + 1))
    seconds_sum: float = 0.0
    under_way: int = 0

    def count(self, path: str, status: int, seconds: float) -> None:
        """Note one answered request."""
        self.requests[path, status] += 1
        self.seconds[bisect_left(_BOUNDS, seconds)] += 1
        self.seconds_sum += seconds

    def text(self) -> str:
        """All counters."""
        lines = ["# HELP tinydigits_requests_total Requests answered.", "# TYPE tinydigits_requests_total counter"]
        lines += [
            f'tinydigits_requests_total{{path="{path}",status="{status}"}} {number}'
            for (path, status), number in sorted(self.requests.items())
        ]
        lines += ["# HELP tinydigits_images_total Images answered.", "# TYPE tinydigits_images_total counter"]
        lines += [
            f'tinydigits_images_total{{model="{_escape(name)}"}} {number}'
            for name, number in sorted(self.images.items())
        ]
        lines += ["# HELP tinydigits_requests_under_way Requests not answered yet.",
                  "# TYPE tinydigits_requests_under_way gauge", f"tinydigits_requests_under_way {self.under_way}",
                  "# HELP tinydigits_request_seconds Time from a request to its answer.",
                  "# TYPE tinydigits_request_seconds histogram"]  # fmt: skip
        total = 0
        for bound, number in zip([*map(str, _BOUNDS), "+Inf"], self.seconds, strict=True):
            total += number
            lines.append(f'tinydigits_request_seconds_bucket{{le="{bound}"}} {total}')
        lines += [f"tinydigits_request_seconds_sum {self.seconds_sum:.6f}", f"tinydigits_request_seconds_count {total}"]
        return "\n".join(lines) + "\n"


def _escape(value: str) -> str:
    """A label's value: a run's folder may have any name."""
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
