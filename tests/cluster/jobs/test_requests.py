from pathlib import Path

import pytest

from cluster.jobs.requests import Asked, read_requests
from orchestration.errors import UsageError
from orchestration.messages import Budget


def read(place: Path, text: str | bytes) -> list[Asked]:
    file = place / "requests.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_requests(file, repository="here", ref="HEAD")


def test_requests_come_in_order_with_what_each_says(tmp_path: Path):
    text = """
- request: Greet people.
- request: |
    Two lines
    of words.
  repo: kit
  ref: v1
  run_id: words
  approve: [plan, delivery]
  budget: 5usd
- {request: Far, repo: "https://git.example/kit.git", approve: plan}
"""
    one, two, far = read(tmp_path, text)
    assert (one.text, one.repository, one.ref) == ("Greet people.", "here", "HEAD")
    assert one.run_id.startswith("greet-people-")
    assert (two.text, two.ref, two.run_id) == ("Two lines\nof words.\n", "v1", "words")
    assert two.repository == str(tmp_path / "kit")
    assert two.entry.approve == ("plan", "delivery")
    assert (two.entry.limits, one.entry.limits) == (Budget(usd=5), None)
    assert (far.repository, far.entry.approve) == ("https://git.example/kit.git", ("plan",))


def test_the_same_file_gives_the_same_runs_and_another_request_another(tmp_path: Path):
    first = read(tmp_path, "- request: Greet.\n- request: Part.\n")
    again = read(tmp_path, "- request: Greet.\n- request: Part company.\n")
    assert first[0].run_id == again[0].run_id
    assert first[1].run_id != again[1].run_id


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- request: A\n- request: B\n  repos: x\n", r"entry 2 \(line 2\): unknown key repos"),
        ("- request: A\n- repo: x\n", r"entry 2 \(line 2\): request: Field required"),
        ("- request: A\n\n- just words\n", r"entry 2 \(line 3\) is no request"),
        ("- request: A\n  request: B\n", r"entry 1 \(line 1\): request is said twice"),
        ("- request: A\n  approve: [plans]\n", r"entry 1 \(line 1\): approve.0"),
        ("- request: A\n  budget: lots\n", r"entry 1 \(line 1\): budget"),
        ("- request: A\n  run_id: Not An Id\n", r"entry 1 \(line 1\): run_id"),
        ("- request: A\n- request: A\n", r"entry 2 \(line 2\): entry 1 is run a-\w+ already"),
        (
            "- {request: A, run_id: x}\n- {request: B, run_id: x}\n",
            r"entry 2 \(line 2\): entry 1 is run x already",
        ),
        ("request: A\n", "has no requests"),
        ("[]\n", "has no requests"),
        ("", "has no requests"),
        ("- request: [\n", r"requests.yaml, line \d"),
        (b"- request: \xff\n", "is not UTF-8"),
        ("- !!python/object/apply:os.system ['true']\n", "line 1"),
    ],
)
def test_what_is_wrong_is_named_with_its_entry_and_line(
    tmp_path: Path, text: str | bytes, said: str
):
    with pytest.raises(UsageError, match=said) as refused:
        read(tmp_path, text)
    assert refused.value.fix


def test_a_file_that_is_not_there_says_so(tmp_path: Path):
    with pytest.raises(UsageError, match="cannot read"):
        read_requests(tmp_path / "none.yaml", repository=".", ref="HEAD")
