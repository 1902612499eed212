import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxunlearn import losses, objectives


def equation_10():
  return objectives.weighted_sum(
    {
      'retain': {losses.cross_entropy: 1.0},
      'forget': {'js_to_original': 0.1, 'cross_entropy': -0.5},
    }
  )


def test_each_term_knows_its_split_loss_and_weight():
  found = [(t.split, t.name, t.loss, t.weight) for t in equation_10().terms]
  assert found == [
    ('retain', 'cross_entropy', losses.cross_entropy, 1.0),
    ('forget', 'js_to_original', losses.js_to_original, 0.1),
    ('forget', 'cross_entropy', losses.cross_entropy, -0.5),
  ]
  assert equation_10().splits == ('retain', 'forget')


def test_an_objective_passes_as_it_is():
  objective = equation_10()
  assert objectives.weighted_sum(objective) is objective


def test_a_weight_of_0_leaves_the_term_out():
  objective = objectives.weighted_sum(
    {'retain': {'cross_entropy': 1}, 'forget': {'js_to_original': 0}}
  )
  assert objective.splits == ('retain',)
  assert not objectives.weighted_sum({}).terms


def test_a_schedule_is_a_weight():
  schedule = optax.linear_schedule(0.0, 1.0, 4)
  objective = objectives.weighted_sum({'retain': {'cross_entropy': schedule}})
  (term,) = objective.terms
  np.testing.assert_allclose(term.weight_at(jnp.array(1)), 0.25)
  (constant,) = objectives.weighted_sum({'retain': {'cross_entropy': 2}}).terms
  assert constant.weight_at(jnp.array(1)) == 2


def test_an_unknown_loss_is_refused():
  with pytest.raises(
    ValueError, match=r"no loss 'ce'; there are cross_entropy"
  ):
    objectives.weighted_sum({'retain': {'ce': 1.0}})


def test_two_losses_of_one_name_are_refused():
  with pytest.raises(
    ValueError, match='two losses on retain are called cross_entropy'
  ):
    objectives.weighted_sum(
      {'retain': {'cross_entropy': 1.0, losses.cross_entropy: 2.0}}
    )


@pytest.mark.parametrize('weight', [float('nan'), float('inf')])
def test_a_weight_that_is_not_finite_is_refused(weight):
  with pytest.raises(ValueError, match=f'must be finite, not {weight}'):
    objectives.weighted_sum({'retain': {'cross_entropy': weight}})


def test_a_loss_without_a_name_gets_that_of_its_type():
  class Margin:
    def __call__(self, logits, label, context):
      return logits.max(-1)

  (term,) = objectives.weighted_sum({'retain': {Margin(): 1.0}}).terms
  assert term.name == 'Margin'


def test_teachers_are_found_by_tracing():
  def between(logits, label, context):
    first = context.teachers['first']
    return (logits - first - context.teachers.get('second')).sum(-1)

  objective = objectives.find_teachers(
    objectives.weighted_sum(
      {
        'retain': {'cross_entropy': 1.0, between: 1.0},
        'forget': {'js_to_original': 1.0},
      }
    ),
    num_classes=10,
  )
  assert [term.teachers for term in objective.terms] == [
    frozenset(),
    frozenset({'first', 'second'}),
    frozenset({'original'}),
  ]


@pytest.mark.parametrize('read', [dict, len, lambda t: list(t.items()), list])
def test_a_loss_that_goes_through_the_teachers_looks_at_all(read):
  def among(logits, label, context):
    assert read(context.teachers)
    return logits.sum(-1)

  objective = objectives.weighted_sum({'forget': {among: 1.0}})
  (term,) = objectives.find_teachers(objective, num_classes=10).terms
  assert term.teachers == {'original'}
  (term,) = objectives.find_teachers(objective, 10, ('first', 'second')).terms
  assert term.teachers == {'first', 'second'}
