"""Figures on their way: gathered, sent on, counted at the other end, and never in the way."""

import asyncio
from collections.abc import Awaitable

from actors.meter import COMMANDS, RUNS_NOW, TURNS, InMemoryMeter
from cluster.telemetry.relay import MOST, Parcel, RelayMeter, unpack


class Post:
    """Carries parcels to a meter, at once."""

    def __init__(self) -> None:
        self.parcels: list[Parcel] = []
        self.meter = InMemoryMeter()

    def send(self, parcel: Parcel) -> Awaitable[None]:
        self.parcels.append(parcel)
        unpack(parcel, self.meter)
        arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        arrived.set_result(None)
        return arrived


async def test_what_is_told_in_a_moment_travels_in_one_parcel_and_arrives_whole() -> None:
    post, here = Post(), InMemoryMeter()
    relay = RelayMeter(post.send, here, delay_s=0.001)
    for seconds in (0.5, 1.5):
        relay.add(TURNS, role="coder", model="m")
        relay.observe(COMMANDS, seconds, level="local", ended="exited")
    relay.set(RUNS_NOW, 1)
    await asyncio.sleep(0.01)
    assert len(post.parcels) == 1
    assert post.meter.counts == {("model_turns", ("coder", "m")): 2}
    assert post.meter.spreads == {("command_seconds", ("local", "exited")): [0.5, 1.5]}
    assert (here.levels, post.meter.levels) == ({("runs_driven", ()): 1}, {})


async def test_what_is_left_is_sent_when_a_process_ends() -> None:
    post = Post()
    relay = RelayMeter(post.send, InMemoryMeter(), delay_s=60)
    relay.add(TURNS, role="coder", model="m")
    await relay.close()
    await relay.close()
    assert [len(parcel) for parcel in post.parcels] == [1]


async def test_a_flood_is_sent_before_it_fills_the_memory() -> None:
    post = Post()
    relay = RelayMeter(post.send, InMemoryMeter(), delay_s=60)
    for _ in range(MOST):
        relay.observe(COMMANDS, 0.1, level="local", ended="exited")
    assert len(post.parcels) == 1
    assert len(post.meter.spreads["command_seconds", ("local", "exited")]) == MOST


async def test_neither_a_lost_post_nor_a_wrong_tag_ever_raises() -> None:
    def lost(parcel: Parcel) -> Awaitable[None]:
        raise ConnectionError("the governor is gone")

    relay = RelayMeter(lost, InMemoryMeter(), delay_s=60)
    relay.add(TURNS, role="coder", model="m")
    await relay.close()
    relay.add(TURNS, run="r1")


def test_telling_outside_of_an_event_loop_does_not_raise_either() -> None:
    RelayMeter(Post().send, InMemoryMeter()).add(TURNS, role="coder", model="m")


def test_what_another_build_measures_is_left_out() -> None:
    meter = InMemoryMeter()
    unpack((("moods", ("good",), (1.0,)), ("model_turns", ("coder",), (1.0,))), meter)
    assert (meter.counts, meter.spreads) == ({}, {})
