"""What ``import montage_ai`` offers, one file a subject."""
