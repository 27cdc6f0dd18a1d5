"""The terms of eq. 3 and 9, one file each, all of one form (`term.py`)."""
