"""Scores and masks: functions of arrays."""
