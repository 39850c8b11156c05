"""``python -m montage_ai`` is the same as ``montage-ai``."""

from montage_ai.cli import main

if __name__ == "__main__":
    main()
