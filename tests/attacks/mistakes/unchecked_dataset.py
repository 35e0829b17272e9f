"""The dataset cache is used without a look at its content."""

from tflottery.datasets import copies

copies._check_content = lambda folder, stamps: None
