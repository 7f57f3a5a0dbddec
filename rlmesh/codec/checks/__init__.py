"""Whether a slab holds only what its space allows.

policy         the words for what happens to a deviation (warn, strict, off) and to NaN
domains        what each leaf may hold: bounds, or the rules of a text
fast_checks    compiled checks that find out, at every step, whether a closer look is needed
explain        the closer look: names the element that is wrong
conformance    both together: the check of a space, and which deviations were reported
"""
