"""``python -m montage_ai`` is the same as ``montage-ai``."""

from montage_ai.cli.start import main

if __name__ == "__main__":
    main()
