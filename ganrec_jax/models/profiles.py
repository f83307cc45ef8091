"""Generator and critic of whole user profiles: sets of items as rows of zeros and ones."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from ganrec_jax.models.cease import densify

# The most steps of bisection; scores are told apart down to a 2^-40th of their range, below float32's grain.
_HALVINGS = 40
# Of relaxed profiles: the width, in scores, of the band in which an item is neither quite in nor out.
_RELAXATION = .5


class ProfileVae(nn.Module):
  """MultVAE (Liang et al. 2018): items - hidden - latent - hidden - items, tanh, its last layer named `logits`."""
  items: int
  latent: int = 64
  hidden: int = 400

  def setup(self):
    self.inner = nn.Dense(self.hidden)
    self.code = nn.Dense(2 * self.latent)
    self.outer = nn.Dense(self.hidden)
    self.logits = nn.Dense(self.items)

  def encode(self, x):
    """Mean and log-variance `[batch, latent]` of q(z | x) for rows `x [batch, items]` of length 1."""
    return jnp.split(self.code(nn.tanh(self.inner(x))), 2, axis=-1)

  def encode_listed(self, items, weights):
    """The same for `unit_rows` of padded `items [batch, length]`, by the rows of the first layer that they name."""
    first = self.inner.variables['params']
    read = (first['kernel'][items] * weights[..., None]).sum(1)
    read = read / jnp.maximum(jnp.linalg.norm(weights, axis=1, keepdims=True), 1e-12) + first['bias']
    return jnp.split(self.code(nn.tanh(read)), 2, axis=-1)

  def states(self, z):
    """The decoder's last hidden layer `[batch, hidden]`."""
    return nn.tanh(self.outer(z))

  def decode(self, z):
    """The logits `[batch, items]` of a profile's items."""
    return self.logits(self.states(z))

  def __call__(self, x, noise):
    mean, log_variance = self.encode(x)
    return self.decode(mean + jnp.exp(log_variance / 2) * noise), mean, log_variance


class TextVae(ProfileVae):
  """A `ProfileVae` whose last layer is the sum of one that reads the items' texts and of a free one, 0 at first.

  What it learns of an item it so learns of all that read alike, and what its text says of a new one goes further than
  with free vectors alone. `plain` makes the `ProfileVae` of it that is the same.

  Attributes:
    texts: gives the text vectors float32 `[items, dim]`.
  """
  texts: Callable[[], jax.Array] = None

  def setup(self):
    self.inner, self.code, self.outer = nn.Dense(self.hidden), nn.Dense(2 * self.latent), nn.Dense(self.hidden)
    self.logits = nn.Dense(self.items, kernel_init=nn.initializers.zeros)
    self.reading = nn.Dense(self.texts().shape[1], use_bias=False)

  def decode(self, z):
    """The logits `[batch, items]` of a profile's items."""
    states = self.states(z)
    return self.logits(states) + self.reading(states) @ self.texts().T


def plain(params, texts):
  """The parameters of the `ProfileVae` that is the same as a `TextVae` with `texts [items, dim]`."""
  params = dict(params['params'])
  kernel = params.pop('reading')['kernel'] @ texts.T
  return {'params': params | {'logits': params['logits'] | {'kernel': params['logits']['kernel'] + kernel}}}


class ProfileCritic(nn.Module):
  """Logits `[batch]` of profiles `x [batch, items]` being real: an MLP of what a profile holds on average.

  It reads the mean of given item vectors (collaborative ones, frozen), that of vectors of its own, and the length:
  [3 x V / sqrt(|x| + 1), 3 x E / sqrt(|x| + 1), log(1 + |x|) - 3].
  """
  own: int = 64
  hidden: int = 128

  @nn.compact
  def __call__(self, x, vectors):
    own = self.param('items', nn.initializers.normal(.125), (x.shape[1], self.own))
    length = x.sum(1, keepdims=True)
    # Apart, since only one of the two has gradients to compute.
    sums = jnp.concatenate([x @ vectors, x @ own], 1)
    state = jnp.concatenate([3 * sums / jnp.sqrt(length + 1), jnp.log1p(length) - 3], 1)
    return verdict(state, self.hidden)


def verdict(state, hidden):
  """The logits `[batch]` of a critic's MLP over what it has read, `[batch, features]`; within a compact module."""
  for _ in range(2):
    state = nn.leaky_relu(nn.Dense(hidden)(state), .2)
  return nn.Dense(1)(state)[:, 0]


def unit_rows(items, weights, columns):
  """The profiles `[batch, columns]` of padded `items [batch, length]` with `weights`, rows of length 1."""
  x = densify(items, weights, columns)
  return x / jnp.maximum(jnp.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def negative_elbo(logits, x, mean, log_variance, beta):
  """-sum_i x_i log softmax(logits)_i + beta KL(q(z | x) || N(0, I)) of each row (Liang et al. 2018, equation 5)."""
  likelihood = (x * jax.nn.log_softmax(logits)).sum(1)
  return beta * .5 * (mean ** 2 + jnp.exp(log_variance) - 1 - log_variance).sum(1) - likelihood


def above(scores, number):
  """What the `number [batch]` highest of `scores [batch, items]` are above, and no others, `[batch]`.

  By bisection instead of sorting, until every row is parted. Scores of -inf count as not there, and where fewer than
  `number` are there, all are above; scores that are equal to the bit may make it more.
  """
  there = scores > -jnp.inf
  number = jnp.minimum(number, there.sum(1))

  def undecided(state):
    _, _, count, halvings = state
    return (count != number).any() & (halvings < _HALVINGS)

  def halve(state):
    low, high, count, halvings = state
    middle = (low + high) / 2
    found = (scores > middle[:, None]).sum(1)
    many = found >= number
    return (jnp.where(many, middle, low), jnp.where(many, high, middle), jnp.where(many, found, count), halvings + 1)

  lowest = jnp.where(there, scores, jnp.inf).min(1) - 1
  return jax.lax.while_loop(undecided, halve, (lowest, scores.max(1), there.sum(1), 0))[0]


def draw_profiles(logits, gumbel, number, temperature):
  """Profiles `[batch, items]` of `number [batch]` items each, drawn without replacement from softmax(logits / T).

  The highest of logits / T + Gumbel noise are such a draw (Vieira 2014; Kool et al. 2019). The value is 0 or 1; the
  gradient is that of min(1, number softmax(logits / T)), each item's expected count (straight-through, Bengio et al.
  2013).
  """
  scaled = logits / temperature
  scores = jax.lax.stop_gradient(scaled) + gumbel
  hard = scores > above(scores, number)[:, None]
  soft = jnp.minimum(1, number[:, None] * jax.nn.softmax(scaled))
  return soft + jax.lax.stop_gradient(hard - soft)


def draw_relaxed(logits, gumbel, number, temperature):
  """The draws of `draw_profiles` with the gradient of their relaxation (Gumbel-softmax; Jang et al. 2017).

  Of n items at once the relaxation is sigmoid((s_i - t) / width) of the scores s with their noise, t such that it still
  sums to as many (Xie and Ermon 2019 relax the same draw item by item). So only items near the border are moved.
  """
  scores = logits / temperature + gumbel
  border = above(jax.lax.stop_gradient(scores), number)[:, None]
  near = jax.nn.sigmoid(jax.lax.stop_gradient(scores - border) / _RELAXATION)
  slope = near * (1 - near)
  # Where all would rise t rises with them.
  moved = (slope * scores).sum(1, keepdims=True) / jnp.maximum(slope.sum(1, keepdims=True), 1e-12)
  soft = slope / _RELAXATION * (scores - moved)
  return soft + jax.lax.stop_gradient((scores > border) - soft)


def log_chance(logits, gumbel, number, temperature):
  """log P `[batch]` that the items of `draw_profiles` come one after the other in the order of their scores.

  It is Plackett-Luce's: each item is drawn from the softmax of those that are left. Gradients go through the logits.
  """
  scaled = logits / temperature
  order = jnp.argsort(-jax.lax.stop_gradient(scaled + gumbel), axis=1)
  scaled = jnp.take_along_axis(scaled, order, 1)
  steps = scaled - jax.lax.cumlogsumexp(scaled, axis=1, reverse=True)
  return jnp.where(jnp.arange(steps.shape[1]) < number[:, None], steps, 0).sum(1)


def score_function(logits, gumbel, number, temperature, worth):
  """The mean worth `[batch]` of several draws, whose gradient is an unbiased estimate of that of the expected worth.

  (worth - baseline) grad `log_chance` (Williams 1992), the baseline being the mean worth of the row's other draws
  (Kool et al. 2019).

  Args:
    logits: float32 `[batch, items]`.
    gumbel: noise `[batch, draws, items]`, at least two draws.
    number: items a profile, `[batch]`.
    temperature: of the draws.
    worth: `worth(profiles [batch, items]) -> [batch]`.
  """
  def drawn(noise):
    profiles = jax.lax.stop_gradient(draw_profiles(logits, noise, number, temperature))
    return worth(profiles), log_chance(logits, noise, number, temperature)
  values, chances = jax.vmap(drawn, in_axes=1)(gumbel)
  mean, draws = values.mean(0), len(values)
  above_others = jax.lax.stop_gradient((values - mean) * draws / (draws - 1))
  surrogate = (above_others * chances).mean(0)
  return jax.lax.stop_gradient(mean - surrogate) + surrogate
