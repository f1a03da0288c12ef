"""``python -m hangard.cli``, the same as ``hangard``."""

from hangard.cli.main import main

if __name__ == "__main__":
    main()
