"""Repeated rows: the same as comparing each row with those before it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from st_hybrid.corpora import repeated
from st_hybrid.corpora.repeated import repeated_rows

ROWS = st.lists(st.tuples(*[st.integers(-2, 3)] * 3), max_size=40)


@given(ROWS)
def test_repeated_rows(rows: list[tuple[int, int, int]]) -> None:
    """All but the first of equal rows, in order."""
    expected = [n for n, row in enumerate(rows) if row in rows[:n]]
    assert repeated_rows(np.array(rows, dtype=np.int64).reshape(-1, 3)).tolist() == expected


@given(ROWS)
def test_equal_hashes_are_not_taken_for_equal_rows(rows: list[tuple[int, int, int]]) -> None:
    """With a hash that is the same for all."""
    kept, repeated._MIX = repeated._MIX, (0, 29)  # type: ignore[misc]
    try:
        test_repeated_rows.hypothesis.inner_test(rows)  # type: ignore[attr-defined]
    finally:
        repeated._MIX = kept  # type: ignore[misc]
