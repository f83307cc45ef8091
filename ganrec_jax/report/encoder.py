"""The report's section on the encoder: how it learned, and where it puts the items."""

import collections

import numpy as np
from scipy.sparse.linalg import eigsh

from ganrec_jax.report import marks, plots
from ganrec_jax.report.plots import HUES, LIGHT, MARKERS
from ganrec_jax.report.sections import Section
from ganrec_jax.report.telling import number, percent, plain

_MOST = 2500  # points of the map, so that the page stays small
_NEAR = 10  # neighbours
_NAMED = 12  # items whose title is written into the map
_LONG = 60  # letters of a title on hover
_STAGES = {'mlm': 'masked words', 'adapt': 'adaptation to the task'}
_OTHER = 'other'
_SIZE, _PLACE = (5.2, 5.), (.055, .06, .935, .8)  # of the map; the legend stands above it


def make(run):
  """The section and its plots, see `index.render`."""
  figures, vectors = _learning(run), run.vectors
  kind = run.results['config']['encoder']['kind']
  if vectors is None:
    return (Section('The encoder', text='This run read no texts with an encoder: phrases and words alone (TF-IDF) say '
                    'what its items are like.'),), {}
  units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
  points, shares = project(units)
  items = most_active(run)
  classes, names = kinds(run.prepared.dataset.catalogue.phrases, items, run.prepared.warm)
  caption = (f'{_which(len(items), len(points))} by the two directions in which their vectors, of length 1, differ '
             f'most (principal components, {percent(shares[0])} and {percent(shares[1])} of the variance). Colour and '
             'marker: ' + ('the first that holds of the most frequent phrases.' if _OTHER in names else 'known or new.')
             + ' A point tells its title where the mouse rests on it.')
  figures['map'] = (_map(run, points[items], items, classes, names, caption), caption)
  lines = [('vectors', f'{number(len(vectors), "item")} of {vectors.shape[1]} numbers'), ('encoder', {
    'pretrained': f'pretrained, {plain(run.results["config"]["encoder"]["weights"])}',
    'trained': 'a small BERT, trained here on the texts of known items',
    'none': 'ready vectors of the catalogue'}[kind])]
  for stage, label in _STAGES.items():
    if stage in run.results['encoder']:
      found = run.results['encoder'][stage]
      lines.append((label, f'{number(found["steps"], "step")}, the parameters of step {found["best_step"]:,} were kept '
                    f'(held-out loss {-found["best"]:.3f})'))
  if _OTHER in names:
    near, chance = neighbours(units[items], classes, len(names) - 1)
    lines.append(('neighbours', f'{percent(near)} of the {_NEAR} nearest items are of the same kind (colours of the '
                  f'map); {percent(chance)} would be by chance'))
  learned = tuple(name for name in figures if name != 'map')
  return (Section('The encoder', tuple(lines), plots=('map',)),
          *((Section('How it learned', plots=learned, level=3),) if learned else ())), figures


def _which(shown, there):
  return 'All items' if shown == there else f'The {number(shown)} items with most interactions, of {number(there)},'


def _learning(run):
  """The plots of the stages that were trained."""
  figures = {}
  for stage, label in _STAGES.items():
    records, found = run.metrics.get(stage, ()), run.results['encoder'].get(stage)
    lines = (*marks.line(records, 'loss', 'training', 'second', 'o', '--'),
             *marks.line(records, 'valid', 'held out', 'first', 'D', sign=-1))
    if lines and found:
      curves = marks.Curves(lines, 'loss', ((found['best_step'], LIGHT['first']),), tuple(run.restarts.get(stage, ())))
      figures[f'encoder {stage}'] = (
        plots.both(marks.draw_curves, curves, 'y', place=marks.LABELLED),
        f'{label[0].upper()}{label[1:]}: the loss on what is trained and on what is held out.')
  return figures


def project(vectors):
  """The first two principal components of `vectors [n, dim]`: float `[n, 2]`, and their shares of the variance."""
  centred = vectors.astype(np.float64) - vectors.mean(0)
  scatter = centred.T @ centred
  # All eigenvectors of wide vectors would take seconds; two come at once.
  values, directions = eigsh(scatter, 2, v0=np.ones(len(scatter))) if len(scatter) > 2 else np.linalg.eigh(scatter)
  order = np.argsort(-values)
  values, top = values[order], directions[:, order]
  # A direction and its opposite are as good; which one comes out is left to no library.
  top = top * np.where(top[np.abs(top).argmax(0), np.arange(top.shape[1])] < 0, -1, 1)
  found = np.pad(centred @ top, ((0, 0), (0, 2 - top.shape[1])))
  shares = np.pad(values, (0, 2))[:2] / max(np.trace(scatter), np.finfo(float).tiny)
  return found, shares


def neighbours(units, classes, other):
  """The share of the `_NEAR` nearest items that are of an item's own class, and what it would be by chance.

  Args:
    units: float `[n, dim]`, vectors of length 1.
    classes: int `[n]`.
    other: the class of those that are of none; they are left out.
  """
  units, classes = units[classes != other], classes[classes != other]
  alike = units @ units.T
  np.fill_diagonal(alike, -np.inf)
  k = min(_NEAR, len(units) - 1)
  if k < 1:
    return 0., 0.
  nearest = np.argpartition(-alike, k - 1, axis=1)[:, :k]
  counts = np.bincount(classes)
  return (float((classes[nearest] == classes[:, None]).mean()),
          float((counts * (counts - 1)).sum() / (len(units) * (len(units) - 1))))


def most_active(run):
  """At most `_MOST` items, int `[m]`, those with most interactions first."""
  data = run.prepared.dataset
  counts = np.bincount(data.interactions.item, minlength=data.items)
  return np.argsort(-counts, kind='stable')[:_MOST]


def kinds(phrases, items, warm):
  """The class of each of `items [m]`, int `[m]`, and the names of the classes, at most seven.

  Classes are phrases, each the one that most items have which are in none yet; an item is in the first that it has,
  the last class are all others. Without phrases the classes are known and new items.
  """
  if not any(phrases[item] for item in items):
    return (~np.isin(items, warm)).astype(int), ['known', 'new']
  open_to, found, names = {int(item) for item in items}, {}, []
  while len(names) < len(HUES):
    # Of equally frequent ones the first by letters, so that a page is the same each time.
    counts = collections.Counter(phrase for item in sorted(open_to) for phrase in set(phrases[item]))
    if not counts:
      break
    best = min(counts, key=lambda phrase: (-counts[phrase], phrase))
    for item in [item for item in open_to if best in phrases[item]]:
      found[item] = len(names)
      open_to.remove(item)
    names.append(best)
  return np.array([found.get(int(item), len(names)) for item in items]), [*names, _OTHER]


def _map(run, points, items, classes, names, caption):
  titles = [plain(title, _LONG) for title in run.prepared.dataset.catalogue.titles[items]]
  groups = {f'kind-{k}': [titles[place] for place in np.flatnonzero(classes == k)] for k in range(len(names))}
  return plots.inline(_draw, (points, titles, classes, names), 'both',
                      {name: words for name, words in groups.items() if words}, caption, _SIZE, _PLACE)


def _draw(axes, found):
  points, titles, classes, names = found
  # The rarer a class, the further in front.
  for k in sorted(range(len(names)), key=lambda k: -np.sum(classes == k)):
    rows = classes == k
    other = names[k] == _OTHER
    if rows.any():
      drawn = axes.scatter(*points[rows].T, s=7 if other else 11, marker='.' if other else MARKERS[k],
                           color=LIGHT['soft' if other else HUES[k]], alpha=.85, linewidths=0,
                           label=marks.letters(names[k], 16))
      drawn.set_gid(f'kind-{k}')
  # Units of a component say nothing.
  axes.tick_params(labelbottom=False, labelleft=False, length=0)
  axes.set_xlabel('first component')
  axes.set_ylabel('second component')
  marks.label_points(axes, *points.T, [plain(title, 22) for title in titles[:200]], _NAMED)
  handles, labels = axes.get_legend_handles_labels()
  order = sorted(range(len(labels)), key=lambda k: (labels[k] == _OTHER, -handles[k].get_offsets().shape[0]))
  axes.legend([handles[k] for k in order], [labels[k] for k in order], loc='lower left', bbox_to_anchor=(0, 1),
              ncols=4, fontsize=9.5, markerscale=1.5, handletextpad=.1, columnspacing=1., borderaxespad=.2)
