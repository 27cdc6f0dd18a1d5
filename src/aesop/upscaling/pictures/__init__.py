"""Picture files in and out, strip by strip, with all that they hold."""
