"""Generated users as a log of one's own: interactions.csv and items.csv, as `data/tables.py` reads them."""

import csv
import io
import os
import shutil

import numpy as np
from tqdm import tqdm

from ganrec_jax import artifacts
from ganrec_jax.data.split_files import cells, write_rows
from ganrec_jax.errors import UserError
from ganrec_jax.profiles import generator
from ganrec_jax.profiles import times as clock
from ganrec_jax.training import interrupt

_SAVED = 16  # batches of users between two notes of how far it is


def write_items(path, catalogue):
  """Writes item_id, title, text and tags (attribute phrases between |) of each item, whole or not at all."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(('item_id', 'title', 'text', 'tags'))
  writer.writerows(zip(catalogue.ids, catalogue.titles, catalogue.texts, map('|'.join, catalogue.phrases), strict=True))
  artifacts.write_atomically(path, lambda file: file.write(text.getvalue().encode()))


def prefix(user_ids):
  """What generated user ids begin with, such that none is among `user_ids`."""
  found = 'synthetic'
  while any(identity.startswith(found) for identity in user_ids.tolist()):
    found += '_'
  return found


def check_room(path, number, profiles, catalogue, times, begin):
  """Refuses a log that cannot be written, before anything is trained for it.

  Args:
    path: of the CSV file.
    number: of users.
    profiles: `Ragged` over real users, who tell how long profiles are.
    catalogue, times, begin: as for `write_interactions`.

  Raises:
    UserError: where its folder cannot be written or has no room for it.
  """
  folder = os.path.dirname(os.path.abspath(path))
  while not os.path.exists(folder):
    folder = os.path.dirname(folder)
  if not os.path.isdir(folder):
    raise UserError(f'{path}: cannot be written ({folder} is a file)')
  if not os.access(folder, os.W_OK):
    raise UserError(f'{path}: cannot be written (nothing may be written into {folder})')
  row = len(begin) + len(str(number)) + len(',,\n') + 11 * (times is not None) + np.mean(
    [len(word.encode()) for word in catalogue.ids[profiles.values[:10_000]].tolist()])
  due, free = number * profiles.lengths.mean() * row, shutil.disk_usage(folder).free
  if due > free:
    raise UserError(f'{path}: a log of {number} users takes about {due / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free '
                    f'in {folder}; ask for fewer --users or choose another --out')


def write_interactions(path, drawn, number, catalogue, times, begin, identity):
  """Writes user_id, item_id and, with times, timestamp of generated users; goes on where it was stopped.

  Memory is that of a batch; a log that was interrupted ends in the same bytes as one that was not.

  Args:
    path: of the CSV file; until it is whole it is called PATH.part, and PATH.part.json says how far it is.
    drawn: the profiles, an iterable of `Ragged` of `generator.BATCH` users each, the last of fewer.
    number: of users.
    catalogue: `Catalogue`.
    times: `Times`, or None.
    begin: what user ids begin with.
    identity: the hash of all that the log depends on; what another one has left is written over.

  Yields:
    the profiles of each batch, those already written included.

  Raises:
    UserError: where it cannot be written.
    Interrupted: where a stop was asked for.
  """
  part, note = f'{path}.part', f'{path}.part.json'
  width, items = len(str(number)), cells([f'{_quoted(word)}' for word in catalogue.ids.tolist()])
  state = artifacts.read_json(note)
  if not (state and state['identity'] == identity and os.path.exists(part)
          and os.path.getsize(part) >= state['bytes']):
    state = {'identity': identity, 'batches': 0, 'bytes': 0}
  try:
    if not state['batches'] and os.path.exists(note):
      os.remove(note)  # it tells of another log, and would be believed after a kill
    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
    with open(part, 'r+b' if state['batches'] else 'wb') as file:
      file.truncate(state['bytes'])
      file.seek(state['bytes'])
      if not state['batches']:
        file.write(b'user_id,item_id' + b',timestamp' * (times is not None) + b'\n')

      def save(batches):
        file.flush()
        os.fsync(file.fileno())
        artifacts.write_json(note, {'identity': identity, 'batches': batches, 'bytes': file.tell()})

      bar = tqdm(drawn, 'users', -(-number // generator.BATCH), unit_scale=generator.BATCH, unit='user', mininterval=1.)
      for batch, profiles in enumerate(bar):
        yield profiles
        if batch < state['batches']:
          continue
        owner = np.repeat(np.arange(len(profiles)), profiles.lengths)
        names = cells([f'{begin}{batch * generator.BATCH + row + 1:0{width}d},' for row in range(len(profiles))])
        columns = [lambda rows, names=names, owner=owner: names[owner[rows]],
                   lambda rows, values=profiles.values: items[values[rows]]]
        if times is not None:
          when = clock.draw(times, profiles, np.random.default_rng([int(identity[:8], 16), batch]))
          columns.append(lambda rows, when=when: cells([f',{time}' for time in when[rows].tolist()]))
        columns.append(lambda rows: np.full((len(rows), 1), ord('\n'), np.uint8))
        write_rows(file, np.arange(len(owner)), columns)
        if batch % _SAVED == _SAVED - 1:
          save(batch + 1)
        interrupt.check(lambda batch=batch: save(batch + 1))
      file.flush()
      os.fsync(file.fileno())
    os.replace(part, path)
    if os.path.exists(note):
      os.remove(note)
  except OSError as error:
    raise UserError(f'{path}: cannot be written ({error.strerror or error}); what was done is in {part}') from error


def _quoted(word):
  return '"' + word.replace('"', '""') + '"' if set(word) & set(',"\r\n') else word
