import json

import pytest
from pydantic import BaseModel, ConfigDict, Field

from actors.tools.schema import parameters, parse_object, validate


class Part(BaseModel):
    old: str = Field(description="what it was")
    title: str = "none"


class Wish(BaseModel):
    """Words for programmers."""

    model_config = ConfigDict(extra="forbid")

    path: str
    parts: tuple[Part, ...] = ()
    number: int = Field(default=1, ge=1)


def test_parameters_have_no_references_and_no_titles():
    schema = parameters(Wish)
    text = json.dumps(schema)
    assert "$ref" not in text
    assert "$defs" not in text
    part = schema["properties"]["parts"]["items"]["properties"]
    assert part["old"] == {"type": "string", "description": "what it was"}
    assert part["title"] == {"type": "string", "default": "none"}
    assert schema["required"] == ["path"]
    assert "additionalProperties" not in schema


def test_a_violation_names_the_field_and_the_offending_value():
    with pytest.raises(ValueError, match="number") as caught:
        validate(Wish, {"parts": [{"old": 3}], "number": 0, "colour": "red"})
    lines = str(caught.value).splitlines()
    assert lines[0] == "- path: Field required"
    assert lines[1] == "- parts.0.old: Input should be a valid string (given: 3)"
    assert lines[2] == "- number: Input should be greater than or equal to 1 (given: 0)"
    assert lines[3] == '- colour: Extra inputs are not permitted (given: "red")'


def test_a_long_offending_value_is_cut():
    with pytest.raises(ValueError, match="…") as caught:
        validate(Wish, {"path": "a", "number": "x" * 10_000})
    assert len(str(caught.value)) < 400


def test_a_list_that_arrives_inside_a_string_is_unwrapped():
    wish = validate(Wish, {"path": "a", "parts": '[{"old": "x"}]'})
    assert wish.parts == (Part(old="x"),)


def test_text_that_looks_like_json_stays_text_where_text_is_wanted():
    assert validate(Wish, {"path": "[1]"}).path == "[1]"


@pytest.mark.parametrize("text", ["", "  ", "{}"])
def test_no_arguments_at_all_are_an_empty_object(text: str):
    assert parse_object(text) == {}


@pytest.mark.parametrize("text", ['{"a": ', "[1]", "null", "yes", "[" * 100_000])
def test_arguments_that_are_no_object_are_refused(text: str):
    with pytest.raises(ValueError, match=r"JSON"):
        parse_object(text)


def test_raw_newlines_in_strings_are_forgiven():
    assert parse_object('{"a": "x\ny"}') == {"a": "x\ny"}


def test_half_characters_become_question_marks_and_whole_ones_stay():
    assert parse_object(r'{"a": "x\ud83d", "b": "\ud83d\ude00"}') == {"a": "x?", "b": "😀"}
