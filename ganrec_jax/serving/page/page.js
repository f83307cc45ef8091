'use strict';

// Titles and attributes are data: they enter the page as textContent, never as markup.

const $ = id => document.getElementById(id);
const SHOWN = 12, KEPT = 500, STORE = 'ganrec';
const state = load();
let key = sessionStorage.getItem(STORE);
let asked = 0, searched = 0, active = -1, timer = 0, lastRun = null;

function load() {
  let kept = {};
  try { kept = JSON.parse(localStorage.getItem(STORE)) || {}; } catch { /* damaged or forbidden: begin anew */ }
  const list = name => Array.isArray(kept[name]) ? kept[name].filter(one => one && typeof one.id === 'string') : [];
  const name = 'page-' + Array.from(crypto.getRandomValues(new Uint32Array(3)), n => n.toString(36)).join('');
  return {user: typeof kept.user === 'string' ? kept.user : name, picks: list('picks'), skipped: list('skipped'),
          history: list('history')};
}

function save() {
  try { localStorage.setItem(STORE, JSON.stringify(state)); } catch { /* a page that may not keep anything still works */ }
}

async function call(path, body) {
  const headers = {'Accept': 'application/json'};
  if (key) headers['Authorization'] = 'Bearer ' + key;
  if (body) headers['Content-Type'] = 'application/json';
  let response;
  try {
    response = await fetch(path, {method: body ? 'POST' : 'GET', headers, body: body && JSON.stringify(body)});
  } catch { throw new Error('The server cannot be reached.'); }
  const answer = await response.json().catch(() => ({error: 'The server answered in another language.'}));
  $('key-form').hidden = response.status !== 401;
  if (response.ok) return answer;
  if (response.status === 401) $('key').focus();
  throw Object.assign(new Error(answer.error || 'Error ' + response.status), {unknown: answer.unknown});
}

function make(tag, words = '', more = {}) {
  const element = document.createElement(tag);
  element.textContent = words;
  for (const [name, value] of Object.entries(more)) element.setAttribute(name, value);
  return element;
}

function fail(error) {
  $('error').textContent = error.message;
  $('error').hidden = false;
}

function remember(what, item) {
  state.history.push({id: item.id, title: item.title, what, at: Date.now()});
  state.history.splice(0, state.history.length - KEPT);
}

// Picks

function pick(item, what = 'picked') {
  if (state.picks.some(one => one.id === item.id)) return undefined;
  state.picks.push({id: item.id, title: item.title});
  state.skipped = state.skipped.filter(one => one.id !== item.id);
  remember(what, item);
  return changed();
}

function unpick(item) {
  const place = state.picks.findIndex(one => one.id === item.id);
  state.picks.splice(place, 1);
  remember('removed', item);
  changed();
  const left = $('picks').querySelectorAll('button');
  (left[Math.min(place, left.length - 1)] || $('search')).focus();
}

function changed() {
  save();
  $('picks').replaceChildren(...state.picks.map(item => {
    const button = make('button', item.title, {type: 'button', 'aria-label': 'Remove ' + item.title});
    button.append(make('span', '\u00d7', {'aria-hidden': 'true'}));
    button.addEventListener('click', () => unpick(item));
    const entry = make('li');
    entry.append(button);
    return entry;
  }));
  $('no-picks').hidden = state.picks.length > 0;
  $('history').replaceChildren(...state.history.slice().reverse().map(one => {
    const entry = make('li', one.title + ' ');
    entry.append(make('small', one.what));
    return entry;
  }));
  $('no-history').hidden = state.history.length > 0;
  $('forget').hidden = !state.history.length && !state.picks.length;
  return recommend();
}

// Search, as a combobox with a list of options

function soon() {
  clearTimeout(timer);
  timer = setTimeout(search, 80);
}

async function search() {
  const words = $('search').value.trim(), mine = ++searched;
  if (!words) { show([]); $('nothing').hidden = true; return; }
  try {
    const {items} = await call('/items?k=8&q=' + encodeURIComponent(words));
    if (mine !== searched) return;
    show(items);
    $('nothing').hidden = items.length > 0;
  } catch (error) { if (mine === searched) fail(error); }
}

function show(items) {
  active = -1;
  $('found').replaceChildren(...items.map((item, place) => {
    const option = make('li', '', {role: 'option', id: 'found-' + place, 'aria-selected': 'false'});
    option.append(make('span', item.title));
    if (item.new) option.append(make('span', 'new', {class: 'badge'}));
    // Before the search field loses the focus.
    option.addEventListener('mousedown', event => event.preventDefault());
    option.addEventListener('click', () => take(item));
    option.item = item;
    return option;
  }));
  open(items.length > 0);
}

function open(whether) {
  $('found').hidden = !whether;
  $('search').setAttribute('aria-expanded', String(whether));
  if (!whether) activate(-1);
}

function activate(place) {
  const options = $('found').children;
  for (const option of options) option.setAttribute('aria-selected', 'false');
  active = options.length && place >= 0 ? place % options.length : -1;
  if (active < 0) { $('search').removeAttribute('aria-activedescendant'); return; }
  options[active].setAttribute('aria-selected', 'true');
  options[active].scrollIntoView({block: 'nearest'});
  $('search').setAttribute('aria-activedescendant', options[active].id);
}

function take(item) {
  $('search').value = '';
  searched++;
  show([]);
  $('nothing').hidden = true;
  pick(item);
}

function keyed(event) {
  const options = $('found').children, shown = !$('found').hidden;
  if (event.key === 'Escape' && shown) open(false);
  else if (event.key === 'ArrowDown' && options.length) { if (!shown) open(true); activate(active + 1); }
  else if (event.key === 'ArrowUp' && shown) activate(active <= 0 ? options.length - 1 : active - 1);
  else if (event.key === 'Enter' && shown) take(options[Math.max(active, 0)].item);
  else return;
  event.preventDefault();
}

// Recommendations

async function recommend() {
  const mine = ++asked;
  $('error').hidden = true;
  if (!state.picks.length) {
    $('results').replaceChildren();
    $('status').textContent = 'Nothing is picked yet.';
    return;
  }
  $('results').setAttribute('aria-busy', 'true');
  try {
    const answer = await call('/recommend', {
      history: state.picks.map(item => item.id), exclude: state.skipped.map(item => item.id), k: SHOWN, explain: true,
      only_new: $('only-new').checked, adventure: Number($('adventure').value),
      filters: $('attribute').value ? [$('attribute').value] : []});
    if (mine !== asked) return;
    if (lastRun && answer.run !== lastRun) about();
    lastRun = answer.run;
    $('results').replaceChildren(...answer.items.map(entry));
    const count = answer.items.length, likes = state.picks.length;
    $('status').textContent = count ? `${count} for what you picked (${likes}), best first.` : 'Nothing is left to recommend.';
  } catch (error) {
    if (mine === asked && !forgotten(error.unknown)) fail(error);
  } finally {
    if (mine === asked) $('results').removeAttribute('aria-busy');
  }
}

// What another run no longer knows is dropped, and the question asked again.
function forgotten(id) {
  if (id === undefined) return false;
  const before = state.picks.length + state.skipped.length;
  state.picks = state.picks.filter(one => one.id !== id);
  state.skipped = state.skipped.filter(one => one.id !== id);
  if (state.picks.length + state.skipped.length === before) return false;
  changed();
  return true;
}

function entry(item) {
  const row = make('li'), title = make('h3', item.title), react = make('div', '', {class: 'react'});
  if (item.new) title.append(make('span', 'new', {class: 'badge'}));
  row.append(title, make('p', reason(item), {class: 'why'}));
  if (item.attributes.length) row.append(make('p', item.attributes.slice(0, 6).join(' \u00b7 '), {class: 'attributes'}));
  const like = make('button', 'Like', {type: 'button', 'aria-label': 'Like ' + item.title});
  const skip = make('button', 'Skip', {type: 'button', 'aria-label': 'Skip ' + item.title});
  like.addEventListener('click', () => reactTo(item, 'like', [like, skip]));
  skip.addEventListener('click', () => reactTo(item, 'skip', [like, skip]));
  react.append(like, skip);
  row.append(react);
  return row;
}

function reason(item) {
  const because = (item.because || []).map(one => `${one.title} (${Math.round(100 * one.share)}%)`);
  if (item.popularity >= .2 || !because.length) because.push(`its popularity (${Math.round(100 * item.popularity)}%)`);
  return 'Because of ' + because.join(' and ');
}

async function reactTo(item, event, buttons) {
  const place = [...$('results').children].indexOf(buttons[0].closest('li'));
  for (const button of buttons) button.disabled = true;
  try {
    await call('/feedback', {user: state.user, item: item.id, event});
  } catch (error) {
    for (const button of buttons) button.disabled = false;
    fail(error);
    return;
  }
  if (event === 'like') await pick(item, 'liked');
  else {
    state.skipped.push({id: item.id, title: item.title});
    remember('skipped', item);
    await changed();
  }
  // The list was made anew; the keyboard stays where it was.
  const rows = $('results').children;
  (rows.length ? rows[Math.min(place, rows.length - 1)].querySelector('button') : $('results-title')).focus({preventScroll: true});
}

// The page

async function about() {
  try {
    const found = await call('/about');
    const count = number => number.toLocaleString('en');
    $('about').textContent = `${found.name || 'A run'}: ${count(found.items)} items, ${count(found.new_items)} of them new, `
      + `learned from ${count(found.users)} users.`;
    $('simulated').hidden = !found.simulated;
    $('only-new').disabled = !found.new_items;
    $('new-hint').textContent = found.new_items ? 'Items that nobody in the data has tried yet.' : 'There are none in these data.';
    const chosen = $('attribute').value;
    $('attribute').replaceChildren(make('option', 'any', {value: ''}),
                                   ...found.attributes.map(name => make('option', name, {value: name})));
    if (found.attributes.includes(chosen)) $('attribute').value = chosen;
    $('attribute-option').hidden = !found.attributes.length;
    return true;
  } catch (error) { fail(error); return false; }
}

async function start() {
  if (await about()) changed();
}

$('search').addEventListener('input', soon);
$('search').addEventListener('keydown', keyed);
$('search').addEventListener('focus', () => { if ($('found').children.length) open(true); });
$('search').addEventListener('blur', () => open(false));
$('only-new').addEventListener('change', recommend);
$('attribute').addEventListener('change', recommend);
$('adventure').addEventListener('input', () => {
  $('adventure-value').textContent = Number($('adventure').value).toFixed(2).replace(/\.?0+$/, '');
  clearTimeout($('adventure').timer);
  $('adventure').timer = setTimeout(recommend, 60);
});
$('forget').addEventListener('click', () => {
  Object.assign(state, {picks: [], skipped: [], history: []});
  changed();
  $('search').focus();
});
$('key-form').addEventListener('submit', event => {
  event.preventDefault();
  key = $('key').value;
  sessionStorage.setItem(STORE, key);
  $('error').hidden = true;
  start();
});
start();
