"""All verbs in any order against plain dictionaries: a real daemon, killed and restarted between.

Each rule does one thing to the repository and to the model and compares what both say; the
invariant compares the heads. Sessions of several clients are open at once.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from property.history_rules import HistoryRules
from property.session_rules import SessionRules
from property.upkeep_rules import UpkeepRules


class RepositoryMachine(SessionRules, HistoryRules, UpkeepRules):
    """All rules together."""


QUICK = settings(
    max_examples=4,
    stateful_step_count=35,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_all_verbs_in_any_order_do_what_dictionaries_do() -> None:
    run_state_machine_as_test(RepositoryMachine, settings=QUICK)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_all_verbs_in_any_order_for_long() -> None:
    run_state_machine_as_test(
        RepositoryMachine, settings=settings(QUICK, max_examples=150, stateful_step_count=80)
    )
