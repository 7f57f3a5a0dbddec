"""What happened in an environment, kept in files: written as it happens, and read again.

`rlmesh.Recorder` is here. `schema/rlmesh_api/v1/recording.proto` is the normative description of
what stands in the files.

Modules:
    recorder: `rlmesh.Recorder`, for environments of Gymnasium.
    recorded_env: Calls an environment, and notes what it is given and what it returns.
    contracts: The contract of an environment as it runs here.
    encoding: Calls as bytes.
    writer: Writes what was noted, on its own thread.
    parts: The files of recordings in a folder, and how much they may take.
    container: Files of MCAP, written and read.
    reading: Recordings, read call by call.
    checking: Whether calls are such as the contract allows.
    episodes: Which episode and step a call belongs to.
    summary: What is in a recording.
    video: Files of video.
"""
