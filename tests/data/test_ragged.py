import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.data.ragged import buckets, group, pad

ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9), st.integers(0, 3)), max_size=30)


@settings(deadline=None, max_examples=50)
@given(ROWS, st.booleans())
def test_group_is_a_dict_of_lists(entries, ordered):
  rows, values, order = np.array(entries, np.int64).reshape(-1, 3).T
  ragged = group(rows, values, 5, weights=values / 2, order=order if ordered else None)
  for row in range(5):
    expected = [e for e in entries if e[0] == row]
    if ordered:
      expected.sort(key=lambda e: e[2])
    assert ragged.row(row).tolist() == [e[1] for e in expected]
  assert len(ragged) == 5 and ragged.lengths.sum() == len(entries)
  np.testing.assert_array_equal(ragged.weights, ragged.values / np.float32(2))
  assert ragged.values.dtype == np.int32 and ragged.weights.dtype == np.float32


@settings(deadline=None, max_examples=50)
@given(ROWS, st.integers(1, 8), st.lists(st.integers(0, 4), max_size=6))
def test_pad_cuts_and_fills(entries, length, chosen):
  rows, values, _ = np.array(entries, np.int64).reshape(-1, 3).T
  ragged = group(rows, values, 5)
  padded, weights = pad(ragged, np.array(chosen, np.int64), length, -7)
  assert padded.shape == weights.shape == (len(chosen), length)
  for row, line, weight in zip(chosen, padded, weights, strict=True):
    expected = ragged.row(row)[:length].tolist()
    assert line.tolist() == expected + [-7] * (length - len(expected))
    assert weight.tolist() == [1] * len(expected) + [0] * (length - len(expected))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 300), max_size=40), st.integers(1, 500), st.sampled_from([1, 8, 5]))
def test_buckets_hold_every_row_once_in_few_shapes(lengths, budget, smallest):
  batches = list(buckets(lengths, budget, smallest))
  assert sorted(r for rows, _, _ in batches for r in rows) == list(range(len(lengths)))
  sizes = {}
  for rows, length, size in batches:
    assert len(rows) <= size and (size * length <= budget or size == 1)
    assert all(lengths[r] <= length for r in rows)
    assert length == smallest or any(lengths[r] > length // 2 for r in rows)
    assert sizes.setdefault(length, size) == size
  assert all(np.log2(length / smallest).is_integer() for length in sizes)
