"""The fields that all configs share, with their defaults; a domain's config changes what is its own."""

import difflib

from ml_collections import ConfigDict


def base():
  """The default config: unlocked, so that a domain can add to it."""
  config = ConfigDict()
  # Every random draw comes from this.
  config.seed = 0
  # How many devices to use; 0 is all there are, in all processes together.
  config.devices = 0
  # The most rows of a batch that a device holds at once in training; the gradients of the parts are added up. 0 is all
  # of its share. The game of whole profiles takes its batch at once.
  config.micro_batch = 0
  # Seconds between two checkpoints of a stage in training, at least; 0 saves at each look at validation.
  config.save_seconds = 60.

  # What is done where a stage's training goes wrong, and from when on it does.
  config.guards = ConfigDict()
  # 'restart' from the last good state at a lower learning rate, 'stop' (an adversarial row then generates nothing), or
  # 'go_on' as long as the numbers are finite.
  config.guards.policy = 'restart'
  # The most restarts of a stage; after them the next fault stops it.
  config.guards.restarts = 2
  # What a restart multiplies the learning rates with.
  config.guards.rate_factor = .5
  # How many times its running value the median gradient norm of a chunk may be.
  config.guards.explosion = 100.
  # Steps in a row for which D may tell all samples apart.
  config.guards.window = 200
  # Looks in a row that may find a generator collapsed that was not.
  config.guards.looks = 3

  config.data = ConfigDict()
  # Where the log comes from: 'sample' (the embedded world), 'tables' (one's own), 'given' (to `pipeline.run`, from
  # Python), or a published data set by name: lastfm, lastfm1k, movielens_small, movielens_1m, movielens_32m,
  # amazon_2018_CATEGORY, amazon_2023_CATEGORY, mind_small, mind_large, steam, steam_reviews.
  config.data.source = 'sample'
  # Folder with the downloaded archives, for a published data set.
  config.data.manual_dir = ''
  # Folder of prepared data sets.
  config.data.data_dir = '~/.cache/ganrec_jax'
  # Interactions of a smaller value are dropped, such as low ratings.
  config.data.least_value = 0.
  # Users with more interactions, maybe bots, are dropped; 0 keeps them.
  config.data.most_interactions = 0
  # Folder of a log of one's own that the Beam pipeline has prepared (ganrec_jax/data/beam.py), instead of reading it.
  config.data.prepared = ''
  # Users with fewer interactions are dropped.
  config.data.min_user = 5
  # Items with fewer interactions are dropped.
  config.data.min_item = 3
  # Share of the users that is kept, for quick looks.
  config.data.user_share = 1.
  # A split to be read (CSV or .csv.gz; user_id, item_id, part, in_all) instead of being drawn.
  config.data.split_file = ''

  config.data.tables = ConfigDict()
  # One's own log: a file, a folder or a glob of .csv, .tsv, .jsonl (each also .gz) or .parquet.
  config.data.tables.interactions = ''
  # One's own catalogue, likewise; '' where there is none.
  config.data.tables.items = ''
  # Or a warehouse, which the next two ask: a DuckDB or SQLite file, or postgresql://user@host/name with the password in
  # the environment variable PGPASSWORD.
  config.data.tables.database = ''
  # A SELECT for the log.
  config.data.tables.query = ''
  # A SELECT for the catalogue.
  config.data.tables.items_query = ''
  # The log's column of user ids; here and below '' looks for the usual names.
  config.data.tables.user = ''
  # The log's column of item ids.
  config.data.tables.item = ''
  # The log's column of counts or ratings; 1 where there is none.
  config.data.tables.value = ''
  # The log's column of times.
  config.data.tables.time = ''
  # The log's column of kinds of event, read where event_weights are given.
  config.data.tables.event = ''
  # The catalogue's column of item ids.
  config.data.tables.item_id = ''
  # The catalogue's column of titles.
  config.data.tables.title = ''
  # An item's text, with {column} for its columns; '' is the title and all columns that hold words.
  config.data.tables.template = ''
  # Columns whose parts (between |, ; or ,) are attributes, separated by commas.
  config.data.tables.phrases = ''
  # Columns whose numbers become attributes, such as 'price 5-10', separated by commas.
  config.data.tables.numbers = ''
  # A column with lists of numbers, or a .npy file with a row for each row of the catalogue: features of images or
  # sounds, or texts already encoded; they stand beside the text's vector.
  config.data.tables.vectors = ''
  # The value of each kind of event, such as view=1,purchase=4; 0 leaves it out.
  config.data.tables.event_weights = ''
  # What becomes of rows with the same user and item: 'sum', 'last' or 'max'.
  config.data.tables.merge = 'sum'
  # Encoding of CSV files: 'utf-8', 'latin-1' or 'utf-16'.
  config.data.tables.encoding = 'utf-8'
  # Between the columns of CSV files; '' finds it.
  config.data.tables.delimiter = ''
  # Column names, separated by commas, for a log in CSV files without a header line.
  config.data.tables.header = ''
  # Whether quotation marks around a field are no part of it.
  config.data.tables.quoting = True
  # Bad rows: 'refuse' or 'drop', with a count.
  config.data.tables.bad_rows = 'refuse'

  config.split = ConfigDict()
  # How the log is split: 'random', 'temporal' or 'leave_one_out'.
  config.split.kind = 'random'
  # Share of the items that lose all their training interactions.
  config.split.cold_items = .2
  # Share of the users that are known by a short history only.
  config.split.cold_users = 0.
  # Interactions that are known of such a user, at most; never more than half of his.
  config.split.history = 10
  # Which of several draws from the same data; a claim needs more than one.
  config.split.draw = 0
  # When validation begins in a temporal split, as an ISO 8601 date or time in UTC; '' is after 80% of the log.
  config.split.valid_from = ''
  # When test begins, likewise; '' is after 90% of the log.
  config.split.test_from = ''

  config.world = ConfigDict()
  # Which sample world: 'music', 'video', 'ecommerce', 'news' or 'games'.
  config.world.domain = 'music'
  # People of the sample world.
  config.world.users = 1200
  # What the sample world's people choose from.
  config.world.items = 900
  # (user, item) pairs of the sample world.
  config.world.events = 30_000

  config.encoder = ConfigDict()
  # What turns texts into vectors: 'pretrained' (a BERT or GPT-2), 'trained' (a small BERT, from scratch on the warm
  # items' texts) or 'none' (TF-IDF of phrases alone carries the text).
  config.encoder.kind = 'none'
  # Which pretrained weights: 'minilm', or a folder of Hugging Face files (BERT or GPT-2).
  config.encoder.weights = 'minilm'
  # Texts are cut to this many tokens.
  config.encoder.max_length = 64
  # Share of the text vectors in the content kernel, 0 to 1; the rest is TF-IDF of phrases.
  config.encoder.share = .5
  # The latest titles of a user's history that make up his text.
  config.encoder.user_titles = 12
  # Steps of the masked-language-model training of a 'trained' BERT.
  config.encoder.steps = 400
  # Steps of the adaptation to the task; 0 leaves the encoder frozen.
  config.encoder.adapt_steps = 60
  # How it is adapted: 'contrastive' on items that share listeners, or 'distil', so that vectors predict item factors.
  config.encoder.adapt_kind = 'distil'
  # Rank of the adapters that are trained in place of the weights (LoRA; needs a higher rate, such as 1e-3); 0 is full.
  config.encoder.lora_rank = 8
  # Peak learning rate of the adaptation.
  config.encoder.adapt_rate = 2e-3
  # One vector a text: 'mean' of the token vectors, 'cls', the first one, or 'last' (GPT-2).
  config.encoder.pooling = 'mean'
  # Number format of the encoder's computation: 'float32' or 'bfloat16' (accelerators).
  config.encoder.dtype = 'float32'
  # Whether training computes the blocks once more in the backward pass instead of keeping them: long texts fit.
  config.encoder.remat = False

  config.base = ConfigDict()
  # 'dense': the fields below as they are; 'sparse': some of them replaced by what histories of a few interactions want
  # (stages/recommend.py); 'auto': the one of the two that does better on validation.
  config.base.regime = 'dense'
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
  # The most items for which the content kernel and the item-item model are matrices of items times items; with more
  # they are factors, and memory is linear in the items.
  config.base.dense_items = 10_000
  # Beyond that: the features of the content kernel, and the rank of the co-occurrences.
  config.base.rank = 1024
  # How much an interaction's value (a count, a rating) says: its weight is (value / the user's mean)^strength.
  config.base.strength = .4
  # Whether validation chooses the values of the six that follow, starting from what they are here.
  config.base.turn_knobs = True
  # How far the item-item model's columns are normalised, 0 to 1; opens the tail.
  config.base.power = .5
  # Weight of the item-item model for warm items.
  config.base.warm_blend = .8
  # Weight of the item-item model for cold items.
  config.base.cold_blend = .2
  # How the item-item model's weight grows with the length of a history, an exponent.
  config.base.activity = 0.
  # Weight of a warm item's log popularity, for a history of mean length.
  config.base.popularity = .05
  # Weight of a cold item's log popularity, as its text predicts it.
  config.base.cold_popularity = .1

  config.adversarial = ConfigDict()
  # What G makes: 'embedding' (an item's vector from its text and z) or 'interaction' (item vectors and strengths for a
  # user and z), which does better without the supervised term.
  config.adversarial.design = 'embedding'
  # 'cross_entropy' (as specified; G's is the non-saturating form), 'saturating', 'wasserstein', 'hinge' or
  # 'relativistic'.
  config.adversarial.loss = 'cross_entropy'
  # lambda in L = L_D + lambda L_G; 0 trains G without its adversary.
  config.adversarial.adversarial_weight = .5
  # The supervised term: 'squared' (error to the true vector) or 'softmax' (over all training items).
  config.adversarial.supervised = 'squared'
  # Weight of the supervised term.
  config.adversarial.supervised_weight = 5 / 3
  # Penalty on D's slope: 'none', 'gradient' (Wasserstein needs it), 'r1' or 'r1_r2'.
  config.adversarial.penalty = 'r1_r2'
  # Weight of the penalty.
  config.adversarial.penalty_weight = .25
  # Fake samples a draw of z.
  config.adversarial.samples = 1
  # Width of the tokens of both players.
  config.adversarial.dim = 64
  # Transformer blocks of each player.
  config.adversarial.layers = 2
  # Steps of D for each one of G.
  config.adversarial.d_steps = 2
  # Rows of a batch, over all devices.
  config.adversarial.batch = 256
  # The most steps of G.
  config.adversarial.steps = 600
  # Steps between two looks at held-out real samples.
  config.adversarial.chunk = 100
  # Looks without a lower Frechet distance after which training stops; 0 never stops early.
  config.adversarial.patience = 5
  # Learning rate of G.
  config.adversarial.g_rate = 5e-4
  # Learning rate of D.
  config.adversarial.d_rate = 5e-4
  # Number format of both players' computation: 'float32' or 'bfloat16' (accelerators).
  config.adversarial.dtype = 'float32'

  # What generated data are compared with: 'all', 'none', or some of random_pairs, popular_pairs, content_knn_pairs,
  # self_labelled, generator_only, separated by commas.
  config.controls = 'random_pairs'

  config.expand = ConfigDict()
  # Samples drawn for each user, before any is dropped.
  config.expand.per_user = 10
  # Weights of a generated interaction that are tried on validation; a real one has 1.
  config.expand.weights = (.003, .01, .03, .1, .3)
  # Temperature at which items are drawn.
  config.expand.temperature = .1
  # Chance that a sample is a cold item.
  config.expand.cold_share = .5
  # The share of the samples that D finds least real, which is dropped.
  config.expand.quantile = .1

  config.recommender = ConfigDict()
  # 'closed_form', or a network on top of it: 'mlp', 'gru' or 'transformer'.
  config.recommender.kind = 'closed_form'
  # Whether the network recommends alone; else it is blended with the closed form by weights chosen on validation.
  config.recommender.alone = False
  # Width of item vectors and states.
  config.recommender.dim = 64
  # Layers.
  config.recommender.layers = 1
  # Width of the inner layers of MLP and Transformer.
  config.recommender.hidden = 256
  # Interactions of a history that are read: the newest.
  config.recommender.max_history = 128
  # 'full' softmax over the warm items or 'sampled'.
  config.recommender.loss = 'full'
  # Items drawn a step for the sampled softmax.
  config.recommender.negatives = 1024
  # Learning rate.
  config.recommender.learning_rate = .001
  # Weight decay.
  config.recommender.weight_decay = .1
  # Histories a step, over all devices.
  config.recommender.batch = 128
  # The most steps.
  config.recommender.steps = 1600
  # Steps between two looks at validation.
  config.recommender.chunk = 100
  # Looks without a better value before training stops; 0 never stops early.
  config.recommender.patience = 3
  # Number format of the network's computation: 'float32' or 'bfloat16' (accelerators).
  config.recommender.dtype = 'float32'

  # The generator of whole histories behind `python -m ganrec_jax.synthesize`.
  config.profiles = ConfigDict()
  # Share of the users whom the generator never sees; they judge it.
  config.profiles.held_out = .1
  # Width of z.
  config.profiles.latent = 64
  # Width of the inner layers of encoder and decoder.
  config.profiles.hidden = 400
  # Weight of the latents' divergence from N(0, I).
  config.profiles.beta = .3
  # The most steps of the likelihood's training.
  config.profiles.vae_steps = 2000
  # Learning rate of the likelihood's training.
  config.profiles.vae_rate = .0005
  # Components of the mixture over the latents.
  config.profiles.components = 32
  # The players' loss, as in adversarial.loss.
  config.profiles.loss = 'relativistic'
  # The critic's share of the decoder's gradient; 0 trains without a critic.
  config.profiles.adversarial_share = .5
  # Penalty on the critic's slope, as in adversarial.penalty.
  config.profiles.penalty = 'r1_r2'
  # Steps of the critic, those before the decoder's first one included.
  config.profiles.steps = 350
  # Learning rate of the decoder.
  config.profiles.g_rate = 3e-4
  # Learning rate of the critic.
  config.profiles.d_rate = 5e-4

  config.evaluation = ConfigDict()
  # Draws of the bootstrap over users.
  config.evaluation.resamples = 10_000

  config.track = ConfigDict()
  # Whether Weights & Biases hears of the run as well: kept in WORKDIR/wandb for `wandb sync`, or sent at once where the
  # environment variable WANDB_MODE is online; needs `pip install 'ganrec_jax[track]'`.
  config.track.wandb = False
  return config


def search_space():
  """What `ganrec_jax.tune` tries: field -> (least, most) on a logarithmic scale, or a list of choices.

  Only what needs a refit of the closed form: how its parts become one score is chosen in every run.
  """
  return {
    'base.dim': [16, 32, 64, 128],
    'base.unobserved': (.002, .5),
    'base.reg': (.002, .3),
    'base.kappa': (.1, 30.),
    'base.ridge': (.03, 3.),
    'base.item_reg': (3., 1000.),
    'base.kernel_weight': (1., 300.),
    'base.strength': (.05, 1.),
  }


def sample(config, domain):
  """The embedded sample world of a domain, with a small BERT trained on its texts."""
  config.world.domain = domain
  config.encoder.update(kind='trained', adapt_kind='contrastive', adapt_steps=200, adapt_rate=1e-3, lora_rank=0,
                        share=.2)


def testing(config):
  """Makes a sample world and all that is fitted on it so small that a run takes seconds."""
  config.world.update(users=200, items=150, events=4000)
  config.evaluation.resamples = 1000
  config.base.update(sweeps=4, turn_knobs=False)
  config.encoder.update(steps=40, adapt_steps=20, max_length=32, user_titles=4)
  # Penalties take long to compile.
  config.adversarial.update(steps=40, chunk=20, layers=1, dim=32, batch=64, penalty='none')
  config.expand.weights = (.01, .1)
  config.recommender.update(steps=60, chunk=30)
  config.profiles.update(latent=16, hidden=64, vae_steps=200, vae_rate=.002, steps=120, penalty='none')


def quick(config):
  """Takes a tenth of the users of real data and no pretrained encoder, for a run of seconds."""
  config.data.user_share = .1
  config.encoder.kind = 'none'
  config.evaluation.resamples = 1000
  config.base.update(sweeps=4, turn_knobs=False)
  config.adversarial.update(steps=100, chunk=50, layers=1, dim=32, batch=128)
  config.expand.weights = (.01, .1)


def choose(variants, variant):
  """The locked config of a variant, changed by the function of that name among the `variants`.

  Raises:
    ValueError: for an unknown variant, naming the nearest ones.
  """
  if variant not in variants:
    raise ValueError(unknown('variant', variant, [name for name in variants if name]))
  config = base()
  variants[variant](config)
  return config.lock()


def unknown(kind, given, known):
  """The message about an unknown name: what was given, the nearest known ones, and all that are allowed."""
  near = difflib.get_close_matches(given, known, n=3, cutoff=.4)
  hint = f'; did you mean {" or ".join(near)}?' if near else ''
  return f'unknown {kind} {given!r}{hint} (allowed: {", ".join(sorted(known))})'
