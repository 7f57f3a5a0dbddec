"""Batched values and infos of vector environments, by sub-environment.

parts   splits batched values by sub-environment, and joins them
infos   infos in Gymnasium's form, with a mask for each key
"""
