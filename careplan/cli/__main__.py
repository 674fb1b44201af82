"""`python -m careplan.cli` is `careplan`."""

from careplan.cli import main

main()
