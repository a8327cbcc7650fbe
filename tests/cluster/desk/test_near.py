import pytest

from cluster.desk.protocol import Desk
from tests.cluster.web.stage import Stage
from tests.contracts.desk import DeskContract


class TestNearDesk(DeskContract):
    @pytest.fixture
    def desk(self, stage: Stage) -> Desk:
        return stage.desk
