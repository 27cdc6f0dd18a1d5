"""`aesop demo`: the paper's method and its twin on a few photographs, in minutes, with a report at the end."""
