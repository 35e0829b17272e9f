"""Scores and masks: functions of arrays.

`prunable` says which kernels are pruned, `counts` how many of their weights stay at a
level, `criteria` which weights are worth more, and `masks` keeps those.
"""
