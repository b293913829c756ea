"""Schemathesis asks what OpenAPI promises, and what it forbids: no answer of 500, no undocumented status or shape."""

from __future__ import annotations

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tinydigits.prediction import models_at_hand
from tinydigits.serve import create_app

schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(models_at_hand("nowhere")))
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance,
]  # fmt: skip


@schema.parametrize()
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_the_api_does_as_it_says(case: schemathesis.Case) -> None:
    case.call_and_validate(checks=CHECKS)
