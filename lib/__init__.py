"""The library behind the notebooks, in rooms in the order in which sound flows: each imports only from rooms above it.

settings, paths, systems, progress   the door's lower step: what a run is asked for and where it lies; below all rooms
recordings    clips on disk → one bank of samples, its problems, the split
demo          seven machines made from physics, for a root that is not there
network       samples → trained extractor and flow → embeddings
detection     embeddings → inlier models → clip scores → rows and their metrics
results       rows → tables, effects, figures, submission files
run, batch    the door's upper step: one notebook, the whole graph; above all rooms
"""
