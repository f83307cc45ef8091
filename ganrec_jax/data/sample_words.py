"""The words of the sample world: genres and other attributes, the names of its artists, and the texts about them."""

import re

import numpy as np

# Each attribute is written in one of several ways, the first being the usual one.
GENRES = {
  ('electronic', 'electronica', 'electronic music'): (
    ('techno', 'warehouse techno'), ('ambient', 'ambient drone', 'beatless soundscapes'),
    ('drum and bass', 'dnb', 'jungle'), ('synthpop', 'synth pop', 'electropop')),
  ('rock', 'guitar rock'): (
    ('garage rock', 'garage'), ('post-punk', 'cold wave'), ('shoegaze', 'noise pop'),
    ('progressive rock', 'prog', 'prog rock')),
  ('metal', 'heavy metal'): (
    ('doom metal', 'doom'), ('black metal', 'atmospheric black metal'), ('thrash metal', 'thrash'),
    ('metalcore', 'metallic hardcore')),
  ('hip hop', 'rap', 'hip-hop'): (
    ('boom bap', 'golden age rap'), ('trap', 'trap rap'), ('lo-fi hip hop', 'lofi beats'), ('grime', 'bass rap')),
  ('jazz', 'jazz music'): (
    ('bebop', 'hard bop'), ('jazz fusion', 'fusion'), ('swing', 'big band'), ('free jazz', 'free improvisation')),
  ('folk', 'folk music', 'roots music'): (
    ('indie folk', 'alt folk'), ('celtic folk', 'celtic', 'jigs and reels'), ('americana', 'alt-country'),
    ('bluegrass', 'old-time')),
  ('soul', 'rhythm and blues', 'r&b'): (
    ('neo soul', 'modern soul'), ('funk', 'deep funk'), ('northern soul', 'vintage soul'), ('gospel', 'gospel soul')),
  ('classical', 'concert music', 'art music'): (
    ('baroque', 'early music'), ('minimalism', 'minimalist composition'), ('chamber music', 'string quartets'),
    ('opera', 'lyric theatre')),
  ('latin', 'latin music'): (
    ('salsa', 'salsa dura'), ('bossa nova', 'bossa'), ('tango', 'nuevo tango'), ('cumbia', 'cumbia sound system')),
  ('pop', 'pop music'): (
    ('dream pop', 'hazy pop'), ('power pop', 'jangle pop'), ('chamber pop', 'orchestral pop'),
    ('dance pop', 'club pop')),
}
GENRE_NAMES = tuple(GENRES)
SUBGENRE_NAMES = tuple(names for subgenres in GENRES.values() for names in subgenres)
# The instruments heard in each genre, in the order of `GENRES`, four each.
INSTRUMENTS = (
  ('synthesizer', 'drum machine', 'sampler', 'vocoder'), ('electric guitar', 'bass', 'organ', 'drums'),
  ('distorted guitar', 'double bass drum', 'bass', 'choir'), ('turntables', 'sampler', 'drum machine', 'piano'),
  ('saxophone', 'trumpet', 'upright bass', 'piano'), ('acoustic guitar', 'fiddle', 'banjo', 'accordion'),
  ('horn section', 'organ', 'bass', 'choir'), ('strings', 'harpsichord', 'piano', 'cello'),
  ('congas', 'trumpet', 'nylon guitar', 'accordion'), ('synthesizer', 'electric guitar', 'piano', 'strings'))
INSTRUMENT_NAMES = tuple(sorted({name for names in INSTRUMENTS for name in names}))
MOODS = (
  ('melancholic', 'wistful', 'sad'), ('joyful', 'happy', 'sunny'), ('aggressive', 'furious', 'angry'),
  ('calm', 'peaceful', 'soothing'), ('dark', 'gloomy', 'sinister'), ('romantic', 'tender', 'intimate'),
  ('energetic', 'driving', 'high-energy'), ('dreamy', 'hypnotic', 'drifting'), ('playful', 'witty', 'tongue-in-cheek'),
  ('epic', 'grand', 'soaring'), ('raw', 'rough', 'unpolished'), ('nostalgic', 'bittersweet', 'yearning'),
  ('groovy', 'danceable', 'funky'), ('spiritual', 'devotional', 'mystical'))
ERAS = (
  ('1960s', 'sixties'), ('1970s', 'seventies'), ('1980s', 'eighties'), ('1990s', 'nineties'), ('2000s', 'noughties'),
  ('2010s', 'twenty-tens'), ('2020s', 'twenty-twenties'))
COUNTRIES = (
  ('Icelandic', 'Reykjavik'), ('British', 'Manchester'), ('American', 'Chicago'), ('German', 'Berlin'),
  ('French', 'Lyon'), ('Brazilian', 'Recife'), ('Japanese', 'Osaka'), ('Swedish', 'Gothenburg'),
  ('Nigerian', 'Lagos'), ('Argentine', 'Rosario'), ('Irish', 'Galway'), ('Canadian', 'Montreal'))

_FIRST = (
  'Ada', 'Bruno', 'Carla', 'Dario', 'Edda', 'Felix', 'Greta', 'Hugo', 'Ines', 'Jonas', 'Kaia', 'Lionel', 'Mara',
  'Nils', 'Orla', 'Pablo', 'Quinn', 'Rosa', 'Stellan', 'Tilda', 'Ugo', 'Vera', 'Wanda', 'Yara', 'Zeno')
_ADJECTIVES = (
  'Amber', 'Broken', 'Crimson', 'Distant', 'Electric', 'Fallen', 'Gentle', 'Hollow', 'Idle', 'Jagged', 'Lonely',
  'Midnight', 'Northern', 'Open', 'Paper', 'Quiet', 'Restless', 'Silver', 'Tidal', 'Velvet', 'Wandering', 'Young')
_NOUNS = (
  'Anchor', 'Beacon', 'Canyon', 'Drifter', 'Engine', 'Feather', 'Garden', 'Harbor', 'Island', 'Lantern', 'Meadow',
  'Needle', 'Orchard', 'Pilot', 'Quarry', 'River', 'Satellite', 'Tower', 'Valley', 'Window')
_SYLLABLES = (
  'ba', 'bel', 'cor', 'da', 'den', 'el', 'fa', 'fen', 'gar', 'hol', 'in', 'jor', 'ka', 'lan', 'lo', 'mar', 'mi',
  'nor', 'ol', 'pe', 'quin', 'ra', 'ros', 'sel', 'ta', 'ten', 'ul', 'va', 'ver', 'wil', 'ya', 'zan')
_LEADS = (
  '{name} is a {country} {subgenre} act', '{name}, {subgenre} from {city}', '{name} play {mood} {subgenre}',
  'The {country} group {name} mixes {subgenre} with {genre}', '{name}: {mood} {genre} out of {city}',
  '{name} make {subgenre} records', 'From {genre} in the {era}, {name} turned to {subgenre}')
_CLAUSES = (
  'known for {mood} songs', 'formed in the {era}', 'built on {instrument} and {instrument2}', 'with a {mood2} edge',
  'for fans of {genre}', 'rooted in the {era}', 'led by {instrument}', 'at home in {city}',
  'the album is {mood} and {mood2}', 'with plenty of {instrument2}', 'a {country} favourite', 'tagged {subgenre}')
_FILLERS = (
  'self-released on a small label', 'seen live at many festivals', 'with a loyal following', 'now on a second album',
  'recorded in a single week', 'listeners keep coming back', 'produced by an old friend')
WORDS = (8, 30)


def names(rng, count):
  """`count` different names of invented artists, drawn from the generator `rng`."""
  def pick(words):
    return words[rng.integers(len(words))]

  found = {}
  while len(found) < count:
    surname = ''.join(pick(_SYLLABLES) for _ in range(rng.integers(2, 4))).capitalize()
    name = (f'The {pick(_ADJECTIVES)} {pick(_NOUNS)}s', f'{pick(_FIRST)} {surname}', f'{pick(_ADJECTIVES)} {surname}',
            f'{surname} {pick(_NOUNS)}', f'{pick(_FIRST)} and the {pick(_NOUNS)}s')[rng.integers(5)]
    found[name] = None
  return list(found)


def wordings(rng, attributes):
  """The attributes of one item in words, each in one of its ways of being written.

  Args:
    rng: a generator.
    attributes: int `[8]`: genre, subgenre, two moods, era, country, two instruments; indices into the tables above.
  """
  genre, subgenre, mood, mood2, era, country, instrument, instrument2 = attributes.tolist()

  def write(ways):
    return ways[0] if rng.random() < .6 else ways[rng.integers(len(ways))]

  adjective, city = COUNTRIES[country]
  return {'genre': write(GENRE_NAMES[genre]), 'subgenre': write(SUBGENRE_NAMES[subgenre]), 'mood': write(MOODS[mood]),
          'mood2': write(MOODS[mood2]), 'era': write(ERAS[era]), 'country': adjective, 'city': city,
          'instrument': INSTRUMENT_NAMES[instrument], 'instrument2': INSTRUMENT_NAMES[instrument2]}


def describe(rng, name, words):
  """A text of `WORDS` words about `name` that tells some of its attributes `words` (of `wordings`) in a few clauses."""
  text = _LEADS[rng.integers(len(_LEADS))].format(name=name, **words)
  target = rng.integers(WORDS[0] + 2, WORDS[1] - 4)
  clauses = [*rng.permutation(_CLAUSES).tolist()[:6], *rng.permutation(_FILLERS).tolist()]
  # Fillers come among the clauses, so a longer text need not be a telling one.
  order = np.argsort(np.concatenate([rng.random(6), rng.random(len(_FILLERS)) + .35]), kind='stable')
  for index in order:
    longer = text + ', ' + clauses[index].format(**words)
    if len(text.split()) >= target or len(longer.split()) > WORDS[1]:
      break
    text = longer
  return re.sub(r'\ba (?=[AEIOUaeiou])', 'an ', text) + '.'


def tags(rng, words):
  """Some of the attributes `words` (of `wordings`) as whole phrases, without repetitions."""
  chance = {'genre': .8, 'subgenre': .85, 'mood': .6, 'mood2': .5, 'era': .5, 'country': .5, 'instrument': .3}
  return tuple(dict.fromkeys(words[key] for key, p in chance.items() if rng.random() < p))
