# As websocket_client_policy.pyi.
from typing import Any

import numpy.typing as npt

def resize_with_pad(images: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[Any]: ...
