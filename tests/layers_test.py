"""Which module may import what, by `ast`."""

import ast
import sys
from pathlib import Path

import pytest

import jaxunlearn

ROOT = Path(jaxunlearn.__file__).parent
MODULES = {
  path.relative_to(ROOT).as_posix(): ast.parse(path.read_text())
  for path in sorted(ROOT.rglob('*.py'))
}

# From the lowest up; each may import those above it in this list.
ALGEBRA = (
  'types.py',
  'gather.py',
  'once.py',
  'divergences.py',
  'losses.py',
  'objectives.py',
  'optim.py',
  'partition.py',
  'scores.py',
  'ordering.py',
  'bracketing.py',
  'ranking.py',
  'masks.py',
  'selectors.py',
  'perturbers.py',
  'data/batches.py',
  'data/augment.py',
  'metrics/accuracy.py',
  'metrics/convergence.py',
  'metrics/divergence.py',
  'metrics/images.py',
  'metrics/__init__.py',
  'models/convolution.py',
  'models/layers.py',
  'models/cnn.py',
  'models/resnet.py',
  'models/vgg.py',
  'models/googlenet.py',
  'models/densenet.py',
  'models/linen.py',
  'models/__init__.py',
  'predict.py',
  'features.py',
  'teachers.py',
  'step.py',
  'loop.py',
  'train.py',
  'probes/generator.py',
  'probes/judges.py',
  'probes/gan_steps.py',
  'probes/spd_gan.py',
  'probes/__init__.py',
  'method.py',
  'many.py',
  'recipes.py',
)
# These know the world: files, flags, logs, the command line.
SHELL = {
  'attempt.py',
  'checkpoints.py',
  'checks.py',
  'interrupts.py',
  'machine.py',
  'stage.py',
  'locks.py',
  'mesh.py',
  'hosts.py',
  'compile_cache.py',
  'making.py',
  'matrix.py',
  'probing.py',
  'rows.py',
  'clock.py',
  'course.py',
  'data/request_files.py',
  'data/requests.py',
  'data/sources.py',
  'data/moments.py',
  'data/splits.py',
  'data/stored.py',
  'data/streams.py',
  'data/tfds.py',
  'epochs.py',
  'errors.py',
  'evaluation.py',
  'experiment.py',
  'fingerprint.py',
  'launch.py',
  'files.py',
  'memory.py',
  'mistakes.py',
  'nested.py',
  'normalisation.py',
  'npz.py',
  'plan.py',
  'models/adapters.py',
  'models/orbax_files.py',
  'models/safetensors.py',
  'models/torch_weights.py',
  'problem.py',
  'progress.py',
  'report/__init__.py',
  'report/__main__.py',
  'report/cells.py',
  'report/curve_figures.py',
  'report/definitions.py',
  'report/degree_figures.py',
  'report/figures.py',
  'report/grids.py',
  'report/matrix.py',
  'report/panels.py',
  'report/paper.py',
  'report/paper_tables.py',
  'report/paper_words.py',
  'report/run_words.py',
  'report/schema.py',
  'report/sweep_figures.py',
  'report/tables.py',
  'report/words.py',
  'settings.py',
  'summary.py',
  'workdir.py',
}
FRONT = {'__init__.py', 'data/__init__.py'}

PURE = {'collections', 'dataclasses', 'functools', 'inspect', 'math', 'typing'}
NUMERIC = {'jax', 'numpy', 'optax'}
DECLARED = {
  'PIL',
  'absl',
  'flax',
  'grain',
  'matplotlib',
  'ml_collections',
  'orbax',
  'rich',
  'sklearn',
  'tensorflow_datasets',
  # What these two bring with them, for the errors that they raise.
  'google',
  'tensorstore',
}
EFFECTS = {'breakpoint', 'eval', 'exec', 'input', 'open', 'print'}


def own(name):
  """The file of a module of ours, None where there is none."""
  _, *parts = name.split('.')
  for place in ('/'.join(parts) + '.py', '/'.join([*parts, '__init__.py'])):
    if place in MODULES:
      return place
  return None


def imports(tree):
  """The names of all modules that are imported, wherever that stands."""
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, 'imports are absolute'
      inside = [f'{node.module}.{alias.name}' for alias in node.names]
      if node.module.split('.')[0] == 'jaxunlearn':
        yield from (name if own(name) else node.module for name in inside)
      else:
        yield node.module


def public(tree):
  for node in tree.body:
    if isinstance(node, ast.Assign) and node.targets[0].id == '__all__':
      return ast.literal_eval(node.value)
  return None


def test_every_module_has_its_layer():
  assert set(ALGEBRA) | SHELL | FRONT == set(MODULES)


@pytest.mark.parametrize('module', ALGEBRA)
def test_the_algebra_imports_what_lies_below_it_only(module):
  below = set(ALGEBRA[: ALGEBRA.index(module)])
  allowed = PURE | NUMERIC
  if module.startswith(('models/', 'probes/')):
    allowed = allowed | {'flax'}
  for name in imports(MODULES[module]):
    if name.split('.')[0] == 'jaxunlearn':
      assert own(name) in below, f'{module} imports {name}'
    else:
      assert name.split('.')[0] in allowed, f'{module} imports {name}'


@pytest.mark.parametrize('module', ALGEBRA)
def test_the_algebra_has_no_effects(module):
  for node in ast.walk(MODULES[module]):
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
      assert node.func.id not in EFFECTS
    if isinstance(node, ast.Attribute):
      place = ast.unparse(node)
      assert not place.startswith(
        ('jax.debug', 'jax.config', 'np.save', 'np.load')
      )
    assert not isinstance(node, ast.Global | ast.Nonlocal)


@pytest.mark.parametrize('module', sorted(SHELL))
def test_the_shell_imports_nothing_that_is_undeclared(module):
  declared = DECLARED | NUMERIC | {'jaxunlearn'}
  for name in imports(MODULES[module]):
    top = name.split('.')[0]
    assert top in declared or top in sys.stdlib_module_names, name
    assert top != 'pickle'


def test_nothing_points_back_at_the_shell_above_it():
  """experiment and launch know the others; no one knows them."""
  for module, tree in MODULES.items():
    names = set(imports(tree))
    if module != 'launch.py':
      assert 'jaxunlearn.launch' not in names
      assert 'jaxunlearn.experiment' not in names


def test_imports_run_in_no_circle():
  graph = {
    module: {own(n) for n in imports(tree) if n.startswith('jaxunlearn.')}
    for module, tree in MODULES.items()
  }
  while graph:
    free = {m for m, needs in graph.items() if not needs & set(graph)}
    assert free, f'a circle among {sorted(graph)}'
    graph = {m: needs for m, needs in graph.items() if m not in free}


@pytest.mark.parametrize('module', MODULES)
def test_a_module_is_short_and_says_what_is_public(module):
  lines = (ROOT / module).read_text().count('\n')
  assert lines <= 300
  tree = MODULES[module]
  assert ast.get_docstring(tree)
  names = public(tree)
  if module in FRONT or module == 'launch.py':
    return
  assert names and len(set(names)) == len(names)
  assert Path(module).stem not in ('utils', 'helpers', 'misc', 'common')


@pytest.mark.parametrize('module', [*ALGEBRA, *sorted(SHELL)])
def test_what_is_public_exists_and_has_a_docstring(module):
  tree = MODULES[module]
  defined = {
    node.name: node
    for node in tree.body
    if isinstance(node, ast.FunctionDef | ast.ClassDef)
  }
  known = set(defined)
  for node in ast.walk(tree):
    if isinstance(node, ast.Import | ast.ImportFrom):
      known |= {alias.asname or alias.name for alias in node.names}
    elif isinstance(node, ast.Assign):
      known |= {t.id for t in node.targets if isinstance(t, ast.Name)}
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
      known.add(node.target.id)
  for name in public(tree) or ():
    assert name in known, f'{module} has no {name}'
    if name in defined:
      assert ast.get_docstring(defined[name]), f'{name} has no docstring'
