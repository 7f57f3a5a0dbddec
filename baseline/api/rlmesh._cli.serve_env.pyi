# Written by `make baseline`; do not edit.
__stability__ = Stable

@Stable
def main(arguments: Sequence[str] | None = None) -> NoReturn: ...
@Stable
def write_ready_fd(fd: int, address: str) -> None: ...
