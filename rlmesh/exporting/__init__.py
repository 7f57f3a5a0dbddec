"""Recordings in the formats of others: what `rlmesh export` writes.

Modules:
    exporting: `export`, by the name of the format.
    episodes: Recordings, episode by episode.
    csv_files: A table of steps.
    minari_data: A data set of Minari.
    lerobot_data: A data set of LeRobot.
    videos: A video for each camera and episode.
"""
