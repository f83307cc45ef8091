"""Games, and the hours that players spend on them."""

from ganrec_jax.data.worlds.domain import Attribute, Domain, Temperament, Values, Vocabulary, of_genre, taxonomy
from ganrec_jax.data.worlds.writing import different, invented, pick

_GENRES = {
  ('role-playing', 'roleplay'): (
    ('dungeon crawler', 'loot crawler'), ('tactical rpg', 'party rpg'), ('open-world rpg', 'sandbox rpg'),
    ('roguelike', 'permadeath crawler')),
  ('shooter', 'shooting'): (
    ('arena shooter', 'twitch shooter'), ('looter shooter', 'loot-driven shooter'),
    ('battle royale', 'last-one-standing shooter'), ('tactical shooter', 'squad shooter')),
  ('strategy', 'strategic'): (
    ('tactics game', 'turn-based strategy game'), ('grand strategy game', 'empire builder'),
    ('tower defence game', 'maze defence game'), ('real-time strategy game', 'rts')),
  ('simulation', 'sim'): (
    ('farming sim', 'farming game'), ('flight simulator', 'flight sim'), ('city builder', 'town builder'),
    ('management sim', 'tycoon game')),
  ('puzzle', 'brain-teasing'): (
    ('match-three game', 'tile matcher'), ('logic puzzle', 'deduction puzzle'),
    ('physics puzzle', 'contraption puzzle'), ('hidden object game', 'seek-and-find game')),
  ('platform', 'jump-and-run'): (
    ('metroidvania', 'exploration platformer'), ('precision platformer', 'hardcore platformer'),
    ('collectathon', '3d platformer'), ('endless runner', 'auto-runner')),
  ('racing', 'driving'): (
    ('kart racer', 'fun racer'), ('rally game', 'off-road racer'), ('street racer', 'arcade racer'),
    ('motorcycle racer', 'bike racer')),
  ('sports', 'athletic'): (
    ('football game', 'soccer game'), ('snowboarding game', 'winter sports game'), ('boxing game', 'ring fighter'),
    ('golf game', 'minigolf game')),
  ('adventure', 'narrative'): (
    ('point-and-click adventure', 'inventory adventure'), ('visual novel', 'interactive novel'),
    ('walking simulator', 'exploration story'), ('survival adventure', 'survival crafting game')),
  ('card and board', 'tabletop'): (
    ('deckbuilder', 'deck-building game'), ('auto battler', 'auto chess game'),
    ('board game adaptation', 'digital board game'), ('party game', 'quiz game')),
}
_THEMES = (
  ('fantasy', 'swords and sorcery'), ('science fiction', 'sci-fi'), ('post-apocalyptic', 'wasteland'),
  ('cozy', 'wholesome'), ('horror', 'spooky'), ('pirates', 'high seas'), ('vikings', 'norse'), ('noir', 'detective'),
  ('steampunk', 'clockwork'), ('mythology', 'gods and heroes'), ('animals', 'wildlife'), ('pixel art', 'retro look'),
  ('medieval', 'knights and castles'), ('comedy', 'slapstick'))
_PLATFORMS = (
  ('PC', 'Windows'), ('consoles', 'living room consoles'), ('handhelds', 'portable consoles'),
  ('mobile', 'smartphones'), ('VR', 'virtual reality'))
_MODES = (
  ('single-player', 'solo'), ('online co-op', 'co-op'), ('couch co-op', 'split screen'),
  ('competitive multiplayer', 'ranked multiplayer'), ('massively multiplayer', 'online world'))
# Four studios of each genre, in the order of `_GENRES`; all invented.
_STUDIOS = (
  ('Emberkeep', 'Runeforge Interactive', 'Oaken Tale', 'Grimlight'),
  ('Hard Recoil', 'Ninth Magazine', 'Vantage Point Games', 'Red Tracer'),
  ('Hexfield', 'Crown and Ledger', 'Marshal Works', 'Iron Quorum'),
  ('Haystack Studio', 'Blue Turnip', 'Gearlever', 'Plot and Parcel'),
  ('Tiny Eureka', 'Odd Square', 'Knotwork', 'Lateral Labs'),
  ('Bouncing Fox', 'Springheel', 'Double Leap', 'Pixel Ledge'),
  ('Apex Nine', 'Tarmac Team', 'Slipstream Soft', 'Mudguard'),
  ('Full Whistle', 'Podium Games', 'Second Half', 'Corner Flag'),
  ('Lantern Room', 'Paper Heron', 'Far Shore Stories', 'Quiet Attic'),
  ('Shuffle House', 'Meeple Machine', 'Wild Draw', 'Pocket Tavern'))
_ADJECTIVES = (
  'Iron', 'Hollow', 'Neon', 'Lost', 'Tiny', 'Broken', 'Super', 'Dark', 'Merry', 'Infinite', 'Crystal', 'Rusty',
  'Sunken', 'Wild')
_NOUNS = (
  'Frontier', 'Legends', 'Dominion', 'Harvest', 'Circuit', 'Echoes', 'Protocol', 'Tactics', 'Odyssey', 'Kingdoms',
  'Rivals', 'Depths', 'Chronicles', 'Rush', 'Horizons', 'Quest')
_ENDINGS = ('Rising', 'Reborn', 'Origins', 'Unbound', 'Remastered')


def _names(rng, count):
  def draw():
    place, number = invented(rng), rng.integers(2, 5)
    return (f'{place} {pick(rng, _NOUNS)}', f'{pick(rng, _ADJECTIVES)} {place}', f'{place}: {pick(rng, _ENDINGS)}',
            f'{pick(rng, _NOUNS)} of {place}', f'{pick(rng, _ADJECTIVES)} {pick(rng, _NOUNS)}',
            f'{place} {number}')[rng.integers(6)]
  return different(count, draw)


GAMES = Domain('games', 'players', 'played', Vocabulary(
  letter='g',
  attributes=(
    *taxonomy(_GENRES),
    Attribute('theme', _THEMES, (.35, .35), by_subgenre=True),
    Attribute('platform', _PLATFORMS, (.7,), personal=True),
    Attribute('mode', _MODES, (.45,)),
    of_genre('studio', _STUDIOS, (.45,))),
  names=_names, titles=('{name}',),
  leads=(
    '{title} is a {mode} {subgenre} by {studio}', '{title}, {subgenre} for {platform}',
    '{title}: {theme}, {theme2}, {subgenre}', '{studio} presents {title}, a {subgenre} for {platform}',
    '{title}, a {genre} game from {studio}', 'From {studio}: {title}, {mode} {subgenre}'),
  clauses=(
    'playable on {platform}', 'best in {mode}', 'theme: {theme}', 'also {theme2}',
    'developed by {studio}', 'for fans of {genre} games', 'with {theme2} touches', 'out on {platform}', 'mode: {mode}',
    'a new take on the {subgenre}', 'genre: {genre}', 'made by the team at {studio}'),
  fillers=(
    'in early access', 'with weekly challenges', 'a soundtrack is included', 'full controller support',
    'translated into nine languages', 'with a level editor', 'overwhelmingly positive reviews'),
  tags=(('genre', .8), ('subgenre', .85), ('theme', .6), ('theme2', .5), ('platform', .6), ('mode', .6),
        ('studio', .6)),
  hints=('genre', 'platform', 'studio'),
), Temperament(Values('hours', mean=.6, slope=.3, spread=1.4), content=.7, drift=.3, releases=.25, popularity=.85,
               activity=1.2))
