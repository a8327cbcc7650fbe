from pathlib import Path

from cluster.demo.sample import demo_order, git
from cluster.settings import Settings


async def test_the_demo_starts_from_its_sample_whatever_was_merged_since(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    before = await demo_order(settings)
    place = Path(before.repository)
    (place / "more.py").write_text("x = 1\n")
    git(place, "add", "more.py")
    git(place, "commit", "--quiet", "--message=more")

    assert (await demo_order(settings)).ref == before.ref
    assert git(place, "rev-parse", "HEAD") != before.ref
