"""Snakemake with its plugin for SLURM mended: python -m lib.slurm … in place of python -m snakemake …

When none of its questions is answered, as while the controller is restarted, the plugin (2.8) forgets all jobs that it
has submitted, and Snakemake waits for them for ever. Here it asks for them again.
"""

import sys


def mend(executor: type) -> None:
    """Have an `Executor` of the plugin keep the jobs that it could not ask for."""
    check = executor.check_active_jobs

    async def check_again(self, jobs):
        answered = self._status_query_calls
        left = [job async for job in check(self, jobs)]
        for job in left if self._status_query_calls > answered else jobs:
            yield job

    executor.check_active_jobs = check_again


if __name__ == "__main__":
    from snakemake.cli import main
    from snakemake_executor_plugin_slurm import Executor

    mend(Executor)
    sys.exit(main())
