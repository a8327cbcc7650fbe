import json
from pathlib import Path

import jsonschema
import pytest

from actors.evidence import Evidence, schema
from tests.actors.proven import prove

PUBLISHED = Path(__file__).parents[2] / "docs" / "schemas" / "evidence.json"
RENEW = """python -c "from actors.evidence import schema; print(schema(), end='')" > {}"""


def test_the_published_schema_is_that_of_the_code() -> None:
    assert PUBLISHED.read_text() == schema(), RENEW.format(PUBLISHED)


def test_evidence_fits_its_schema_and_comes_back_unchanged(tmp_path: Path) -> None:
    evidence = prove(tmp_path).evidence
    text = evidence.model_dump_json()
    jsonschema.Draft202012Validator(json.loads(schema())).validate(json.loads(text))
    assert Evidence.model_validate_json(text) == evidence


def test_what_is_not_evidence_does_not_fit() -> None:
    validator = jsonschema.Draft202012Validator(json.loads(schema()))
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({"run_id": "x"})
