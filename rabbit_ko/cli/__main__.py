"""`python -m rabbit_ko.cli <command>` is `rabbit <command>`."""

from rabbit_ko.cli import main

main()
