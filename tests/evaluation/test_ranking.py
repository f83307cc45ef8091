import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.data.ragged import group
from ganrec_jax.evaluation import ranking
from ganrec_jax.evaluation.ranking import Blocks, best, hits, metrics_per_user, top_k
from ganrec_jax.evaluation.tasks import Task
from ganrec_jax.models import recommenders
from ganrec_jax.models.recommenders import RecommenderConfig
from ganrec_jax.stages.recommend import NETWORK

from .worlds import reference_list, reference_metrics


def lookup(params, users):
  return params[users]


def product(params, users):
  return jnp.tanh(params['users'][users]) @ params['items'].T


def user_part(params, users):
  return params['users'][users]


def item_part(params, items):
  return params['items'] if items is None else params['items'][items]


def by_product(state, block):
  return state @ block.T


def by_two_products(state, block):
  return jnp.stack([state @ block.T, -state @ block.T])


FACTORS = Blocks(user_part, item_part, by_product)


def whole_numbers(rng, users, items, levels=3):
  """Factors whose products are exact and often equal."""
  draw = lambda rows: jnp.asarray(rng.integers(-levels, levels + 1, (rows, 3)), jnp.float32)  # noqa: E731
  return {'users': draw(users), 'items': draw(items)}


def make_task(rng, users, items, candidates, seen=.3):
  """A task of `users` users of twice as many, some with nothing seen and some with all."""
  chosen = np.sort(rng.choice(2 * users, users, replace=False)).astype(np.int32)
  chance = rng.choice([0., seen, 1.], (users, 1), p=[.2, .7, .1])
  row, item = np.nonzero(rng.random((users, items)) < chance)
  nothing = group(np.zeros(0, int), np.zeros(0, int), users)
  return Task('warm', chosen, rng.permutation(items)[:candidates].astype(np.int32), nothing,
              group(row, item, users))


def assert_lists(scores, task, k, lists, values):
  for r, user in enumerate(task.users):
    due = reference_list(scores[user], task.candidates.tolist(), set(task.seen.row(r).tolist()), k)
    assert lists[r].tolist() == due + [-1] * (k - len(due))
    assert values[r].tolist() == scores[user][due].tolist() + [-np.inf] * (k - len(due))


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000), st.sampled_from([1, 7, 64, 65]), st.sampled_from([(1, 1), (5, 3), (40, 40)]),
       st.sampled_from([1, 4, 50]), st.integers(1, 4))
def test_lists_equal_a_stable_sort(seed, users, sizes, k, levels):
  """Few levels make many ties; -0, -inf, users who have seen everything and lists that run short are among them."""
  rng = np.random.default_rng(seed)
  task = make_task(rng, users, *sizes)
  scores = rng.choice(np.array([0., -0., -np.inf, 1.5, -2.], np.float32)[:levels + 1], (2 * users, sizes[0]))
  assert_lists(scores, task, k, *top_k(lookup, jnp.asarray(scores), task, k))


def test_equal_scores_leave_the_order_of_the_candidates():
  task = make_task(np.random.default_rng(0), 9, 30, 30, seen=0.)
  lists, _ = top_k(lookup, jnp.zeros((18, 30)), task, k=30)
  open_to = task.seen.lengths == 0
  assert open_to.any()
  np.testing.assert_array_equal(lists[open_to], np.tile(task.candidates, (open_to.sum(), 1)))


@pytest.mark.parametrize('users', [1, 7, 8, 9, 511, 512, 513])
def test_neither_batch_size_nor_devices_change_a_bit(users):
  rng = np.random.default_rng(users)
  task = make_task(rng, users, 200, 150)
  params = {'users': jnp.asarray(rng.normal(size=(2 * users, 33)), jnp.float32),
            'items': jnp.asarray(rng.normal(size=(200, 33)), jnp.float32)}
  lists, values = top_k(product, params, task, k=20)
  scores = np.asarray(product(params, jnp.arange(2 * users)))
  np.testing.assert_allclose(values, np.take_along_axis(np.concatenate([scores, np.full((2 * users, 1), -np.inf)], 1)[
      task.users], lists, axis=1), rtol=1e-5, atol=1e-5)
  for batch, devices in ((1, 1), (65, 1), (1000, 1), (1, 2), (7, 8), (513, 8)):
    if devices > jax.local_device_count():
      pytest.skip(f'{devices} devices are not there: XLA_FLAGS=--xla_force_host_platform_device_count=8')
    again = top_k(product, params, task, 20, batch, devices)
    np.testing.assert_array_equal(again[0], lists)
    np.testing.assert_array_equal(again[1], values)


def test_a_score_function_is_compiled_once_for_all_batches_and_calls():
  traces = []

  def counted(params, users):
    traces.append(users.shape)
    return params[users]
  rng = np.random.default_rng(0)
  task = make_task(rng, 300, 20, 20)
  for _ in range(2):
    top_k(counted, jnp.asarray(rng.normal(size=(600, 20)), jnp.float32), task, 5, batch=64)
  assert len(traces) == 1


def test_score_functions_may_scan_and_give_bfloat16():
  def scanned(params, users):
    start = jnp.zeros((len(users), params.shape[1]), jnp.bfloat16)
    return jax.lax.scan(lambda carry, _: (carry + params[users].astype(jnp.bfloat16), None), start, length=2)[0]
  rng = np.random.default_rng(0)
  task = make_task(rng, 9, 12, 12)
  scores = rng.integers(-4, 4, (18, 12)).astype(np.float32)
  lists, values = top_k(scanned, jnp.asarray(scores), task, 5, devices=min(2, jax.local_device_count()))
  assert_lists(2 * scores, task, 5, lists, values)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.sampled_from([1, 40, 41, 300]), st.sampled_from([1, 3, 12]), st.sampled_from([2, 5]))
def test_the_best_are_those_of_a_stable_sort(seed, n, k, group_size):
  rng, k = np.random.default_rng(seed), min(n, k)
  scores = rng.choice(np.array([0., -0., -np.inf, 1.5, -2., *rng.normal(size=9)], np.float32), (3, n))
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(ranking, '_GROUP', group_size)
    values, columns = best(jnp.asarray(scores), k)
  due = np.argsort(-scores, axis=1, kind='stable')[:, :k]
  np.testing.assert_array_equal(columns, due)
  np.testing.assert_array_equal(values, np.take_along_axis(scores, due, 1))


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 1000), st.sampled_from([1, 7, 16, 39, 40]), st.sampled_from([4, 50]), st.sampled_from([1, 7]))
def test_blocks_of_any_size_give_the_lists_of_a_stable_sort(seed, size, k, devices):
  rng = np.random.default_rng(seed)
  task, params = make_task(rng, 70, 45, 40), whole_numbers(rng, 140, 45)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(ranking, '_BLOCK', size)
    found = top_k(FACTORS, params, task, k, batch=128, devices=devices)
  scores = np.asarray(FACTORS(params, jnp.arange(140)))
  assert_lists(scores, task, k, *found)


def test_blocks_may_have_variants(monkeypatch):
  monkeypatch.setattr(ranking, '_BLOCK', 16)
  rng = np.random.default_rng(0)
  task, params = make_task(rng, 70, 45, 40), whole_numbers(rng, 140, 45)
  both = top_k(Blocks(user_part, item_part, by_two_products), params, task, 9)
  scores = np.asarray(FACTORS(params, jnp.arange(140)))
  for variant, one in enumerate((scores, -scores)):
    assert_lists(one + 0., task, 9, *(x[:, variant] for x in both))


@pytest.mark.parametrize('place', [0, 3, 39])
@pytest.mark.parametrize('value', [np.nan, -np.nan, np.inf])
def test_faulty_scores_are_found_in_every_block(place, value, monkeypatch):
  """Whether the user has seen the item or not; the last block is filled up with the first candidate."""
  monkeypatch.setattr(ranking, '_BLOCK', 16)
  monkeypatch.setattr(ranking, '_GROUP', 2)
  rng = np.random.default_rng(0)
  task, params = make_task(rng, 70, 45, 40), whole_numbers(rng, 140, 45)
  params = {'users': jnp.ones((140, 3)), 'items': params['items'].at[task.candidates[place], 0].set(value)}
  with pytest.raises(FloatingPointError, match='70 of 70'):
    top_k(FACTORS, params, task, 3)


def test_memory_does_not_grow_with_the_items(monkeypatch):
  monkeypatch.setattr(ranking, '_BLOCK', 4096)
  mesh = jax.sharding.Mesh(np.array(jax.local_devices()[:1]), ('devices',))

  def room(blocks):
    shapes = {'blocks': (blocks, 4096, 3), 'users': (2, 64), 'row': (2, 16), 'column': (2, 16)}
    shapes = {name: jax.ShapeDtypeStruct(shape, jnp.float32 if name == 'blocks' else jnp.int32)
              for name, shape in shapes.items()}
    params = {'users': jax.ShapeDtypeStruct((128, 3), jnp.float32), 'items': shapes['blocks']}
    compiled = ranking._rank.lower(mesh, 5, blocks * 4096, False, FACTORS, params, **shapes).compile()
    return compiled.memory_analysis().temp_size_in_bytes
  assert room(40) < 1.5 * room(4) < 8 * 64 * 4096 * 4


def test_item_tables_spread_by_rows_over_eight_devices_give_the_same_bits(monkeypatch):
  """No device ever holds more of an item table than its share; of 11 blocks there are 2 on each but the last three."""
  if jax.local_device_count() < 8:
    pytest.skip('8 devices are not there: XLA_FLAGS=--xla_force_host_platform_device_count=8')
  monkeypatch.setattr(ranking, '_BLOCK', 100)
  rng, devices = np.random.default_rng(0), jax.local_devices()[:8]
  task = make_task(rng, 70, 1043, 1040)
  histories = rng.integers(0, 1043, (140, 6))
  net = recommenders.init(jax.random.key(0), RecommenderConfig(dim=8, hidden=8), 1043, 1)
  model = recommenders.Recommender(net, net['id'], jnp.asarray(rng.normal(size=1043), jnp.float32),
                                   jnp.asarray(histories), jnp.ones((140, 6)), RecommenderConfig(dim=8, hidden=8))
  due = top_k(NETWORK, model, task, 7)
  mesh = jax.sharding.Mesh(np.array(devices), ('devices',))
  spread = jax.tree.map(lambda x: ranking._placed(x, mesh), model)
  tables = [spread.vectors, spread.bias, spread.params['id'], *ranking._spread(
    NETWORK, spread, ranking._in_blocks(task.candidates, 100, 8), mesh)]
  for table in tables:
    assert {shard.data.nbytes * 8 for shard in table.addressable_shards} == {table.nbytes}
  for params in (spread, model):
    for one, other in zip(top_k(NETWORK, params, task, 7, devices=8), due, strict=True):
      np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_faulty_scores_name_the_user(value):
  task = make_task(np.random.default_rng(0), 100, 10, 6)
  scores = np.zeros((200, 10), np.float32)
  left_out = np.setdiff1d(np.arange(10), task.candidates)
  scores[:, left_out[0]] = value
  top_k(lookup, jnp.asarray(scores), task)
  scores[task.users[70], task.candidates[2]] = value
  with pytest.raises(FloatingPointError, match=f'user {task.users[70]} .*1 of 100'):
    top_k(lookup, jnp.asarray(scores), task)


def test_faulty_scores_of_users_outside_the_task_do_not_matter():
  task = make_task(np.random.default_rng(0), 70, 10, 6)
  scores = np.full((140, 10), np.nan, np.float32)
  scores[task.users] = 1
  top_k(lookup, jnp.asarray(scores), task)


def test_wrong_sizes_are_refused():
  task = make_task(np.random.default_rng(0), 5, 10, 10)
  with pytest.raises(ValueError, match='with at least 10 items'):
    top_k(lookup, jnp.zeros((10, 9)), task)
  for sizes in ({'k': 0}, {'batch': 0}, {'devices': 0}, {'devices': jax.local_device_count() + 1}):
    with pytest.raises(ValueError, match='at least 1'):
      top_k(lookup, jnp.zeros((10, 10)), task, **sizes)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 1000), st.integers(1, 30), st.sampled_from([1, 3, 25, 60]), st.sampled_from([1, 5, 20, 30]))
def test_metrics_equal_their_definition(seed, users, items, k):
  rng = np.random.default_rng(seed)
  lists = np.stack([rng.permutation(items) for _ in range(users)])
  lists[np.arange(items) >= rng.integers(0, items + 1, (users, 1))] = -1
  row, item = np.nonzero(rng.random((users, items)) < rng.choice([0., .1, .8], (users, 1)))
  targets = group(row, item, users)
  values = metrics_per_user(lists, targets, k)
  assert list(values) == [f'ndcg@{k}', f'recall@{k}', f'mrr@{k}']
  for r in range(users):
    wanted = set(targets.row(r).tolist())
    got = [v[r] for v in values.values()]
    if wanted:
      assert got == list(reference_metrics([i for i in lists[r].tolist() if i >= 0], wanted, k))
    else:
      assert np.isnan(got).all()


def test_hits_of_large_indices_do_not_overflow():
  lists = np.array([[2 ** 31 - 2, 5], [5, 2 ** 31 - 2]], np.int32)
  targets = group(np.array([0, 1]), np.array([2 ** 31 - 2, 2 ** 31 - 2]), 2)
  assert hits(lists, targets).tolist() == [[True, False], [False, True]]


def test_lists_of_other_users_are_refused():
  with pytest.raises(ValueError, match='2 lists for 1'):
    metrics_per_user(np.zeros((2, 3), np.int32), group(np.array([0]), np.array([0]), 1))


def test_an_empty_task_and_empty_lists():
  empty = group(np.zeros(0, int), np.zeros(0, int), 0)
  task = Task('cold', np.zeros(0, np.int32), np.arange(3, dtype=np.int32), empty, empty)
  lists, values = top_k(lookup, jnp.zeros((1, 3)), task, 4)
  assert lists.shape == values.shape == (0, 4)
  one = group(np.array([0]), np.array([1]), 1)
  assert metrics_per_user(np.zeros((1, 0), np.int32), one)['ndcg@20'].tolist() == [0.]
