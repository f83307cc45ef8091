"""Files of the exact form of MIND, simulated: readers with favourite topics, news that are read for two days."""

import datetime
import json
import pathlib
import zipfile

import numpy as np

TOPICS = {'sports': ('football_nfl', 'Quarterback'), 'finance': ('markets', 'Shares'), 'travel': ('hotels', 'Island'),
          'foodanddrink': ('recipes', 'Kitchen'), 'health': ('wellness', 'Doctors')}
DAYS = 7  # 2019-11-09 to 2019-11-15, of which the last is dev
_START = datetime.datetime(2019, 11, 9)


def write(folder, users=200, news=300, size='small', seed=0):
  """Writes MIND`size`_train.zip and MIND`size`_dev.zip into `folder`; returns {archive name: path}.

  Some news are from before the period and occur in histories alone; the others appear day by day.
  """
  rng = np.random.default_rng(seed)
  names = list(TOPICS)
  topic = rng.integers(len(names), size=news)
  appears = np.sort(rng.integers(-2, DAYS, size=news))
  taste = rng.dirichlet(np.full(len(names), .4), size=users)
  lines = [_news(k, names[topic[k]], rng) for k in range(news)]
  old = np.flatnonzero(appears < 0)
  histories = [' '.join(f'N{k}' for k in rng.choice(old, size=rng.integers(0, 9), p=_normal(taste[u][topic[old]])))
               for u in range(users)]
  paths = {}
  for part, days in (('train', range(DAYS - 1)), ('dev', (DAYS - 1,))):
    rows = []
    for day in days:
      current = np.flatnonzero((appears <= day) & (appears >= day - 1))
      for user in rng.permutation(users)[:users * 2 // 3]:
        shown = rng.choice(current, size=min(12, len(current)), replace=False)
        clicked = rng.random(len(shown)) < .02 + .6 * taste[user][topic[shown]]
        if not clicked.any():
          clicked[0] = True
        moment = _START + datetime.timedelta(days=day, seconds=int(rng.integers(86400)))
        rows.append((f'U{user}', _clock(moment), histories[user],
                     ' '.join(f'N{n}-{int(c)}' for n, c in zip(shown, clicked, strict=True))))
    behaviors = ''.join('\t'.join((str(k), *row)) + '\n' for k, row in enumerate(rows, 1))
    known = ''.join(lines[k] for k in np.flatnonzero(appears <= max(days)))
    name = f'MIND{size}_{part}.zip'
    paths[name] = archive(pathlib.Path(folder, name), behaviors, known)
  return paths


def archive(path, behaviors, news):
  """Writes one archive with its members, the vectors of entities and relations included; returns its path."""
  with zipfile.ZipFile(path, 'w') as file:
    for member, text in (('behaviors.tsv', behaviors), ('news.tsv', news), ('entity_embedding.vec', ''),
                         ('relation_embedding.vec', '')):
      file.writestr(zipfile.ZipInfo(member), text)
  return path


def _news(k, category, rng):
  subcategory, label = TOPICS[category]
  entity = json.dumps([{'Label': f'{label} {k % 7}', 'Type': 'N', 'WikidataId': f'Q{k % 7}', 'Confidence': 1.0,
                        'OccurrenceOffsets': [0], 'SurfaceForms': [label]}])
  words = rng.choice(['today', 'again', 'for once', 'at last', 'in "style"', 'by night'], size=2)
  return '\t'.join((f'N{k}', category, subcategory, f'{label} {words[0]}', f'All about {category} {words[1]}.',
                    f'https://assets.msn.com/labs/mind/N{k}.html', entity, '[]')) + '\n'


def _normal(weights):
  return (weights + 1e-3) / (weights + 1e-3).sum()


def _clock(moment):
  hour = moment.hour % 12 or 12
  return f'{moment.month}/{moment.day}/{moment.year} {hour}:{moment:%M:%S} {"AM" if moment.hour < 12 else "PM"}'
