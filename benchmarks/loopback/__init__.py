"""Real servers on loopback, and a link of chosen speed in front of them: for tests and benchmarks alike."""
