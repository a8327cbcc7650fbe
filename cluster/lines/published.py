"""Every line there is, and the schema that is published of them."""

import json
from typing import Annotated

from pydantic import Field, TypeAdapter

from cluster.lines import of_halls, of_runs
from cluster.terminal.options import SCHEMA

AnyLine = Annotated[
    of_runs.WatchingLine | of_runs.EventLine | of_runs.WaitingLine | of_runs.FailedLine |
    of_runs.DeliveredLine | of_runs.ForkedLine | of_runs.ReplayingLine | of_runs.RunLine |
    of_runs.QuestionLine | of_runs.PlanLine | of_runs.DiffLine | of_runs.EvidenceLine |
    of_runs.GraphLine | of_runs.SarifLine | of_runs.DecidedLine | of_runs.CancelLine |
    of_runs.ResumedLine | of_runs.FetchedLine | of_runs.PublishedLine | of_runs.ClaimLine |
    of_runs.VerifiedLine |
    of_halls.SubmittedLine | of_halls.QueuedLine | of_halls.JobLine | of_halls.LogLine |
    of_halls.EndedLine | of_halls.UpLine | of_halls.DownLine | of_halls.WebLine |
    of_halls.CheckLine | of_halls.SweptLine | of_halls.SettingLine | of_halls.WrittenLine |
    of_halls.NextLine | of_halls.MetricLine | of_halls.ConfigLine | of_halls.ServerLine |
    of_halls.AcceptedLine | of_halls.RecollectionLine | of_halls.SearchedLine |
    of_halls.ReindexedLine | of_halls.ForgotLine | of_halls.ErrorLine,
    Field(discriminator="type"),
]  # fmt: skip
LINES: TypeAdapter[AnyLine] = TypeAdapter(AnyLine)


def schema() -> str:
    """The published form of the lines: JSON Schema, as in `docs/schemas/lines.json`."""
    made = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Lines of manta --json, version {SCHEMA}",
        **LINES.json_schema(),
    }
    return json.dumps(made, indent=2) + "\n"
