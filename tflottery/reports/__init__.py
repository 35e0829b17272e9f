"""Programs that show or judge what the rest makes: `python -m tflottery.reports.NAME`.

`figure` draws the tables of several commands as one figure, `claims` says which claims
of the papers hold in them, `pretexts` draws a contact sheet of the pretext tasks.
"""
