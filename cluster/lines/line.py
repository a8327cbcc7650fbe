"""What every line has."""

from typing import Literal

from cluster.desk.wire import Form


class Line(Form):
    """Every line."""

    v: Literal[1]
