"""From embeddings to rows of the tables: inlier models, clip scores, calibration, ensembles, metrics."""
