"""The fields that all configs share, with their defaults; a domain's config changes what is its own."""

import difflib

from ml_collections import ConfigDict


def base():
  """The default config: unlocked, so that a domain can add to it."""
  config = ConfigDict()
  # Every random draw comes from this.
  config.seed = 0
  # How many devices to use; 0 is all there are.
  config.devices = 0

  config.data = ConfigDict()
  # Where the log comes from: 'sample' (the embedded world) or 'lastfm'.
  config.data.source = 'sample'
  # Folder with the downloaded archive, for a source that needs one.
  config.data.manual_dir = ''
  # Folder of prepared data sets.
  config.data.data_dir = '~/.cache/ganrec_jax'
  # Users with fewer interactions are dropped.
  config.data.min_user = 5
  # Items with fewer interactions are dropped.
  config.data.min_item = 3
  # Share of the users that is kept, for quick looks.
  config.data.user_share = 1.
  # A split to be read (CSV or .csv.gz; user_id, item_id, part, in_all) instead of being drawn.
  config.data.split_file = ''

  config.split = ConfigDict()
  # How the log is split: 'random', 'temporal' or 'leave_one_out'.
  config.split.kind = 'random'
  # Share of the items that lose all their training interactions.
  config.split.cold_items = .2
  # Share of the users that are known by a short history only.
  config.split.cold_users = 0.

  config.world = ConfigDict()
  # Listeners of the sample world.
  config.world.users = 1200
  # Albums of the sample world.
  config.world.items = 900
  # (user, item) pairs of the sample world.
  config.world.events = 30_000

  config.encoder = ConfigDict()
  # What turns texts into vectors: 'pretrained' (a BERT) or 'none' (TF-IDF of phrases alone carries the text).
  config.encoder.kind = 'none'
  # Which pretrained weights: 'minilm', or a folder of Hugging Face files.
  config.encoder.weights = 'minilm'
  # Texts are cut to this many tokens.
  config.encoder.max_length = 64
  # One vector a text: 'mean' of the token vectors or 'cls', the first one.
  config.encoder.pooling = 'mean'
  # Number format of the encoder's computation: 'float32' or 'bfloat16' (accelerators).
  config.encoder.dtype = 'float32'

  config.base = ConfigDict()
  # Width of the factors.
  config.base.dim = 64
  # Sweeps of the alternating least squares.
  config.base.sweeps = 10
  # Weight of a pair that was not seen.
  config.base.unobserved = .05
  # Regularisation of the factors.
  config.base.reg = .02
  # Strength of the text prior on item factors.
  config.base.kappa = 3.
  # Noise variance of the kernel ridge regression behind the prior.
  config.base.ridge = .3
  # Regularisation of the item-item model.
  config.base.item_reg = 100.
  # Weight of the text kernel in the item-item model.
  config.base.kernel_weight = 50.
  # How far the item-item model's columns are normalised, 0 to 1; opens the tail.
  config.base.power = .6
  # Weight of the item-item model for warm items.
  config.base.warm_blend = .8
  # Weight of the item-item model for cold items.
  config.base.cold_blend = .15

  config.evaluation = ConfigDict()
  # Draws of the bootstrap over users.
  config.evaluation.resamples = 10_000
  return config


def unknown(kind, given, known):
  """The message about an unknown name: what was given, the nearest known ones, and all that are allowed."""
  near = difflib.get_close_matches(given, known, n=3, cutoff=.4)
  hint = f'; did you mean {" or ".join(near)}?' if near else ''
  return f'unknown {kind} {given!r}{hint} (allowed: {", ".join(sorted(known))})'
