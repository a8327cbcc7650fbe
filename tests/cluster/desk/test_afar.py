from collections.abc import AsyncGenerator

import pytest

from cluster.desk.afar import AfarDesk
from cluster.desk.calling import Caller
from cluster.desk.protocol import Desk
from tests.cluster.desk.conftest import served
from tests.cluster.web.stage import TOKEN, Stage
from tests.contracts.desk import DeskContract


class TestAfarDesk(DeskContract):
    @pytest.fixture
    async def desk(self, stage: Stage) -> AsyncGenerator[Desk]:
        async with served(stage.app) as address:
            caller = Caller(address, TOKEN)
            yield AfarDesk(caller, pause_s=0.01)
            await caller.close()
