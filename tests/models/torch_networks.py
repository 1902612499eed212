"""The PyTorch originals of our networks, written from their descriptions.

Names, order and shapes are those of the implementations for CIFAR that most
published PyTorch weights are of. Images are [n, 3, height, width]; the last
pooling is over all of height and width, as theirs is at 32x32.
"""

import torch
from torch import nn
from torch.nn import functional as F


def conv3x3(channels, features, stride=1):
  return nn.Conv2d(channels, features, 3, stride, padding=1, bias=False)


class Block(nn.Module):
  def __init__(self, channels, features, stride):
    super().__init__()
    self.conv1 = conv3x3(channels, features, stride)
    self.bn1 = nn.BatchNorm2d(features)
    self.conv2 = conv3x3(features, features)
    self.bn2 = nn.BatchNorm2d(features)
    self.shortcut = nn.Sequential()
    if stride != 1 or channels != features:
      self.shortcut = nn.Sequential(
        nn.Conv2d(channels, features, 1, stride, bias=False),
        nn.BatchNorm2d(features),
      )

  def forward(self, x):
    y = F.relu(self.bn1(self.conv1(x)))
    return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet18(nn.Module):
  def __init__(self, num_classes, width):
    super().__init__()
    self.conv1 = conv3x3(3, width)
    self.bn1 = nn.BatchNorm2d(width)
    channels = width
    for stage in range(4):
      features = width * 2**stage
      first = Block(channels, features, 1 if stage == 0 else 2)
      blocks = nn.Sequential(first, Block(features, features, 1))
      setattr(self, f'layer{stage + 1}', blocks)
      channels = features
    self.linear = nn.Linear(channels, num_classes)

  def forward(self, x):
    x = F.relu(self.bn1(self.conv1(x)))
    x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
    return self.linear(x.mean((2, 3)))


class VGG19(nn.Module):
  def __init__(self, num_classes, width):
    super().__init__()
    layers, channels = [], 3
    for factor, depth in ((1, 2), (2, 2), (4, 4), (8, 4), (8, 4)):
      for _ in range(depth):
        layers += conv_norm_relu(channels, factor * width, 3)
        channels = factor * width
      layers.append(nn.MaxPool2d(2, 2))
    self.features = nn.Sequential(*layers)
    self.classifier = nn.Linear(channels, num_classes)

  def forward(self, x):
    return self.classifier(self.features(x).flatten(1))


def conv_norm_relu(channels, features, size):
  return (
    nn.Conv2d(channels, features, size, padding=size // 2),
    nn.BatchNorm2d(features),
    nn.ReLU(),
  )


class Inception(nn.Module):
  def __init__(self, channels, n1, n3_before, n3, n5_before, n5, pooled):
    super().__init__()
    self.b1 = nn.Sequential(*conv_norm_relu(channels, n1, 1))
    self.b2 = nn.Sequential(
      *conv_norm_relu(channels, n3_before, 1),
      *conv_norm_relu(n3_before, n3, 3),
    )
    self.b3 = nn.Sequential(
      *conv_norm_relu(channels, n5_before, 1),
      *conv_norm_relu(n5_before, n5, 3),
      *conv_norm_relu(n5, n5, 3),
    )
    self.b4 = nn.Sequential(
      nn.MaxPool2d(3, stride=1, padding=1),
      *conv_norm_relu(channels, pooled, 1),
    )

  def forward(self, x):
    return torch.cat([self.b1(x), self.b2(x), self.b3(x), self.b4(x)], 1)


class GoogLeNet(nn.Module):
  def __init__(self, num_classes, width):
    super().__init__()

    def inception(*channels):
      return Inception(*(count * width // 64 for count in channels))

    self.pre_layers = nn.Sequential(*conv_norm_relu(3, 3 * width, 3))
    self.a3 = inception(192, 64, 96, 128, 16, 32, 32)
    self.b3 = inception(256, 128, 128, 192, 32, 96, 64)
    self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
    self.a4 = inception(480, 192, 96, 208, 16, 48, 64)
    self.b4 = inception(512, 160, 112, 224, 24, 64, 64)
    self.c4 = inception(512, 128, 128, 256, 24, 64, 64)
    self.d4 = inception(512, 112, 144, 288, 32, 64, 64)
    self.e4 = inception(528, 256, 160, 320, 32, 128, 128)
    self.a5 = inception(832, 256, 160, 320, 32, 128, 128)
    self.b5 = inception(832, 384, 192, 384, 48, 128, 128)
    self.linear = nn.Linear(16 * width, num_classes)

  def forward(self, x):
    x = self.b3(self.a3(self.pre_layers(x)))
    x = self.a4(self.maxpool(x))
    x = self.e4(self.d4(self.c4(self.b4(x))))
    x = self.b5(self.a5(self.maxpool(x)))
    return self.linear(x.mean((2, 3)))


class Bottleneck(nn.Module):
  def __init__(self, channels, growth):
    super().__init__()
    self.bn1 = nn.BatchNorm2d(channels)
    self.conv1 = nn.Conv2d(channels, 4 * growth, 1, bias=False)
    self.bn2 = nn.BatchNorm2d(4 * growth)
    self.conv2 = conv3x3(4 * growth, growth)

  def forward(self, x):
    y = self.conv1(F.relu(self.bn1(x)))
    y = self.conv2(F.relu(self.bn2(y)))
    return torch.cat([y, x], 1)


class Transition(nn.Module):
  def __init__(self, channels, features):
    super().__init__()
    self.bn = nn.BatchNorm2d(channels)
    self.conv = nn.Conv2d(channels, features, 1, bias=False)

  def forward(self, x):
    return F.avg_pool2d(self.conv(F.relu(self.bn(x))), 2)


class DenseNet121(nn.Module):
  def __init__(self, num_classes, width):
    super().__init__()
    channels = 2 * width
    self.conv1 = conv3x3(3, channels)
    for stage, depth in enumerate((6, 12, 24, 16), 1):
      blocks = [Bottleneck(channels + i * width, width) for i in range(depth)]
      setattr(self, f'dense{stage}', nn.Sequential(*blocks))
      channels += depth * width
      if stage < 4:
        setattr(self, f'trans{stage}', Transition(channels, channels // 2))
        channels //= 2
    self.bn = nn.BatchNorm2d(channels)
    self.linear = nn.Linear(channels, num_classes)

  def forward(self, x):
    x = self.trans1(self.dense1(self.conv1(x)))
    x = self.trans2(self.dense2(x))
    x = self.dense4(self.trans3(self.dense3(x)))
    return self.linear(F.relu(self.bn(x)).mean((2, 3)))


NETWORKS = {
  'resnet18': ResNet18,
  'vgg19': VGG19,
  'googlenet': GoogLeNet,
  'densenet121': DenseNet121,
}
