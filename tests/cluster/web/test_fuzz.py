"""The API against whatever its schema allows."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.cluster.web.stage import RUN, TOKEN, Stage

pytestmark = pytest.mark.slow
HEADERS = {"Host": "127.0.0.1", "Authorization": f"Bearer {TOKEN}"}
CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    response_schema_conformance,
    response_headers_conformance,
]


def test_every_answer_is_what_the_schema_says(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    asyncio.run(stage.start())
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", stage.app, headers=HEADERS)
    found: Any = schema.get_all_operations()
    operations = [one.ok() for one in found]
    assert len(operations) == 18
    for operation in operations:
        _fuzz(operation)


def _fuzz(operation: Any) -> None:
    @settings(max_examples=12, deadline=None, database=None)
    @given(case=operation.as_strategy())
    def probe(case: Any) -> None:
        if len(case.path_parameters.get("run_id", "")) % 2:
            case.path_parameters["run_id"] = RUN  # else it would only ask for what is not there
        case.call_and_validate(headers=HEADERS, checks=CHECKS)

    probe()
