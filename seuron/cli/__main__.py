"""`python -m seuron.cli` is the `seuron` command, for trees that are not installed."""

from seuron.cli import main

if __name__ == "__main__":
    main()
