"""Programs that show or judge what the rest makes: `python -m tflottery.reports.NAME`.

`figure` draws the tables of several commands as one figure, `pretexts` a contact sheet
of the pretext tasks.
"""
