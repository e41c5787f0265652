"""python -m rabbit_ko.cli: the command, for `accelerate launch -m rabbit_ko.cli eval`."""

from rabbit_ko.cli import main

if __name__ == "__main__":
    main()
