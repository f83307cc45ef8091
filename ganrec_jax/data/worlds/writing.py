"""How the items of a sample world are written about: titles, texts and tags in the words of a `Vocabulary`."""

import re

import numpy as np

_NO_TEXT, _LITTLE_TEXT, _MISLEADING_TEXT = .04, .08, .06
_CLAUSES = 6  # that many clauses at most, beside fillers
_SYLLABLES = (
  'ba', 'bel', 'cor', 'da', 'den', 'el', 'fa', 'fen', 'gar', 'hol', 'in', 'jor', 'ka', 'lan', 'lo', 'mar', 'mi',
  'nor', 'ol', 'pe', 'quin', 'ra', 'ros', 'sel', 'ta', 'ten', 'ul', 'va', 'ver', 'wil', 'ya', 'zan')


def pick(rng, words):
  """One of `words`, drawn from the generator `rng`."""
  return words[rng.integers(len(words))]


def invented(rng):
  """An invented proper name of two or three syllables."""
  return ''.join(pick(rng, _SYLLABLES) for _ in range(rng.integers(2, 4))).capitalize()


def different(count, draw):
  """`count` different results of `draw()`, in the order in which they first came."""
  found = {}
  while len(found) < count:
    found[draw()] = None
  return list(found)


def write(rng, vocabulary, attributes):
  """Titles, texts and tags of all items; some tell little, some nothing, some the wrong thing.

  Args:
    rng: a generator.
    vocabulary: the words.
    attributes: int `[items, values]`, see `wordings`.

  Returns:
    (str array `[items]`, str array `[items]`, a tuple of tags for each item).
  """
  count = len(attributes)
  names, titles, texts, phrases = vocabulary.names(rng, count), [], [], []
  kinds = rng.permutation(np.searchsorted(np.cumsum([_NO_TEXT, _LITTLE_TEXT, _MISLEADING_TEXT]),
                                          (np.arange(count) + .5) / count))
  other = attributes[rng.permutation(count)]
  for name, kind, own, wrong in zip(names, kinds.tolist(), attributes, other, strict=True):
    words = wordings(rng, vocabulary, wrong if kind == 2 else own) | {'name': name}
    headline = vocabulary.titles[0] if len(vocabulary.titles) == 1 else pick(rng, vocabulary.titles)
    words['title'] = _finished(headline.format(**words))
    if kind == 0:
      text, tags = '', ()
    elif kind == 1:
      tags = (words[pick(rng, vocabulary.hints)],)
      text = f'{words["title"]}, {tags[0]}'
    else:
      text = _describe(rng, vocabulary, words, headline)
      tags = tuple(dict.fromkeys(words[key] for key, chance in vocabulary.tags if rng.random() < chance))
    titles.append(words['title'])
    texts.append(text)
    phrases.append(tags)
  return np.array(titles), np.array(texts), tuple(phrases)


def wordings(rng, vocabulary, values):
  """The attributes of one item in words, each in one of its ways of being written: a dict by their keys.

  Args:
    rng: a generator.
    vocabulary: the words.
    values: int `[values]`, the indices of all values of all attributes in their order.
  """
  words, values = {}, iter(values.tolist())
  for attribute in vocabulary.attributes:
    for place in range(len(attribute.weights)):
      ways = attribute.values[next(values)]
      if attribute.forms:
        words |= dict(zip(attribute.forms, ways, strict=True))
      else:
        usual = len(ways) == 1 or rng.random() < .6
        words[attribute.key + ('' if place == 0 else str(place + 1))] = ways[0] if usual else pick(rng, ways)
  return words


def _describe(rng, vocabulary, words, headline):
  """A text of the vocabulary's length that tells some of an item's attributes `words` in a few clauses.

  `headline` is the template of its title, which may have told some already.
  """
  low, high = vocabulary.words
  lead = pick(rng, vocabulary.leads)
  text, told = lead.format(**words), _keys(lead.replace('{title}', headline))
  target = rng.integers(low + 2, high - 4)
  clauses = [*rng.permutation(vocabulary.clauses).tolist()[:_CLAUSES],
             *rng.permutation(vocabulary.fillers).tolist()]
  # Fillers come among the clauses, so a longer text need not be a telling one.
  order = np.argsort(np.concatenate([rng.random(_CLAUSES), rng.random(len(vocabulary.fillers)) + .35]), kind='stable')
  for index in order:
    keys = _keys(clauses[index])
    if keys and keys <= told and not vocabulary.repeats:
      continue
    longer = text + vocabulary.joint + clauses[index].format(**words)
    if len(text.split()) >= target or len(longer.split()) > high:
      break
    text, told = longer, told | keys
  return _finished(text) + '.'


def _keys(template):
  return set(re.findall(r'{(\w+)}', template))


def _finished(text):
  """The text with 'an' before vowels and capitals at the head of its sentences."""
  text = re.sub(r'\b([Aa]) (?=[AEIOUaeiou])', r'\1n ', text)
  return re.sub(r'(?:^|(?<=[.?!] ))[a-z]', lambda match: match[0].upper(), text)
