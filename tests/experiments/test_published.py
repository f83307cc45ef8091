"""The published protocol: its split and metrics by hand, LightGCN's sparse products, and a run that is kept."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import published
from experiments.peers import graph
from ganrec_jax.data.ragged import group
from ganrec_jax.data.types import PARTS, Interactions
from ganrec_jax.stages import prepare
from tests.experiments import problems


def _published_counts(total):
  """Training, validation and test pairs of a user, by RecBole's own loop over the ratios."""
  ratios = .8, .1, .1
  counts = [int(ratio * total) for ratio in ratios]
  counts[0] = total - sum(counts[1:])
  for i in range(1, 3):
    if counts[0] <= 1:
      break
    if 0 < ratios[-i] * total < 1:
      counts[-i] += 1
      counts[0] -= 1
  return counts


def test_each_user_is_split_as_recbole_does():
  totals = np.array([*range(1, 32), 50, 99])
  user = np.random.default_rng(0).permutation(np.repeat(np.arange(len(totals), dtype=np.int32), totals))
  log = Interactions(user, np.arange(len(user), dtype=np.int32), np.ones(len(user), np.float32))
  first, again, other = (published.split(log, len(totals), seed).part for seed in (0, 0, 1))
  found = [[((user == u) & (first == PARTS.index(part))).sum() for part in ('train', 'valid', 'test')]
           for u in range(len(totals))]
  assert found == [_published_counts(int(total)) for total in totals]
  np.testing.assert_array_equal(first, again)
  assert (first != other).any()


def test_metrics_by_hand():
  lists = np.array([[4, 1, 7, *range(10, 17)], [20, 21, 22, *range(30, 37)]])
  targets = group(np.repeat([0, 1], [12, 2]), np.array([1, 7, *range(100, 110), 5, 6]), 2)
  found = published.metrics(lists, targets)
  log = np.log2(np.arange(2, 12))
  assert found['recall@10'].tolist() == [2 / 12, 0.]
  assert found['precision@10'].tolist() == [.2, 0.]
  assert found['hit@10'].tolist() == [1., 0.]
  assert found['mrr@10'].tolist() == [.5, 0.]
  np.testing.assert_allclose(found['ndcg@10'], [(1 / log[1] + 1 / log[2]) / (1 / log).sum(), 0.])


def test_sparse_products_propagate_as_the_peer_does():
  random = np.random.default_rng(0)
  row, column = (jnp.asarray(x, jnp.int32) for x in (random.random((5, 8)) < .4).nonzero())
  edges = row, column, graph.edge_weights(row, column, 5, 8)
  tables = tuple(jnp.asarray(random.normal(size=(n, 3)), jnp.float32) for n in (5, 8))
  pull = [jnp.asarray(random.normal(size=(n, 3)), jnp.float32) for n in (5, 8)]
  matrix = published.adjacency(edges, 5, 8)

  def through(propagate):
    def value(tables):
      found = propagate(*tables)
      return sum((a * b).sum() for a, b in zip(found, pull, strict=True)), found
    return jax.value_and_grad(value, has_aux=True)(tables)
  due, found = (through(one) for one in (lambda u, v: graph.propagate(edges, u, v, 3),
                                         lambda u, v: published.propagate(matrix, u, v, 3)))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), due, found)


@pytest.fixture(scope='module')
def one():
  """A split of the small world, in which one item has a single training listener."""
  small = problems.small()
  config = small.config.copy_and_resolve_references()
  config.base.update(sweeps=2, dim=4, turn_knobs=False)
  dataset = small.prepared.dataset
  return published.Problem(config, prepare.Prepared(
    dataset, published.split(dataset.interactions, dataset.users, 0), None))


def test_ours_lists_items_with_too_few_listeners_last(one):
  counts = np.bincount(one.prepared.histories.values, minlength=one.prepared.dataset.items)
  smaller, items = published.known(one)
  assert (counts < 2).any() and items.tolist() == np.flatnonzero(counts >= 2).tolist()
  due = {(u, i) for u in range(len(one.prepared.histories)) for i in one.prepared.histories.row(u) if counts[i] >= 2}
  assert due == {(u, items[i]) for u in range(len(due)) if u < len(smaller.prepared.histories)
                 for i in smaller.prepared.histories.row(u)}
  score, params = published.base(one, jax.random.key(0))
  assert ((np.asarray(score(params, jnp.arange(3))) == -np.inf) == (counts < 2)).all()


def test_a_run_is_kept_and_has_a_line_for_each_row(one, tmp_path, monkeypatch):
  monkeypatch.setattr(published, '_EPOCHS', 10)
  fitted = []
  fits = {row: lambda *args, row=row, fit=fit: (fitted.append(row), fit(*args))[1]
          for row, fit in published.FITS.items()}
  monkeypatch.setattr(published, 'FITS', fits)
  first, second = (published.run(one.config, one.prepared.dataset, published.ROWS, 2, tmp_path) for _ in range(2))
  assert sorted(fitted) == sorted(published.ROWS * 2) and first['rows'] == second['rows']
  lines = published.markdown(first).splitlines()
  assert len(lines) == 2 + len(published.PUBLISHED) + len(published.ROWS)
  assert lines[5].startswith('| LightGCN, published | 0.2064 | 0.3559 | 0.1972 |')
  values = first['rows']['LightGCN']['ndcg@10']
  assert f'{np.mean(values):.4f} ({np.std(values, ddof=1):.4f})' in lines[9]
