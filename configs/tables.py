"""One's own tables: a log of who did what, and a catalogue with words.

    python -m ganrec_jax.main --config=configs/tables.py:interactions=log.csv,items=items.csv
    python -m ganrec_jax.main --config=configs/tables.py:interactions=log.parquet

Files are CSV, TSV or Parquet, a folder of them or a glob. Columns are found by their usual names (user_id, item_id,
rating, timestamp, title ...) or given, as in --config.data.tables.user=customer. Without a catalogue the ids are the
words. BERT reads the texts with --config.encoder.kind=pretrained or =trained.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from configs import common  # noqa: E402  (configs are files beside the package, no part of it)

FIELDS = ('interactions', 'items')


def get_config(variant=''):
  """The locked config of `interactions=PATH[,items=PATH]`.

  Raises:
    ValueError: for anything else.
  """
  config = common.base()
  config.data.source = 'tables'
  config.base.regime = 'auto'
  for part in filter(None, variant.split(',')):
    name, _, path = part.partition('=')
    if name not in FIELDS:
      raise ValueError(common.unknown('variant', name, FIELDS))
    config.data.tables[name] = path
  return config.lock()
