"""`python -m rabbit_ko.cli` is `rabbit`, for launchers that start modules."""

from rabbit_ko.cli import main

main()
