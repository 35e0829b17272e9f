"""Programs that show or judge what the rest makes: `python -m tflottery.reports.NAME`.

`pretexts` draws a contact sheet of the pretext tasks.
"""
