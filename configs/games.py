"""Games: players, and the hours they spent on each game.

    python -m ganrec_jax.main --config=configs/games.py            an embedded, simulated world
    python -m ganrec_jax.main --config=configs/games.py:testing    the same, small
    python -m ganrec_jax.main --config=configs/games.py:steam --config.data.manual_dir=FOLDER
    python -m ganrec_jax.main --config=configs/games.py:steam_reviews --config.data.manual_dir=FOLDER

`steam` reads Steam-200k: steam-200k.csv, or Kaggle's archive.zip around it, or interactions.csv, an extract with the
columns user_id, game and hours_played. `steam_reviews` reads steam_reviews.json.gz and steam_games.json.gz (Kang and
McAuley 2018).

NDCG@20 of the row no_augmentation to expect on two CPU cores, seed 0: sample warm .240 (popularity .121), cold .247 (a
random order .102), in 2 to 3 minutes; `steam` on the extract warm .283, cold .328, all .259, tail .046 in 1 minute,
one draw.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from configs import common  # noqa: E402  (configs are files beside the package, no part of it)


def _sample(config):
  """The embedded sample world; the base was tuned on its validation part, one field after another."""
  common.sample(config, 'games')
  config.base.update(reg=.06, item_reg=1000., dim=32, ridge=3.)


def _testing(config):
  """The embedded sample world in seconds."""
  _sample(config)
  common.testing(config)


def _steam(config):
  """Steam-200k: hours by title, hardly any text; the base was tuned on the validation part of two draws."""
  config.data.source = 'steam'
  config.encoder.update(kind='pretrained', share=.8)
  config.base.update(unobserved=.2, ridge=.1, warm_blend=1.2, cold_blend=.4)


def _steam_reviews(config):
  """Reviews, and games with genres, tags and specs; the base is Last.fm's."""
  config.data.update(source='steam_reviews', min_user=5, min_item=5)
  config.encoder.kind = 'pretrained'


VARIANTS = {'': _sample, 'testing': _testing, 'steam': _steam, 'steam_reviews': _steam_reviews}


def get_config(variant=''):
  """The locked config of a variant, see `common.choose`."""
  return common.choose(VARIANTS, variant)
