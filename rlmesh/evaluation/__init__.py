"""Runs a policy in environments, each seed once, and says how it did."""
