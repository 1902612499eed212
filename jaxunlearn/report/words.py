"""What a reader of a report must know besides its numbers, in sentences."""

import math
from collections.abc import Iterator, Mapping

from jaxunlearn.report import run_words
from jaxunlearn.report.paper_words import (
  idle,
  lacking,
  missing_references,
  undecided,
)

__all__ = ['remarks']

# Rows that differ in one of these are fine-tuned differently, whatever else.
_TUNING = ('learning_rate', 'batch_size', 'epochs', 'stop', 'threshold')


def remarks(report: Mapping) -> list[str]:
  """Sentences that hold for this report, each with its numbers.

  Args:
    report: schema 1, validated.

  Returns:
    Plain sentences without Markdown; what does not apply is not mentioned.
  """
  parts = (
    run_words.sentences,
    _mislabelled,
    _no_reference,
    _over_forgetting,
    _no_more_than_finetune,
    _dead,
    _degrees,
    _js_term,
    _batch_stats,
    _not_converged,
    _one_seed,
  )
  return [sentence for part in parts for sentence in part(report)]


def _mislabelled(report: Mapping) -> Iterator[str]:
  if report['config'].get('forget', {}).get('kind') != 'mislabelled':
    return
  true = {
    name: values['accuracy']['forget_true_label']
    for name, values in report['models'].items()
  }
  yield (
    'The forgotten examples were mislabelled: accuracy on forget is against '
    'the wrong label that was trained on, so low is good; against the true '
    f'label it is, by model: {_list(true)}.'
  )


def _no_reference(report: Mapping) -> Iterator[str]:
  if report['reference'] != 'none':
    return
  gaps = {
    name: f'{100 * (values["accuracy"]["forget"] - test):+.2f} points'
    for name, values in report['models'].items()
    if _known(values) and (test := values['accuracy']['test']) is not None
  }
  yield (
    'No model was retrained, so compare accuracy on forget with accuracy on '
    'test data: forget minus test far above 0 means that a model still behaves '
    f'as one trained on the forgotten examples; by model: {_list(gaps)}.'
  )


def _over_forgetting(report: Mapping) -> Iterator[str]:
  retrained = report['models'].get('retrained')
  if not retrained or not _known(retrained):
    return
  target = retrained['accuracy']['forget']
  below = {
    name: f'{100 * (target - values["accuracy"]["forget"]):.2f} points'
    for name, values in _rows(report).items()
    # A dead network is below by nature; it has a sentence of its own.
    if _known(values)
    and not values['dead']
    and values['accuracy']['forget'] < target
  }
  if below:
    yield (
      "Over-forgetting: accuracy on forget lies below the retrained model's "
      f'{_percent(target)}, by {_list(below)}.'
    )


def _no_more_than_finetune(report: Mapping) -> Iterator[str]:
  rows = {name: row for name, row in _rows(report).items() if _known(row)}
  trained_alike: dict[tuple, list[str]] = {}
  for name, row in rows.items():
    how = tuple(str(row['settings'].get(key)) for key in _TUNING)
    trained_alike.setdefault(how, []).append(name)
  for names in trained_alike.values():
    levels = {name: rows[name]['accuracy']['forget'] for name in names}
    plain = [name for name in names if rows[name]['recipe'] == 'finetune']
    if not plain:
      continue
    control = min(plain, key=levels.get)
    level = levels[control]
    # Unpaired, so on the safe side: the rows share their examples.
    error = math.sqrt(2) * _standard_error(level, report)
    margin = max(0.01, 2 * error)
    others = {
      name: found
      for name, found in levels.items()
      if name not in plain and found > level - margin
    }
    if others:
      yield (
        'No more was forgotten than by fine-tuning alone with the same '
        f'learning rate, batch size and epochs ({control}, {_percent(level)} '
        f'on forget) by {_list(others)}; the rule: less than '
        f'{100 * margin:.2f} points below it, the larger of 1 point and two '
        'standard errors of the difference (Agresti-Coull).'
      )


def _dead(report: Mapping) -> Iterator[str]:
  dead = {
    name: f'a gradient in {count["leaves_with_gradient"]} of '
    f'{count["total_leaves"]} leaves'
    if {'leaves_with_gradient', 'total_leaves'} <= count.keys()
    else 'the same logits for every image'
    for name, values in report['models'].items()
    if (count := values['dead'])
  }
  if dead:
    yield (
      f'Dead, not forgetful: {_list(dead)}; such a network cannot learn again, '
      'and its low accuracy says nothing about forgetting.'
    )


def _degrees(report: Mapping) -> Iterator[str]:
  found = {
    name: values['probes']['spd_gan']['degree']
    for name, values in report['models'].items()
    if values['probes'].get('spd_gan', {}).get('degree') is not None
  }
  models = report['models']
  recipes = {name: row['recipe'] for name, row in models.items()}
  rates = {name: row['forgetting_rate'] for name, row in models.items()}
  # What failed is told as such.
  there = {
    name: recipes[name]
    for name, row in report['models'].items()
    if 'spd_gan' in row['probes'] or row.get('failed')
  }
  if found and (missing := missing_references(there)):
    yield lacking(missing)
  for name, beaten in undecided(found, recipes, rates).items():
    yield (
      f'{name} {idle(recipes[name])}, and yet its degree '
      f'({_points(found[name])}) is as high as or higher than that of '
      f'{_list({other: _points(found[other]) for other in beaten})}: there the '
      'degree does not tell who forgot.'
    )


def _js_term(report: Mapping) -> Iterator[str]:
  rows = _rows(report)
  pulled = [name for name in rows if _js_weight(rows[name]) > 0]
  if not pulled:
    return
  yield (
    'The Jensen-Shannon term pulls the unlearned model towards the original on '
    f'the forgotten examples, which keeps memory of them: {_list(pulled)}.'
  )
  for name in pulled:
    twins = [
      other
      for other in rows
      if _js_weight(rows[other]) == 0
      and _besides_js(rows[other]) == _besides_js(rows[name])
    ]
    pair = {row: rows[row]['accuracy']['forget'] for row in (name, *twins)}
    if twins and None not in pair.values():
      yield (
        'The same settings with and without that term give on forget: '
        f'{_list(pair)}.'
      )


def _batch_stats(report: Mapping) -> Iterator[str]:
  meaning = {
    'retain': 'were updated by the retained examples alone',
    'frozen': 'stayed as the original has them, computed in part on the '
    'forgotten examples',
  }
  for policy, what in meaning.items():
    names = [
      name
      for name, row in _rows(report).items()
      if row['settings'].get('batch_stats') == policy
    ]
    if names:
      yield f'Batch statistics, where there are any, {what}: {_list(names)}.'


def _not_converged(report: Mapping) -> Iterator[str]:
  late = {
    name: f'{values["epochs"]:g} epoch{"" if values["epochs"] == 1 else "s"}'
    for name, values in report['models'].items()
    if name != 'original'
    and values['epochs']
    and values['converged_epoch'] is None
  }
  if late:
    yield (
      f'Not converged within its epochs: {_list(late)}; without convergence '
      'there is no acceleration.'
    )


def _one_seed(report: Mapping) -> Iterator[str]:
  count, seed = report['request']['num_forget'], report['request']['seed']
  levels = [
    row['accuracy']['forget'] for row in _rows(report).values() if _known(row)
  ]
  if not levels or not count:
    return
  error = max(_standard_error(level, report) for level in levels)
  yield (
    f'This is one run{"" if seed is None else f" (seed {seed})"}, which gives '
    f'no deviation between seeds; {count:,} forgotten examples alone leave a '
    f'standard error of up to {100 * error:.2f} points in accuracy on forget '
    '(Agresti-Coull).'
  )


def _rows(report: Mapping) -> dict[str, Mapping]:
  """The unlearned models, without those that they are held against."""
  references = ('original', 'retrain', 'finetune_all')
  models = report['models'].items()
  return {k: v for k, v in models if v['recipe'] not in references}


def _known(values: Mapping) -> bool:
  return values['accuracy']['forget'] is not None


def _js_weight(row: Mapping) -> float:
  """The weight of the term; 0 where it is absent or a schedule's name."""
  weight = row['settings'].get('js_weight')
  return weight if isinstance(weight, int | float) else 0.0


def _besides_js(row: Mapping) -> tuple:
  settings = {k: v for k, v in row['settings'].items() if k != 'js_weight'}
  return row['recipe'], settings


def _standard_error(rate: float, report: Mapping) -> float:
  """Of an accuracy on the forgotten examples, by Agresti and Coull.

  Two right and two wrong answers are added, so that it is above 0 where all
  answers are right, or all wrong: a few examples do not make one certain.
  """
  count = report['request']['num_forget']
  rate = (rate * count + 2) / (count + 4)
  return math.sqrt(rate * (1 - rate) / (count + 4))


def _points(degree: float) -> str:
  return f'{100 * degree:.2f} points'


def _percent(rate: float | None) -> str:
  return 'not measured' if rate is None else f'{100 * rate:.2f} %'


def _list(items: Mapping | list) -> str:
  """`a (1), b (2) and c (3)`, rates in per cent."""
  if isinstance(items, Mapping):
    items = [
      f'{name} ({value if isinstance(value, str) else _percent(value)})'
      for name, value in items.items()
    ]
  *first, last = items or ['none']
  return f'{", ".join(first)} and {last}' if first else last
