# SPDX-License-Identifier: MIT OR Apache-2.0
"""The system duo on a board of labgrid's."""

import pytest


@pytest.fixture
def strategy(target):
    """Returns the board's strategy, and switches the board off at the end."""
    strategy = target.get_driver("BulkheadStrategy")
    yield strategy
    strategy.transition("off")


def test_duo_runs_to_its_end(strategy):
    """Both partitions switch themselves off."""
    strategy.transition("running")
    strategy.transition("ended")
    assert strategy.ends == {"sensor": "off", "control": "off"}
