"""What the service takes, in all directions: bytes, pixels, connections, seconds."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """How much a request may bring and cost, how many may be under way, and how long a client may take.

    >>> Limits(images=10).images
    10

    `body_bytes`, `pixels` (one picture), `pixels_of_request`, `images` and `digits` bound one request; `requests` those
    being answered at once, `pictures_at_once` the threads that read pictures, `bodies_bytes` all bodies held at once.
    `connections` may be open; when they are, the one that has been silent longest is closed for a new one.
    `requests_a_second` bounds each address (an IPv6 network of /64 is one), None does not. The head of a request has
    `head_bytes` and `head_seconds`. Its body has `body_seconds`, and a second more for each `body_bytes_a_second` that
    came. A client that does not read its answer has `answer_seconds`.
    """

    body_bytes: int = 16_000_000
    bodies_bytes: int = 256_000_000
    pixels: int = 25_000_000
    pixels_of_request: int = 100_000_000
    images: int = 1_000
    digits: int = 500
    requests: int = 256
    pictures_at_once: int = 2
    connections: int = 2_000
    requests_a_second: float | None = None
    head_bytes: int = 64_000
    head_seconds: float = 10
    body_seconds: float = 20
    body_bytes_a_second: int = 50_000
    answer_seconds: float = 30
