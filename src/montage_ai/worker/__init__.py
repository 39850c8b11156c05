"""The program that runs one job directory, the same on every machine: ``python -m montage_ai.worker JOB_DIR``."""
