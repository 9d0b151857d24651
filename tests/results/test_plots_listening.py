"""Pictures of new recordings stay small and readable, whatever the clips' number, length and names."""

import numpy as np
import pandas as pd

from lib.listening.clip_map import ClipMap
from lib.results import plots_listening

HZ = (50.0, 7800.0)


def test_an_hour_is_drawn_in_few_columns_and_the_map_at_its_frequencies():
    level = ClipMap(np.random.default_rng(0).normal(-40, 3, (64, 112_000)), 3600.0, HZ, "level [dB]")
    strange = np.zeros((7, 7200))
    strange[6, 3600:3604] = 4.0  # in the highest of few rows, for two seconds
    sound = np.zeros(3600 * 100)
    figure = plots_listening.clip_steps(sound, level, ClipMap(strange, 3600.0, HZ, "score [nats]"), (1800.0, 1806.0))
    grey, orange = (np.asarray(image.get_array()) for image in figure.axes[2].images)
    assert grey.shape == orange.shape == (64, 1000)
    bands, columns = np.nonzero(orange == 4.0)
    assert bands.min() > 45 and set(columns) <= {499, 500, 501}
    assert figure.axes[2].images[1].get_clim()[1] == 4.0, "one event in an hour is not lost in its scale"


def test_many_clips_are_the_strangest_of_them():
    names = [f"$5_{i:03d}$ “β” {'x' * 60}.wav" for i in range(100)]
    scores = pd.DataFrame({"clip": names, "score": np.arange(100.0)})
    axis = plots_listening.ranks(scores, np.array([0.1, -0.2]), 95.5).axes[0]
    shown = [label.get_text() for label in axis.get_yticklabels()]
    assert len(shown) == plots_listening.NAMED + 1 and shown[-1] == "2 healthy clips" and max(map(len, shown)) < 50
    assert "(76 more below)" in axis.get_xlabel()
    called = {line.get_label(): len(line.get_xdata()) for line in axis.lines}
    assert called["called anomalous"] == 4 and called["called normal"] == 20
