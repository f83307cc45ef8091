"""The notebook for Colab runs from the first cell to the last, is killed and goes on in between; no output is kept."""

import json

import pytest

from tests.stages.worlds import ROOT

NOTEBOOK = ROOT / 'experiments' / 'colab.ipynb'


def test_no_output_is_kept_and_there_is_one_badge():
  cells = json.loads(NOTEBOOK.read_text('utf-8'))['cells']
  assert not any(cell.get('outputs') or cell.get('execution_count') for cell in cells)
  assert sum(''.join(cell['source']).count('colab-badge.svg') for cell in cells) == 1
  assert len({cell['id'] for cell in cells}) == len(cells)


@pytest.mark.slow
def test_it_runs_from_the_first_cell_to_the_last(tmp_path, monkeypatch):
  reason = 'needs nbclient and ipykernel, which .ci/run installs: with what they need they are 90 MB'
  nbclient = pytest.importorskip('nbclient', reason=reason)
  pytest.importorskip('ipykernel', reason=reason)
  import nbformat
  monkeypatch.setenv('VARIANT', 'testing')
  monkeypatch.setenv('STORAGE', str(tmp_path))
  monkeypatch.setenv('PYTHONPATH', str(ROOT))
  monkeypatch.setenv('JAX_PLATFORMS', 'cpu')
  monkeypatch.delenv('XLA_FLAGS')
  notebook = nbformat.read(NOTEBOOK, as_version=4)
  nbclient.NotebookClient(notebook, timeout=600, resources={'metadata': {'path': str(NOTEBOOK.parent)}}).execute()
  told = [''.join(output.get('text') or output['data'].get('text/html', '') for output in cell.outputs)
          for cell in notebook.cells if cell.cell_type == 'code']
  _, devices, storage, killed, resumed, report, answers = told
  assert devices.startswith('cpu: [CpuDevice') and str(tmp_path) in storage
  assert killed.startswith('ended with -9 and the checkpoints') and 'mlm 40' in killed
  assert 'mlm: going on from step 40' in resumed and 'results.json and recommendations/ are complete' in resumed
  assert 'SIMULATED DATA' in report and 'srcdoc' in report
  assert answers.count('because of') == 15 and answers.count('. user ') == 5 and 'error' not in answers
