class _Stub:
    def is_connected(self) -> bool: ...

ray: _Stub
