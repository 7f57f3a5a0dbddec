# As connection.pyi; the messages are as loose as their own package leaves them.
from typing import Any

ActionObservationSpecs: Any
CreateWorldResponse: Any
DestroyWorldResponse: Any
EnvironmentResponse: Any
EnvironmentStateType: Any
JoinWorldResponse: Any
LeaveWorldResponse: Any
ResetResponse: Any
StepResponse: Any
TensorSpec: Any
