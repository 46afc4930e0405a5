"""Run against run: paired tests, corrections, views; candidate against baseline (`gate`); settings on a dev split (`sweep`)."""
