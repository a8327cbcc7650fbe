"""Orphans are ended from a door, by what the store knows of their runs."""

from pathlib import Path

from actors.journal.opening import open_journal
from actors.sandbox.keeping import labels_of
from actors.sandbox.local.bare import BareProvider
from actors.sandbox.protocol import SandboxSpec
from cluster.settings import Settings
from cluster.sweeping import sweep
from orchestration.ids import RunId
from orchestration.workflow.journal import RunStatus


async def test_the_doctor_ends_what_no_live_run_owns_and_nothing_else(tmp_path: Path) -> None:
    settings = Settings.model_validate({"state_dir": tmp_path, "sandbox": "none"})
    journal = await open_journal(tmp_path / "runs")
    for name, status in (("over", RunStatus.DONE), ("waits", RunStatus.SUSPENDED)):
        await journal.create_run(RunId(name), workflow="w", definition="d", title="t", body="{}")
        lease = await journal.claim(RunId(name), "owner")
        await journal.append(lease, (), status=status, release=True)
    await journal.close()
    provider = BareProvider(tmp_path / "sandboxes")
    made = {
        run: await provider.create(SandboxSpec(labels=labels_of(RunId(run), settings.house)))
        for run in ("over", "waits", "never-heard-of")
    }
    swept = {ref.labels["run"] for ref in await sweep(settings)}
    assert swept == {"over", "never-heard-of"}
    assert [ref.id for ref in await provider.find({})] == [made["waits"].ref.id]
    assert await sweep(settings) == []
    await provider.sweep({})
    await provider.close()


def test_a_house_is_its_store_and_tells_no_password(tmp_path: Path) -> None:
    def house(**given: object) -> str:
        return Settings.model_validate({"state_dir": tmp_path, **given}).house

    one = house(store_url="postgresql://me:secret@db.example:5432/manta")
    assert one == house(store_url="postgresql://you:other@db.example:5432/manta")
    assert len({one, house(), house(store_url="postgresql://db.example/other")}) == 3
