"""What ratings are worth: agreement, tests, intervals, power, which metric to believe, reports."""
