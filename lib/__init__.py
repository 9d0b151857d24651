"""The library behind the notebooks, in rooms in the order in which sound flows; each imports only from rooms above it.

The door's lower step, below all rooms:
    settings, presets, systems    what a run is asked for
    paths, dependencies, progress where it lies, what its results follow from, its bars
    clock, step_clock, cards      where its seconds go; how many jobs share a graphics card
The rooms:
    recordings    clips on disk → one bank of samples, its problems, the split, the plan of a run
    demo          seven machines made from physics, for a data root that is not there
    network       samples → trained extractor and flow → embeddings
    detection     embeddings → inlier models → clip scores → rows of the tables and their metrics
    listening     new recordings → the scores of a trained machine, decisions, reasons
    results       rows → tables, effects, figures, submission files
    report        a finished run → a folder of pages
The door's upper step, above all rooms:
    run, kernels, homes    one notebook with checked parameters, the process that executes it, places where it may write
    batch, graph, job      the whole graph: its command line, Snakemake, a notebook as Snakemake starts it
    listener, score, fit   the trained machine, as users import it; a line a clip; a machine of one's own
    data          the challenge's recordings, downloaded
    submission    the challenge's files: those of a run, and any against the ground truth
    profiles, slurm    who carries out the jobs, this computer or a cluster; Snakemake's way to one
    locks, console, summary    one process at a time in a run's folder; what a person sees of a run
"""
