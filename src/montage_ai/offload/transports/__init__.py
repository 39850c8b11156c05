"""How bytes and commands reach another machine."""
