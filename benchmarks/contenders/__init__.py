"""The ways to have a step made: the catalogue, and a module for each kind."""
