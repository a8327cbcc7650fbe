"""docs/delivery.md, made from the code: `python -m tests.cluster.delivery_page` writes it anew."""

from pathlib import Path

from orchestration.stories import unplayed
from orchestration.workflow.drawing import mermaid

PLACE = Path(__file__).parents[2] / "docs" / "delivery.md"
PAGE = """\
# The delivery workflow

This page is drawn from `orchestration/delivery.py` and held against it by a test. Change the code,
then write the page anew with `python -m tests.cluster.delivery_page`.

Every box is a step of a durable workflow: what was done, asked or answered is journaled.
`manta show RUN --graph` draws the workflow of a run in the terminal, with its steps so far; with
`--json` it is plain data. How to write another one is told in [workflows.md](workflows.md).

```mermaid
{drawing}
```
"""


def page() -> str:
    """The page as the code has it."""
    return PAGE.format(drawing=mermaid(unplayed()))


if __name__ == "__main__":
    PLACE.write_text(page(), encoding="utf-8")
