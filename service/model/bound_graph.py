"""One graph with its inputs and outputs bound to memory: what the next graph takes stays on the provider's device."""

import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

Array = NDArray[Any]

_NO_MEMORY: Final = re.compile(r"failed to allocate|out of memory|alloc_failed|bad_alloc", re.IGNORECASE)


class DeviceTensor:
    """A tensor that a graph left on its provider's device; `np.asarray` fetches it."""

    def __init__(self, value: ort.OrtValue) -> None:
        self.value = value
        self.shape: tuple[int, ...] = tuple(value.shape())
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self.value.numpy(), dtype)

    @property
    def device(self) -> str:
        """`cpu` or `cuda`, as ONNX Runtime calls it."""
        return str(self.value.device_name())


class BoundGraph:
    """A session and the device that its tensors lie on; safe to run from several threads."""

    def __init__(self, session: ort.InferenceSession, device: str) -> None:
        self.session, self._device = session, device

    def run(
        self,
        inputs: Mapping[str, Array | DeviceTensor],
        output: str,
        options: ort.RunOptions | None = None,
        into: Array | None = None,
    ) -> DeviceTensor:
        """Compute one output, which stays on the device, or is written to `into` in the host's memory.

        Raises MemoryError where the device has too little.
        """
        binding = self.session.io_binding()
        try:
            for name, value in inputs.items():
                if isinstance(value, DeviceTensor):
                    binding.bind_ortvalue_input(name, value.value)
                else:
                    binding.bind_cpu_input(name, np.ascontiguousarray(value))
            if into is None:
                binding.bind_output(output, self._device)
            else:
                binding.bind_output(output, "cpu", 0, into.dtype, into.shape, into.ctypes.data)
            self.session.run_with_iobinding(binding, options)
        except Exception as exc:  # ONNX Runtime's exceptions share no base class
            if _NO_MEMORY.search(str(exc)):
                raise MemoryError(f"{output} does not fit in the memory of {self._device}") from exc
            raise
        return DeviceTensor(binding.get_outputs()[0])
