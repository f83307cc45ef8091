"""Music: listeners and artists.

    python -m ganrec_jax.main --config=configs/music.py                    an embedded, simulated world
    python -m ganrec_jax.main --config=configs/music.py:testing            the same, small
    python -m ganrec_jax.main --config=configs/music.py:lastfm --config.data.manual_dir=FOLDER
    python -m ganrec_jax.main --config=configs/music.py:lastfm_testing --config.data.manual_dir=FOLDER
    python -m ganrec_jax.main --config=configs/music.py:lastfm1k --config.data.manual_dir=FOLDER

`lastfm` reads hetrec2011-lastfm-2k.zip (Cantador, Brusilovsky, Kuflik 2011; research use), `lastfm1k`
lastfm-dataset-1K.tar.gz (Celma 2010; non-commercial use).

NDCG@20 of the row no_augmentation to expect on two CPU cores, seed 0: sample warm .238, cold .265 in 2 to 3 minutes.
Last.fm over the five frozen draws warm .299, cold .462, all .276, tail .086, in 5 minutes.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from configs import common  # noqa: E402  (configs are files beside the package, no part of it)


def _sample(config):
  """The embedded sample world; the base was tuned on its validation part, one field after another."""
  common.sample(config, 'music')
  config.base.update(dim=16, reg=.06, item_reg=300., power=.25, warm_blend=.4, ridge=1.)


def _testing(config):
  """The embedded sample world in seconds."""
  _sample(config)
  common.testing(config)


def _lastfm(config):
  """Real Last.fm: 1,892 listeners, 17,632 artists."""
  config.data.source = 'lastfm'
  config.encoder.kind = 'pretrained'


def _lastfm_testing(config):
  """A tenth of Last.fm's listeners, without the pretrained encoder."""
  _lastfm(config)
  common.quick(config)


def _lastfm1k(config):
  """Last.fm 1K: the artists that 20 or more of 992 listeners heard; not tuned."""
  _lastfm(config)
  config.data.source = 'lastfm1k'
  # The item-item model is a matrix of items x items.
  config.data.min_item = 20


VARIANTS = {'': _sample, 'testing': _testing, 'lastfm': _lastfm, 'lastfm_testing': _lastfm_testing,
            'lastfm1k': _lastfm1k}


def get_config(variant=''):
  """The locked config of a variant, see `common.choose`."""
  return common.choose(VARIANTS, variant)
