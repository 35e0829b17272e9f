"""Changes made to a state or ticket before it is trained on: one file each."""
