"""What a reader of the paper's tables and figures must know, in sentences."""

from collections.abc import Mapping, Sequence
from itertools import groupby

from jaxunlearn.report.cells import (
  Cell,
  distinct,
  fractions,
  measure,
  names,
  take,
  value,
)
from jaxunlearn.report.matrix import Matrix

__all__ = [
  'DEGREE',
  'against',
  'degrees',
  'devices',
  'failed_lately',
  'forgot',
  'idle',
  'is_reference',
  'lacking',
  'mislabelled',
  'missing_references',
  'percent',
  'unconverged',
  'undecided',
  'unfinished',
  'unreferenced',
]

_PROBE = 'probes.spd_gan'
DEGREE = f'{_PROBE}.degree'
_FORGOT_NOTHING = {
  'finetune_all': 'was fine-tuned on all data and so forgot nothing',
  'finetune': 'was fine-tuned alone, with nothing perturbed',
  'retrain': 'differs from the first retraining by chance alone',
}

# The least forgetting rate of a model that is said to have forgotten.
_FORGETTING = 0.01

# What gives a degree its meaning, besides the original, and how to have it.
_REFERENCES = {
  'retrained': "the retrained model (config.reference = 'retrain')",
  'retrain': 'a second retraining (config.recipes.retrained_again = '
  "{'name': 'retrain'})",
  'finetune_all': 'the original fine-tuned on all data '
  "(config.recipes.finetune_all = {'name': 'finetune_all'})",
}


def idle(recipe: str) -> str:
  """Why models of a recipe are no examples of forgetting, as a predicate."""
  return _FORGOT_NOTHING[recipe]


def forgot(row: str, recipe: str, rate: float | None = None) -> bool:
  """Whether a model was made to forget, as the retrained was, and did.

  Args:
    row: its name.
    recipe: what made it.
    rate: its forgetting rate; None where it is not known.
  """
  known = (*_FORGOT_NOTHING, 'original')
  made = row == 'retrained' or recipe not in known
  return made and (rate is None or rate >= _FORGETTING)


def undecided(
  degrees: Mapping[str, float],
  recipes: Mapping[str, str],
  rates: Mapping[str, float | None],
) -> dict[str, list[str]]:
  """{row that forgot nothing: those that forgot and have no higher degree}.

  Fine-tuning alone may forget; it is held against those that forgot more.

  Args:
    degrees: by row.
    recipes: of the same rows.
    rates: their forgetting rates.
  """
  idlers = [
    row
    for row in degrees
    if recipes[row] in _FORGOT_NOTHING and row != 'retrained'
  ]
  found = {
    row: [
      other
      for other in degrees
      if forgot(other, recipes[other], rates[other])
      and degrees[other] <= degrees[row]
      and (recipes[row] != 'finetune' or _more(rates[other], rates[row]))
    ]
    for row in idlers
  }
  return {row: beaten for row, beaten in found.items() if beaten}


def _more(rate: float | None, other: float | None) -> bool:
  """Whether a forgetting rate is above another; so if one is not known."""
  return rate is None or other is None or rate > other


def missing_references(recipes: Mapping[str, str]) -> tuple[str, ...]:
  """What would give the degrees of these rows, {row: recipe}, their meaning."""
  has = {'retrained' if x == 'retrained' else recipes[x] for x in recipes}
  return tuple(x for kind, x in _REFERENCES.items() if kind not in has)


def lacking(missing: Sequence[str], where: str = '') -> str:
  """Says which references are missing, and how to add them.

  Args:
    missing: as `missing_references` gives them; at least one.
    where: follows `the degrees`.
  """
  return (
    f'The degrees{where} lack what tells forgetting from chance and from mere '
    f'training: add {names(missing)}.'
  )


def percent(fraction: float) -> str:
  """A ratio as it is spoken of: 10 %, 2.5 %."""
  return f'{100 * fraction:.4g} %'


def unfinished(cells: Sequence[Cell]) -> list[str]:
  """Which models and probes failed, and why; which were not run."""
  sentences = []
  for folder in distinct(cells, 'folder'):
    ours = take(cells, folder=folder)
    left = [cell for cell in ours if not cell.done]
    # Failures first, those of one cause together.
    left.sort(key=lambda cell: (cell.failed is None, cell.failed or ''))
    for failed, group in groupby(left, key=lambda cell: cell.failed):
      rows = [cell.row for cell in group]
      every = len(rows) == len(ours)
      if failed is None:
        what = 'all' if every else names(rows)
        sentences.append(f'Not run: {what} of {folder.name}.')
      else:
        what, why = 'All' if every else names(rows), failed.rstrip('.')
        sentences.append(f'{what} of {folder.name} failed: {why}.')
    for cell in ours:
      why = value(cell, 'probes.spd_gan.failed')
      if why:
        sentences.append(
          f'SPD-GAN on {cell.row} of {folder.name} failed: {why.rstrip(".")}.'
        )
  return sentences


def failed_lately(matrix: Matrix) -> list[str]:
  """Which runs are shown as an earlier start left them, and why."""
  whole = {cell.folder.name for cell in matrix.cells if cell.report}
  return [
    f'{name} failed when it was last run ({state.rstrip(".")}); what is shown '
    'of it an earlier start has made.'
    for name, state in matrix.states.items()
    if state not in ('done', 'not run') and name in whole
  ]


def devices(cells: Sequence[Cell]) -> list[str]:
  """Whether times were taken on several devices, and so do not compare."""
  found = {
    cell.report['environment']['device'] for cell in cells if cell.report
  }
  if len(found) < 2 and not any(' and ' in device for device in found):
    return []
  return [
    f'Made on several devices ({"; ".join(sorted(found))}): seconds do not '
    'compare, and a model has an acceleration only where it and the retrained '
    'were made on one.'
  ]


def unconverged(cells: Sequence[Cell]) -> list[str]:
  """Which models did not converge, and so have no time to convergence."""
  late = [c for c in cells if c.done and value(c, 'converged_epoch') is None]
  rows: dict[str, list[str]] = {}
  for row in distinct(late, 'row'):
    places = []
    for network in distinct(take(late, row=row), 'network'):
      for fraction in fractions(late):
        place = {'row': row, 'network': network, 'fraction': fraction}
        count = len(take(late, **place))
        run = sum(cell.done for cell in take(cells, **place))
        seeds = f' ({count} of {run} seeds)' if run > 1 else ''
        if count:
          places.append(f'{network} at {percent(fraction)}{seeds}')
    rows.setdefault(names(places), []).append(row)
  return [
    f'Not converged within the epochs: {names(group)} on {places}.'
    for places, group in rows.items()
  ]


def degrees(cells: Sequence[Cell]) -> list[str]:
  """Where a model that forgot nothing scores as high as one that did.

  A degree is a gap between two networks, and any two have one; there it tells
  nothing of forgetting.
  """
  sentences = []
  for network in distinct(cells, 'network'):
    for fraction in fractions(cells):
      place = take(cells, network=network, fraction=fraction)
      found = {
        row: statistic.mean
        for row in distinct(place, 'row')
        if (statistic := measure(take(place, row=row), DEGREE))
      }
      recipes = {cell.row: cell.recipe for cell in place}
      known = {
        row: measure(take(place, row=row), 'forgetting_rate') for row in found
      }
      rates = {row: x.mean if x else None for row, x in known.items()}
      for row, beaten in undecided(found, recipes, rates).items():
        others = [f'{other} ({100 * found[other]:.2f})' for other in beaten]
        sentences.append(
          f'{row} {idle(recipes[row])}, and yet its degree on '
          f'{network} at {percent(fraction)}, {100 * found[row]:.2f} points, '
          f'is as high as or higher than that of {names(others)}: there the '
          'degree does not tell who forgot.'
        )
  return sentences


def unreferenced(cells: Sequence[Cell]) -> list[str]:
  """Which references of a degree are missing, and where; as `degrees`."""
  places: dict[tuple[str, ...], list[str]] = {}
  for network in distinct(cells, 'network'):
    for fraction in fractions(cells):
      ours = take(cells, network=network, fraction=fraction)
      # What failed or was not run is told as such.
      there = {c.row: c.recipe for c in ours if not c.done or value(c, _PROBE)}
      if measure(ours, DEGREE) and (missing := missing_references(there)):
        place = f'{network} at {percent(fraction)}'
        places.setdefault(missing, []).append(place)
  return [
    lacking(missing, f' on {names(found)}') for missing, found in places.items()
  ]


def mislabelled(cells: Sequence[Cell]) -> list[str]:
  """Which runs' accuracy on forget is against the label trained on."""
  wrong = [
    cell.folder.name
    for cell in cells
    if cell.report and cell.report['config']['forget']['kind'] == 'mislabelled'
  ]
  return [
    'The forgotten examples were mislabelled: accuracy on forget is against '
    f'the wrong label that was trained on, so low is good, in {names(found)}.'
    for found in [list(dict.fromkeys(wrong))]
    if found
  ]


def is_reference(cell: Cell) -> bool:
  """Whether its degree gives others a meaning, rather than being judged."""
  return cell.recipe in ('original', 'retrain', 'finetune_all')


def against(cell: Cell) -> str:
  """Which model it was told apart from."""
  return value(cell, 'probes.spd_gan.against') or 'original'
