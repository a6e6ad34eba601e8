"""Who runs jobs: one process's worker, and the supervisor of several."""
