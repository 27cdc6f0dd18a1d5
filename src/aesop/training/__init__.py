"""The three stages, one loop, and the runs that they leave."""
