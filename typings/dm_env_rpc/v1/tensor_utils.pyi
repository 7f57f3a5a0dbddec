# As connection.pyi.
import numpy as np

def np_type_to_data_type(np_type: type[np.generic]) -> int: ...
