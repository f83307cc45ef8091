"""Music: artists, and the listeners who play them."""

from ganrec_jax.data.worlds.domain import Attribute, Domain, Temperament, Values, Vocabulary, of_genre, taxonomy
from ganrec_jax.data.worlds.writing import different, invented, pick

_GENRES = {
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
# The instruments heard in each genre, in the order of `_GENRES`, four each.
_INSTRUMENTS = (
  ('synthesizer', 'drum machine', 'sampler', 'vocoder'), ('electric guitar', 'bass', 'organ', 'drums'),
  ('distorted guitar', 'double bass drum', 'bass', 'choir'), ('turntables', 'sampler', 'drum machine', 'piano'),
  ('saxophone', 'trumpet', 'upright bass', 'piano'), ('acoustic guitar', 'fiddle', 'banjo', 'accordion'),
  ('horn section', 'organ', 'bass', 'choir'), ('strings', 'harpsichord', 'piano', 'cello'),
  ('congas', 'trumpet', 'nylon guitar', 'accordion'), ('synthesizer', 'electric guitar', 'piano', 'strings'))
_MOODS = (
  ('melancholic', 'wistful', 'sad'), ('joyful', 'happy', 'sunny'), ('aggressive', 'furious', 'angry'),
  ('calm', 'peaceful', 'soothing'), ('dark', 'gloomy', 'sinister'), ('romantic', 'tender', 'intimate'),
  ('energetic', 'driving', 'high-energy'), ('dreamy', 'hypnotic', 'drifting'), ('playful', 'witty', 'tongue-in-cheek'),
  ('epic', 'grand', 'soaring'), ('raw', 'rough', 'unpolished'), ('nostalgic', 'bittersweet', 'yearning'),
  ('groovy', 'danceable', 'funky'), ('spiritual', 'devotional', 'mystical'))
_ERAS = (
  ('1960s', 'sixties'), ('1970s', 'seventies'), ('1980s', 'eighties'), ('1990s', 'nineties'), ('2000s', 'noughties'),
  ('2010s', 'twenty-tens'), ('2020s', 'twenty-twenties'))
_COUNTRIES = (
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


def _names(rng, count):
  def draw():
    surname = invented(rng)
    return (f'The {pick(rng, _ADJECTIVES)} {pick(rng, _NOUNS)}s', f'{pick(rng, _FIRST)} {surname}',
            f'{pick(rng, _ADJECTIVES)} {surname}', f'{surname} {pick(rng, _NOUNS)}',
            f'{pick(rng, _FIRST)} and the {pick(rng, _NOUNS)}s')[rng.integers(5)]
  return different(count, draw)


MUSIC = Domain('music', 'listeners', 'listened to', Vocabulary(
  letter='a',
  attributes=(
    *taxonomy(_GENRES),
    Attribute('mood', _MOODS, (.4, .4), by_subgenre=True),
    Attribute('era', _ERAS, (.35,)),
    Attribute('country', _COUNTRIES, (.3,), forms=('country', 'city')),
    of_genre('instrument', _INSTRUMENTS, (.2, .2))),
  names=_names, titles=('{name}',), leads=_LEADS, clauses=_CLAUSES, fillers=_FILLERS,
  tags=(('genre', .8), ('subgenre', .85), ('mood', .6), ('mood2', .5), ('era', .5), ('country', .5),
        ('instrument', .3)),
  hints=('genre', 'mood', 'country'), repeats=True,
), Temperament(Values('count', mean=.5, slope=.2, spread=.8)))
