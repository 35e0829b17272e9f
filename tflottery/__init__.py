"""Instability analysis and lottery ticket experiments in Keras and TensorFlow.

`import tflottery` imports no TensorFlow; what needs it is loaded where it is used.
"""

__version__ = "0.1.0"
