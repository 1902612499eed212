import pytest

from jaxunlearn.report import words

SETTINGS = {'batch_stats': 'retain', 'trainable': 'everything'}


def said(report, *parts):
  """The one remark that holds all parts; None when there is none."""
  found = [
    line
    for line in words.remarks(report)
    if all(part in line for part in parts)
  ]
  assert len(found) < 2
  return found[0] if found else None


def test_remarks_are_single_sentences(report, unreferenced):
  for remark in words.remarks(report) + words.remarks(unreferenced):
    assert '\n' not in remark and remark.endswith('.')
    assert remark.count('. ') == 0


def test_a_kept_original_still_holds_what_was_to_be_forgotten(report):
  assert said(report, 'original/ still holds', 'config.original.keep')
  assert not said(report, 'was removed')
  report['original']['kept'] = False
  assert not said(report, 'still holds')
  assert said(report, 'was removed from original/')


def test_a_given_checkpoint_is_mentioned(report):
  assert not said(report, 'restored from')
  report['original']['from'] = '/home/me/checkpoint'
  assert said(report, '/home/me/checkpoint', 'restored from')


def test_without_reference_forget_is_compared_with_test(report):
  assert not said(report, 'No model was retrained')
  report['reference'] = 'none'
  del report['models']['retrained']
  remark = said(report, 'No model was retrained')
  assert 'original (+14.94 points)' in remark
  assert 'random_k_eps-2 (-0.88 points)' in remark
  report['models']['top_k']['accuracy']['test'] = None
  assert 'top_k (' not in said(report, 'No model was retrained')


def test_over_forgetting_is_below_the_retrained_model(report):
  remark = said(report, 'Over-forgetting')
  assert 'random_k_eps-2 (4.66 points)' in remark and '84.80 %' in remark
  assert 'top_k' not in remark
  report['models']['random_k_eps-2']['accuracy']['forget'] = 0.848
  assert not said(report, 'Over-forgetting')


def test_a_row_is_held_against_fine_tuning_alone(report):
  remark = said(report, 'fine-tuning alone')
  assert 'top_k (96.72 %)' in remark
  assert 'finetune, 97.10 %' in remark
  assert 'less than 1.00 points' in remark
  assert 'top_k_lambda_0' not in remark
  report['models']['top_k']['accuracy']['forget'] = 0.9609
  assert not said(report, 'fine-tuning alone')


@pytest.mark.parametrize(
  'settings', [{'learning_rate': 1e-2}, {'epochs': 9}, {'batch_size': 64}]
)
def test_a_row_is_held_against_fine_tuning_of_its_own_settings(
  report, settings
):
  models = report['models']
  usual = {'learning_rate': 5e-4, 'epochs': 3, 'batch_size': 128}
  for row in models.values():
    row['settings'] = row['settings'] | usual
  # As a rate too high leaves it: nothing lies below.
  low = {**models['finetune'], 'settings': SETTINGS | usual | settings}
  low['accuracy'] = low['accuracy'] | {'forget': 0.1}
  models['finetune_low'] = low
  remark = said(report, 'fine-tuning alone')
  assert 'finetune, 97.10 %' in remark and 'top_k (96.72 %)' in remark
  assert '_low' not in remark
  models['eu'] = {**low, 'recipe': 'eu_k'}
  assert 'by eu (10.00 %)' in said(report, 'alone', 'finetune_low, 10.00 %')
  del models['finetune']
  assert 'top_k' not in said(report, 'fine-tuning alone')
  del models['finetune_low']
  assert not said(report, 'fine-tuning alone')


def test_the_margin_widens_with_few_forgotten_examples(report):
  report['request']['num_forget'] = 50
  # p = (48.55 + 2) / 54; 2 sqrt(2) sqrt(p (1 - p) / 54) = 0.0941
  remark = said(report, 'fine-tuning alone')
  assert 'less than 9.41 points' in remark and 'top_k_lambda_0' in remark


def test_without_a_fine_tuned_row_there_is_no_such_comparison(report):
  del report['models']['finetune']
  assert not said(report, 'fine-tuning alone')


def test_a_dead_network_is_not_called_forgetful(report):
  assert not said(report, 'Dead')
  row = report['models']['random_k_eps-2']
  row['dead'] = {'leaves_with_gradient': 1, 'total_leaves': 62}
  assert 'random_k_eps-2 (a gradient in 1 of 62 leaves)' in said(report, 'Dead')
  assert not said(report, 'Over-forgetting')
  row['dead'] = {'same_logits': True}
  assert 'random_k_eps-2 (the same logits for every image)' in said(
    report, 'Dead'
  )
  assert not said(report, 'Over-forgetting')


def test_the_js_term_is_mentioned_with_what_lambda_0_gives(report):
  assert said(report, 'Jensen-Shannon', 'towards the original', 'top_k')
  pair = said(report, 'with and without')
  assert 'top_k (96.72 %) and top_k_lambda_0 (95.20 %)' in pair
  report['models']['top_k_lambda_0']['settings']['factor'] = 0.5
  assert not said(report, 'with and without')
  report['models']['top_k']['settings']['js_weight'] = 0.0
  assert not said(report, 'Jensen-Shannon')


@pytest.mark.parametrize('policy', ['retain', 'frozen'])
def test_the_batch_statistics_are_mentioned(report, policy):
  for name, row in report['models'].items():
    if name not in ('original', 'retrained'):
      row['settings']['batch_stats'] = policy
  updated = said(report, 'Batch statistics', 'updated by the retained')
  frozen = said(report, 'Batch statistics', 'as the original has them')
  assert bool(updated) == (policy == 'retain')
  assert bool(frozen) == (policy == 'frozen')
  assert 'finetune, top_k, top_k_lambda_0 and random_k_eps-2' in (
    updated or frozen
  )


def test_rows_that_did_not_converge_are_named(report):
  assert 'random_k_eps-2 (5 epochs)' in said(report, 'Not converged')
  report['models']['random_k_eps-2']['epochs'] = 1
  assert 'random_k_eps-2 (1 epoch)' in said(report, 'Not converged')
  report['models']['random_k_eps-2']['converged_epoch'] = 4
  assert not said(report, 'Not converged')


def test_one_seed_gives_no_deviation(report):
  # p = (4007 + 2) / 5004; sqrt(p (1 - p) / 5004) = 0.0056
  assert '0.56 points' in said(report, 'one run (seed 0)')
  report['request']['seed'] = None
  assert said(report, 'one run, which')


@pytest.mark.parametrize('rate', [0.0, 1.0])
def test_all_right_or_all_wrong_is_not_certain(report, rate):
  report['request']['num_forget'] = 20
  for row in report['models'].values():
    row['accuracy']['forget'] = rate
  # p = 22 / 24 or 2 / 24; sqrt(p (1 - p) / 24) = 0.0564
  assert '5.64 points' in said(report, 'one run')
  assert 'less than 15.96 points' in said(report, 'fine-tuning alone')


def test_mislabelled_requests_say_against_which_label(report):
  assert not said(report, 'mislabelled')
  report['config']['forget']['kind'] = 'mislabelled'
  report['models']['top_k']['accuracy']['forget_true_label'] = 0.75
  remark = said(report, 'mislabelled')
  assert 'top_k (75.00 %)' in remark and 'finetune (not measured)' in remark


def test_what_was_not_measured_breaks_nothing(report):
  for row in report['models'].values():
    for name in ('forget', 'retain', 'test'):
      row['accuracy'][name] = None
    row['epochs'] = row['converged_epoch'] = None
  assert said(report, 'still holds')
  for part in ('Over-forgetting', 'fine-tuning alone', 'one run', 'Not conv'):
    assert not said(report, part)


def test_a_degree_that_does_not_tell_who_forgot_is_said(report):
  models = report['models']
  models['all'] = {**models['finetune'], 'recipe': 'finetune_all'}
  models['kept'] = {**models['top_k'], 'forgetting_rate': 0.0}
  degrees = {'top_k': 0.5, 'random_k_eps-2': 0.7, 'all': 0.6, 'kept': 0.0}
  for name, degree in degrees.items():
    models[name]['probes'] = {'spd_gan': {'degree': degree}}
  sentence = said(report, 'degree does not tell')
  assert sentence.startswith('all was fine-tuned on all data and so forgot')
  assert '(60.00 points)' in sentence and 'top_k (50.00 points)' in sentence
  assert 'random_k' not in sentence and 'kept' not in sentence
  models['all']['probes']['spd_gan']['degree'] = 0.4
  assert not said(report, 'degree does not tell')
  assert 'hold a few of the forgotten images' in ' '.join(words.remarks(report))
  models['top_k']['probes']['spd_gan']['degree'] = None
  assert not said(report, 'degree does not tell')


def test_fine_tuning_that_forgot_more_may_have_the_higher_degree(report):
  models = report['models']
  for name, degree in {'finetune': 0.3, 'top_k': 0.2}.items():
    models[name]['probes'] = {'spd_gan': {'degree': degree}}
  for rate, told in ((0.1, True), (0.4, False), (None, True)):
    models['finetune']['forgetting_rate'] = rate
    models['top_k']['forgetting_rate'] = 0.2
    assert bool(said(report, 'finetune was fine-tuned alone')) == told


def test_degrees_without_their_references_say_which_and_how_to_add_them(report):
  models = report['models']
  assert not said(report, 'degrees')
  for name in ('top_k', 'retrained'):
    models[name]['probes'] = {'spd_gan': {'degree': 0.5}}
  remark = said(report, 'The degrees lack')
  assert remark.endswith(
    'add a second retraining (config.recipes.retrained_again = '
    "{'name': 'retrain'}) and the original fine-tuned on all data "
    "(config.recipes.finetune_all = {'name': 'finetune_all'})."
  )
  # Which was never asked.
  models['again'] = {**models['finetune'], 'recipe': 'retrain'}
  assert said(report, 'a second retraining')
  models['again'] = {**models['top_k'], 'recipe': 'retrain'}
  remark = said(report, 'The degrees lack')
  assert 'retraining' not in remark and 'fine-tuned on all' in remark
  # What failed is told as such.
  models['all'] = {**models['finetune'], 'recipe': 'finetune_all'}
  models['all']['failed'] = 'it diverged.'
  assert not said(report, 'The degrees lack')
  del models['retrained']
  assert said(report, "add the retrained model (config.reference = 'retrain').")


def test_a_row_that_failed_says_why(report):
  report['models']['top_k']['failed'] = 'it diverged.'
  assert 'top_k failed: it diverged.' in words.remarks(report)


def test_a_run_that_went_on_elsewhere_says_so(report):
  assert not said(report, 'gone on with elsewhere')
  report['models']['top_k']['changes'] = [
    {'step': 12, 'what': {'cores': [2, 96], 'jax': ['0.10.2', '0.11']}}
  ]
  assert said(
    report,
    'top_k was stopped after step 12',
    'cores 2 then and 96 now, jax 0.10.2 then and 0.11 now',
  )


def test_a_device_that_cannot_promise_the_same_bits_says_what_would(report):
  assert not said(report, 'the same bits')
  report['environment']['deterministic'] = False
  assert said(report, 'the same bits', '--xla_gpu_deterministic_ops=true')
