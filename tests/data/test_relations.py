"""Logs and catalogues that a warehouse answers with: DuckDB, SQLite, and a real Postgres server."""

import contextlib
import getpass
import os
import pathlib
import shutil
import socket
import sqlite3
import subprocess
import tempfile

import duckdb
import pytest

from ganrec_jax.data import tables
from ganrec_jax.errors import ConfigError, DataError

TABLES = """
create table events (customer varchar(20), product varchar(20), amount double precision, moment timestamp);
insert into events values ('u1', '007', 1.5, '2020-01-01 00:00:00'), ('u1', '007', 1, '2020-01-02 00:00:00'),
  ('ü2', 'b', 2, '2020-01-01 12:00:00'), ('u3', 'b', null, '2020-01-01 00:00:00');
create table products (sku varchar(20), name varchar(99), price double precision);
insert into products values ('007', 'Bond, "James"', 7.5), ('b', null, null);
"""
QUERIES = {
  'query': 'select customer as user_id, product as item_id, amount as value, moment as time from events '
           'where amount > 0;',
  'items_query': 'select sku as item_id, name as title, price from products'}


@pytest.fixture(scope='module')
def postgres(tmp_path_factory):
  """The URL of a Postgres server of its own, with the tables."""
  psycopg = pytest.importorskip('psycopg', reason='needs the package psycopg')
  places = [*os.environ['PATH'].split(os.pathsep), *map(str, pathlib.Path('/usr/lib/postgresql').glob('*/bin'))]
  if not (initdb := shutil.which('initdb', path=os.pathsep.join(places))):
    pytest.skip('needs a Postgres server (initdb is not installed)')
  folder = tmp_path_factory.mktemp('postgres')
  # Postgres refuses to run as root.
  user = 'nobody' if getpass.getuser() == 'root' else None
  for place in (folder, *folder.parents):
    if pathlib.Path(tempfile.gettempdir()) in place.parents:
      place.chmod(0o755)
  if user:
    shutil.chown(folder, user)
  with socket.socket() as probe:
    probe.bind(('127.0.0.1', 0))
    port = probe.getsockname()[1]
  options = {'user': user, 'cwd': folder, 'check': True, 'capture_output': True}
  subprocess.run([initdb, '-D', folder / 'data', '-U', 'tester', '--auth=trust', '--no-sync'], **options)
  control = [os.path.join(os.path.dirname(os.path.realpath(initdb)), 'pg_ctl'), '-D', folder / 'data', '-w']
  server = f'-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off'
  subprocess.run([*control, '-l', folder / 'log', '-o', server, 'start'], **options | {'capture_output': False})
  try:
    url = f'postgresql://tester@127.0.0.1:{port}/postgres'
    with psycopg.connect(url, autocommit=True) as connection:
      connection.execute(TABLES)
    yield url
  finally:
    subprocess.run([*control, '-m', 'immediate', 'stop'], **options)


@pytest.fixture
def warehouse(request, tmp_path):
  if request.param == 'postgres':
    return request.getfixturevalue('postgres')
  path = str(tmp_path / 'warehouse.db')
  if request.param == 'sqlite':
    with contextlib.closing(sqlite3.connect(path)) as connection:
      connection.executescript(TABLES)
  else:
    with duckdb.connect(path) as connection:
      connection.execute(TABLES)
  return path


_ALL = pytest.mark.parametrize('warehouse', ['duckdb', 'sqlite', 'postgres'], indirect=True)


@_ALL
def test_a_warehouse_answers_with_a_log_and_a_catalogue(warehouse):
  data = tables.load(tables.TablesConfig(database=warehouse, numbers='price', **QUERIES))
  log = data.interactions
  rows = zip(data.user_ids[log.user].tolist(), data.catalogue.ids[log.item].tolist(), log.value.tolist(),
             log.time.tolist(), strict=True)
  assert list(rows) == [('u1', '007', 2.5, 1577923200), ('ü2', 'b', 2., 1577880000)]
  assert data.catalogue.titles.tolist() == ['Bond, "James"', 'b']
  assert data.catalogue.phrases == (('price 5-10',), ())


@_ALL
@pytest.mark.parametrize(('query', 'words'), [
  ('select * from nothing', ['nothing', 'the query was']), ('select customer from events', ['no column for item']),
  ('selec', ['syntax', 'the query was']), ("insert into products values ('c', 'x', 1)", ['the query was']),
  ('select customer as "user", product as item, amount as value from events', ['None', 'column value'])])
def test_a_query_that_gives_no_log_is_one_line_and_changes_nothing(warehouse, query, words):
  with pytest.raises(DataError) as caught:
    tables.load(tables.TablesConfig(database=warehouse, query=query))
  assert all(word in str(caught.value) for word in words), str(caught.value)
  assert '\n' not in str(caught.value)
  assert len(tables.load(tables.TablesConfig(database=warehouse, **QUERIES)).catalogue) == 2


def test_a_warehouse_that_is_not_there(tmp_path):
  with pytest.raises(DataError, match='no such file'):
    tables.load(tables.TablesConfig(database=str(tmp_path / 'none.db'), query='select 1'))
  with pytest.raises(ConfigError, match='needs data.tables.database'):
    tables.load(tables.TablesConfig(query='select 1'))
  (tmp_path / 'text.db').write_text('this is no database')
  with pytest.raises(DataError, match='text.db'):
    tables.load(tables.TablesConfig(database=str(tmp_path / 'text.db'), query='select 1'))
  pytest.importorskip('psycopg', reason='needs the package psycopg')
  with pytest.raises(DataError, match='127.0.0.1'):
    tables.load(tables.TablesConfig(database='postgresql://me@127.0.0.1:9/x', query='select 1'))


@pytest.mark.parametrize('url', ['postgresql://me:secret@host/x', 'postgres://me:se/cret@host/x',
                                 'postgresql://host/x?user=me&password=secret'])
def test_a_password_has_no_place_in_a_config(url):
  with pytest.raises(ConfigError, match='PGPASSWORD') as caught:
    tables.TablesConfig(database=url, query='select 1')
  assert 'secret' not in str(caught.value) and 'cret@' not in str(caught.value)
