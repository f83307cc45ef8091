"""News: articles that die within days of their publication, and the readers who read them."""

from ganrec_jax.data.worlds.domain import Attribute, Domain, Temperament, Values, Vocabulary, of_genre, taxonomy
from ganrec_jax.data.worlds.writing import different, invented, pick

# Sections and their topics.
_SECTIONS = {
  ('politics', 'national politics'): (
    ('elections', 'election campaign'), ('immigration policy', 'asylum rules'), ('tax reform', 'tax policy'),
    ('local councils', 'town hall')),
  ('business', 'economy'): (
    ('interest rates', 'central bank policy'), ('startups', 'startup funding'), ('labour disputes', 'strikes'),
    ('trade tariffs', 'import duties')),
  ('technology', 'tech'): (
    ('artificial intelligence', 'machine learning'), ('smartphones', 'mobile phones'),
    ('cybersecurity', 'data security'), ('social media', 'online platforms')),
  ('science', 'research'): (
    ('space exploration', 'spaceflight'), ('climate research', 'climate science'), ('archaeology', 'excavations'),
    ('genetics', 'gene research')),
  ('health', 'medicine'): (
    ('hospital care', 'hospitals'), ('nutrition', 'diet'), ('epidemics', 'infectious disease'),
    ('mental health', 'psychology')),
  ('sport', 'sports'): (
    ('football', 'soccer'), ('tennis', 'grand slam tennis'), ('cycling', 'road cycling'),
    ('athletics', 'track and field')),
  ('culture', 'arts'): (
    ('cinema', 'film releases'), ('theatre', 'the stage'), ('books', 'literature'), ('museums', 'exhibitions')),
  ('travel', 'tourism'): (
    ('rail journeys', 'train travel'), ('city breaks', 'weekend trips'), ('air travel', 'airlines'),
    ('hiking trails', 'long-distance walks')),
  ('environment', 'nature'): (
    ('wildfires', 'forest fires'), ('renewable energy', 'wind and solar power'), ('wildlife', 'endangered species'),
    ('drought', 'water shortage')),
  ('justice', 'law and order'): (
    ('court trials', 'criminal trials'), ('police reform', 'policing'), ('financial fraud', 'fraud cases'),
    ('organised crime', 'gang crime')),
}
_ANGLES = (
  ('scandal', 'controversy'), ('protest', 'outcry'), ('breakthrough', 'leap forward'), ('warning', 'alarm'),
  ('record', 'all-time high'), ('inquiry', 'investigation'), ('comeback', 'return'), ('dispute', 'row'),
  ('funding gap', 'lack of money'), ('anniversary', 'look back'), ('rescue', 'rescue plan'), ('debate', 'discussion'),
  ('surprise', 'upset'), ('reform', 'overhaul'))
_FORMS = (
  ('analysis', 'in-depth analysis'), ('live report', 'live ticker'), ('interview', 'long interview'),
  ('opinion piece', 'opinion column'), ('explainer', 'background piece'), ('reportage', 'on-the-ground report'),
  ('short report', 'news item'))
_COUNTRIES = (
  ('Norwegian', 'Bergen'), ('British', 'Leeds'), ('American', 'Denver'), ('German', 'Hamburg'),
  ('French', 'Toulouse'), ('Spanish', 'Valencia'), ('Japanese', 'Nagoya'), ('Kenyan', 'Nairobi'),
  ('Brazilian', 'Salvador'), ('Indian', 'Pune'), ('Canadian', 'Halifax'), ('Australian', 'Adelaide'))
# Six people and organisations of each section, in the order of `_SECTIONS`; all invented.
_ENTITIES = (
  ('Alma Reyes', 'the Reform Alliance', 'Otto Brandtner', 'the Civic Party', 'Lena Sorel', 'the Audit Chamber'),
  ('Halden Bank', 'Meridian Motors', 'Ruth Castellan', 'the Dockers Union', 'Corvin Foods', 'the Trade Council'),
  ('Nimbus Systems', 'Paloma Chen', 'Orbiton', 'the Data Authority', 'Kite Robotics', 'Jonas Wexler'),
  ('the Polar Institute', 'Ines Falk', 'the Aster Mission', 'Tamsin Boyd', 'the Deep Core Project', 'Karim Aziz'),
  ('the Health Board', 'Mira Lindholm', 'Vitalis Clinics', 'the Nurses League', 'Paul Adeyemi', 'Novapharm'),
  ('Rovers United', 'Elena Markova', 'Team Solaris', 'Dario Conti', 'the Athletics Union', 'Kip Lagat'),
  ('the Meridian Festival', 'Odile Laurent', 'the City Opera', 'Samir Haddad', 'Lumen Pictures', 'Greta Holm'),
  ('Aeroline', 'the Rail Network', 'Bea Thornton', 'the Tourist Office', 'Alpine Huts', 'Marco Vidal'),
  ('the Forest Service', 'Sunridge Power', 'Anja Kroll', 'the River Trust', 'Tomas Vega', 'Greenwatch'),
  ('the High Court', 'Nora Pike', 'the Fraud Office', 'Viktor Hasek', 'the Police Union', 'Lucia Bellini'))
_PLACES = ('{}', 'Port {}', 'Lake {}', 'New {}', '{} Bay', '{} Valley')


def _names(rng, count):
  """Invented places, one in each headline."""
  return different(count, lambda: pick(rng, _PLACES).format(invented(rng)))


NEWS = Domain('news', 'readers', 'read', Vocabulary(
  letter='n',
  attributes=(
    *taxonomy(_SECTIONS),
    Attribute('angle', _ANGLES, (.3, .3), by_subgenre=True),
    Attribute('form', _FORMS, (.3,)),
    Attribute('country', _COUNTRIES, (.35,), forms=('country', 'city')),
    of_genre('entity', _ENTITIES, (.4, .4))),
  names=_names,
  titles=(
    '{subgenre}: {entity} and the {angle} of {name}', '{entity} in {name}: {subgenre} and a {angle}',
    '{name} at the centre of a {angle} over {subgenre}', '{entity} speaks out on {subgenre} in {name}',
    'What the {angle} in {name} means for {subgenre}', '{name}, {entity} and the future of {subgenre}',
    'After the {angle} in {name}, {entity} looks ahead', 'A {angle} in {name} puts {entity} on the spot',
    '{entity} under pressure as {subgenre} {angle} reaches {name}'),
  leads=(
    '{title}', '{title}. {genre}, {form}', '{title}. {form} from {city}', '{title}. {entity} and {entity2} disagree',
    '{title}. Our {country} correspondent on {subgenre}'),
  clauses=(
    'section: {genre}', 'topic: {subgenre}', '{entity2} has promised a statement', 'a {form} on {subgenre}',
    'readers ask about the {angle2}', '{country} readers know the story', '{entity} declined to comment',
    'in {city} everybody talks of the {angle}', 'experts see a {angle2}', 'with {entity} and {entity2}',
    'reported from {city}', 'the {country} view'),
  fillers=(
    'more details are expected tomorrow', 'this story has been updated', 'three minutes to read',
    'with photographs and maps', 'first published this morning', 'the figures are preliminary'),
  tags=(('genre', .85), ('subgenre', .85), ('angle', .4), ('angle2', .3), ('form', .4), ('country', .5), ('entity', .7),
        ('entity2', .5)),
  hints=('genre', 'country', 'entity'), joint='. ', words=(12, 40),
), Temperament(Values('count', mean=-1.5, slope=.1, spread=.7), periods=24, period_seconds=86400, content=.8, drift=.2,
               newcomers=.15, releases=.92, popularity=.7, ramp=1, life=3., life_spread=.4))
