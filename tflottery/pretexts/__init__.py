"""Tasks other than naming what is seen: one file each, by `core.registry.PRETEXTS`.

A pretext is a function

    show(images, labels, *, bits, indices, seed, num_classes) -> (images, targets)

of images [batch, height, width, channels] float32 in [0, 1] and labels [batch] int32,
which returns new images of the same shape and range and what a network is to answer,
[batch, ...] int32, as a rule new labels. It reads what it needs of

    bits: [batch] int32 in [0, 2**31), random for each image and epoch; flip and crop
      read them too, so draw from `layers.hashing.mixed(bits)`;
    indices: [batch] int32, which examples of the split the images are;
    seed: whole number, for what is random but the same in all epochs;
    num_classes: of the labels that come in.

It has TensorFlow operations of static shapes only and declares `num_outputs` (of a
network for it: classes of the labels that go out; None: those of the data; or a
function of their number), `version` (raised when its results change) and `seeded`
(whether it reads `seed`: then each replicate has a task of its own).

As a rule a network is to name labels. What is more declares besides

    relabel: a function of (labels, seed=) in numpy that is given the labels of all
      examples of a split, [examples] int32, and returns as many to show in their place;
    num_views: images that it returns of each example, where it is more than one:
      [batch, num_views, height, width, channels];
    losses: a function of (targets, outputs) that returns [batch] float32, which
      training minimizes the mean of; outputs are [batch, num_outputs] float32, with
      several views [batch, num_views, num_outputs];
    errors: likewise, [batch] bool: which examples count as errors;
    unlabeled: whether it also learns from the images that --subset= leaves out: they
      are shown with the label -1, and every batch is half of those with labels
      (`datasets.stream`); their labels have no influence on anything;
    smallest_batch: the fewest images of which a batch, or a replica's part of it, can
      consist; one that compares images of a batch needs two.

A task of two heads, such as classes and rotations, is one of as many outputs as both
have, and its functions take them apart: two linear heads are one that is wider.

It should give the same bits whatever compiles it: that is tried, and told, before it is
first used (`datasets.forms`). Sums are added up in any order, and products are joined
with the sum that follows. So add whole numbers, which is exact, and multiply by powers
of two: `tf.reduce_sum(tf.cast(tf.round(255 * images), tf.int32), axis)` in place of
`tf.reduce_mean(images, axis)`.
"""
