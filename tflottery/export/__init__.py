"""The way out: a ticket as a file that others open, with Keras, TensorFlow, TFLite or
nothing but JSON and safetensors.

`python -m tflottery.export TICKET --format=...` is all of it: `resolving` finds what is
meant, `stored_networks` and `model_files` open it as an `ExportedNetwork`, `formats`
writes it, opens it again and compares, and `bundles` has the form that carries a
ticket with all that is known of it.
"""
