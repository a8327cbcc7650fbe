"""Step keys name places in a run, and cannot be forged."""

from hypothesis import example, given
from hypothesis import strategies as st

from orchestration.ids import StepKey
from orchestration.workflow.keys import ROOT, child, item, iteration, relative, static


def test_a_key_reads_as_a_path() -> None:
    build = item(child(ROOT, "build"), "greet")
    repair = iteration(child(build, "repair"), 2)
    assert child(repair, "write_code") == "build[greet]/repair#2/write_code"


@given(name=st.text(), other=st.text())
@example(name="a/b", other="a%2Fb")
@example(name="a]/x[b", other="a")
@example(name="1#2", other="1%232")
def test_no_item_name_can_forge_another_key(name: str, other: str) -> None:
    key = child(item(StepKey("build"), name), "code")
    assert static(key) == "build/code"
    assert (key == child(item(StepKey("build"), other), "code")) == (name == other)


def test_a_key_seen_from_an_ancestor_is_relative() -> None:
    loop = iteration(child(item(StepKey("build"), "a"), "repair"), 2)
    assert relative(child(loop, "code"), loop) == "code"
    assert relative(loop, loop) == "repair"
