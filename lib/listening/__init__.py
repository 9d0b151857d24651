"""A trained machine listens: new clips scored as in training, thresholds, and why a clip sounds strange."""
