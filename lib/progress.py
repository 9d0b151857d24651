"""Progress bars for a person; batch runs set TQDM_DISABLE, which tqdm's notebook bars do not read by themselves."""

import os

from tqdm.auto import tqdm


def progress(iterable, label, **options):
    """`iterable` with a bar that goes when it is done."""
    return tqdm(iterable, label, leave=False, disable=bool(os.environ.get("TQDM_DISABLE")), **options)
