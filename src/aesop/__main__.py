"""`python -m aesop` is the command `aesop`."""

from aesop.cli import main

main()
