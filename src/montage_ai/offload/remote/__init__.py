"""Another machine, over any transport: made ready once a runtime, jobs started there, followed, and cleaned up."""
