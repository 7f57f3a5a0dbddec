# Written by `make baseline`; do not edit.
__stability__ = Stable

RemoteEnv = rlmesh.RemoteEnv

RemoteVectorEnv = rlmesh.RemoteVectorEnv
