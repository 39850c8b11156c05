"""Models of others, as they are loaded and run on whatever device this machine has. Needs the extra ``semantic``."""
