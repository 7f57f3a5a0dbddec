# Written by `make baseline`; do not edit.
__stability__ = Experimental

REMOTE_ID: Experimental[str]
