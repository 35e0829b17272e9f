"""The peer's networks and training loop; imported only by processes that measure.

Networks: LeNet-300-100; ResNet-20 for CIFAR with 1x1 projections (option B);
VGG-16 with four poolings, a global average and one dense layer. Parameter counts are
checked against the papers' (benchmarks/tasks.py).
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks import processes, tasks

PADDING = 4
VGG16_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
_PIXEL_MEAN = torch.tensor(tasks.PIXEL_MEAN)
_PIXEL_SCALE = 1 / torch.tensor(tasks.PIXEL_DEVIATION)


def use_one_thread() -> None:
    """Settles what holds for a whole measuring process.

    Changes: PyTorch's thread count, and how the processor treats denormal numbers.
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)


class Training:
    """A network in training on made-up data.

    Args:
      task: what to train.
      masked: whether each iteration multiplies the kernels with masks.
      fused: whether the optimizer is PyTorch's fused one.
    """

    def __init__(self, task: tasks.Task, *, masked: bool, fused: bool) -> None:
        images, labels = tasks.made_up_images(task, seed=0)
        self._network = NETWORKS[task.model]()
        if not masked:
            ignore_masks(self._network)
        self._labels = torch.from_numpy(labels)
        self._batches = tasks.batches(task, seed=1)
        self._generator = torch.Generator().manual_seed(2)
        if task.model == "lenet":
            self._images = torch.from_numpy(images).float().div_(255)
            self._inputs = self._plain_inputs
            self._optimizer = torch.optim.Adam(
                self._network.parameters(),
                lr=task.learning_rate,
                eps=1e-8,
                fused=fused,
            )
        else:
            self._network.to(memory_format=torch.channels_last)
            self._images = _padded(images)
            self._inputs = self._augmented_inputs
            self._optimizer = torch.optim.SGD(
                self._network.parameters(),
                lr=task.learning_rate,
                momentum=0.9,
                weight_decay=1e-4,
                fused=fused,
            )
        tasks.check_num_parameters(
            task, sum(weights.numel() for weights in self._network.parameters())
        )

    def advance(self, num_iterations: int) -> None:
        """Trains for some iterations; raises FloatingPointError if it diverged."""
        for _ in range(num_iterations):
            indices = torch.from_numpy(next(self._batches))
            logits = self._network(self._inputs(indices))
            loss = functional.cross_entropy(
                logits, self._labels.index_select(0, indices)
            )
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self._optimizer.step()
        if not np.isfinite(loss.item()):
            raise FloatingPointError(f"training loss is {loss.item()!r}")

    def _plain_inputs(self, indices: torch.Tensor) -> torch.Tensor:
        """Returns [batch, 784] float32 in [0, 1]."""
        return self._images.index_select(0, indices)

    def _augmented_inputs(self, indices: torch.Tensor) -> torch.Tensor:
        """Returns randomly cropped images, half of them flipped.

        Args:
          indices: [batch] int64, which images.

        Returns:
          [batch, 3, 32, 32] float32 in channels_last, about zero mean and unit
          deviation.
        """
        batch = len(indices)
        num_images, padded_size, _, channels = self._images.shape
        size = padded_size - 2 * PADDING
        corners = torch.randint(
            2 * PADDING + 1, (2, batch, 1), generator=self._generator
        )
        is_flipped = torch.randint(2, (batch, 1), generator=self._generator).bool()
        ramp = torch.arange(size)
        rows = corners[0] + ramp
        columns = corners[1] + torch.where(is_flipped, size - 1 - ramp, ramp)
        rows = (indices[:, None] * padded_size + rows) * padded_size
        pixels = (rows[:, :, None] + columns[:, None, :]).reshape(-1)
        images = self._images.view(-1, channels).index_select(0, pixels)
        images = (images - _PIXEL_MEAN) * _PIXEL_SCALE
        return images.view(batch, size, size, channels).permute(0, 3, 1, 2)


def matrix_products(size: int) -> processes.Advance:
    """Returns a function that multiplies two float32 [size, size] matrices n times."""
    left, right = torch.randn(2, size, size)
    product = torch.empty(size, size)

    def advance(num_iterations: int) -> None:
        for _ in range(num_iterations):
            torch.mm(left, right, out=product)

    return advance


class MaskedLinear(nn.Linear):
    """A dense layer whose kernel is multiplied with a mask in each pass."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.register_buffer("mask", torch.ones_like(self.weight))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Maps [batch, inputs] to [batch, outputs]."""
        return functional.linear(inputs, _masked(self), self.bias)


class MaskedConvolution(nn.Conv2d):
    """A convolution whose kernel is multiplied with a mask in each pass."""

    def __init__(
        self, inputs: int, filters: int, *, size: int, stride: int = 1, bias: bool
    ) -> None:
        super().__init__(
            inputs, filters, size, stride=stride, padding=size // 2, bias=bias
        )
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        self.register_buffer("mask", torch.ones_like(self.weight))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Maps [batch, inputs, height, width] to [batch, filters, ...]."""
        kernel = _masked(self)
        return functional.conv2d(images, kernel, self.bias, self.stride, self.padding)


def ignore_masks(network: nn.Module) -> None:
    """Lets the masked layers use their kernels as they are.

    Changes: removes the masks.
    """
    for layer in network.modules():
        if isinstance(layer, MaskedLinear | MaskedConvolution):
            layer.mask = None


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, projected where widths differ."""

    def __init__(self, inputs: int, filters: int, *, stride: int) -> None:
        super().__init__()
        self.first = _normalized(inputs, filters, size=3, stride=stride, bias=False)
        self.second = _normalized(filters, filters, size=3, bias=False)
        self.shortcut = nn.Identity()
        if inputs != filters:
            self.shortcut = _normalized(
                inputs, filters, size=1, stride=stride, bias=False
            )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Maps [batch, inputs, height, width] to [batch, filters, ...]."""
        branch = self.second(functional.relu(self.first(images), inplace=True))
        branch += self.shortcut(images)
        return functional.relu(branch, inplace=True)


class GlobalAverage(nn.Module):
    """The mean over height and width."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Maps [batch, channels, height, width] to [batch, channels]."""
        return images.mean((2, 3))


def lenet() -> nn.Module:
    """Returns LeNet-300-100: [batch, 784] to [batch, 10] logits."""
    return nn.Sequential(
        MaskedLinear(784, 300),
        nn.ReLU(inplace=True),
        MaskedLinear(300, 100),
        nn.ReLU(inplace=True),
        MaskedLinear(100, tasks.NUM_CLASSES),
    )


def resnet20() -> nn.Module:
    """Returns ResNet-20: [batch, 3, 32, 32] to [batch, 10] logits."""
    width = 16
    layers: list[nn.Module] = [_normalized(3, width, size=3, bias=False)]
    layers.append(nn.ReLU(inplace=True))
    for filters in (16, 32, 64):
        for _ in range(3):
            stride = 1 if filters == width else 2
            layers.append(ResidualBlock(width, filters, stride=stride))
            width = filters
    head = MaskedLinear(width, tasks.NUM_CLASSES)
    return nn.Sequential(*layers, GlobalAverage(), head)


def vgg16() -> nn.Module:
    """Returns VGG-16: [batch, 3, 32, 32] to [batch, 10] logits."""
    width = 3
    layers: list[nn.Module] = []
    for block, (filters, num_convolutions) in enumerate(VGG16_BLOCKS):
        if block > 0:
            layers.append(nn.MaxPool2d(2))
        for _ in range(num_convolutions):
            layers.append(_normalized(width, filters, size=3, bias=True))
            layers.append(nn.ReLU(inplace=True))
            width = filters
    head = MaskedLinear(width, tasks.NUM_CLASSES)
    return nn.Sequential(*layers, GlobalAverage(), head)


NETWORKS = {"lenet": lenet, "resnet20": resnet20, "vgg16": vgg16}


def _masked(layer: MaskedLinear | MaskedConvolution) -> torch.Tensor:
    """Returns a layer's kernel multiplied with its mask, if it has one."""
    return layer.weight if layer.mask is None else layer.weight * layer.mask


def _normalized(
    inputs: int, filters: int, *, size: int, stride: int = 1, bias: bool
) -> nn.Module:
    """Returns a convolution followed by batch norm."""
    convolution = MaskedConvolution(
        inputs, filters, size=size, stride=stride, bias=bias
    )
    return nn.Sequential(convolution, nn.BatchNorm2d(filters))


def _padded(images: np.ndarray) -> torch.Tensor:
    """Returns uint8 [images, height, width, channels] with a black border of 4 pixels.

    Padding once and for all makes a crop one gather.
    """
    border = (PADDING, PADDING)
    return torch.from_numpy(np.pad(images, ((0, 0), border, border, (0, 0))))
