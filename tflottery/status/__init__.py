"""What commands are doing, told from another terminal: python -m tflottery.status."""
