"""`python -m tinydigits` is the command `tinydigits`."""

from tinydigits.cli import main

if __name__ == "__main__":
    main()
