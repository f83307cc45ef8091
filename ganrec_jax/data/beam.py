"""The preparation of a log as a Beam pipeline of TFDS: for logs that are too large for one machine.

Workers judge the rows of one file each by the SQL of `events`, so they use the same rows for the same reasons; Beam
gathers the rows of each user, and TFDS keeps a record a user. Every row is used or counted, as there.

    from ganrec_jax.data import beam, tables
    config = tables.TablesConfig('gs://bucket/logs/*.parquet', items='items.csv')
    beam.prepare(config, 'gs://bucket/prepared', [
      '--runner=DataflowRunner', '--project=...', '--region=...', '--temp_location=gs://bucket/temp',
      '--setup_file=./setup.py'])

On Spark: `['--runner=SparkRunner', '--spark_master_url=spark://...']`. Then, on any machine:

    python -m ganrec_jax.main --config=configs/tables.py:interactions=...,items=... --config.data.prepared=FOLDER

Needs `pip install 'ganrec_jax[beam]'`; without options it runs on this machine.
"""

import json
import os
import tempfile

import numpy as np
import tensorflow_datasets as tfds

from ganrec_jax.data import clean, events, relations, tables
from ganrec_jax.data.types import Dataset, Interactions
from ganrec_jax.errors import DataError, UserError

_BATCH = 100_000
_RECORDS = 10_000  # read at once
_MARK, _END = 'DataError: ', ' [while running'  # around the words of a worker's error


class PreparedLog(tfds.core.GeneratorBasedBuilder):
  """The TFDS builder: a record for each user in the split `users`, one for each file with its counts in `files`.

  Args:
    tables_config: the `TablesConfig` of the log; needed only where it is not prepared yet.
    **kwargs: of `tfds.core.DatasetBuilder`.
  """
  VERSION = tfds.core.Version('1.0.0')

  def __init__(self, *, tables_config=None, **kwargs):
    self._config = tables_config
    super().__init__(**kwargs)

  def _info(self):
    features = {'user_id': tfds.features.Text(), 'item_ids': tfds.features.Sequence(tfds.features.Text()),
                'values': tfds.features.Sequence(np.float64), 'times': tfds.features.Sequence(np.int64),
                'counts': tfds.features.Text()}
    return tfds.core.DatasetInfo(builder=self, description=__doc__, features=tfds.features.FeaturesDict(features))

  def _split_generators(self, dl_manager, pipeline):
    import apache_beam as beam
    judged = (pipeline | beam.Create(list(enumerate(_files(self._config.interactions)))) | beam.Reshuffle()
              | beam.FlatMap(_judge_file, self._config).with_outputs('counts', main='rows'))
    return {'users': self._generate_examples(judged.rows), 'files': judged.counts}

  def _generate_examples(self, rows):
    import apache_beam as beam
    return rows | beam.GroupByKey() | beam.Map(_record, self._config.merge)


def prepare(config, folder, options=()):
  """Prepares a log.

  Args:
    config: a `TablesConfig` whose `interactions` all workers can read.
    folder: where the records go, which all workers can write; made anew where it was prepared before.
    options: of Beam: the runner and what it wants.

  Raises:
    UserError: where Beam is not installed.
    DataError: for a log that cannot be used.
  """
  try:
    from apache_beam.options.pipeline_options import PipelineOptions
  except ImportError as error:
    raise UserError("the Beam pipeline needs apache-beam: pip install 'ganrec_jax[beam]'") from error
  tfds.disable_progress_bar()
  before = PreparedLog(data_dir=str(folder)).data_path
  if before.exists():
    before.rmtree()
  builder = PreparedLog(tables_config=config, data_dir=str(folder))
  try:
    builder.download_and_prepare(file_format='array_record', download_config=tfds.download.DownloadConfig(
      beam_options=PipelineOptions(list(options))))
  except Exception as error:
    # What a worker raises comes back as another error with its words inside.
    if (place := str(error).find(_MARK)) >= 0:
      raise DataError(str(error)[place + len(_MARK):].partition(_END)[0]) from error
    raise


def _files(path):
  """The paths of a log: a file, a folder or a glob of any file system that Beam knows.

  Raises:
    DataError: where there are none.
  """
  from apache_beam.io.filesystems import FileSystems
  pattern = FileSystems.join(path, '*') if os.path.isdir(path) else path
  found = sorted(metadata.path for metadata in FileSystems.match([pattern])[0].metadata_list)
  if not found:
    raise DataError(f'{path}: no such file, no folder with tables, and no glob that matches')
  return found


def _judge_file(numbered, config):
  """The usable rows of a file as (user, (item, value, time, file number, row)), and its counts by reason."""
  import apache_beam as beam
  from apache_beam.io.filesystems import FileSystems
  number, path = numbered
  with tempfile.TemporaryDirectory(prefix='ganrec_jax') as scratch:
    local = path
    if not os.path.exists(path):
      local = os.path.join(scratch, os.path.basename(path))
      with FileSystems.open(path, compression_type='uncompressed') as source, open(local, 'wb') as target:
        while block := source.read(2**20):
          target.write(block)
    with tables.connected(scratch) as connection:
      log = tables.log_of(connection, config, local, scratch)
      names, kinds = tables.roles(config, log)
      with relations.named(path):
        counts, _ = events.judge(connection, log, names, kinds, config.bad_rows == 'refuse')
      told = {'counts': counts, 'names': names, 'columns': log.columns}
      yield beam.pvalue.TaggedOutput('counts', (path, _example(path, [], [], [], json.dumps(told))))
      answer = connection.execute('select user, item, value, time, rowid from log where reason is null order by rowid')
      while rows := answer.fetchmany(_BATCH):
        for user, item, value, time, row in rows:
          yield user, (item, value, time, number, row)


def _example(user, items, values, times, counts=''):
  return {'user_id': user, 'item_ids': items, 'values': values, 'times': times, 'counts': counts}


def _record(gathered, merge):
  """The record of a user: one row an item, in the order in which a single machine would sum them."""
  user, rows = gathered
  order = {'last': lambda row: (row[0], row[2] or 0, row[3:])}.get(merge, lambda row: (row[0], row[3:]))
  items, values, times, *_ = zip(*sorted(rows, key=order), strict=True)
  places, codes = np.unique(np.array(items, object), return_inverse=True)
  timed = None not in times
  pairs = clean.merged({'user': np.zeros(len(items), np.int8), 'item': codes, 'value': np.array(values),
                         'time': np.array(times if timed else [0] * len(items), np.int64)}, merge)
  return user, _example(user, places[pairs['item']].tolist(), pairs['value'], pairs['time'] if timed else [])


def load(config, folder):
  """The `Dataset` of a prepared log, the same as `tables.load` gives on one machine.

  Raises:
    DataError: where the folder holds no prepared log, or nothing is left of it.
  """
  builder = PreparedLog(data_dir=str(folder))
  if not builder.is_prepared():
    raise DataError(f'{folder}: holds no prepared log; make it by ganrec_jax.data.beam.prepare')
  files = [json.loads(record['counts']) for record in _records(builder, 'files')]
  counts = {reason: sum(file['counts'][reason] for file in files) for reason in files[0]['counts']}
  users, lengths, items, values, times = [], [], [], [], []
  for record in _records(builder, 'users'):
    users.append(record['user_id'].decode())
    lengths.append(len(record['item_ids']))
    items.append(np.array([item.decode() for item in record['item_ids']]))
    values.append(np.asarray(record['values'], np.float32))
    times.append(np.asarray(record['times'], np.int64))
  if not users:
    raise DataError(f'{config.interactions}: no row of {counts["read"]} is left ({counts})')
  user_ids, user = np.unique(users, return_inverse=True)
  item_ids, item = np.unique(np.concatenate(items), return_inverse=True)
  user, time = np.repeat(user, lengths), np.concatenate(times)
  by = np.lexsort((item, user))
  log = Interactions(user[by].astype(np.int32), item[by].astype(np.int32), np.concatenate(values)[by],
                     time[by] if len(time) else None)
  usable = counts['read'] - sum(number for reason, number in counts.items() if reason != 'read')
  counts |= {'pairs': len(log), 'were_merged': usable - len(log)}
  catalogue, more = tables.catalogue_of(config, item_ids)
  info = tables.described(config, files[0]['columns'], files[0]['names'], counts)
  return Dataset(log, catalogue, user_ids, info | more)


def _records(builder, split):
  source = builder.as_data_source(split=split)
  for start in range(0, len(source), _RECORDS):
    yield from source.__getitems__(range(start, min(start + _RECORDS, len(source))))
