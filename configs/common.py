"""Every setting, with its default. Read by the other files of this folder."""

from ml_collections import ConfigDict, config_dict


def get_config() -> ConfigDict:
  """The defaults: digits, a small network, 10 % forgotten at random."""
  config = ConfigDict()
  config.data = {
    # digits, npz:PATH or tfds:NAME.
    'source': 'digits',
    # Of tfds; empty is the default of TFDS, ~/tensorflow_datasets.
    'dir': '',
    # A seeded subset of so many examples; None takes all.
    'num_train': config_dict.placeholder(int),
    'num_test': config_dict.placeholder(int),
    'seed': 0,
    # Of each channel, of images in [0, 1]; empty: the training set's own.
    'mean': (),
    'std': (),
    # Whether the images of tfds:NAME stay on disk until a step needs them:
    # always, never, or auto, where they are too many for the memory.
    'stream': 'auto',
  }
  # cnn, resnet18, vgg19, googlenet or densenet121, whose width is its growth;
  # dtype float32 or bfloat16, of the computation.
  config.model = {'name': 'cnn', 'width': 32, 'dtype': 'float32'}
  config.train = {
    'epochs': 20,
    'batch_size': 128,
    'learning_rate': 1e-3,
    # adam, adamw or sgd (momentum 0.9); weight_decay is adamw's.
    'optimizer': 'adam',
    'weight_decay': 0.0,
    # constant or cosine (to 0), after so many epochs of linear warm-up.
    'schedule': 'constant',
    'warmup_epochs': 0,
    # Random crops (4 pixels) and flips, on the device.
    'augment': False,
    'seed': 0,
  }
  config.forget = {
    # random (fraction), class (classes), indices (path) or mislabelled
    # (fraction).
    'kind': 'random',
    'fraction': 0.1,
    'classes': (),
    # .npy, .txt, .csv or .json; positions in the full training set.
    'path': '',
    'seed': 0,
  }
  # checkpoint: an Orbax directory or a finished workdir; empty: train one.
  config.original = {'checkpoint': '', 'keep': True}
  # retrain or none.
  config.reference = 'retrain'
  config.unlearn = {
    'epochs': 5,
    'batch_size': 128,
    'learning_rate': 1e-3,
    # everything (Algorithm 1) or selected (Theorem 1).
    'trainable': 'everything',
    # retain (updated on retained examples) or frozen.
    'batch_stats': 'retain',
    # Random crops and flips of the retained images.
    'augment': False,
    # What the layers before the first that moves make of an example is kept,
    # instead of computed in each epoch; needs frozen batch_stats, no augment,
    # and memory.
    'cache_features': False,
    # epochs; similar: to the original on forget, at least threshold;
    # converged: on retain, threshold times the original's accuracy and no
    # longer rising. The last two stop at `epochs` at the latest. The report's
    # converged_epoch keeps to 0.99, so that rows compare.
    'stop': 'epochs',
    'threshold': 0.99,
    'seed': 0,
  }
  # {row: {name: recipe, its hyper-parameters, any key of unlearn}}. Besides the
  # recipes: retrain, one more retraining (seed), and finetune_all, which
  # fine-tunes on all data and so forgets nothing.
  config.recipes = rows({})
  # {probe: its settings}; spd_gan, as in jaxunlearn/probes/spd_gan.py.
  config.probes = rows({})
  # data x model devices, over which each batch is split, and along model the
  # parameters and what trains them too, but for what a step works on (8 bytes a
  # parameter are whole on each); a data of 0: all there are.
  config.mesh = {'data': 0, 'model': 1}
  # Of a run by several processes, which all see its workdir: HOST:PORT of the
  # first, and in each how many they are and its own number; or auto, where
  # SLURM, Open MPI, Kubernetes or a TPU pod started them. When one has not been
  # heard of for so long, the others end.
  config.hosts = {
    'coordinator': '',
    'count': 0,
    'index': 0,
    'heartbeat_timeout_seconds': 30,
  }
  # What is unfinished is saved so often, on the way: after so many seconds, or
  # steps; 0 never. A run that was killed goes on from there. Between XLA calls,
  # of which each is a step on a CPU, and where images stay on disk; else 32, or
  # what is left of an epoch.
  config.save = {'seconds': 60.0, 'steps': 0}
  # Where compiled programs are kept for the next start: a folder, or none;
  # empty: jaxunlearn/xla in the user's cache folder.
  config.cache_dir = ''
  # {cell: {section: {key: value}}}: many runs, each with its own changes; and
  # which of the paper's tables and figures to draw of them.
  config.matrix = rows({})
  config.paper = ()
  return config


def rows(recipes: dict[str, dict]) -> ConfigDict:
  """A table of recipes that keeps its order, as the report will."""
  return ConfigDict(recipes, sort_keys=False)
