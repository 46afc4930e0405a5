"""SeeTell's harness: suites, runs, metrics, statistics, leaderboards."""
