"""Holds a run's lease while it is driven, and listens for what others store about the run."""

from collections.abc import Callable

from orchestration.clock import Clock
from orchestration.errors import StaleOwnerError, StoreError
from orchestration.workflow.facts import read_answer
from orchestration.workflow.inbox import Inbox, Lost
from orchestration.workflow.journal import Journal, Lease, RecordKind
from orchestration.workflow.signals import CancelRequested, Decided


class Guard:
    """Renews the lease at a third of its time, polls for cancels and answers, fences itself.

    It keeps the run's time too. Every lease says what time it was in the store; from then on this
    machine's ticks are counted. So moments mean the same to all owners, whatever their wall
    clocks show, and no clock that jumps hides that the event loop stood still.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        lease: Lease,
        *,
        ttl_s: float,
        asked_at: float,
        poll_s: float,
        inbox: Inbox,
        listening: Callable[[], bool],
    ) -> None:
        """`asked_at`: the clock's ticks before the lease was asked for."""
        self._journal = journal
        self._clock = clock
        self._ttl_s = ttl_s
        self._poll_s = min(poll_s, ttl_s / 3)
        self._inbox = inbox
        self._listening = listening
        """Whether somebody waits for an answer."""
        self.is_holding = True
        """False while the run is given up: then there is nothing to keep or to lose."""
        self._heard = 0
        """Sequence number up to which decisions were read."""
        self._cancelled = False
        self.claimed(lease, asked_at)

    @property
    def is_late(self) -> bool:
        """Whether the lease may have run out, as far as this process can tell."""
        return self._age() >= self._ttl_s

    def now(self) -> float:
        """Seconds since the epoch by the store's clock, or a little less."""
        return self._store_time + self._clock.ticks() - self._told_at

    def heard(self, seq: int) -> None:
        """Decisions up to here are known."""
        self._heard = max(self._heard, seq)

    def claimed(self, lease: Lease, asked_at: float) -> None:
        """The run was claimed, or claimed anew."""
        self.is_holding = True
        self._leased(lease, asked_at)

    async def check(self) -> None:
        """Before acting: make sure that the run is still ours, asking the store when late.

        Raises:
            StaleOwnerError: it is not.
        """
        if self.is_late:
            await self._renew()

    async def watch(self) -> None:
        """Until cancelled: keep the lease and put what is heard into the inbox."""
        while True:
            await self._clock.sleep(self._poll_s)
            try:
                if self.is_holding:
                    await self._round()
            except StoreError as error:
                if self.is_late:
                    self._inbox.put(Lost(_ran_out(self.lease, error)))
                    return
            except Exception as error:  # noqa: BLE001 - whatever ends the watch ends the drive
                if self.is_holding:
                    self._inbox.put(Lost(error))
                    return

    async def listen(self) -> None:
        """Put decisions that were stored since into the inbox."""
        found = await self._journal.read(
            self.lease.run_id, after=self._heard, kinds=[RecordKind.DECIDED]
        )
        for record in found:
            self._heard = record.seq
            self._inbox.put(Decided(record.step_key, read_answer(record.body)))

    async def _round(self) -> None:
        if self._age() >= self._ttl_s / 3:
            await self._renew()
        info = await self._journal.info(self.lease.run_id)
        if info.epoch != self.lease.epoch:
            raise StaleOwnerError(
                f"run {info.run_id} was taken over by {info.owner or 'somebody'}", "stop at once"
            )
        if info.cancel_requested and not self._cancelled:
            self._cancelled = True
            self._inbox.put(CancelRequested())
        if info.seq > self._heard and self._listening():
            await self.listen()

    async def _renew(self) -> None:
        asked_at = self._clock.ticks()
        self._leased(await self._journal.renew(self.lease, ttl_s=self._ttl_s), asked_at)

    def _leased(self, lease: Lease, asked_at: float) -> None:
        # The store looked at its clock some time after it was asked and before it was heard. The
        # lease is counted from the one, time from the other: never too young, never too late.
        self.lease, self._asked_at = lease, asked_at
        self._store_time, self._told_at = lease.until - self._ttl_s, self._clock.ticks()

    def _age(self) -> float:
        return self._clock.ticks() - self._asked_at


def _ran_out(lease: Lease, error: StoreError) -> StaleOwnerError:
    return StaleOwnerError(
        f"the lease of run {lease.run_id} ran out while the store was away ({error.what})",
        "start the run again once the store is back; it continues where it stood",
    )
