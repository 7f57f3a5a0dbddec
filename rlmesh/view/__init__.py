"""Shows in a browser what servers are doing. Needs the extra `view`.

`rlmesh view` runs it, and so does a server with `view=`, in a process of its own: images are packed
there, and not beside the environment.
"""
