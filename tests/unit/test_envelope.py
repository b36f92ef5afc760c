"""The clock all processes share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import envelope


@given(st.floats(0.0, 1e7), st.sampled_from([0.05, 1.0, 2.0]))
def test_timers_of_one_period_meet(now: float, period_s: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(envelope, "boot_time_s", lambda: now)
        left_s = envelope.until_next(period_s)
    assert period_s / 2 < left_s <= 1.5 * period_s
    turns = (now + left_s) / period_s
    assert abs(turns - round(turns)) < 1e-6
