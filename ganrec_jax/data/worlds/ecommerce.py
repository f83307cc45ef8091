"""E-commerce: products with prices, and the customers who buy them, some again and again."""

from ganrec_jax.data.worlds.domain import Attribute, Domain, Temperament, Values, Vocabulary, of_genre, taxonomy
from ganrec_jax.data.worlds.writing import different, invented, pick

_CATEGORIES = {
  ('kitchenware', 'cookware'): (
    ('frying pan', 'skillet'), ("chef's knife", 'kitchen knife'), ('coffee maker', 'coffee machine'),
    ('stand mixer', 'food mixer')),
  ('camping gear', 'outdoor gear'): (
    ('tent', 'trekking tent'), ('hiking backpack', 'rucksack'), ('sleeping bag', 'down sleeping bag'),
    ('camping stove', 'gas stove')),
  ('audio gear', 'hi-fi'): (
    ('headphones', 'over-ear headphones'), ('bluetooth speaker', 'wireless speaker'),
    ('record player', 'turntable'), ('microphone', 'studio microphone')),
  ('toys', 'toys and games'): (
    ('building blocks', 'construction set'), ('jigsaw puzzle', 'jigsaw'), ('board game', 'family board game'),
    ('plush animal', 'soft toy')),
  ('beauty care', 'personal care'): (
    ('face cream', 'moisturiser'), ('shampoo', 'hair wash'), ('perfume', 'eau de parfum'), ('lipstick', 'lip colour')),
  ('garden supplies', 'gardening supplies'): (
    ('garden hose', 'hose'), ('pruning shears', 'secateurs'), ('planter', 'flower pot'), ('lawn mower', 'mower')),
  ('clothing', 'fashion'): (
    ('rain jacket', 'raincoat'), ('wool sweater', 'knitted pullover'), ('running shoes', 'trainers'),
    ('denim jeans', 'jeans')),
  ('stationery', 'office supplies'): (
    ('desk lamp', 'reading lamp'), ('notebook', 'paper notebook'), ('fountain pen', 'ink pen'),
    ('office chair', 'desk chair')),
  ('pet supplies', 'pet care'): (
    ('dog food', 'dog kibble'), ('cat litter', 'clumping litter'), ('aquarium filter', 'fish tank filter'),
    ('bird feeder', 'feeding station')),
  ('groceries', 'fine food'): (
    ('ground coffee', 'filter coffee'), ('olive oil', 'virgin olive oil'), ('green tea', 'loose-leaf tea'),
    ('dark chocolate', 'chocolate bar')),
}
_USES = (
  ('everyday use', 'daily use'), ('gift giving', 'presents'), ('beginners', 'first-time buyers'),
  ('professionals', 'expert users'), ('large families', 'big households'), ('small flats', 'tight spaces'),
  ('travel', 'life on the road'), ('collectors', 'connoisseurs'), ('students', 'student budgets'),
  ('minimalists', 'people who like it simple'), ('weekends', 'days off'), ('festive days', 'holidays'))
# From cheap to dear; a customer has one budget.
_PRICES = (
  ('under 10', 'pocket money price'), ('under 20', 'bargain'), ('under 50', 'fair price'), ('under 100', 'mid-range'),
  ('under 250', 'premium'), ('over 250', 'luxury'))
_ORIGINS = (
  ('made in Portugal', 'Portuguese-made'), ('made in Germany', 'German-made'), ('made in Japan', 'Japanese-made'),
  ('made in Italy', 'Italian-made'), ('made in Denmark', 'Danish-made'), ('made in India', 'Indian-made'),
  ('made in Canada', 'Canadian-made'), ('made in Vietnam', 'Vietnamese-made'), ('made in Turkey', 'Turkish-made'))
# Of each category, in the order of `_CATEGORIES`; the brands are invented.
_FEATURES = (
  ('dishwasher-safe', 'stainless steel', 'easy to clean', 'compact', 'heavy-duty'),
  ('ultralight', 'packable', 'weatherproof', 'rugged', 'compact'),
  ('wireless', 'low-distortion', 'warm-sounding', 'studio-grade', 'travel-friendly'),
  ('educational', 'hand-finished', 'brightly coloured', 'plastic-free', 'award-winning'),
  ('vegan', 'long-lasting', 'dermatologically tested', 'refillable', 'cruelty-free'),
  ('rust-free', 'weatherproof', 'heavy-duty', 'lightweight', 'sun-resistant'),
  ('breathable', 'machine-washable', 'recycled', 'stretchy', 'hard-wearing'),
  ('elegant', 'recycled', 'minimalist', 'sturdy', 'award-winning'),
  ('vet-approved', 'eco-friendly', 'plastic-free', 'odour-free', 'easy to store'),
  ('organic', 'fairtrade', 'single-origin', 'gluten-free', 'small-batch'))
_BRANDS = (
  ('Kupferhaus', 'Bramante', 'Ostra', 'Nordpan'), ('Fjellrev', 'Talus', 'Campodoro', 'Windrose'),
  ('Sonora Labs', 'Klangwerk', 'Aurelia Audio', 'Beatrix'), ('Tinker and Tot', 'Holzfreund', 'Marmalade', 'Puzzella'),
  ('Lumiva', 'Oxalis', 'Maison Verel', 'Purelle'), ('Greenhand', 'Terrafino', 'Hedgerow', 'Gartenwolf'),
  ('Loomstone', 'Velora', 'Strider', 'Tarn and Thread'), ('Quillmark', 'Deskadia', 'Papyra', 'Lumenor'),
  ('Pawsome', 'Whiskerly', 'Aquanest', 'Barkley'), ('Valdoro', 'Monte Fiore', 'Kaoru', 'Ashgrove'))
_SUFFIXES = ('Pro', 'Classic', 'Plus', 'Nature', 'Compact', 'Duo', 'Select', 'Original', 'Lite', 'Home')


def _names(rng, count):
  def draw():
    word = invented(rng)
    return (word, f'{word} {pick(rng, _SUFFIXES)}', f'{word} {10 * rng.integers(2, 95)}')[rng.integers(3)]
  return different(count, draw)


ECOMMERCE = Domain('ecommerce', 'customers', 'bought', Vocabulary(
  letter='p',
  attributes=(
    *taxonomy(_CATEGORIES),
    Attribute('use', _USES, (.3, .3), by_subgenre=True),
    Attribute('price', _PRICES, (.8,), ordered=True, personal=True),
    Attribute('origin', _ORIGINS, (.2,)),
    of_genre('feature', _FEATURES, (.3, .3)),
    of_genre('brand', _BRANDS, (.5,))),
  names=_names,
  titles=('{brand} {name} {subgenre}', '{brand} {subgenre} {name}', '{name} {subgenre} by {brand}'),
  leads=(
    '{title}, {price}', '{title}: {feature}, {feature2}', '{title}, {feature}, for {use}',
    '{title} for {use} and {use2}', '{title}, {origin}', '{title}, {feature} {genre} from {brand}'),
  clauses=(
    'price: {price}', '{feature}', '{feature2}', '{origin}', 'good for {use}', 'made with {use2} in mind',
    'category: {genre}', 'brand: {brand}', 'from our {genre} range', 'a {brand} bestseller',
    'well suited to {use}', 'also for {use2}'),
  fillers=(
    'ships within two days', 'with two years of warranty', 'returns are free', 'new packaging', 'rated by customers',
    'only a few left', 'in several sizes'),
  tags=(('genre', .8), ('subgenre', .85), ('use', .4), ('use2', .3), ('price', .7), ('origin', .4), ('feature', .5),
        ('feature2', .4), ('brand', .75)),
  hints=('genre', 'price', 'brand'),
), Temperament(Values('count', mean=-1.3, slope=.25, spread=.7), content=.7, drift=.4, newcomers=.15, releases=.2,
               popularity=.75))
