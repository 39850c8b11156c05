"""What is measured of Montage AI: ``python -m benchmarks`` runs it all and prints one table."""
