"""From samples to embeddings: front end, batches, extractor, flow, losses, training; and the autoencoder baselines."""
