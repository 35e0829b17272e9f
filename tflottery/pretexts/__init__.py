"""Tasks other than naming what is seen: one file each, by `core.registry.PRETEXTS`.

A pretext is a function of images [batch, height, width, channels] float32 in [0, 1],
labels [batch] int32 and bits [batch] int32 in [0, 2**31), which returns new images of
the same shape and range and new labels. It has TensorFlow operations of static shapes
only, and declares `num_classes` (None: those of the data).
"""
