"""One module per experiment: `python -m tflottery.experiments.NAME`."""
