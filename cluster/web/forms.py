"""What the pages' own forms send."""

from pydantic import BaseModel, Field

from orchestration.approval import Answer


class DecisionForm(BaseModel):
    """A page's form: what a person decided about what they saw."""

    answer: Answer
    label: str = Field(max_length=200)
    digest: str = Field(min_length=1, max_length=64)
    by: str = Field(default="", max_length=60)
    comment: str = Field(default="", max_length=20_000)
    budget: str = Field(default="", max_length=200)


class CommentForm(BaseModel):
    """A page's form: a comment on a line."""

    path: str = Field(min_length=1, max_length=4_000)
    on: str = Field(pattern=r"^(old|new)-[0-9]{1,9}$")
    text: str = Field(min_length=1, max_length=2_000)
    file: int = Field(ge=0, le=10**6)
    start: int = Field(default=0, ge=0, le=10**8)


class DiffPlace(BaseModel):
    """Which part of a change is looked at."""

    file: int | None = Field(default=None, ge=0, le=10**6)
    start: int = Field(default=0, ge=0, le=10**8)
    """The first of its rows."""
    on: str = Field(default="", pattern=r"^((old|new)-[0-9]{1,9})?$")
    """The line that a form for a comment opens on."""
    path: str = Field(default="", max_length=4_000)
    line: int = Field(default=0, ge=0, le=10**9)
    """Instead of `file` and `start`: a path, and a line after the change."""
