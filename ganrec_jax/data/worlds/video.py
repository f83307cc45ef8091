"""Video: films and series, and the viewers who rate them."""

from ganrec_jax.data.worlds.domain import Attribute, Domain, Temperament, Values, Vocabulary, of_genre, taxonomy
from ganrec_jax.data.worlds.writing import different, invented, pick

_GENRES = {
  ('drama', 'dramatic film'): (
    ('family drama', 'domestic drama'), ('courtroom drama', 'legal drama'), ('period drama', 'costume drama'),
    ('coming-of-age story', 'teen drama')),
  ('comedy', 'comic film'): (
    ('romantic comedy', 'romcom'), ('dark comedy', 'black comedy'), ('slapstick comedy', 'slapstick film'),
    ('mockumentary', 'spoof documentary')),
  ('thriller', 'suspense'): (
    ('psychological thriller', 'mind game thriller'), ('spy thriller', 'espionage film'), ('heist film', 'caper'),
    ('conspiracy thriller', 'political thriller')),
  ('horror', 'scary film'): (
    ('haunted house story', 'ghost story'), ('slasher', 'slasher film'), ('folk horror film', 'rural horror film'),
    ('zombie film', 'undead film')),
  ('science fiction', 'sci-fi'): (
    ('space opera', 'space adventure'), ('time travel story', 'time travel film'), ('dystopia', 'dystopian film'),
    ('cyberpunk film', 'tech noir')),
  ('action', 'action film'): (
    ('martial arts film', 'kung fu film'), ('disaster film', 'catastrophe film'), ('war film', 'war story'),
    ('superhero film', 'comic book film')),
  ('documentary', 'non-fiction'): (
    ('nature documentary', 'wildlife film'), ('true crime film', 'true crime series'),
    ('music documentary', 'concert film'), ('travelogue', 'travel film')),
  ('animation', 'animated film'): (
    ('stop motion film', 'puppet film'), ('anime', 'anime feature'), ('hand-drawn fairy tale', 'animated fairy tale'),
    ('computer animation', 'digital cartoon')),
  ('crime story', 'crime film'): (
    ('detective story', 'whodunit'), ('gangster film', 'mob film'), ('film noir', 'noir thriller'),
    ('police procedural', 'police series')),
  ('adventure', 'adventure film'): (
    ('western', 'frontier film'), ('swashbuckler', 'pirate film'), ('survival story', 'survival film'),
    ('treasure hunt', 'quest film')),
}
_MOODS = (
  ('bleak', 'grim'), ('heartwarming', 'feel-good'), ('tense', 'nerve-racking'), ('dreamlike', 'surreal'),
  ('sad', 'tear-jerking'), ('witty', 'sharp-tongued'), ('violent', 'brutal'), ('quiet', 'slow-burning'),
  ('fast-paced', 'breathless'), ('romantic', 'tender'), ('satirical', 'mocking'), ('epic', 'sweeping'),
  ('eerie', 'creepy'), ('inspiring', 'uplifting'))
_DECADES = (
  ('1960s', 'sixties'), ('1970s', 'seventies'), ('1980s', 'eighties'), ('1990s', 'nineties'), ('2000s', 'noughties'),
  ('2010s', 'twenty-tens'), ('2020s', 'twenty-twenties'))
_COUNTRIES = (
  ('British', 'London'), ('American', 'New York'), ('French', 'Marseille'), ('Italian', 'Naples'),
  ('Korean', 'Seoul'), ('Japanese', 'Kyoto'), ('Indian', 'Mumbai'), ('Danish', 'Copenhagen'), ('Mexican', 'Oaxaca'),
  ('Spanish', 'Seville'), ('Polish', 'Gdansk'), ('Australian', 'Perth'))
# Five actors and three directors of each genre, in the order of `_GENRES`; all invented.
_CAST = (
  ('Agnes Marlow', 'Tobias Renn', 'Helena Voss', 'Samuel Okoro', 'Clara Whitby'),
  ('Benny Alcott', 'Dolores Fink', 'Max Tremain', 'Josie Pell', 'Rupert Gale'),
  ('Victor Stahl', 'Irene Cassidy', 'Marcus Hale', 'Nadia Ferrow', 'Simon Drake'),
  ('Lilith Crane', 'Edgar Moss', 'Petra Holloway', 'Ray Coffin', 'Mina Thorne'),
  ('Zara Quill', 'Orion Blake', 'Tess Nakata', 'Kell Armitage', 'Juno Vance'),
  ('Jack Ironside', 'Mei Tanaka', 'Rex Dalton', 'Carmen Ortega', 'Dane Kruger'),
  ('David Penrose', 'Amara Nwosu', 'Ingrid Dahl', 'Walter Finch', 'Sunita Rao'),
  ('Polly Merriweather', 'Hiro Asano', 'Gus Tilley', 'Fleur Lamont', 'Otis Pringle'),
  ('Frank Mancuso', 'Vera Lindqvist', 'Leo Barzini', 'Stella Noonan', 'Tom Harrigan'),
  ('Wyatt Cole', 'Rosalind Sharp', 'Esteban Cruz', 'Freya Storm', 'Gideon Marsh'))
_DIRECTORS = (
  ('Margarethe Olin', 'Paul Desmarais', 'Anita Kohli'), ('Harold Pym', 'Lucie Bonnet', 'Greg Santoro'),
  ('Alan Krieger', 'Monica Reiss', 'Park Joon'), ('Silvan Grau', 'Dana Willow', 'Mario Fulgenzi'),
  ('Andrei Volkov', 'Claire Sutton', 'Kenji Morita'), ('John Steele', 'Lena Hammer', 'Raj Malhotra'),
  ('Elspeth Munro', 'Werner Lang', 'Bianca Teller'), ('Nick Bramble', 'Yuki Hoshino', 'Sylvie Perrault'),
  ('Sal DeMarco', 'Ruth Ackermann', 'Ian Rourke'), ('Hank Forrester', 'Olga Petrova', 'Luis Montoya'))
_ADJECTIVES = (
  'Silent', 'Burning', 'Last', 'Forgotten', 'Golden', 'Frozen', 'Second', 'Hidden', 'Endless', 'Scarlet', 'Borrowed',
  'Empty', 'Savage', 'Gentle', 'Stolen', 'Perfect')
_NOUNS = (
  'Summer', 'Witness', 'Harvest', 'Horizon', 'Letter', 'Promise', 'Garden', 'Station', 'Stranger', 'Crossing',
  'Winter', 'Kingdom', 'Inheritance', 'Shore', 'Machine', 'Daughter', 'Bridge', 'Verdict', 'Season', 'Mirror')


def _names(rng, count):
  def draw():
    place = invented(rng)
    return (f'The {pick(rng, _ADJECTIVES)} {pick(rng, _NOUNS)}', f'{pick(rng, _NOUNS)} in {place}',
            f'The {pick(rng, _NOUNS)} of {place}', f'{place}', f'Return to {place}',
            f'{pick(rng, _ADJECTIVES)} {place}')[rng.integers(6)]
  return different(count, draw)


VIDEO = Domain('video', 'viewers', 'watched', Vocabulary(
  letter='v',
  attributes=(
    *taxonomy(_GENRES),
    Attribute('mood', _MOODS, (.35, .35), by_subgenre=True),
    Attribute('decade', _DECADES, (.4,), ordered=True),
    Attribute('country', _COUNTRIES, (.3,), forms=('country', 'city')),
    of_genre('actor', _CAST, (.3, .3)),
    of_genre('director', _DIRECTORS, (.45,))),
  names=_names, titles=('{name}',),
  leads=(
    '{title} is a {mood} {subgenre} by {director}', '{title}, a {country} {subgenre} of the {decade}',
    '{title}: {mood} {genre} with {actor}', '{director} directs {actor} in {title}, a {subgenre}',
    'In {title}, {actor} and {actor2} meet in {city}', 'The {country} {subgenre} {title} stars {actor}'),
  clauses=(
    'directed by {director}', 'co-starring {actor2}', 'set in {city}', 'made in the {decade}',
    'as {mood} as it is {mood2}', 'a favourite of {genre} fans', '{mood2} to the end', 'with {actor2} in a small part',
    'shot in the {decade}', 'a {country} production', 'told as a {subgenre}', 'for lovers of {genre}'),
  fillers=(
    'based on a novel', 'two hours long', 'shown at several festivals', 'with a much-loved score',
    'the first part of three', 'restored last year', 'with an ending that divides viewers'),
  tags=(('genre', .8), ('subgenre', .85), ('mood', .5), ('mood2', .4), ('decade', .6), ('country', .5), ('actor', .6),
        ('actor2', .5), ('director', .6)),
  hints=('genre', 'decade', 'actor'),
), Temperament(Values('rating', mean=2.7, slope=.2, spread=.8), content=.6, drift=.8, releases=.2, popularity=.85))
