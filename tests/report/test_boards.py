"""What is written for TensorBoard is read back: lengths, realness and weights as histograms, items in the projector."""

import struct

import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from ganrec_jax.adversarial import expand
from ganrec_jax.errors import UserError
from ganrec_jax.report import boards
from ganrec_jax.stages.prepare import prepare
from tests.stages import worlds


def events(path):
  """The events of a file: length, a checksum of it, the message, a checksum of that."""
  data, place = path.read_bytes(), 0
  while place < len(data):
    length, = struct.unpack_from('<Q', data, place)
    yield event_pb2.Event.FromString(data[place + 12:place + 12 + length])
    place += 16 + length


def histograms(folder):
  """name -> histogram of all event files of a folder."""
  return {value.tag: value.histo for path in folder.glob('events.*') for event in events(path)
          for value in event.summary.value}


@pytest.fixture(scope='module')
def case():
  prepared, rng = prepare(worlds.config()), np.random.default_rng(0)
  n = prepared.dataset.items
  vectors = {'texts': rng.normal(size=(n, 96)).astype(np.float32), 'factors': rng.normal(size=(n, 16))}
  made = expand.Generated(np.zeros(6, np.int32), np.int32([0, 0, 1, 2, 3, 3]), np.float32([.1] * 4 + [.5] * 2),
                          np.array(['gan'] * 4 + ['random_pairs'] * 2), np.float32([.2, .4, .6, .8, np.nan, np.nan]))
  prepared.dataset.catalogue.titles[5] = 'a\ttab and\na line'
  return prepared, vectors, made


def test_histograms_are_of_all_items_and_of_what_was_generated(case, tmp_path):
  prepared, vectors, made = case
  boards.write(str(tmp_path), *case)
  found, n = histograms(tmp_path / 'tensorboard' / 'outcome'), prepared.dataset.items
  # Nothing judged the pairs of the control, so their realness has no histogram.
  assert set(found) == {f'length/{name}/{kind}' for name in vectors for kind in ('known', 'new')} | {
    'generated/gan/realness', 'generated/gan/weight_of_an_item', 'generated/random_pairs/weight_of_an_item'}
  for name, rows in vectors.items():
    known, new = (found[f'length/{name}/{kind}'] for kind in ('known', 'new'))
    assert (known.num, new.num) == (len(prepared.warm), n - len(prepared.warm)) and new.num
    assert known.sum + new.sum == pytest.approx(np.linalg.norm(rows, axis=1).sum())
  realness = found['generated/gan/realness']
  assert (realness.num, realness.min, realness.max) == (4, pytest.approx(.2), pytest.approx(.8))
  assert found['generated/gan/weight_of_an_item'].sum == pytest.approx(.4)
  # Twice the same item.
  assert found['generated/random_pairs/weight_of_an_item'].max == pytest.approx(1.)
  assert found['generated/random_pairs/weight_of_an_item'].num == n


def test_the_projector_has_every_item_with_its_title(case, tmp_path):
  prepared, vectors, _ = case
  boards.write(str(tmp_path), *case)
  folder, data = tmp_path / 'tensorboard' / 'outcome', prepared.dataset
  place = {str(one): i for i, one in enumerate(data.catalogue.ids)}
  for name, rows in vectors.items():
    header, *labels = [line.split('\t') for line in
                       (folder / '00000' / name / 'metadata.tsv').read_text('utf-8').splitlines()]
    assert header == ['title', 'id', 'interactions', 'known']
    items = [place[label[1]] for label in labels]
    assert sorted(items) == list(range(data.items)) and all(len(label) == 4 for label in labels)
    assert labels[items.index(5)][0] == 'a tab and a line'
    assert labels[items.index(6)][0] == data.catalogue.titles[6]
    assert [int(label[2]) for label in labels] == sorted(np.bincount(data.interactions.item), reverse=True)
    assert sum(label[3] == 'known' for label in labels) == len(prepared.warm)
    points = np.loadtxt(folder / '00000' / name / 'tensors.tsv', delimiter='\t')
    assert points.shape == (data.items, min(rows.shape[1], 64))
    if rows.shape[1] <= 64:
      np.testing.assert_allclose(points, rows[items], atol=1e-4)


def test_writing_again_leaves_the_same(case, tmp_path):
  folder = tmp_path / 'tensorboard' / 'outcome'
  seen = []
  for _ in range(2):
    boards.write(str(tmp_path), *case)
    seen.append(({path.relative_to(folder): path.read_bytes() for path in folder.rglob('*')
                  if path.is_file() and not path.name.startswith('events.')}, histograms(folder)))
  assert seen[0] == seen[1] and len(list(folder.glob('events.*'))) == 1
  assert (folder / 'projector_config.pbtxt').read_text().count('embeddings {') == 2


def test_few_directions_keep_the_most_of_the_differences(monkeypatch):
  rng = np.random.default_rng(1)
  rows = rng.normal(size=(400, 100)) * np.linspace(3, .1, 100) + 5.
  found = boards.narrowed(rows)
  singular = np.linalg.svd(rows - rows.mean(0), compute_uv=False)
  np.testing.assert_allclose((found**2).sum(0), singular[:64]**2, rtol=1e-3)


def test_a_large_catalogue_is_cut_to_the_items_with_most_interactions(case, tmp_path, monkeypatch):
  monkeypatch.setattr(boards, '_ITEMS', 10)
  boards.write(str(tmp_path), *case)
  lines = (tmp_path / 'tensorboard/outcome/00000/factors/metadata.tsv').read_text('utf-8').splitlines()[1:]
  counts = np.sort(np.bincount(case[0].dataset.interactions.item))[::-1]
  assert [int(line.split('\t')[2]) for line in lines] == counts[:10].tolist()


def test_a_folder_that_cannot_be_written_is_named(case, tmp_path):
  (tmp_path / 'tensorboard').write_text('a file')
  with pytest.raises(UserError, match='outcome: cannot be written'):
    boards.write(str(tmp_path), *case)
