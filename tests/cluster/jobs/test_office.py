import socket
from collections.abc import Iterator

import pytest

from cluster.jobs.following import ordinal, place_in_line
from cluster.jobs.office import Office, trouble_of
from cluster.jobs.packing import Parcel
from cluster.machines.papers import ClusterAddress
from cluster.machines.places import PLACE, places
from cluster.settings import Settings
from orchestration.errors import ConflictError, InfrastructureError, LimitError, NotFoundError
from orchestration.ids import RunId
from orchestration.messages import Limits
from tests.cluster.jobs.dashboard import Dashboard, dashboard


@pytest.fixture
def ray_dashboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dashboard]:
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    with dashboard() as opened:
        yield opened


def parcel(run_id: str = "greet", text: str = "Greet people.") -> Parcel:
    files = {"kit.bundle": b"a bundle"}
    return Parcel(RunId(run_id), text, "kit", ("run", text, "--repo", "kit.bundle"), {}, files)


async def office(at: Dashboard) -> Office:
    return await Office.open(ClusterAddress("", token_path="/a/token", dashboard_url=at.url))


async def test_a_request_becomes_a_job_of_its_run_with_its_bundle_and_a_place(
    ray_dashboard: Dashboard,
):
    handed = await (await office(ray_dashboard)).hand_in(parcel(), limit=9)
    assert (handed.job, handed.run_id, handed.is_new) == ("greet", "greet", True)
    asked = ray_dashboard.jobs["greet"]["asked"]
    assert asked["entrypoint"] == "exec manta run 'Greet people.' --repo kit.bundle"
    assert asked["entrypoint_resources"] == {PLACE: 1}
    assert set(asked["runtime_env"]) - {"_ray_commit"} == {"working_dir"}
    (uploaded,) = ray_dashboard.packages.values()
    assert b"kit.bundle" in uploaded


async def test_a_cluster_without_places_has_no_line(ray_dashboard: Dashboard):
    ray_dashboard.places = 0
    opened = await office(ray_dashboard)
    await opened.hand_in(parcel(), limit=9)
    assert "entrypoint_resources" not in ray_dashboard.jobs["greet"]["asked"]
    assert place_in_line(await opened.jobs(), "greet", opened.places) == 0


async def test_submitting_again_attaches(ray_dashboard: Dashboard):
    opened = await office(ray_dashboard)
    await opened.hand_in(parcel(), limit=1)
    again = await opened.hand_in(parcel(), limit=1)
    assert (again.job, again.is_new, len(ray_dashboard.jobs)) == ("greet", False, 1)


async def test_an_id_stands_for_one_request(ray_dashboard: Dashboard):
    opened = await office(ray_dashboard)
    await opened.hand_in(parcel(), limit=9)
    with pytest.raises(ConflictError, match=r"another request: 'Greet people.' — choose another"):
        await opened.hand_in(parcel(text="Insult people."), limit=9)


@pytest.mark.parametrize(
    ("status", "code", "is_new"),
    [
        ("SUCCEEDED", 0, False), ("FAILED", 1, False), ("FAILED", 3, False), ("FAILED", 4, False),
        ("FAILED", 2, True), ("FAILED", 5, True), ("FAILED", None, True), ("STOPPED", None, True),
    ],
)  # fmt: skip
async def test_what_ended_without_an_answer_is_submitted_anew(
    ray_dashboard: Dashboard, status: str, code: int | None, is_new: bool
):
    opened = await office(ray_dashboard)
    await opened.hand_in(parcel(), limit=9)
    ray_dashboard.end("greet", status, code)
    again = await opened.hand_in(parcel(), limit=9)
    assert (again.job, again.is_new) == ("greet.2" if is_new else "greet", is_new)
    assert again.run_id == "greet"


async def test_whoever_submits_at_the_same_moment_attaches(ray_dashboard: Dashboard):
    opened = await office(ray_dashboard)
    ray_dashboard.add("greet")
    ray_dashboard.jobs["greet"]["metadata"] = {}  # as if it came between question and submission
    assert not (await opened.hand_in(parcel(), limit=9)).is_new


async def test_a_full_line_takes_no_more(ray_dashboard: Dashboard):
    ray_dashboard.add("a", "RUNNING")
    ray_dashboard.add("b", "PENDING")
    ray_dashboard.add("c", "PENDING")
    opened = await office(ray_dashboard)
    with pytest.raises(LimitError, match="the line is full: 2 requests wait already — submit"):
        await opened.hand_in(parcel(), limit=2)
    assert (await opened.hand_in(parcel(), limit=3)).is_new


async def test_places_in_line_count_who_waits_behind_what_is_free(ray_dashboard: Dashboard):
    for at, name in enumerate("edcba", start=1):
        ray_dashboard.add(name, "RUNNING" if name == "e" else "PENDING", at)
    ray_dashboard.jobs["stranger"] = ray_dashboard.jobs["e"] | {"metadata": {}, "status": "PENDING"}
    opened = await office(ray_dashboard)
    jobs = await opened.jobs()
    assert [job.id for job in jobs] == ["e", "d", "c", "b", "a"]
    assert [place_in_line(jobs, name, 1) for name in "edcba"] == [0, 1, 2, 3, 4]
    assert [place_in_line(jobs, name, 3) for name in "edcba"] == [0, 0, 0, 1, 2]


def test_ordinals_read_like_words():
    numbers = (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)
    assert " ".join(map(ordinal, numbers)) == "1st 2nd 3rd 4th 11th 12th 13th 21st 102nd 111th"


async def test_a_job_is_stopped_and_found_by_name(ray_dashboard: Dashboard):
    ray_dashboard.add("greet")
    ray_dashboard.words["greet"] = "hello"
    opened = await office(ray_dashboard)
    assert await opened.stop("greet")
    assert ray_dashboard.stopped == ["greet"]
    assert await opened.words("greet") == "hello"
    with pytest.raises(NotFoundError):
        await opened.job("nobody")


async def test_a_refused_token_says_where_it_belongs(ray_dashboard: Dashboard):
    for ray_dashboard.status in (401, 403):
        with pytest.raises(InfrastructureError, match=r"refuses this token \(/a/token\) — set RAY"):
            await office(ray_dashboard)


async def test_an_old_cluster_is_named(ray_dashboard: Dashboard):
    ray_dashboard.version = "1.13.0"
    with pytest.raises(
        InfrastructureError, match=r"runs Ray 1.13.0, which is too old .* — use Ray"
    ):
        await office(ray_dashboard)


async def test_another_kind_of_server_is_no_dashboard(ray_dashboard: Dashboard):
    for ray_dashboard.status, ray_dashboard.body in ((404, b"no"), (200, b"<html>"), (502, b"")):
        with pytest.raises(InfrastructureError, match="check the address: it is the dashboard's"):
            await office(ray_dashboard)


async def test_nobody_at_the_address_is_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(InfrastructureError, match="does not answer as one"):
        await Office.open(ClusterAddress("", dashboard_url=url))


async def test_what_ray_says_when_it_fails_is_its_last_line(ray_dashboard: Dashboard):
    opened = await office(ray_dashboard)
    ray_dashboard.status, ray_dashboard.body = 500, b"Traceback:\n  lines\nOSError: disk full\n"
    with pytest.raises(InfrastructureError, match="failed: OSError: disk full"):
        await opened.jobs()


@pytest.mark.parametrize(
    ("code", "message", "words", "said"),
    [
        (127, "", "manta: not found", "the cluster has no `manta` command"),
        (None, "Job supervisor actor failed to start within 900 seconds.", "", "waited longer"),
        (None, "Job supervisor actor died: node lost", "", "was lost: Job supervisor actor died"),
    ],
)
async def test_a_job_that_brings_no_answer_says_why(
    ray_dashboard: Dashboard, code: int | None, message: str, words: str, said: str
):
    ray_dashboard.add("greet")
    ray_dashboard.end("greet", "FAILED", code, message)
    trouble = trouble_of(await (await office(ray_dashboard)).job("greet"), words)
    assert trouble is not None
    assert said in trouble.what
    assert trouble.fix


async def test_the_runs_own_errors_are_not_the_jobs_trouble(ray_dashboard: Dashboard):
    for code in (1, 3, 4):
        ray_dashboard.add("greet")
        ray_dashboard.end("greet", "FAILED", code)
        assert trouble_of(await (await office(ray_dashboard)).job("greet"), "") is None


def test_a_machine_has_as_many_places_as_whole_teams_find_room():
    by_cpus = {cpus: places(Settings(cpus=cpus)) for cpus in (1, 2, 4, 8, 16)}
    assert by_cpus == {1: 1, 2: 1, 4: 2, 8: 5, 16: 11}
    assert places(Settings(cpus=8, limits=Limits(parallel_tasks=1))) == 17
    assert places(Settings(cpus=8, parallel_runs=3)) == 3
