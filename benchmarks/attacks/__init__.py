"""Does a command end with the right results whatever happens to it?

    python -m benchmarks.attacks --minutes=20

Random trials, each in folders of its own: processes are killed or asked to stop at any
moment, artifacts, checkpoints and the dataset cache are damaged, several commands share
a store or an output folder, disks are full. Then the same command is run again, as a
user would, and everything is compared with a reference run that nobody disturbed:
tables byte by byte, the store and the cache by digests; damage must have been named on
the terminal, and nothing may be left behind.

A trial follows from a seed and its number alone, so that a wrong outcome can be had
again: --seed=SEED --trial=NUMBER.
"""
