"""Pre-training: a network learns from audio without labels what features are made of later."""
