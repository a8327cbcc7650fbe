"""Where things may sit, said to Ray in its own terms."""

import pytest
from pydantic import ValidationError

from actors.spawn import ANYWHERE, HEAD, Seat
from cluster.machines.placing import pairs, workers_seat
from cluster.settings import Settings


def test_what_may_be_anywhere_is_spread_by_the_cpus_it_takes():
    assert ANYWHERE.options(0.1) == {"num_cpus": 0.1, "scheduling_strategy": "SPREAD"}


def test_what_owns_files_is_bound_to_the_head_and_takes_nothing_of_it():
    options = Seat(has_files=True).options(0.1)
    assert options["num_cpus"] == 0
    assert HEAD in options["resources"]


def test_what_owns_files_is_bound_to_the_labelled_node_instead():
    options = Seat(labels=(("disk", "manta"),), has_files=True).options(0.1)
    assert options["num_cpus"] == 0
    assert options["label_selector"] == {"disk": "manta"}
    assert "resources" not in options


def test_workers_sit_where_the_labels_say():
    settings = Settings(workers_on=("pool=agents", "zone=!b"))
    assert workers_seat(settings).options(0.2) == {
        "num_cpus": 0.2,
        "scheduling_strategy": "SPREAD",
        "label_selector": {"pool": "agents", "zone": "!b"},
    }


def test_a_node_that_is_preferred_is_no_condition():
    strategy = Seat(near="ab" * 28).options(0.1)["scheduling_strategy"]
    assert (strategy.node_id, strategy.soft) == ("ab" * 28, True)


@pytest.mark.parametrize("text", ["agents", "=agents", "pool="])
def test_a_label_that_is_none_is_refused(text: str):
    with pytest.raises(ValidationError, match="KEY=VALUE"):
        Settings(workers_on=(text,))


def test_labels_are_pairs():
    assert pairs(("a=b", "c=d=e")) == (("a", "b"), ("c", "d=e"))
